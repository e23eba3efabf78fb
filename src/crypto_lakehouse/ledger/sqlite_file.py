"""A ledger in a SQLite file: where it is, and the rows of `LedgerReading` in its tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.ledger import sqlite_statements as sql
from crypto_lakehouse.ledger.connection import LedgerConnection
from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.ledger.read_only import reading
from crypto_lakehouse.ledger.refusals import damaged, refusal
from crypto_lakehouse.ledger.schema import (
    FILLED_FOLDERS,
    FOLDERS,
    WITH_FILLS,
    WITH_SELECTIONS,
    connect,
    version_of,
)
from crypto_lakehouse.ledger.sqlite import SqliteLedger

__all__ = ["SqliteFile", "ledger_place"]

_VERIFIED = """
SELECT name, size_bytes, newer_verdict FROM archives
WHERE folder = ? AND name BETWEEN ? AND ? AND verdict = 'verified'
"""

_OTHERS = """
SELECT name, size_bytes, verdict, reason, accepted_at FROM archives
WHERE folder = ? AND name BETWEEN ? AND ? AND verdict <> 'verified'
"""

_LISTED = "SELECT first_name, last_name, listed_at FROM listings WHERE folder = ?"

_RUN = "run_id, workflow, planned, started_at, finished_at, status"

#: What earlier versions did not record.
_NEW_OF_RUN = "selection, source_url, listing_url"

_FACTS = "verdict, size_bytes, sha256, published_sha256, etag, last_modified"

_EARLIER = f"""
SELECT folder || name, {_FACTS}, first_seen_at, last_seen_at, changed_at, change, kept_as, 0,
       NULL, NULL
FROM versions WHERE folder = ? AND name = ? ORDER BY rowid
"""  # noqa: S608 - constants only

_CURRENT = f"""
SELECT folder || name, {_FACTS}, first_seen_at, last_seen_at, NULL, '', NULL,
       accepted_at IS NOT NULL, newer_verdict, newer_reason
FROM archives WHERE folder = ? AND name = ?
"""  # noqa: S608 - constants only

#: A version is followed by the next one, or by the current one. Rows are only added, so their
#: numbers give the order even if the clock was wrong for a time.
_SINCE = """
WITH each AS (
    SELECT *, rowid AS number, lead(rowid) OVER (
        PARTITION BY folder, name ORDER BY rowid
    ) AS next_number
    FROM versions
    WHERE (folder, name) IN (SELECT folder, name FROM versions WHERE changed_at >= :since)
)
SELECT v.folder || v.name, v.change, v.changed_at, v.kept_as, v.size_bytes, v.sha256, v.etag,
       v.last_modified,
       iif(n.number, n.size_bytes, a.size_bytes), iif(n.number, n.sha256, a.sha256),
       iif(n.number, n.etag, a.etag), iif(n.number, n.last_modified, a.last_modified)
