"""Every DuckDB connection of this package is opened here, so that all of them agree."""

from __future__ import annotations

import duckdb

__all__ = ["open_connection"]


def open_connection() -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in memory whose days and hours are those of UTC.

    DuckDB's own default is the machine's time zone, in which `date_trunc('day', open_time)` cuts
    one UTC day in two.
    """
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection
