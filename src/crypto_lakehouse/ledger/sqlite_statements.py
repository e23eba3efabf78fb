"""The statements by which a SQLite ledger is read by a run, and written."""

from __future__ import annotations

__all__ = [
    "ANY_PART",
    "ANY_VERIFIED",
    "FILLED",
    "FILLS",
    "LISTED",
    "OBJECTS",
    "PARTS",
    "REMEMBER",
    "ROWS",
    "RUN",
    "SEEN",
    "STANDS",
    "UNRECORDED",
    "UPSERT",
    "VERIFIED",
]

VERIFIED = """
SELECT name, size_bytes, mtime_ns
FROM archives WHERE folder = ? AND verdict = 'verified' AND newer_verdict IS NULL
    AND typeof(name) = 'text' AND typeof(size_bytes) = 'integer' AND typeof(mtime_ns) = 'integer'
"""

#: The column of a file's mark is called as in a directory, whose marks are modification times.
FACTS = "size_bytes, mtime_ns, sha256, published_sha256, etag, last_modified, sidecar_etag"

OBJECTS = """
SELECT name, size_bytes, NULL, NULL, NULL, etag, last_modified, sidecar_etag
FROM archives WHERE folder = ? AND verdict = 'verified' AND newer_verdict IS NULL
"""

PARTS = """
SELECT name, size_bytes, NULL, NULL, NULL, etag, last_modified, NULL FROM parts WHERE folder = ?
"""

ROWS = f"""
SELECT name, verdict, newer_verdict, accepted_at IS NOT NULL, newer_etag, newer_sidecar_etag,
       {FACTS}
FROM archives WHERE folder = ?
"""  # noqa: S608 - constants only

#: `accepted_at` is permanent: an archive that was accepted once stays marked. A row without bytes,
#: as of a failure, keeps the digest of the version that was verified before.
UPSERT = f"""
INSERT INTO archives (
    folder, name, verdict, reason, {FACTS}, accepted_at, first_seen_at, last_seen_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (folder, name) DO UPDATE SET
    verdict = excluded.verdict, reason = excluded.reason,
    size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256,
    published_sha256 = CASE WHEN excluded.sha256 IS NOT NULL THEN excluded.published_sha256
                            WHEN verdict = 'verified' THEN sha256
                            WHEN sha256 IS NULL THEN
                                coalesce(excluded.published_sha256, published_sha256)
                            ELSE excluded.published_sha256 END,
    etag = excluded.etag,
    last_modified = excluded.last_modified,
    sidecar_etag = coalesce(excluded.sidecar_etag, sidecar_etag),
    newer_verdict = NULL, newer_reason = NULL, newer_etag = NULL, newer_sidecar_etag = NULL,
    accepted_at = coalesce(accepted_at, excluded.accepted_at),
    first_seen_at = CASE WHEN excluded.sha256 IS sha256 THEN first_seen_at
                         ELSE max(excluded.first_seen_at, first_seen_at) END,
    last_seen_at = excluded.last_seen_at
"""  # noqa: S608 - constants only

#: Before a row of `archives` changes, the old row is copied to the history. A version ends no
#: earlier than it began, and the next one begins there: the history stays in order even if the
#: clock goes back.
REMEMBER = """
INSERT INTO versions
SELECT folder, name, ?, max(?, first_seen_at), ?, verdict, size_bytes, sha256, published_sha256,
       etag, last_modified, first_seen_at, last_seen_at
FROM archives WHERE folder = ? AND name = ?
"""

#: A version without a row in `archives` was seen once, when it was replaced.
UNRECORDED = """
INSERT INTO versions
SELECT :folder, :name, 'replaced', at, :kept_as, :verdict, :size_bytes, :sha256, :published_sha256,
       :etag, :last_modified, at, at
FROM (SELECT max(:now, coalesce((
    SELECT first_seen_at FROM archives WHERE folder = :folder AND name = :name
), '')) AS at)
"""

#: The stored version stays; only the verdict on the newer version changes.
STANDS = """
UPDATE archives SET newer_verdict = ?, newer_reason = ?, newer_etag = ?, newer_sidecar_etag = ?,
    last_seen_at = ?
WHERE folder = ? AND name = ?
"""

SEEN = "UPDATE archives SET last_seen_at = ? WHERE folder = ? AND name = ?"

LISTED = """
INSERT INTO listings VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (folder) DO UPDATE SET
    first_name = coalesce(excluded.first_name, first_name),
    last_name = coalesce(excluded.last_name, last_name),
    archives = excluded.archives, size_bytes = excluded.size_bytes,
    listed_at = excluded.listed_at
"""

RUN = """
INSERT OR REPLACE INTO runs
    (run_id, workflow, planned, started_at, selection, source_url, listing_url)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

ANY_VERIFIED = """
SELECT EXISTS (
    SELECT 1 FROM archives WHERE folder >= ? AND folder < ? AND verdict = 'verified'
)
"""

FILLED = "INSERT OR REPLACE INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

FILLS = """
SELECT name, verdict, reason, row_count, sha256, complete, proven_by, filled_at, size_bytes,
    mtime_ns
FROM fills WHERE folder = ? ORDER BY name
"""

ANY_PART = "SELECT EXISTS (SELECT 1 FROM parts)"
