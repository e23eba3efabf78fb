"""The ledger's tables, how each version of them becomes the next, and how a file is opened."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from crypto_lakehouse.core.errors import LedgerError

__all__ = [
    "BUSY_S",
    "SCHEMA_VERSION",
    "connect",
    "connect_read_only",
    "refusal",
    "set_aside",
    "unreadable",
]

#: How long another program may hold the ledger before the run gives up, in seconds.
BUSY_S = 30.0

#: Goes up with each change of the tables; a ledger of a later version is refused.
SCHEMA_VERSION = 2

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
ALTER TABLE archives ADD COLUMN newer_verdict TEXT;     -- of a version that was not let in
ALTER TABLE archives ADD COLUMN newer_reason TEXT;
ALTER TABLE archives ADD COLUMN newer_etag TEXT;
ALTER TABLE archives ADD COLUMN newer_sidecar_etag TEXT;
ALTER TABLE archives ADD COLUMN accepted_at TEXT;       -- let in by policy, said for ever
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

#: What to do about it, by SQLite's word.
_HINTS = {
    sqlite3.SQLITE_FULL: "free some space and run again",
    sqlite3.SQLITE_IOERR: "see whether the disk is full, over a quota, or failing",
    sqlite3.SQLITE_READONLY: "let this user write it, and its folder",
    sqlite3.SQLITE_PERM: "let this user write it, and its folder",
    sqlite3.SQLITE_CANTOPEN: "it must be a file that this user may write, in a folder likewise",
    sqlite3.SQLITE_BUSY: "another program holds it; end that, and run again",
    sqlite3.SQLITE_LOCKED: "another program holds it; end that, and run again",
}

#: SQLite takes no longer paths, in bytes; its journal's is a little longer than the ledger's.
_LONGEST_PATH = 500

_COMMENT = re.compile(r"--.*")

#: What makes version n + 1 out of version n.
_STEPS = (_VERSION_1, _VERSION_2)


def connect(path: Path) -> sqlite3.Connection:
    """Open a ledger for reading and writing, made or brought up to date where it has to be.

    Raises:
        LedgerError: It is of a later version.
        sqlite3.Error: SQLite refuses.
    """
    # Reader and writer each serve one thread at a time, but not always the same one.
    connection = sqlite3.connect(path, check_same_thread=False, timeout=BUSY_S)
    try:
        with closing(connection.execute("PRAGMA journal_mode = WAL")):
            pass
        connection.execute("PRAGMA synchronous = NORMAL")
        _bring_up_to_date(connection, path)
        # What cannot be written is told now, and not when the first archives are here.
        connection.execute("BEGIN IMMEDIATE")  # waits for other programs
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.rollback()
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing ledger without changing anything.

    Raises:
        LedgerError: It is of another version than this program's.
        sqlite3.Error: SQLite refuses.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(address, uri=True, check_same_thread=False)
    try:
        version = _version(connection, path)
        if version < SCHEMA_VERSION:
            reason = f"it is of an earlier version (schema {version}); any `collect` updates it"
            raise LedgerError(str(path), reason)
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")  # of two that begin at once, one waits and finds it done
    with connection:
        for step in _STEPS[_version(connection, path) :]:
            for statement in _COMMENT.sub("", step).split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise LedgerError(
            str(path),
            f"it was written by a later version of this program (schema {version}, this one "
            f"knows {SCHEMA_VERSION}) and is left as it is; upgrade, or move the file away: the "
            "next run rebuilds a ledger from the files and their sidecars",
        )
    return version


def refusal(path: Path, error: sqlite3.Error, action: str) -> LedgerError:
    """Say that a ledger cannot be opened, read or written, and what to do about it."""
    hint = _HINTS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if path.exists() and not path.is_file():
        hint = "something else is in its place; move that away and run again"
    if len(bytes(path)) > _LONGEST_PATH:
        hint = "its path is too long for SQLite; choose an output directory with a shorter one"
    reason = f"the ledger cannot be {action}: {error}"
    return LedgerError(str(path), f"{reason}; {hint}" if hint else reason)


def unreadable(path: Path, error: sqlite3.Error) -> LedgerError:
    """Say that a ledger cannot be read, and how a damaged one is rebuilt."""
    return LedgerError(
        str(path),
        f"the ledger cannot be read: {error}; if it is damaged, the next `collect` sets it aside "
        "and rebuilds it from the files and their sidecars",
    )


def set_aside(path: Path) -> Path:
    """Move a damaged ledger out of the way, with what belongs to it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