FROM each AS v
LEFT JOIN each AS n ON n.number = v.next_number
LEFT JOIN archives AS a ON a.folder = v.folder AND a.name = v.name
WHERE v.changed_at >= :since
ORDER BY v.number
"""

_NAMES = """
SELECT count(*), coalesce(min(name), ''), coalesce(max(name), '') FROM archives WHERE folder = ?
"""

_KEPT = """
SELECT rowid, folder || name, kept_as FROM versions WHERE kept_as IS NOT NULL AND changed_at < ?
"""


@frozen
class SqliteFile:
    """The place of a ledger in SQLite; see `LedgerPlace`.

    Args:
        path: The file.
        owner: What removes a temporary file when it is not referred to any more; None by default.
    """

    path: Path
    _owner: object = field(default=None, eq=False, repr=False)
    is_shared = False

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def exists(self) -> bool:
        """Whether there is a ledger; blocking."""
        return self.path.is_file()

    @contextmanager
    def locked(self, *, alone: bool = True) -> Iterator[None]:  # noqa: ARG002 - as the others
        """Do nothing: the folder of the file has the lock."""
        yield

    def open(self) -> tuple[SqliteLedger, str]:
        """Open or create the ledger for a run; as `SqliteLedger.open`."""
        return SqliteLedger.open(self.path)

    def open_read_only(self) -> SqliteLedger:
        """Open a ledger that exists; as `SqliteLedger.open_read_only`."""
        return SqliteLedger.open_read_only(self.path)

    @contextmanager
    def reading(self) -> Iterator[SqliteReading]:
        """Open a ledger that exists for queries; as `read_only.reading`."""
        with reading(self.path) as connection:
            yield SqliteReading(self.path, connection)

    def forget_kept(self, numbers: Sequence[int]) -> None:
        """Record that kept bytes are gone, in one transaction; blocking.

        Raises:
            LedgerError: The ledger cannot be written.
        """
        with self._writing() as connection:
            connection.executemany(
                "UPDATE versions SET kept_as = NULL WHERE rowid = ?", [(each,) for each in numbers]
            )

    def forget_unfinished(self) -> int:
        """Remove what is recorded of unfinished bodies, and return how many; blocking.

        Raises:
            LedgerError: The ledger cannot be written.
        """
        with self._writing() as connection:
            return connection.execute("DELETE FROM parts").rowcount

    @contextmanager
    def _writing(self) -> Iterator[LedgerConnection]:
        try:
            with closing(connect(self.path)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise refusal(self.path, error, "written") from error

    def damaged(self, reason: str, key: str = "") -> LedgerError:  # noqa: ARG002 - of the protocol
        """Make the error for a ledger whose content is damaged."""
        return damaged(self.path, reason)


@frozen
class SqliteReading:
    """The rows of a ledger in SQLite; see `LedgerReading`."""

    path: Path
    _connection: LedgerConnection

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all queries inside see the ledger as it is at one moment."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def folders(self) -> list[Any]:
        """Return every key prefix that has archives or was listed."""
        return [folder for (folder,) in self._connection.fetch(FOLDERS)]

    def verified(self, folder: str, low: str, high: str) -> list[Any]:
        """Return name, size and newer verdict of verified archives."""
        return self._connection.fetch(_VERIFIED, (folder, low, high))

    def others(self, folder: str, low: str, high: str) -> list[Any]:
        """Return name, size, verdict, reason and `accepted_at` of the other archives."""
        return self._connection.fetch(_OTHERS, (folder, low, high))

    def filled_folders(self) -> list[Any]:
        """Return every key prefix of segments that were filled, or asked for."""
        if version_of(self._connection, self.path) < WITH_FILLS:
            return []
        return [folder for (folder,) in self._connection.fetch(FILLED_FOLDERS)]

    def fills(self, folder: str) -> list[Any]:
        """Return the columns of each segment of a folder."""
        if version_of(self._connection, self.path) < WITH_FILLS:
            return []
        return self._connection.fetch(sql.FILLS, (folder,))

    def listed(self, folder: str) -> list[Any]:
        """Return first name, last name and time of the last listing."""
        return self._connection.fetch(_LISTED, (folder,))

    def runs(self) -> list[Any]:
        """Return the columns of every run, in the order in which they began."""
        has_all = version_of(self._connection, self.path) >= WITH_SELECTIONS
        more = _NEW_OF_RUN if has_all else "NULL, NULL, NULL"
        # Numbers of rows only grow, whatever the clock says.
        return self._connection.fetch(f"SELECT {_RUN}, {more} FROM runs ORDER BY rowid")  # noqa: S608

    def versions(self, folder: str, name: str) -> list[Any]:
        """Return every version of an archive, oldest first."""
        with self.snapshot():
            place = (folder, name)
            return self._connection.fetch(_EARLIER, place) + self._connection.fetch(_CURRENT, place)

    def changes(self, since: str) -> Iterator[Sequence[Any]]:
        """Yield every change from a time on."""
        self._connection.replace_undecodable()
        yield from self._connection.execute(_SINCE, {"since": since})

    def names(self, folder: str) -> tuple[int, str, str]:
        """Return how many archives a folder has, and their first and last name."""
        ((count, first, last),) = self._connection.fetch(_NAMES, (folder,))
        return int(count), first, last

    def kept(self, before: str) -> list[tuple[int, str, object]]:
        """Return number, key and place of the kept bytes that were replaced before a time."""
        return self._connection.fetch(_KEPT, (before,))


def ledger_place(ledger: LedgerPlace | Path) -> LedgerPlace:
    """Return the place of a ledger; a path is that of a SQLite file."""
    return SqliteFile(ledger) if isinstance(ledger, Path) else ledger
