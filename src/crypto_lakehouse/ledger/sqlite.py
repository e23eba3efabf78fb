"""The ledger: what runs found out, in SQLite below the output directory.

It makes a second run instant and re-publication visible. What it says of the files that stand is
said again by them and their sidecars: where it is lost or damaged, the next run rebuilds that
from them. The history of what was replaced, and what runs were asked for, are in it alone.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchivesUnchanged,
    BodyStarted,
    FillFinished,
    FolderListed,
    RunFinished,
    RunStarted,
)
from crypto_lakehouse.core.fills import FillRow
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.os_error_hints import exit_code_of
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.core.whole_numbers import STORABLE
from crypto_lakehouse.ledger import sqlite_statements as sql
from crypto_lakehouse.ledger.connection import LedgerConnection
from crypto_lakehouse.ledger.event_rows import (
    archive_row,
    fill_row,
    newer_version,
    run_row,
    unrecorded_version,
)
from crypto_lakehouse.ledger.place import LedgerEvent, do_nothing
from crypto_lakehouse.ledger.read_only import connect_read_only
from crypto_lakehouse.ledger.rebuild import create, damage_at, rebuild
from crypto_lakehouse.ledger.refusals import code_of, refusal, unreadable
from crypto_lakehouse.ledger.schema import BUSY_S, WITH_FILLS, connect, version_of
from crypto_lakehouse.ledger.soundness import fill_rows, ledger_row, parse_archive, sound_facts

__all__ = ["SqliteLedger"]

#: SQLite's codes for a damaged file.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

#: SQLite's codes for a file that another program has locked.
_HELD = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

#: How long one attempt waits for that program, in milliseconds.
_HELD_STEP_MS = 250


@define
class SqliteLedger:
    """One SQLite file in WAL mode; one reader and one writer at a time.

    Use `SqliteLedger.open`, and `close` at the end.
    """

    path: Path
    claims = None
    _reader: LedgerConnection = field(repr=False)
    _writer: LedgerConnection = field(repr=False)
    _read_only: bool = False
    #: Whether there may be parts to delete; a query for each archive costs as much as its row.
    _has_parts: bool = field(init=False, default=True)
    #: Device and inode of the opened file: SQLite would go on writing to a removed one.
    _file: tuple[int, int] | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file = _identity(self.path)
        self._writer.execute(f"PRAGMA busy_timeout = {_HELD_STEP_MS}")

    @classmethod
    def open(cls, path: Path) -> tuple[SqliteLedger, str]:
        """Open or create the ledger; blocking.

        A damaged file is renamed, and a new ledger is created from what is sound of it.

        Returns:
            The ledger, and a warning for the user, empty if there is none.

        Raises:
            LedgerError: The file cannot be opened, or was written by a later version.
        """
        if path.is_symlink():
            reason = "a symbolic link is in its place; move the link away and run again"
            raise LedgerError(str(path), reason)
        is_new = not path.exists()
        try:
            if is_new:
                create(path)
            damage = damage_at(path)
            if not damage:
                return cls(path, connect(path), connect(path)), ""
            aside, kept = rebuild(path)
            opened = cls(path, connect(path), connect(path))
        except sqlite3.Error as error:
            raise refusal(path, error, "opened") from error
        except OSError as error:
            what = "cannot be created" if is_new else "is damaged, and cannot be replaced"
            where = error.filename if is_new else "it"
            reason = f"the ledger {what}: {error.strerror}; move {where} away and run again"
            raise LedgerError(str(path), reason, exit_code=exit_code_of(error)) from error
        return opened, (
            f"the ledger `{path}` is damaged ({damage}); it was moved to `{aside.name}`, {kept} of "
            f"{agreeing(kept, 'its rows [was|were] kept')}, and the rest is being rebuilt from the "
            "files and their sidecars"
        )

    @classmethod
    def open_read_only(cls, path: Path) -> SqliteLedger:
        """Open an existing ledger without changing anything; blocking.

        Raises:
            LedgerError: There is no ledger, or it cannot be read.
        """
        try:
            return cls(path, connect_read_only(path), connect_read_only(path), read_only=True)
        except sqlite3.Error as error:
            raise unreadable(path, error) from error

    async def folders(self) -> list[str]:
        """Return every key prefix in the ledger, in order."""
        found = await to_thread.run_sync(
            self._query, "SELECT DISTINCT folder FROM archives ORDER BY folder"
        )
        # Sorted here as well: in a damaged ledger SQLite may find them out of order, and twice.
        return sorted({folder for (folder,) in found if _is_prefix(folder)})

    async def archives_of(self, verdicts: Iterable[Verdict]) -> list[Archive]:
        """Return every archive with one of these verdicts on its stored or a newer version."""
        return await to_thread.run_sync(self.archives_of_now, verdicts)

    def archives_of_now(self, verdicts: Iterable[Verdict]) -> list[Archive]:
        """As `archives_of`; blocking."""
        texts = [str(verdict) for verdict in verdicts]
        marks = ", ".join("?" * len(texts))
        found = self._query(
            f"SELECT folder, name FROM archives WHERE verdict IN ({marks})"  # noqa: S608
            f" OR newer_verdict IN ({marks}) ORDER BY folder, name",
            *(texts * 2),
        )
        return [archive for row in found if (archive := parse_archive(*row)) is not None]

    async def has_verified(self, prefix: str) -> bool:
        """Whether any archive below a prefix, with its slash, is verified."""
        behind = f"{prefix[:-1]}{chr(ord('/') + 1)}"
        ((found,),) = await to_thread.run_sync(self._query, sql.ANY_VERIFIED, prefix, behind)
        return bool(found)

    def close(self) -> None:
        """Close both connections; blocking."""
        self._reader.close()
        self._writer.close()

    async def rows(self, folder: str) -> Mapping[str, LedgerRow]:
        """Return everything known about the archives in a key prefix, by file name."""
        return await to_thread.run_sync(self.rows_now, folder)

    def rows_now(self, folder: str) -> dict[str, LedgerRow]:
        """As `rows`; blocking."""
        found = {name: ledger_row(values) for name, *values in self._query(sql.ROWS, folder)}
        return {name: row for name, row in found.items() if row is not None and _is_text(name)}

    def row_now(self, folder: str, name: str) -> LedgerRow | None:
        """Return what is known about one archive; blocking."""
        found = self._query(f"{sql.ROWS} AND name = ?", folder, name)
        return ledger_row(found[0][1:]) if found else None

    def fills_now(self, folder: str) -> dict[str, FillRow]:
        """Return what is known of the segments in a key prefix, by file name; blocking."""
        if self._read_only and version_of(self._reader, self.path) < WITH_FILLS:
            return {}
        return fill_rows(folder, self._query(sql.FILLS, folder))

    def has_open_run(self) -> bool:
        """Whether the latest run has not ended, as it goes on or was killed; blocking."""
        found = self._query("SELECT finished_at IS NULL FROM runs ORDER BY rowid DESC LIMIT 1")
        return bool(found) and found[0][0] == 1

    def verified_now(self, folder: str) -> dict[str, tuple[int, int]]:
        """Size and mark of those that are verified and not outdated; blocking."""
        return {name: (size, mark) for name, size, mark in self._query(sql.VERIFIED, folder)}

    def objects_now(self, folder: str) -> dict[str, ObjectFacts]:
        """Return size, ETags and date of the objects in `verified_now`; blocking."""
        return self._facts(sql.OBJECTS, folder)

    def parts_now(self, folder: str) -> dict[str, ObjectFacts]:
        """Return size, ETag and date of unfinished bodies in a key prefix, by name; blocking."""
        return self._facts(sql.PARTS, folder)

    def _facts(self, statement: str, folder: str) -> dict[str, ObjectFacts]:
        found = {name: sound_facts(values) for name, *values in self._query(statement, folder)}
        return {
            name: facts for name, facts in found.items() if facts is not None and _is_text(name)
        }

    def _query(self, statement: str, *parameters: str) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._reader.fetch(statement, parameters)
        except sqlite3.Error as error:
            raise self._refusal(error, "read") from error

    def _refusal(self, error: sqlite3.Error, action: str) -> LedgerError:
        """Make the error for a failure of SQLite; rename a damaged file, for the next run."""
        if self._read_only:
            return unreadable(self.path, error)
        is_ours = _identity(self.path) == self._file
        if code_of(error) in _DAMAGED and is_ours:
            with suppress(OSError, sqlite3.Error):  # the disk may be full
                aside, _ = rebuild(self.path)
                return LedgerError(
                    str(self.path),
                    f"the ledger is damaged ({error}); it was moved to `{aside.name}`; "
                    "run again, and it is rebuilt from the files and their sidecars",
                )
        return refusal(self.path, error, action)

    def write(self, changes: Iterable[LedgerEvent], check: Callable[[], None] = do_nothing) -> None:
        """Write changes in one transaction; blocking.

        Args:
            changes: The events to record.
            check: Called repeatedly while another program locks the ledger; may raise to give up.

        Raises:
            LedgerError: SQLite failed; nothing of the batch was written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        if _identity(self.path) != self._file:
            raise LedgerError(
                str(self.path),
                "the ledger was removed or replaced during the run; find out what did that to the "
                "output directory, and run again: present files are kept, missing ones are fetched",
            )
        batch, ends_at = tuple(changes), time.monotonic() + BUSY_S
        while True:
            try:
                self._write_all(batch, now)
            except sqlite3.Error as error:
                is_held = code_of(error) in _HELD
                if not is_held or time.monotonic() > ends_at:
                    raise self._refusal(error, "written") from error
                check()
            else:
                return

    def _write_all(self, changes: Iterable[LedgerEvent], now: str) -> None:
        with self._writer:
            self._has_parts = bool(self._writer.execute(sql.ANY_PART).fetchone()[0])
            for change in changes:
                self._write_one(change, now)

    def _write_one(self, change: LedgerEvent, now: str) -> None:
        match change:
            case ArchiveFinished():
                self._write_archive(change, now)
            case ArchivesUnchanged(folder=folder):
                seen = [(now, folder, item.archive.name) for item in change.each()]
                self._writer.executemany(sql.SEEN, seen)
            case FolderListed():
                at = change.at.isoformat(timespec="seconds")
                ends = (change.first, change.last)
                sizes = (change.archives, min(change.size_bytes, STORABLE - 1))
                self._writer.execute(sql.LISTED, (change.folder, *ends, *sizes, at))
            case BodyStarted(archive=archive, facts=facts):
                self._has_parts = True
                row = (facts.etag, facts.last_modified, facts.size_bytes)
                self._writer.execute(
                    "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)",
                    (archive.folder, archive.name, *row),
                )
            case FillFinished():
                self._writer.execute(sql.FILLED, fill_row(change))
            case RunStarted():
                self._writer.execute(sql.RUN, run_row(change))
            case RunFinished():
                self._writer.execute(
                    "UPDATE runs SET finished_at = ?, status = ? WHERE run_id = ?",
                    (change.at.isoformat(), change.status, change.run_id),
                )

    def _write_archive(self, event: ArchiveFinished, now: str) -> None:
        place = (event.archive.folder, event.archive.name)
        if event.change:
            self._writer.execute(sql.REMEMBER, (event.change, now, event.kept_as or None, *place))
        if version := unrecorded_version(event, now):
            self._writer.execute(sql.UNRECORDED, version)
        if event.stands:
            self._writer.execute(sql.STANDS, (*newer_version(event), now, *place))
        else:
            self._writer.execute(sql.UPSERT, archive_row(event, now))
        if self._has_parts and event.verdict is not Verdict.FAILED:  # it may be resumed later
            self._writer.execute("DELETE FROM parts WHERE folder = ? AND name = ?", place)


def _is_prefix(folder: object) -> bool:
    """Whether a text can be the prefix of keys; a damaged ledger may have others."""
    return isinstance(folder, str) and folder.startswith("data/") and ".." not in folder


def _is_text(name: object) -> bool:
    return isinstance(name, str)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file; None if there is no file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
