"""Rows of the ledger in PostgreSQL that no run writes: a run sets them aside when it begins.

The server's types and its encoding exclude many damaged values, but neither an odd key, verdict,
size or digest, nor a path out of the output, as another program or a person may write them. The
server finds the rows that may be such; `ledger.soundness` decides, as it does for SQLite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crypto_lakehouse.core.kept import KEPT_FOLDER
from crypto_lakehouse.core.messages import agreeing, shown
from crypto_lakehouse.ledger.postgres.rows import FOLDERS
from crypto_lakehouse.ledger.schema import LOST_RUN
from crypto_lakehouse.ledger.soundness import (
    LARGEST_BYTES,
    VERDICTS,
    an_archive_in,
    are_moments,
    is_archive,
    is_run,
    is_version,
)

if TYPE_CHECKING:
    import psycopg

__all__ = ["CHECKED_BYTES", "is_checked", "set_unsound_aside"]

#: Tables up to this size are searched when a run begins: 300,000 archives, in about a second.
CHECKED_BYTES = 1 << 27

_SIZE = """
SELECT coalesce(sum(pg_table_size(to_regclass(each))), 0) FROM unnest(%s::text[]) AS each
"""

_KNOWN = ", ".join(f"'{verdict}'" for verdict in VERDICTS)


def _moment(column: str) -> str:
    """Return a condition that is true only of times; a pattern would take twice as long."""
    return (
        f"{column} LIKE '____-__-__T__:__:__+00:00'"
        f" AND translate({column}, '0123456789', '') = '--T::+:'"
    )


def _digest(column: str) -> str:
    return f"length({column}) = 64 AND {column} !~ '[^0-9a-f]'"


#: What is sound of any archive. `rest` is its name without what the folder says; February 29, and
#: texts that may be none of a period, are left to Python.
_FACTS = f"""
starts_with(name, stem) AND (
    rest LIKE '20__-__-__.zip' AND translate(rest, '0123456789', '') = '--.zip'
    AND substr(rest, 6, 2) BETWEEN '01' AND '12' AND (
        substr(rest, 9, 2) BETWEEN '01' AND '28'
        OR substr(rest, 9, 2) IN ('29', '30') AND substr(rest, 6, 2) <> '02'
        OR substr(rest, 9, 2) = '31' AND substr(rest, 6, 2) NOT IN ('02', '04', '06', '09', '11')
    )
    OR rest LIKE '20__-__.zip' AND translate(rest, '0123456789', '') = '-.zip'
    AND substr(rest, 6, 2) BETWEEN '01' AND '12'
)
AND verdict IN ({_KNOWN})
AND (size_bytes IS NULL OR size_bytes BETWEEN 0 AND {LARGEST_BYTES})
AND (sha256 IS NULL OR {_digest("sha256")})
AND (published_sha256 IS NULL OR published_sha256 = sha256 OR {_digest("published_sha256")})
AND {_moment("first_seen_at")}
AND {_moment("last_seen_at")}
"""

_OF_SERIES = """
LEFT JOIN unnest(%(folders)s::text[], %(stems)s::text[]) AS each (folder, stem)
    ON each.folder = t.folder COLLATE "C"
CROSS JOIN LATERAL (SELECT substr(t.name, length(each.stem) + 1) AS rest) AS name_of
WHERE output_id = %(output)s AND
"""

_ARCHIVES = f"""
SELECT t.ctid::text, t.folder || name, t.folder, name, verdict, reason, size_bytes, mtime_ns,
       sha256, published_sha256, etag, last_modified, first_seen_at, last_seen_at, sidecar_etag,
       newer_verdict, newer_reason, newer_etag, newer_sidecar_etag, accepted_at
FROM archives AS t {_OF_SERIES} (
    {_FACTS}
    AND (newer_verdict IS NULL OR newer_verdict IN ({_KNOWN}))
    AND (accepted_at IS NULL OR {_moment("accepted_at")})
) IS NOT TRUE
"""  # noqa: S608 - constants only

_VERSIONS = f"""
SELECT t.ctid::text, t.folder || name, t.folder, name, change, changed_at, kept_as, verdict,
       size_bytes, sha256, published_sha256, etag, last_modified, first_seen_at, last_seen_at
FROM versions AS t {_OF_SERIES} (
    {_FACTS}
    AND change IN ('replaced', 'restamped')
    AND {_moment("changed_at")}
    AND (kept_as IS NULL
         OR kept_as !~ '[[:cntrl:]]' AND strpos(kept_as, '..') = 0
            AND starts_with(kept_as, '{KEPT_FOLDER}' || t.folder || name || '/'))
) IS NOT TRUE
"""  # noqa: S608 - constants only

_FOLDERS = f"{FOLDERS} UNION SELECT folder FROM versions WHERE output_id = %(output)s"  # noqa: S608

_RUNS = """
SELECT ctid::text, number::text, run_id, workflow, planned, started_at, finished_at, status,
       selection, source_url, listing_url
