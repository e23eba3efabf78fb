"""Write a batch of events: rows are copied into a temporary table, and merged from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchivesUnchanged,
    BodyStarted,
    FillFinished,
    FolderListed,
    RunFinished,
    RunStarted,
)
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.core.whole_numbers import STORABLE
from crypto_lakehouse.ledger.event_rows import (
    archive_row,
    fill_row,
    newer_version,
    run_row,
    unrecorded_version,
)
from crypto_lakehouse.ledger.place import LedgerEvent

if TYPE_CHECKING:
    import psycopg

__all__ = ["write_batch"]

_FACTS = "size_bytes, mtime_ns, sha256, published_sha256, etag, last_modified, sidecar_etag"

_ROW = f"folder, name, verdict, reason, {_FACTS}, accepted_at, first_seen_at, last_seen_at"

_OF_NEWER = "newer_verdict, newer_reason, newer_etag, newer_sidecar_etag"

_INCOMING = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    number integer, change text, kept_as text, stands boolean, ends_part boolean,
    newer_verdict text, newer_reason text, newer_etag text, newer_sidecar_etag text,
    folder text COLLATE "C", name text COLLATE "C", verdict text, reason text,
    size_bytes bigint, mtime_ns bigint, sha256 text, published_sha256 text, etag text,
    last_modified text, sidecar_etag text, accepted_at text, first_seen_at text COLLATE "C",
    last_seen_at text COLLATE "C"
) ON COMMIT DELETE ROWS
"""

_COPY = (
    f"COPY incoming (number, change, kept_as, stands, ends_part, {_OF_NEWER}, {_ROW}) FROM STDIN"
)

#: The statements say the same as those of SQLite, for a whole batch.
_REMEMBER = """
INSERT INTO versions (
    output_id, folder, name, change, changed_at, kept_as, verdict, size_bytes, sha256,
    published_sha256, etag, last_modified, first_seen_at, last_seen_at
)
SELECT a.output_id, a.folder, a.name, i.change, greatest(i.last_seen_at, a.first_seen_at),
       i.kept_as, a.verdict, a.size_bytes, a.sha256, a.published_sha256, a.etag, a.last_modified,
       a.first_seen_at, a.last_seen_at
FROM incoming AS i JOIN archives AS a
    ON a.output_id = %(output)s AND a.folder = i.folder AND a.name = i.name
WHERE i.change <> '' ORDER BY i.number
"""

_UNRECORDED = """
INSERT INTO versions (
    output_id, folder, name, change, changed_at, kept_as, verdict, size_bytes, sha256,
    published_sha256, etag, last_modified, first_seen_at, last_seen_at
)
SELECT %(output)s, %(folder)s, %(name)s, 'replaced', at, %(kept_as)s, %(verdict)s, %(size_bytes)s,
       %(sha256)s, %(published_sha256)s, %(etag)s, %(last_modified)s, at, at
FROM (SELECT greatest(%(now)s, (
    SELECT first_seen_at FROM archives
    WHERE output_id = %(output)s AND folder = %(folder)s AND name = %(name)s
)) AS at) AS moment
"""

_STANDS = """
UPDATE archives AS a SET
    newer_verdict = i.newer_verdict, newer_reason = i.newer_reason, newer_etag = i.newer_etag,
    newer_sidecar_etag = i.newer_sidecar_etag, last_seen_at = i.last_seen_at
FROM incoming AS i
WHERE i.stands AND a.output_id = %(output)s AND a.folder = i.folder AND a.name = i.name
"""

_UPSERT = f"""
INSERT INTO archives AS a (output_id, {_ROW})
SELECT %(output)s, {_ROW} FROM incoming WHERE NOT stands
ON CONFLICT (output_id, folder, name) DO UPDATE SET
    verdict = excluded.verdict, reason = excluded.reason,
    size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256,
    published_sha256 = CASE WHEN excluded.sha256 IS NOT NULL THEN excluded.published_sha256
                            WHEN a.verdict = 'verified' THEN a.sha256
                            WHEN a.sha256 IS NULL THEN
                                coalesce(excluded.published_sha256, a.published_sha256)
                            ELSE excluded.published_sha256 END,
    etag = excluded.etag,
    last_modified = excluded.last_modified,
    sidecar_etag = coalesce(excluded.sidecar_etag, a.sidecar_etag),
    newer_verdict = NULL, newer_reason = NULL, newer_etag = NULL, newer_sidecar_etag = NULL,
    accepted_at = coalesce(a.accepted_at, excluded.accepted_at),
    first_seen_at = CASE WHEN excluded.sha256 IS NOT DISTINCT FROM a.sha256 THEN a.first_seen_at
                         ELSE greatest(excluded.first_seen_at, a.first_seen_at) END,
    last_seen_at = excluded.last_seen_at
"""  # noqa: S608 - constants only

_END_PARTS = """
DELETE FROM parts AS p USING incoming AS i
WHERE i.ends_part AND p.output_id = %(output)s AND p.folder = i.folder AND p.name = i.name
"""

