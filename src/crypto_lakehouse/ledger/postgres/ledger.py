"""The ledger in PostgreSQL, as runs and commands use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import ArchiveFinished, FillFinished
from crypto_lakehouse.core.fills import FillRow
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.place import LedgerEvent, do_nothing
from crypto_lakehouse.ledger.postgres.batch import write_batch
from crypto_lakehouse.ledger.postgres.claims import SeriesClaims
from crypto_lakehouse.ledger.postgres.rows import FILLS, FOLDERS, has_fills
from crypto_lakehouse.ledger.postgres.server import Server, is_lost
from crypto_lakehouse.ledger.postgres.session import HOLDERS, Session
from crypto_lakehouse.ledger.soundness import fill_rows, ledger_row, parse_archive, sound_facts

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresLedger"]

_VERIFIED = """
SELECT name, size_bytes, mtime_ns FROM archives
WHERE output_id = %s AND folder = %s AND verdict = 'verified' AND newer_verdict IS NULL
    AND size_bytes IS NOT NULL AND mtime_ns IS NOT NULL
"""

_OBJECTS = """
SELECT name, size_bytes, NULL, NULL, NULL, etag, last_modified, sidecar_etag FROM archives
WHERE output_id = %s AND folder = %s AND verdict = 'verified' AND newer_verdict IS NULL
"""

_PARTS = """
SELECT name, size_bytes, NULL, NULL, NULL, etag, last_modified, NULL FROM parts
WHERE output_id = %s AND folder = %s
"""

_ROWS = """
SELECT name, verdict, newer_verdict, accepted_at IS NOT NULL, newer_etag, newer_sidecar_etag,
       size_bytes, mtime_ns, sha256, published_sha256, etag, last_modified, sidecar_etag
FROM archives WHERE output_id = %s AND folder = %s
"""

_OF_VERDICTS = """
SELECT folder, name FROM archives
WHERE output_id = %(output)s
    AND (verdict = ANY(%(verdicts)s) OR newer_verdict = ANY(%(verdicts)s))