FROM runs WHERE output_id = %(output)s
"""

_LISTINGS = """
SELECT ctid::text, folder, folder, listed_at FROM listings WHERE output_id = %(output)s
"""

_MOVE = """
WITH gone AS (
    DELETE FROM {table} AS t USING unnest(%(places)s::tid[], %(keys)s::text[]) AS u (place, key)
    WHERE t.output_id = %(output)s AND t.ctid = u.place AND {key} = u.key
    RETURNING t.*
)
INSERT INTO set_aside (output_id, set_aside_at, source, content)
SELECT %(output)s, %(now)s, '{table}', to_jsonb(gone) FROM gone
"""

#: Stands for the runs that were set aside: they may have been asked for more than what is known.
_LOST_RUNS = """
INSERT INTO runs (output_id, run_id, workflow, planned, started_at, finished_at, status)
VALUES (%(output)s, %(run)s, 'unknown', 0, %(now)s, %(now)s, 'unknown')
ON CONFLICT (output_id, run_id) DO NOTHING
"""

_Row = Sequence[Any]


@frozen
class _Table:
    """A table whose rows are checked.

    Attributes:
        key: What identifies a row, as SQL.
        suspects: Selects the rows that may be unsound: place, key, and what `is_sound` takes.
        is_sound: Whether a run can have written a row.
    """

    name: str
    key: str
    suspects: str
    is_sound: Callable[[_Row], bool]

    def move(
        self, connection: psycopg.Connection[Any], output_id: int, rows: Sequence[_Row], now: str
    ) -> int:
        """Move rows to `set_aside`; another run may do the same. Return how many were moved."""
        values = {
            "output": output_id,
            "now": now,
            "places": [row[0] for row in rows],
            "keys": [row[1] for row in rows],
        }
        return connection.execute(_MOVE.format(table=self.name, key=self.key), values).rowcount


def _is_listing(row: _Row) -> bool:
    folder, listed_at = row
    return an_archive_in(folder) is not None and are_moments((listed_at,))


_TABLES = (
    _Table("archives", "t.folder || t.name", _ARCHIVES, is_archive),
    _Table("versions", "t.folder || t.name", _VERSIONS, is_version),
    _Table("runs", "t.number::text", _RUNS, is_run),
    _Table("listings", "t.folder", _LISTINGS, _is_listing),
)


def is_checked(connection: psycopg.Connection[Any]) -> bool:
    """Whether the tables are small enough to be searched at the beginning of a run.

    Raises:
        psycopg.Error: The server refuses.
    """
    row = connection.execute(_SIZE, [["archives", "versions"]]).fetchone()
    return row is not None and row[0] <= CHECKED_BYTES


def _series(connection: psycopg.Connection[Any], output_id: int) -> dict[str, object]:
    """Return the folders of archives, with what the names in each begin with."""
    values: dict[str, object] = {"output": output_id}
    found = (folder for (folder,) in connection.execute(_FOLDERS, values))
    samples = [each for folder in found if (each := an_archive_in(folder)) is not None]
    stems = [each.series.stem for each in samples]
    return {**values, "folders": [each.folder for each in samples], "stems": stems}


def set_unsound_aside(connection: psycopg.Connection[Any], output_id: int) -> str:
    """Move the rows of an output that no run writes to the table `set_aside`.

    Returns:
        What was moved, for a warning; empty if nothing was, or the tables are too large.

    Raises:
        psycopg.Error: The server refuses; nothing was moved.
    """
    if not is_checked(connection):
        return ""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    moved, example = 0, ""
    with connection.transaction():
        series = _series(connection, output_id)
        for table in _TABLES:
            found = connection.execute(table.suspects, series).fetchall()
            rows = [row for row in found if not table.is_sound(row[2:])]
            if not rows:
                continue
            moved += table.move(connection, output_id, rows, now)
            example = example or f"{table.name}: `{shown(rows[0][1])}`"
            if table.name == "runs":
                values = {"output": output_id, "run": LOST_RUN, "now": now}
                connection.execute(_LOST_RUNS, values)
    if not moved:
        return ""
    text = agreeing(moved, f"{moved} row[s] that no run writes [was|were] moved")
    return (
        f"{text} to the table `set_aside` (the first of {example}); what is lost with it is found "
        "out again from the files and their sidecars"
    )
