"""The rows of one output's ledger in PostgreSQL; see `LedgerReading`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    import psycopg

__all__ = ["FILLS", "FOLDERS", "PostgresReading", "has_fills"]

#: The key prefixes that have archives. It goes from folder to folder in the index; DISTINCT would
#: read every row.
FOLDERS = """
WITH RECURSIVE known (folder) AS (
    (SELECT folder FROM archives WHERE output_id = %(output)s ORDER BY folder LIMIT 1)
    UNION ALL
    SELECT (SELECT folder FROM archives WHERE output_id = %(output)s AND folder > known.folder
            ORDER BY folder LIMIT 1)
    FROM known WHERE known.folder IS NOT NULL
)
SELECT folder FROM known WHERE folder IS NOT NULL
"""

_FILLED_FOLDERS = FOLDERS.replace("archives", "fills")

_ALL_FOLDERS = f"""{FOLDERS}
UNION SELECT folder FROM listings WHERE output_id = %(output)s ORDER BY folder
"""  # noqa: S608 - constants only

_VERIFIED = """
SELECT name, size_bytes, newer_verdict FROM archives
WHERE output_id = %s AND folder = %s AND name BETWEEN %s AND %s AND verdict = 'verified'
ORDER BY name
"""

_OTHERS = """
SELECT name, size_bytes, verdict, reason, accepted_at FROM archives
WHERE output_id = %s AND folder = %s AND name BETWEEN %s AND %s AND verdict <> 'verified'
ORDER BY name
"""

FILLS = """
SELECT name, verdict, reason, row_count, sha256, complete, proven_by, filled_at, size_bytes,
    mtime_ns
FROM fills WHERE output_id = %s AND folder = %s ORDER BY name
"""

_LISTED = """
SELECT first_name, last_name, listed_at FROM listings WHERE output_id = %s AND folder = %s
"""

_RUNS = """
SELECT run_id, workflow, planned, started_at, finished_at, status, selection, source_url,
       listing_url
FROM runs WHERE output_id = %s ORDER BY number
"""

_FACTS = "verdict, size_bytes, sha256, published_sha256, etag, last_modified"

_EARLIER = f"""
SELECT folder || name, {_FACTS}, first_seen_at, last_seen_at, changed_at, change, kept_as, FALSE,
       NULL, NULL
FROM versions WHERE output_id = %s AND folder = %s AND name = %s ORDER BY number
"""  # noqa: S608 - constants only

_CURRENT = f"""
SELECT folder || name, {_FACTS}, first_seen_at, last_seen_at, NULL, '', NULL,
       accepted_at IS NOT NULL, newer_verdict, newer_reason
FROM archives WHERE output_id = %s AND folder = %s AND name = %s
"""  # noqa: S608 - constants only

#: As in SQLite: a version is followed by the next one, or by the current one.
_SINCE = """
WITH each AS (
    SELECT *, lead(number) OVER (PARTITION BY folder, name ORDER BY number) AS next_number
    FROM versions
    WHERE output_id = %(output)s AND (folder, name) IN (
        SELECT folder, name FROM versions
        WHERE output_id = %(output)s AND changed_at >= %(since)s
    )
)
SELECT v.folder || v.name, v.change, v.changed_at, v.kept_as, v.size_bytes, v.sha256, v.etag,
       v.last_modified,
       CASE WHEN n.number IS NULL THEN a.size_bytes ELSE n.size_bytes END,
       CASE WHEN n.number IS NULL THEN a.sha256 ELSE n.sha256 END,
       CASE WHEN n.number IS NULL THEN a.etag ELSE n.etag END,
       CASE WHEN n.number IS NULL THEN a.last_modified ELSE n.last_modified END
FROM each AS v
LEFT JOIN each AS n ON n.number = v.next_number
LEFT JOIN archives AS a
    ON a.output_id = v.output_id AND a.folder = v.folder AND a.name = v.name
WHERE v.changed_at >= %(since)s
ORDER BY v.number
"""

_NAMES = """
SELECT count(*), coalesce(min(name), ''), coalesce(max(name), '')
FROM archives WHERE output_id = %s AND folder = %s
"""

_KEPT = """
SELECT number, folder || name, kept_as FROM versions
WHERE output_id = %s AND kept_as IS NOT NULL AND changed_at < %s ORDER BY number
"""


def has_fills(connection: psycopg.Connection[Any]) -> bool:
    """Whether the tables are of a version that has fills; a reader does not upgrade them."""
    found = connection.execute("SELECT to_regclass('fills') IS NOT NULL").fetchone()
    return bool(found and found[0])


@frozen
class PostgresReading:
    """Queries of one output's rows.

    Args:
        connection: Is the caller's.
        output_id: The number of the output.
        with_fills: Whether the tables have fills.
    """

    connection: psycopg.Connection[Any]
    output_id: int
    with_fills: bool = True

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all queries inside see the ledger as it is at one moment."""
        self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")

    def folders(self) -> list[Any]:
        """Return every key prefix that has archives or was listed."""
        found = self.connection.execute(_ALL_FOLDERS, {"output": self.output_id})
        return [folder for (folder,) in found.fetchall()]

    def filled_folders(self) -> list[Any]:
        """Return every key prefix of segments that were filled, or asked for."""
        if not self.with_fills:
            return []
        found = self.connection.execute(_FILLED_FOLDERS, {"output": self.output_id})
        return [folder for (folder,) in found.fetchall()]

    def verified(self, folder: str, low: str, high: str) -> list[Any]:
        """Return name, size and newer verdict of verified archives."""
        return self._fetch(_VERIFIED, folder, low, high)

    def others(self, folder: str, low: str, high: str) -> list[Any]:
        """Return name, size, verdict, reason and `accepted_at` of the other archives."""
        return self._fetch(_OTHERS, folder, low, high)

    def fills(self, folder: str) -> list[Any]:
        """Return the columns of each segment of a folder."""
        return self._fetch(FILLS, folder) if self.with_fills else []

    def listed(self, folder: str) -> list[Any]:
        """Return first name, last name and time of the last listing."""
        return self._fetch(_LISTED, folder)

    def runs(self) -> list[Any]:
        """Return the columns of every run, in the order in which they began."""
        return self._fetch(_RUNS)

    def versions(self, folder: str, name: str) -> list[Any]:
        """Return every version of an archive, oldest first."""
        with self.snapshot():
            return self._fetch(_EARLIER, folder, name) + self._fetch(_CURRENT, folder, name)

    def changes(self, since: str) -> Iterator[Sequence[Any]]:
        """Yield every change from a time on; the server keeps what is not read yet."""
        values = {"output": self.output_id, "since": since}
        with self.snapshot(), self.connection.cursor(name="changes") as cursor:
            yield from cursor.execute(_SINCE, values)

    def names(self, folder: str) -> tuple[int, str, str]:
        """Return how many archives a folder has, and their first and last name."""
        ((count, first, last),) = self._fetch(_NAMES, folder)
        return int(count), first, last

    def kept(self, before: str) -> list[tuple[int, str, object]]:
        """Return number, key and place of the kept bytes that were replaced before a time."""
        return self._fetch(_KEPT, before)

    def _fetch(self, statement: str, *values: str) -> list[Any]:
        found = self.connection.execute(statement, (self.output_id, *values), prepare=True)
        rows: list[Any] = found.fetchall()
        return rows