ORDER BY folder, name
"""

_ANY_VERIFIED = """
SELECT EXISTS (
    SELECT 1 FROM archives
    WHERE output_id = %s AND folder >= %s AND folder < %s AND verdict = 'verified'
)
"""

_OPEN_RUN = """
SELECT finished_at IS NULL FROM runs WHERE output_id = %s ORDER BY number DESC LIMIT 1
"""


@define
class PostgresLedger:
    """The rows of one output; a connection to read, and that of the run's locks to write.

    Args:
        server: Has the tables.
        output_id: The number of the output in them.
        lock: The number of the output's lock.
        reader: Is closed with the ledger.
        session: Writes; None if the ledger is only read.
        claims: Divides the plan with other runs.
    """

    server: Server
    output_id: int
    lock: int
    _reader: psycopg.Connection[Any] = field(repr=False)
    _session: Session | None = field(repr=False)
    claims: SeriesClaims | None = None

    async def folders(self) -> list[str]:
        """Return every key prefix in the ledger, in order."""
        values = {"output": self.output_id}
        found = await to_thread.run_sync(self._query, f"{FOLDERS} ORDER BY folder", values)
        return [folder for (folder,) in found]

    async def archives_of(self, verdicts: Iterable[Verdict]) -> list[Archive]:
        """Return every archive with one of these verdicts on its stored or a newer version."""
        return await to_thread.run_sync(self.archives_of_now, verdicts)

    def archives_of_now(self, verdicts: Iterable[Verdict]) -> list[Archive]:
        """As `archives_of`; blocking."""
        texts = [str(verdict) for verdict in verdicts]
        found = self._query(_OF_VERDICTS, {"output": self.output_id, "verdicts": texts})
        return [archive for row in found if (archive := parse_archive(*row)) is not None]

    async def has_verified(self, prefix: str) -> bool:
        """Whether any archive below a prefix, with its slash, is verified."""
        behind = f"{prefix[:-1]}{chr(ord('/') + 1)}"
        values = (self.output_id, prefix, behind)
        ((found,),) = await to_thread.run_sync(self._query, _ANY_VERIFIED, values)
        return bool(found)

    def close(self) -> None:
        """Close the connection that reads; blocking. The session stays, with the locks."""
        self._reader.close()
        self._session = None

    async def rows(self, folder: str) -> Mapping[str, LedgerRow]:
        """Return everything known about the archives in a key prefix, by file name."""
        return await to_thread.run_sync(self.rows_now, folder)

    def rows_now(self, folder: str) -> dict[str, LedgerRow]:
        """As `rows`; blocking."""
        found = self._query(_ROWS, (self.output_id, folder))
        rows = {name: ledger_row(values) for name, *values in found}
        return {name: row for name, row in rows.items() if row is not None}

    def row_now(self, folder: str, name: str) -> LedgerRow | None:
        """Return what is known about one archive; blocking."""
        found = self._query(f"{_ROWS} AND name = %s", (self.output_id, folder, name))
        return ledger_row(found[0][1:]) if found else None

    def fills_now(self, folder: str) -> dict[str, FillRow]:
        """Return what is known of the segments in a key prefix, by file name; blocking."""
        if self._session is None and not has_fills(self._connected()):
            return {}
        return fill_rows(folder, self._query(FILLS, (self.output_id, folder)))

    def has_open_run(self) -> bool:
        """Whether a run works on the output, or the latest one was killed; blocking."""
        if self._query(HOLDERS, (self.lock,)):
            return True
        found = self._query(_OPEN_RUN, (self.output_id,))
        return bool(found) and bool(found[0][0])

    def verified_now(self, folder: str) -> dict[str, tuple[int, int]]:
        """Size and mark of those that are verified and not outdated; blocking."""
        found = self._query(_VERIFIED, (self.output_id, folder))
        return {name: (size, mark) for name, size, mark in found}

    def objects_now(self, folder: str) -> dict[str, ObjectFacts]:
        """Return size, ETags and date of the objects in `verified_now`; blocking."""
        return self._facts(_OBJECTS, folder)

    def parts_now(self, folder: str) -> dict[str, ObjectFacts]:
        """Return size, ETag and date of unfinished bodies in a key prefix, by name; blocking."""
        return self._facts(_PARTS, folder)

    def _facts(self, statement: str, folder: str) -> dict[str, ObjectFacts]:
        found = self._query(statement, (self.output_id, folder))
        facts = {name: sound_facts(values) for name, *values in found}
        return {name: each for name, each in facts.items() if each is not None}

    def _connected(self) -> psycopg.Connection[Any]:
        if self._session is not None and is_lost(self._reader):
            # The run goes on only with its locks, so the session has to connect first.
            self._session.confirm()
            self._reader = self.server.connect()
        return self._reader

    def _query(self, statement: str, values: Any) -> list[Any]:
        """Read; once more over a new connection if the run's was lost.

        Statements are prepared on the server: a run asks the same for each folder.
        """
        import psycopg

        for is_last in (False, True):
            try:
                cursor = self._connected().execute(statement, values, prepare=True)
                found: list[Any] = cursor.fetchall()
            except psycopg.Error as error:
                if is_last or self._session is None or not is_lost(self._reader):
                    raise self.server.refusal(error, "read") from error
            else:
                return found
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def write(self, changes: Iterable[LedgerEvent], check: Callable[[], None] = do_nothing) -> None:
        """Write changes in one transaction; blocking.

        Args:
            changes: The events to record.
            check: Called repeatedly while the server cannot be reached; may raise to give up.

        Raises:
            LedgerError: The server refuses, or another run has taken a lock of this one; nothing of
                the batch was written.
        """
        if self._session is None:
            raise LedgerError(self.server.url, "it was opened for reading only")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        batch = tuple(changes)
        self._session.write(lambda each: write_batch(each, self.output_id, batch, now), check)
        if self.claims is not None:
            finished = (ArchiveFinished, FillFinished)
            done = (each.archive.key for each in batch if isinstance(each, finished))
            self.claims.settled(done)
