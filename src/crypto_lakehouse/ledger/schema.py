"""The ledger's tables, the upgrade from each version to the next, and opening the file."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.hard_links import link_fault
from crypto_lakehouse.ledger.connection import LedgerConnection

__all__ = [
    "BESIDE",
    "BUSY_S",
    "FOLDERS",
    "LOST_RUN",
    "OLDEST_READABLE",
    "SCHEMA_VERSION",
    "TABLES",
    "WITH_FILLS",
    "WITH_SELECTIONS",
    "connect",
    "foreign_objects",
    "refuse_links",
    "set_aside",
    "table_columns",
    "version_of",
]

#: How many seconds another program may lock the ledger before the run gives up.
BUSY_S = 30.0

#: The suffixes of the files that SQLite writes beside a ledger.
BESIDE = ("-wal", "-shm", "-journal")

#: Increases with each change of the tables; a ledger of a later version is refused.
SCHEMA_VERSION = 4

#: The oldest version that can be read without an upgrade; it lacks columns of `runs`, and `fills`.
OLDEST_READABLE = 2

#: The first version whose runs say what they were asked for, and the first that has fills.
WITH_SELECTIONS, WITH_FILLS = 3, 4

#: The number of the run that stands for those whose rows were lost with a damaged ledger.
LOST_RUN = "lost"

_VERSION_1 = """
CREATE TABLE archives (
    folder TEXT NOT NULL,           -- key up to and with the last slash
    name TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    size_bytes INTEGER,
    mtime_ns INTEGER,               -- of the stored file, when it was last proven
    sha256 TEXT,
    published_sha256 TEXT,
    etag TEXT,
    last_modified TEXT,
    first_seen_at TEXT NOT NULL,    -- ISO 8601, UTC; of this version of the object
    last_seen_at TEXT NOT NULL,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
CREATE TABLE parts (
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    etag TEXT,
    last_modified TEXT,
    size_bytes INTEGER,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    planned INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    status TEXT
);
"""

_VERSION_2 = """
ALTER TABLE archives ADD COLUMN sidecar_etag TEXT;
ALTER TABLE archives ADD COLUMN newer_verdict TEXT;     -- of a version that was not accepted
ALTER TABLE archives ADD COLUMN newer_reason TEXT;
ALTER TABLE archives ADD COLUMN newer_etag TEXT;
ALTER TABLE archives ADD COLUMN newer_sidecar_etag TEXT;
ALTER TABLE archives ADD COLUMN accepted_at TEXT;       -- accepted by policy; never cleared
CREATE TABLE versions (             -- what stood in `archives` before it changed
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    change TEXT NOT NULL,           -- replaced: other bytes; restamped: other dates or ETags
    changed_at TEXT NOT NULL,
    kept_as TEXT,                   -- where the bytes are, relative to the output directory
    verdict TEXT NOT NULL,
    size_bytes INTEGER,
    sha256 TEXT,
    published_sha256 TEXT,
    etag TEXT,
    last_modified TEXT,
    first_seen_at TEXT NOT NULL,
    last_seen_at TEXT NOT NULL
);
CREATE INDEX versions_by_key ON versions (folder, name, changed_at);
CREATE INDEX versions_by_date ON versions (changed_at);
CREATE TABLE listings (             -- what the source listed of a folder, last time
    folder TEXT PRIMARY KEY,
    first_name TEXT,                -- NULL where that end was never reached
    last_name TEXT,
    archives INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    listed_at TEXT NOT NULL
) WITHOUT ROWID;
"""

_VERSION_3 = """
ALTER TABLE runs ADD COLUMN selection TEXT;             -- canonical JSON; NULL: not recorded
ALTER TABLE runs ADD COLUMN source_url TEXT;            -- without credentials
ALTER TABLE runs ADD COLUMN listing_url TEXT;
"""

_VERSION_4 = """
CREATE TABLE fills (                -- days that were asked for from the exchange
    folder TEXT NOT NULL,           -- of the segment: key up to and with the last slash
    name TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    sha256 TEXT,                    -- of the segment; NULL where there is none
    complete INTEGER NOT NULL,      -- 1: the day was over
    proven_by TEXT NOT NULL,
    filled_at TEXT NOT NULL,
    size_bytes INTEGER,
    mtime_ns INTEGER,               -- of the stored segment, when it was last proven
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
"""

_COMMENT = re.compile(r"--.*")

#: The upgrade from version n to version n + 1, at index n.
_STEPS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)

#: The names of all tables.
TABLES = tuple(re.findall(r"CREATE TABLE (\w+)", "".join(_STEPS)))

#: Selects all folders. It goes from folder to folder in the index; DISTINCT would read every row.
FOLDERS = """
WITH RECURSIVE known (folder) AS (
    SELECT min(folder) FROM archives
    UNION  -- not UNION ALL: folders that are out of order would be found for ever
    SELECT (SELECT min(folder) FROM archives WHERE folder > known.folder)
    FROM known WHERE known.folder IS NOT NULL
)
SELECT folder FROM known WHERE folder IS NOT NULL UNION SELECT folder FROM listings
"""


#: Selects all folders of segments, in the same way.
FILLED_FOLDERS = """
WITH RECURSIVE known (folder) AS (
    SELECT min(folder) FROM fills
    UNION
    SELECT (SELECT min(folder) FROM fills WHERE folder > known.folder)
    FROM known WHERE known.folder IS NOT NULL
)
SELECT folder FROM known WHERE folder IS NOT NULL
"""


def connect(path: Path) -> LedgerConnection:
    """Open a ledger for reading and writing; create or upgrade it if necessary.

    Raises:
        LedgerError: The ledger was written by a later version; or it, or a file of SQLite beside
            it, has several names.
        sqlite3.Error: SQLite refuses.
    """
    refuse_links(path, ("", *BESIDE))
    # Each connection is used by one thread at a time, but not always by the same one.
    connection = sqlite3.connect(
        path, check_same_thread=False, timeout=BUSY_S, factory=LedgerConnection
    )
    try:
        with closing(connection.execute("PRAGMA journal_mode = WAL")):
            pass
        connection.execute("PRAGMA synchronous = NORMAL")
        _bring_up_to_date(connection, path)
        # Fail now if the ledger cannot be written, and not after the first archives.
        connection.execute("BEGIN IMMEDIATE")  # waits for other programs
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.rollback()
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_links(path: Path, suffixes: Iterable[str]) -> None:
    """Refuse a ledger if SQLite would write into a file that has other names, too.

    Args:
        path: The ledger.
        suffixes: Of the names of the files to check.

    Raises:
        LedgerError: A file has several names, or is not a regular file.
    """
    for suffix in suffixes:
        if fault := link_fault(f"{path}{suffix}"):
            raise LedgerError(str(path), fault)


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    if version_of(connection, path) == SCHEMA_VERSION:
        return
    connection.execute(
        "BEGIN IMMEDIATE"
    )  # if two begin at once, the second waits and finds it done
    with connection:
        for step in _STEPS[version_of(connection, path) :]:
            for statement in _COMMENT.sub("", step).split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a ledger's tables; 0 for a new file.

    Raises:
        LedgerError: The ledger was written by a later version.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise LedgerError(
            str(path),
            f"it was written by a later version of this program (schema {version}, this one "
            f"knows {SCHEMA_VERSION}) and is not changed; upgrade the program, or move the file "
            "away: the next run rebuilds a ledger from the files and their sidecars",
        )
    return version


def table_columns(connection: LedgerConnection, table: str) -> list[Any]:
    """Return name, type and constraints of each column of a table, in order."""
    return connection.fetch(f"PRAGMA table_info({table})")


def foreign_objects(connection: LedgerConnection) -> str:
    """Say which views and triggers a ledger has; no run makes any, and they do anything.

    A view in the place of a table may have rows without end, a trigger refuse or change each row.

    Returns:
        What was found, in a sentence without a point; empty if there is nothing.
    """
    query = "SELECT type, name FROM sqlite_schema WHERE type NOT IN ('table', 'index') LIMIT 1"
    for kind, name in connection.fetch(query):
        return f"it has the {kind} `{name}`, which no run makes"
    return ""


def set_aside(path: Path) -> Path:
    """Rename a damaged ledger, and remove its journal."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
