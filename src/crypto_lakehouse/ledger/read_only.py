"""Open a ledger for reading, also if it or its folder cannot be written.

SQLite keeps two files beside a ledger, a journal and an index of that, and creates them even for
a reader. They are removed when the ledger is closed, if the journal is empty. On a read-only file
system, or in a folder of another user, SQLite cannot create them. Then the ledger is read without
them, which is safe while no other program writes to it; that is checked.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.file_identity import FileIdentity, has_content, identity_of
from crypto_lakehouse.ledger.connection import CHANGED, LedgerConnection
from crypto_lakehouse.ledger.refusals import damaged, refusal, unreadable
from crypto_lakehouse.ledger.schema import (
    BESIDE,
    OLDEST_READABLE,
    foreign_objects,
    refuse_links,
    version_of,
)

__all__ = ["connect_read_only", "reading"]

#: SQLite's codes for files that it cannot create beside the ledger.
_CANNOT_CREATE = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR}
)


@contextmanager
def reading(path: Path) -> Iterator[LedgerConnection]:
    """Open a ledger for reading; blocking.

    Raises:
        LedgerError: The ledger cannot be read, its version is too old or too new, or another
            program wrote to it while it was read without a lock.
    """
    try:
        with closing(connect_read_only(path)) as connection:
            yield connection
            connection.check_unchanged()
    except sqlite3.Error as error:
        raise unreadable(path, error) from error


def connect_read_only(path: Path) -> LedgerConnection:
    """Open an existing ledger without changing anything.

    Raises:
        LedgerError: The ledger's version is too old or too new; it has views or triggers; or a
            file of SQLite beside it has several names.
        sqlite3.Error: SQLite refuses.
    """
    refuse_links(path, BESIDE)
    connection = _connect(path)
    try:
        version = version_of(connection, path)
        if version < OLDEST_READABLE:
            reason = (
                f"it was written by an earlier version (schema {version}); `collect` upgrades it"
            )
            raise LedgerError(str(path), reason)
        if found := foreign_objects(connection):
            raise damaged(path, found)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path) -> LedgerConnection:
    try:
        connection = _opened(path, "mode=ro")
        connection.after_close(lambda: _remove_empty_journal(path))
        return connection
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _CANNOT_CREATE or not path.is_file():
            raise
        if has_content(str(_journal(path))):
            return _connect_to_copy(path, error)
        state = _state(path)
        connection = _opened(path, "mode=ro&immutable=1")
        connection.watch(lambda: _state(path) == state, path)
        return connection


def _opened(path: Path, options: str) -> LedgerConnection:
    address = f"{path.absolute().as_uri()}?{options}"
    connection = sqlite3.connect(
        address, uri=True, check_same_thread=False, factory=LedgerConnection
    )
    try:
        connection.execute("PRAGMA schema_version").fetchone()  # opens the files
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_copy(path: Path, error: sqlite3.Error) -> LedgerConnection:
    """Copy the ledger and its journal, which a killed run left, and merge them.

    The copy has no name any more when this returns; closing the connection frees its space.
    """
    state = _state(path)
    try:
        with TemporaryDirectory(prefix="crypto-lakehouse-", ignore_cleanup_errors=True) as folder:
            copy = Path(folder) / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(_journal(path), _journal(copy))
            if _state(path) != state:
                raise LedgerError(str(path), CHANGED)
            with closing(sqlite3.connect(copy)) as merging:
                merging.execute("PRAGMA journal_mode = DELETE")
            return _opened(copy, "mode=ro&immutable=1")
    except OSError as failure:
        refused = refusal(path, error, "read")
        reason = f"{refused.reason}; no copy can be made: {failure}"
        raise LedgerError(str(path), reason, exit_code=refused.exit_code) from failure


def _remove_empty_journal(path: Path) -> None:
    """Remove the files beside a ledger that a reader has created.

    A reader cannot; SQLite removes them when the last connection that may write is closed. There is
    nothing in them to write to the ledger.
    """
    journal = _journal(path)
    if journal.is_file() and not has_content(str(journal)):
        with suppress(sqlite3.Error):
            _opened(path, "mode=rw").close()


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _state(path: Path) -> tuple[FileIdentity | None, bool]:
    """What changes with every write to a ledger."""
    return identity_of(str(path)), has_content(str(_journal(path)))
