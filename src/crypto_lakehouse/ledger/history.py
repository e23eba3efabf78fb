"""The versions that each archive has had, from the ledger; only `forget_kept` writes to it.

It is safe to read while a run writes: each call sees the ledger as it is at one moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from attrs import frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.read_only import reading
from crypto_lakehouse.ledger.refusals import damaged, refusal
from crypto_lakehouse.ledger.schema import connect
from crypto_lakehouse.ledger.soundness import VERDICTS, UnsoundRow, are_texts, is_kept_place

__all__ = [
    "Change",
    "Version",
    "changes_since",
    "forget_kept",
    "kept_before",
    "known_names",
    "version_as_of",
    "versions_of",
]

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

#: Verdicts on bytes at the final name; other rows of the ledger describe absent archives.
_STORED = frozenset({Verdict.VERIFIED, Verdict.SIDECAR_MISSING})


@frozen(kw_only=True)
class Version:
    """One version of one archive.

    Attributes:
        first_seen_at, last_seen_at: ISO 8601, UTC.
        until: When another version replaced it, or its metadata changed; None for the current one.
        change: What ended it: `replaced` by other bytes, `restamped` with other dates or ETags;
            empty for the current one.
        kept_as: Where the bytes are kept, relative to the output directory; None if they
            are at the final name or no longer kept.
        accepted: Whether a policy accepted it although its sidecar disagrees.
        newer_verdict, newer_reason: Why a newer version has not replaced it.
    """

    key: str
    verdict: Verdict
    size_bytes: int | None
    sha256: str | None
    published_sha256: str | None
    etag: str | None
    last_modified: str | None
    first_seen_at: str
    last_seen_at: str
    until: str | None
    change: str
    kept_as: str | None
    accepted: bool
    newer_verdict: Verdict | None
    newer_reason: str | None

    @property
    def is_current(self) -> bool:
        """Whether the ledger has no later version."""
        return self.until is None

    @property
    def is_stored(self) -> bool:
        """Whether its bytes are or were at the final name."""
        return self.verdict in _STORED or self.accepted


@frozen(kw_only=True)
class Change:
    """One change of one archive.

    Attributes:
        change: `replaced` or `restamped`.
        at: ISO 8601, UTC.
        kept_as: Where the earlier bytes are kept; None if they are not.
        before_*, after_*: The object before and after the change.
    """

    key: str
    change: str
    at: str
    kept_as: str | None
    before_size_bytes: int | None
    before_sha256: str | None
    before_etag: str | None
    before_last_modified: str | None
    after_size_bytes: int | None
    after_sha256: str | None
    after_etag: str | None
    after_last_modified: str | None


def versions_of(path: Path, archive: Archive) -> list[Version]:
    """Return every version of an archive, oldest first; blocking.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    place = (archive.folder, archive.name)
    with reading(path) as connection:
        connection.execute("BEGIN")  # both tables at one moment
        rows = connection.fetch(_EARLIER, place) + connection.fetch(_CURRENT, place)
    try:
        return [_version(row) for row in rows]
    except UnsoundRow as error:
        raise damaged(path, str(error)) from error


def _version(row: tuple) -> Version:  # type: ignore[type-arg]
    key, verdict, *facts, accepted, newer_verdict, newer_reason = row
    size, sha256, published, etag, last_modified, first, last, until, change, kept_as = facts
    if verdict not in VERDICTS or newer_verdict not in {None, *VERDICTS}:
        raise UnsoundRow(f"a verdict on `{key}` is {verdict!r} or {newer_verdict!r}")
    if not are_texts([*facts[1:], newer_reason]) or first is None or last is None:
        raise UnsoundRow(f"a value of `{key}` is not a text")
    if not is_kept_place(key, kept_as):
        raise UnsoundRow(f"an earlier version of `{key}` is kept as `{kept_as}`")
    return Version(
        key=key,
        verdict=Verdict(verdict),
        size_bytes=size,
        sha256=sha256,
        published_sha256=published,
        etag=etag,
        last_modified=last_modified,
        first_seen_at=first,
        last_seen_at=last,
        until=until,
        change=change,
        kept_as=kept_as,
        accepted=accepted == 1,
        newer_verdict=Verdict(newer_verdict) if newer_verdict else None,
        newer_reason=newer_reason,
    )


def version_as_of(versions: list[Version], moment: datetime) -> Version | None:
    """Return the version at the final name at a moment; None if none had been seen yet.

    A version is there from when it was first seen until other bytes replaced it.

    Args:
        versions: All versions of one archive, oldest first.
        moment: Timezone-aware; compared in whole seconds, as the ledger stores no fractions.
    """
    text = moment.astimezone(UTC).isoformat(timespec="seconds")
    stood = [item for item in versions if item.is_stored and item.first_seen_at <= text]
    open_then = [item for item in stood if item.until is None or text < item.until]
    return open_then[0] if open_then else None


def changes_since(path: Path, day: date) -> Iterator[Change]:
    """Yield every change since the beginning of a UTC day, in the order of recording; blocking.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    begin = datetime.combine(day, time(), UTC).isoformat(timespec="seconds")
    with reading(path) as connection:
        connection.replace_undecodable()
        for row in connection.execute(_SINCE, {"since": begin}):
            key, change, at, kept_as, *objects = row
            if not are_texts((key, change, at, kept_as)) or not (key and change and at):
                raise damaged(path, f"a change of `{key}` has values that no run writes")
            if not is_kept_place(key, kept_as):
                raise damaged(path, f"an earlier version of `{key}` is kept as `{kept_as}`")
            before, after = objects[:4], objects[4:]
            yield Change(
                key=key,
                change=change,
                at=at,
                kept_as=kept_as,
                before_size_bytes=before[0],
                before_sha256=before[1],
                before_etag=before[2],
                before_last_modified=before[3],
                after_size_bytes=after[0],
                after_sha256=after[1],
                after_etag=after[2],
                after_last_modified=after[3],
            )


def known_names(path: Path, archive: Archive) -> tuple[int, str, str]:
    """Return the number of known archives in the same folder, first and last name; blocking."""
    query = "SELECT count(*), coalesce(min(name), ''), coalesce(max(name), '') FROM archives"
    with reading(path) as connection:
        (row,) = connection.fetch(f"{query} WHERE folder = ?", (archive.folder,))
    return int(row[0]), row[1], row[2]


def kept_before(path: Path, today: date, older_than_days: int) -> list[tuple[int, str]]:
    """Return row id and path of kept bytes that were replaced more than some days ago; blocking."""
    latest = today - timedelta(days=min(older_than_days, (today - date.min).days))
    bound = datetime.combine(latest + timedelta(days=1), time(), UTC)
    with reading(path) as connection:
        return connection.fetch(
            "SELECT rowid, kept_as FROM versions WHERE kept_as IS NOT NULL AND changed_at < ?",
            (bound.isoformat(timespec="seconds"),),
        )


def forget_kept(path: Path, rows: list[int]) -> None:
    """Record that kept bytes are gone, in one transaction; the caller holds the lock. Blocking."""
    try:
        with closing(connect(path)) as connection, connection:
            connection.executemany(
                "UPDATE versions SET kept_as = NULL WHERE rowid = ?", [(row,) for row in rows]
            )
    except sqlite3.Error as error:
        raise refusal(path, error, "written") from error