_SEEN = """
UPDATE archives SET last_seen_at = %s WHERE output_id = %s AND folder = %s AND name = ANY(%s)
"""

_LISTED = """
INSERT INTO listings AS l VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (output_id, folder) DO UPDATE SET
    first_name = coalesce(excluded.first_name, l.first_name),
    last_name = coalesce(excluded.last_name, l.last_name),
    archives = excluded.archives, size_bytes = excluded.size_bytes,
    listed_at = excluded.listed_at
"""

_PART = """
INSERT INTO parts VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (output_id, folder, name) DO UPDATE SET
    etag = excluded.etag, last_modified = excluded.last_modified, size_bytes = excluded.size_bytes
"""

_FILLED = """
INSERT INTO fills VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (output_id, folder, name) DO UPDATE SET
    verdict = excluded.verdict, reason = excluded.reason, row_count = excluded.row_count,
    sha256 = excluded.sha256, complete = excluded.complete, proven_by = excluded.proven_by,
    filled_at = excluded.filled_at, size_bytes = excluded.size_bytes,
    mtime_ns = excluded.mtime_ns
"""

_RUN = """
INSERT INTO runs (
    output_id, run_id, workflow, planned, started_at, selection, source_url, listing_url
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (output_id, run_id) DO UPDATE SET
    workflow = excluded.workflow, planned = excluded.planned, started_at = excluded.started_at,
    finished_at = NULL, status = NULL, selection = excluded.selection,
    source_url = excluded.source_url, listing_url = excluded.listing_url
"""

_RUN_ENDED = """
UPDATE runs SET finished_at = %s, status = %s WHERE output_id = %s AND run_id = %s
"""


def write_batch(
    connection: psycopg.Connection[Any], output_id: int, changes: Iterable[LedgerEvent], now: str
) -> None:
    """Write events, in a transaction of the caller.

    Raises:
        psycopg.Error: The server refuses.
    """
    connection.execute(_INCOMING)
    batch = _Batch(connection, output_id, now)
    for change in changes:
        batch.add(change)
    batch.merge()


@define
class _Batch:
    """Gathers the verdicts of a batch, up to the second event of an archive."""

    connection: psycopg.Connection[Any]
    output_id: int
    now: str
    _finished: dict[tuple[str, str], ArchiveFinished] = field(init=False, factory=dict)

    def add(self, change: LedgerEvent) -> None:
        """Add one event; verdicts are written by `merge`, after the others of other archives."""
        match change:
            case ArchiveFinished(archive=archive):
                if (archive.folder, archive.name) in self._finished:
                    self.merge()
                self._finished[archive.folder, archive.name] = change
            case ArchivesUnchanged(folder=folder):
                self.merge()
                names = [item.archive.name for item in change.each()]
                self._do(_SEEN, self.now, self.output_id, folder, names)
            case FolderListed():
                at = change.at.isoformat(timespec="seconds")
                sizes = (change.archives, min(change.size_bytes, STORABLE - 1))
                ends = (change.first, change.last)
                self._do(_LISTED, self.output_id, change.folder, *ends, *sizes, at)
            case BodyStarted(archive=archive, facts=facts):
                self.merge()
                row = (facts.etag, facts.last_modified, facts.size_bytes)
                self._do(_PART, self.output_id, archive.folder, archive.name, *row)
            case FillFinished():
                self._do(_FILLED, self.output_id, *fill_row(change))
            case RunStarted():
                self._do(_RUN, self.output_id, *run_row(change))
            case RunFinished():
                at = change.at.isoformat()
                self._do(_RUN_ENDED, at, change.status, self.output_id, change.run_id)

    def _do(self, statement: str, *values: object) -> None:
        self.connection.execute(statement, [_storable(value) for value in values])

    def merge(self) -> None:
        """Write the verdicts that were gathered."""
        if not self._finished:
            return
        with self.connection.cursor() as cursor:
            cursor.execute("DELETE FROM incoming")  # of an earlier merge; faster than TRUNCATE
            with cursor.copy(_COPY) as copy:
                for row in self._rows():
                    copy.write_row([_storable(value) for value in row])
            cursor.execute(_REMEMBER, {"output": self.output_id})
            for version in self._unrecorded():
                cursor.execute(_UNRECORDED, version)
            for statement in (_STANDS, _UPSERT, _END_PARTS):
                cursor.execute(statement, {"output": self.output_id})
        self._finished.clear()

    def _unrecorded(self) -> Iterator[dict[str, object]]:
        for event in self._finished.values():
            if row := unrecorded_version(event, self.now):
                storable = {name: _storable(value) for name, value in row.items()}
                yield {"output": self.output_id, **storable}

    def _rows(self) -> Iterator[Sequence[object]]:
        for number, event in enumerate(self._finished.values()):
            ends_part = event.verdict is not Verdict.FAILED  # it may be resumed later
            change = (event.change, event.kept_as or None, event.stands, ends_part)
            yield (number, *change, *newer_version(event), *archive_row(event, self.now))


def _storable(value: object) -> object:
    """Return a value as PostgreSQL can store it: a text without the character NUL."""
    if isinstance(value, str):
        return str(value).replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value
