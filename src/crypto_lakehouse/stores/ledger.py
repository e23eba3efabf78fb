"""The ledger: what runs found out, in SQLite below the output directory.

It makes a second run instant. It holds nothing that files and sidecars do not say again: where
it is lost or damaged, the next run rebuilds it from them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import ArchiveFinished, BodyStarted, RunFinished, RunStarted
from crypto_lakehouse.core.ports import LedgerRow, PartRow
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["SqliteLedger"]

#: Goes up with each change of the tables; a ledger from a later version is refused.
SCHEMA_VERSION = 1

_SCHEMA = """
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
    first_seen_at TEXT NOT NULL,    -- ISO 8601, UTC
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

_UPSERT = """
INSERT INTO archives VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (folder, name) DO UPDATE SET
    verdict = excluded.verdict, reason = excluded.reason,
    size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256,
    published_sha256 = excluded.published_sha256, etag = excluded.etag,
    last_modified = excluded.last_modified, last_seen_at = excluded.last_seen_at
"""

#: What SQLite calls a file whose pages contradict one another.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

Change = ArchiveFinished | BodyStarted | RunStarted | RunFinished


@define
class SqliteLedger:
    """One SQLite file in WAL mode; one reader and one writer at a time.

    Use `SqliteLedger.open`, and `close` at the end.
    """

    path: Path
    _reader: sqlite3.Connection = field(repr=False)
    _writer: sqlite3.Connection = field(repr=False)
    _read_only: bool = False

    @classmethod
    def open(cls, path: Path) -> tuple[SqliteLedger, str]:
        """Open or make the ledger; blocking.

        A damaged file is set aside beside itself, and a new one begun.

        Returns:
            The ledger, and what its owner should know of it, empty where all is well.

        Raises:
            LedgerError: The file cannot be opened, or is from a later version.
        """
        try:
            return cls(path, _connect(path), _connect(path)), ""
        except sqlite3.OperationalError as error:
            raise LedgerError(str(path), f"the ledger cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            aside = _set_aside(path)
            note = (
                f"the ledger `{path}` is damaged ({error}); it was moved to `{aside.name}` "
                "and is being rebuilt from the files and their sidecars"
            )
            return cls(path, _connect(path), _connect(path)), note

    @classmethod
    def open_read_only(cls, path: Path) -> SqliteLedger:
        """Open an existing ledger without changing anything; blocking.

        Raises:
            LedgerError: There is none, or it cannot be read.
        """
        address = f"{path.absolute().as_uri()}?mode=ro"
        try:
            return cls(
                path,
                sqlite3.connect(address, uri=True, check_same_thread=False),
                sqlite3.connect(address, uri=True, check_same_thread=False),
                read_only=True,
            )
        except sqlite3.Error as error:
            raise LedgerError(str(path), f"the ledger cannot be opened: {error}") from error

    async def folders(self) -> list[str]:
        """Every key prefix that the ledger knows of, in order."""
        found = await to_thread.run_sync(
            self._query, "SELECT DISTINCT folder FROM archives ORDER BY folder"
        )
        return [folder for (folder,) in found]

    def close(self) -> None:
        """Close both connections; blocking."""
        self._reader.close()
        self._writer.close()

    async def rows(self, folder: str) -> Mapping[str, LedgerRow]:
        """Everything known of the archives in a key prefix, by file name."""
        return await to_thread.run_sync(self._rows, folder)

    async def parts(self, folder: str) -> Mapping[str, PartRow]:
        """Validators of unfinished bodies in a key prefix, by file name."""
        return await to_thread.run_sync(self._parts, folder)

    def _rows(self, folder: str) -> dict[str, LedgerRow]:
        found = self._query(
            "SELECT name, verdict, size_bytes, mtime_ns, sha256, published_sha256, etag,"
            " last_modified FROM archives WHERE folder = ?",
            folder,
        )
        return {
            name: LedgerRow(
                verdict=Verdict(verdict),
                size_bytes=size,
                mtime_ns=mtime,
                sha256=sha256,
                published_sha256=published,
                etag=etag,
                last_modified=last_modified,
            )
            for name, verdict, size, mtime, sha256, published, etag, last_modified in found
        }

    def _parts(self, folder: str) -> dict[str, PartRow]:
        found = self._query(
            "SELECT name, etag, last_modified, size_bytes FROM parts WHERE folder = ?", folder
        )
        return {
            name: PartRow(etag=etag, last_modified=last_modified, size_bytes=size)
            for name, etag, last_modified, size in found
        }

    def _query(self, statement: str, *parameters: str) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._reader.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._refusal(error, "read") from error

    def _refusal(self, error: sqlite3.Error, action: str) -> LedgerError:
        """Say why SQLite refused; what is damaged is moved aside, so that the next run is not."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED and not self._read_only:
            with suppress(OSError):  # it was moved already
                aside = _set_aside(self.path)
                return LedgerError(
                    str(self.path),
                    f"the ledger is damaged ({error}); it was moved to `{aside.name}`; "
                    "run again, and it is rebuilt from the files and their sidecars",
                )
        return LedgerError(str(self.path), f"the ledger cannot be {action}: {error}")

    def write(self, changes: Iterable[Change]) -> None:
        """Write changes in one transaction; blocking.

        Raises:
            LedgerError: SQLite refused; nothing of the batch was written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with self._writer:
                for change in changes:
                    self._write_one(change, now)
        except sqlite3.Error as error:
            raise self._refusal(error, "written") from error

    def _write_one(self, change: Change, now: str) -> None:
        match change:
            case ArchiveFinished():
                self._writer.execute(_UPSERT, _row(change, now))
                if change.verdict is not Verdict.FAILED:  # a failed body may be resumed later
                    self._writer.execute(
                        "DELETE FROM parts WHERE folder = ? AND name = ?",
                        (change.archive.folder, change.archive.name),
                    )
            case BodyStarted(archive=archive):
                row = (change.etag, change.last_modified, change.size_bytes)
                self._writer.execute(
                    "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)",
                    (archive.folder, archive.name, *row),
                )
            case RunStarted():
                self._writer.execute(
                    "INSERT OR REPLACE INTO runs (run_id, workflow, planned, started_at)"
                    " VALUES (?, ?, ?, ?)",
                    (change.run_id, change.workflow, change.planned, change.at.isoformat()),
                )
            case RunFinished():
                self._writer.execute(
                    "UPDATE runs SET finished_at = ?, status = ? WHERE run_id = ?",
                    (change.at.isoformat(), change.status, change.run_id),
                )


def _row(event: ArchiveFinished, now: str) -> tuple[object, ...]:
    # An archive that is unchanged was verified; the ledger keeps that word.
    verdict = Verdict.VERIFIED if event.verdict is Verdict.UNCHANGED else event.verdict
    return (
        event.archive.folder,
        event.archive.name,
        verdict,
        event.reason,
        event.size_bytes,
        event.mtime_ns,
        event.sha256,
        event.published_sha256,
        event.etag,
        event.last_modified,
        now,
        now,
    )


def _connect(path: Path) -> sqlite3.Connection:
    # Reader and writer each serve one thread at a time, but not always the same one.
    connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
    try:
        with closing(connection.execute("PRAGMA journal_mode = WAL")):
            pass
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise LedgerError(
                str(path), f"it was written by a later version (schema {version}); upgrade"
            )
        if version == 0:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = 1; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def _set_aside(path: Path) -> Path:
    """Move a damaged ledger out of the way, with what belongs to it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
