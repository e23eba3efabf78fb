"""Every DuckDB connection of this package is opened here, so that all of them agree."""

from __future__ import annotations

from pathlib import Path

import duckdb

from crypto_lakehouse.tables.lake.spill import spill_folder

__all__ = ["open_connection"]


def open_connection(
    lake: Path | None = None, temporary: str | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in memory whose days and hours are those of UTC.

    DuckDB's own default is the machine's time zone, in which `date_trunc('day', open_time)` cuts
    one UTC day in two. Its temporary files are in the lake; by default they would be in `.tmp` in
    the working directory.

    Args:
        lake: The lake's directory; None puts temporary files in the system's directory for them.
        temporary: A path of `spill_folder` that the caller releases; by default, one that is
            released when the process ends.
    """
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET temp_directory = ?", [temporary or spill_folder(lake)])
    return connection
