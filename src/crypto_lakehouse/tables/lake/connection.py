"""Every DuckDB connection of this package is opened here, so that all of them agree."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
from attrs import frozen

from crypto_lakehouse.stores.open_files import open_files_hint, open_files_limit
from crypto_lakehouse.tables.lake.spill import spill_folder

__all__ = ["QueryLimits", "explained", "open_connection"]

#: DuckDB opens files ahead of those that it reads, about a hundred for each table of a query. If
#: the process may have fewer files open than this, it opens each when it is needed, which makes
#: queries slower.
_FILES_TO_READ_AHEAD = 1024

#: What precedes the text of an error in its traceback.
_RAISED = re.compile(r"^\w+: ", re.MULTILINE)


@frozen(kw_only=True)
class QueryLimits:
    """What a query may use of the machine.

    Attributes:
        memory_bytes: Memory of DuckDB.
        temporary_bytes: Its temporary files.
    """

    memory_bytes: int
    temporary_bytes: int


def open_connection(
    lake: Path | None = None, temporary: str | None = None, limits: QueryLimits | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in memory whose days and hours are those of UTC.

    DuckDB's own default is the machine's time zone, in which `date_trunc('day', open_time)` cuts
    one UTC day in two. Its temporary files are in the lake; by default they would be in `.tmp` in
    the working directory.

    Args:
        lake: The lake's directory; None puts temporary files in the system's directory for them.
        temporary: A path of `spill_folder` that the caller releases; by default, one that is
            released when the process ends.
        limits: What its queries may use; by default what DuckDB allows itself.
    """
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET temp_directory = ?", [temporary or spill_folder(lake)])
    if limits is not None:
        connection.execute(f"SET memory_limit = '{limits.memory_bytes}B'")
        connection.execute(f"SET max_temp_directory_size = '{limits.temporary_bytes}B'")
    limit = open_files_limit()
    if limit is not None and limit < _FILES_TO_READ_AHEAD:
        connection.execute("SET read_ahead_depth = 0")
    return connection


def explained(error: duckdb.Error) -> str:
    """Return the reason of an error of DuckDB, with advice if too many files are open.

    If a file system that is written in Python has raised the error, that is the reason.
    """
    reason = str(error)
    if reason.startswith("Traceback (most recent call last)"):
        reason = _RAISED.split(reason, maxsplit=1)[-1].partition("\n\n")[0].strip()
    return f"{reason}; {open_files_hint()}" if "Too many open files" in reason else reason
