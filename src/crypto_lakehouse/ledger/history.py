"""The versions that each archive has had, from the ledger.

It is safe to read while a run writes: each call sees the ledger as it is at one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.listed import moment_of
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.ledger.soundness import (
    VERDICTS,
    UnsoundRow,
    are_digests,
    are_moments,
    are_texts,
    is_kept_place,
)
from crypto_lakehouse.ledger.sqlite_file import ledger_place

__all__ = [
    "Change",
    "Version",
    "changes_since",
    "kept_before",
    "known_names",
    "version_as_of",
    "versions_of",
]

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


def versions_of(ledger: LedgerPlace | Path, archive: Archive) -> list[Version]:
    """Return every version of an archive, oldest first; blocking.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    place = ledger_place(ledger)
    with place.reading() as reading:
        rows = reading.versions(archive.folder, archive.name)
    try:
        return [_version(row) for row in rows]
    except UnsoundRow as error:
        raise place.damaged(str(error)) from error


def _version(row: Sequence[Any]) -> Version:
    key, verdict, *facts, accepted, newer_verdict, newer_reason = row
    size, sha256, published, etag, last_modified, first, last, until, change, kept_as = facts
    if verdict not in VERDICTS or newer_verdict not in {None, *VERDICTS}:
        raise UnsoundRow(f"a verdict on `{shown(key)}` is {verdict!r} or {newer_verdict!r}")
    if not are_texts([*facts[1:], newer_reason]) or first is None or last is None:
        raise UnsoundRow(f"a value of `{shown(key)}` is not a text")
    if not are_moments((first, last, until or first)) or not are_digests((sha256, published)):
        raise UnsoundRow(f"a time or a digest of `{shown(key)}` is none")
    if not is_kept_place(key, kept_as):
        raise UnsoundRow(_odd_place(key, kept_as))
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

    A version is there from when it was first seen until other bytes replaced it. The order of
    versions is that in which they were recorded, whatever the clock said: of those that had begun,
    the last one counts.

    Args:
        versions: All versions of one archive, oldest first.
        moment: Timezone-aware; compared in whole seconds, as the ledger stores no fractions.
    """
    text = moment.astimezone(UTC).isoformat(timespec="seconds")
    stored = [item for item in versions if item.is_stored]
    begun = [item for item, begin in zip(stored, _begins(stored), strict=True) if begin <= text]
    if not begun:
        return None
    last = begun[-1]
    return last if last.until is None or text < last.until else None


def _begins(stored: list[Version]) -> list[str]:
    """Return when each version began, at the latest; the times never decrease."""
    now = datetime.now(UTC)
    begins = []
    end = ""
    for item in stored:
        # One with another date and the same bytes was first seen before it.
        begins.append(_believable(max(item.first_seen_at, end), item, now))
        end = item.until or end
    for later in range(len(begins) - 1, 0, -1):
        begins[later - 1] = min(begins[later - 1], begins[later])
    return begins


def _believable(begin: str, item: Version, now: datetime) -> str:
    """Return when a version was last seen instead, if the clock was ahead when it was first seen.

    It may also have been behind when the version was last seen; that is certain if it was seen
    before it was published, and assumed if nothing is known and it did not begin in the future.
    """
    if begin <= item.last_seen_at:
        return begin
    published = moment_of(item.last_modified)
    if published is None:
        is_ahead = begin > now.isoformat(timespec="seconds")
    else:
        is_ahead = item.last_seen_at >= published.astimezone(UTC).isoformat(timespec="seconds")
    return item.last_seen_at if is_ahead else begin


def changes_since(ledger: LedgerPlace | Path, day: date) -> Iterator[Change]:
    """Yield every change since the beginning of a UTC day, in the order of recording; blocking.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    begin = datetime.combine(day, time(), UTC).isoformat(timespec="seconds")
    place = ledger_place(ledger)
    with place.reading() as reading:
        for row in reading.changes(begin):
            key, change, at, kept_as, *objects = row
            if not are_texts((key, change, kept_as)) or not (key and change and are_moments((at,))):
                reason = f"a change of `{shown(key)}` has values that no run writes"
                raise place.damaged(reason)
            if not is_kept_place(key, kept_as):
                raise place.damaged(_odd_place(key, kept_as))
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


def _odd_place(key: str, kept_as: object) -> str:
    return f"an earlier version of `{shown(key)}` is kept as `{shown(kept_as)}`"


def known_names(ledger: LedgerPlace | Path, archive: Archive) -> tuple[int, str, str]:
    """Return the number of known archives in the same folder, first and last name; blocking."""
    with ledger_place(ledger).reading() as reading:
        return reading.names(archive.folder)


def kept_before(
    ledger: LedgerPlace | Path, today: date, older_than_days: int
) -> list[tuple[int, str, object]]:
    """Return the kept bytes that were replaced more than some days ago; blocking.

    Returns:
        Number, key and path of each; no run has written a path for which `is_kept_place` is false.
    """
    latest = today - timedelta(days=min(older_than_days, (today - date.min).days))
    bound = datetime.combine(latest + timedelta(days=1), time(), UTC)
    with ledger_place(ledger).reading() as reading:
        return reading.kept(bound.isoformat(timespec="seconds"))
