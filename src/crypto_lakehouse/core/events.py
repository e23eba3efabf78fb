"""The events of a run.

Workers emit events; one consumer passes them to the sinks in batches. Promised: every archive of
the plan has exactly one `ArchiveFinished`, or is one of an `ArchivesUnchanged`, unless the run
was stopped. Not promised: any order between different archives. Secrets are masked in all texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from attrs import field, fields, frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.object_facts import NO_FACTS, ObjectFacts
from crypto_lakehouse.core.recording_events import (
    HoleRecorded,
    RecordingIngested,
    RecordingSeen,
)
from crypto_lakehouse.core.verdicts import UNREMARKABLE, Verdict

__all__ = [
    "ArchiveFinished",
    "ArchiveRetried",
    "ArchivesUnchanged",
    "BodyStarted",
    "Event",
    "FillFinished",
    "FolderListed",
    "HoleRecorded",
    "ListingRetried",
    "RecordingIngested",
    "RecordingSeen",
    "RunFinished",
    "RunNoted",
    "RunStarted",
    "RunWarned",
    "UnrecordedVersion",
    "to_record",
]


@frozen(kw_only=True)
class RunStarted:
    """A run begins; its plan has `planned` archives.

    Attributes:
        size_bytes: The total size of the plan's zips if a listing was read; else None.
        selection: What was asked for, as `run_selection.selection_of` returns it; None if unknown.
        source_url, listing_url: Where archives and listings come from, without credentials.
    """

    run_id: str
    workflow: str
    planned: int
    at: datetime
    size_bytes: int | None = None
    selection: Mapping[str, Any] | None = field(default=None, hash=False)
    source_url: str = ""
    listing_url: str = ""


@frozen(kw_only=True)
class RunWarned:
    """A warning about the whole run."""

    message: str


@frozen(kw_only=True)
class RunNoted:
    """Information about the whole run, such as the proxy that it uses."""

    message: str


class _ShowsFacts:
    """Shows the facts of an event's object as attributes of the event."""

    __slots__ = ()

    facts: ObjectFacts

    @property
    def size_bytes(self) -> int | None:
        """The zip's size on disk or at the source, in bytes."""
        return self.facts.size_bytes

    @property
    def sha256(self) -> str | None:
        """Digest of the bytes seen, 64 lower-case hex characters."""
        return self.facts.sha256

    @property
    def published_sha256(self) -> str | None:
        """Digest that the sidecar names."""
        return self.facts.published_sha256

    @property
    def etag(self) -> str | None:
        """The zip's ETag, as the source sent it."""
        return self.facts.etag

    @property
    def last_modified(self) -> str | None:
        """The zip's date, as the source sent it."""
        return self.facts.last_modified

    @property
    def sidecar_etag(self) -> str | None:
        """The published sidecar's ETag, as the source sent it."""
        return self.facts.sidecar_etag


@frozen(kw_only=True)
class BodyStarted(_ShowsFacts):
    """A large body begins to arrive; the validators allow it to be resumed later.

    Attributes:
        facts: The whole object's size, ETag and date, as far as the source sent them.
    """

    archive: Archive
    facts: ObjectFacts


@frozen(kw_only=True)
class ArchiveRetried:
    """One request failed and will be tried again after `wait_s` seconds."""

    archive: Archive
    attempt: int
    wait_s: float
    reason: str


@frozen(kw_only=True)
class UnrecordedVersion:
    """A version at the final name that is replaced before the ledger has a row of it.

    A run that ended before it wrote its rows has stored it, or the ledger is a copy from before.

    Attributes:
        verdict: As a run that finds it there records it.
        facts: What is known about its bytes, with their digest.
        kept_as: Where they are kept, relative to the output directory.
    """

    verdict: Verdict
    facts: ObjectFacts
    kept_as: str


@frozen(kw_only=True)
class ArchiveFinished(_ShowsFacts):
    """The verdict on one archive.

    Attributes:
        reason: Why, in a sentence; empty for plain successes.
        facts: What is known about the bytes; all but the mark are attributes of the event, too.
        fetched_bytes: Body bytes received, over all tries, sidecars included.
        requests: Requests made, over all tries.
        elapsed_s: From the decision to fetch until the verdict, in seconds.
        change: What has happened to the object since the last run: `replaced` (other bytes),
            `restamped` (the same bytes under other dates or ETags), or empty.
        kept_as: Where the bytes of the version in the ledger's row are kept, relative to the output
            directory.
        unrecorded: The replaced version, if it is another one than that of the ledger's row.
        stands: Whether an earlier version stays at the final name, and the verdict is about a
            newer one that did not replace it.
        seen: Whether the source was asked, and still has the object that is stored.
        accepted: Whether a policy accepted the bytes although the sidecar disagrees.
        unavailable: Whether it failed because every request for it found the source unavailable:
            no connection, silence, or 5xx.
        acknowledged: Whether the user knows that the source lacks it or serves it damaged.
        answers: Each response that came, as its status and the seconds until its head came. They
            are for metrics, and no part of a record.
    """

    archive: Archive
    verdict: Verdict
    reason: str = ""
    facts: ObjectFacts = NO_FACTS
    fetched_bytes: int = 0
    requests: int = 0
    elapsed_s: float = 0.0
    change: str = ""
    kept_as: str = ""
    unrecorded: UnrecordedVersion | None = None
    stands: bool = False
    seen: bool = False
    accepted: bool = False
    unavailable: bool = False
    acknowledged: bool = False
    answers: tuple[tuple[int, float], ...] = ()

    @property
    def is_problem(self) -> bool:
        """Whether it needs attention: it is neither good, nor not published, nor acknowledged."""
        return self.verdict not in UNREMARKABLE and not self.acknowledged


@frozen(kw_only=True)
class FillFinished:
    """The verdict on one UTC day of a series that was to be filled from the exchange.

    Attributes:
        archive: The segment of the day.
        reason: Why, in a sentence; empty for plain successes.
        rows: How many rows the day has.
        size_bytes: The size of the segment; 0 if none was stored.
        mark: That of the stored file, as in `FileStat`; None if there is none.
        sha256: The segment's digest; None if there is none.
        complete: Whether the day was over when it was filled.
        proven_by: `ids` if the ids meet those of the days before and after; else empty.
        at: When it was settled, in UTC.
        requests: Requests made, over all tries; of a page that has further days, those of the day
            that was asked for first.
        weight: The weight that they used of the exchange's budget.
        known: Whether the verdict was known already, and nothing was asked: the ledger had it, or
            the stored segment says so.
        acknowledged: Whether the user knows that it cannot be had.
    """

    archive: Archive
    verdict: FillVerdict
    reason: str = ""
    rows: int = 0
    size_bytes: int = 0
    mark: int | None = None
    sha256: str | None = None
    complete: bool = False
    proven_by: str = ""
    at: datetime
    requests: int = 0
    weight: int = 0
    known: bool = False
    acknowledged: bool = False

    @property
    def is_new(self) -> bool:
        """Whether the ledger does not have it yet."""
        return not self.known or self.size_bytes > 0

    @property
    def is_problem(self) -> bool:
        """Whether it needs attention: it is neither filled nor acknowledged."""
        return self.verdict is not FillVerdict.FILLED and not self.acknowledged


@frozen(kw_only=True)
class FolderListed:
    """The source listed one folder of archives.

    Attributes:
        folder: The key prefix, with its trailing slash.
        first, last: File names of the first and the last archive that the source has there;
            None if the listing did not reach that end.
        archives: How many archives were listed.
        size_bytes: The total size of their zips.
    """

    folder: str
    first: str | None
    last: str | None
    archives: int
    size_bytes: int
    at: datetime


@frozen(kw_only=True)
class ListingRetried:
    """One page of a listing failed and will be tried again after `wait_s` seconds."""

    prefix: str
    attempt: int
    wait_s: float
    reason: str


@frozen(kw_only=True)
class RunFinished:
    """A run ends with `status` (complete, partial, failed or interrupted).

    Attributes:
        reason: Why the run ended itself before every archive had a verdict; else empty.
    """

    run_id: str
    status: str
    at: datetime
    reason: str = ""


@frozen
class ArchivesUnchanged:
    """Archives of one folder that are all unchanged; each has a row in the ledger.

    This is one event for thousands of archives, as a second run over millions would otherwise do
    little but make events. `each` makes the single events; sinks that do not take this one (see
    `Sink`) get those.

    Attributes:
        count: The number of archives.
        details: Makes the single events, in the order of the plan.
        seen: Whether the source's listing still has all of them, as they are stored.
        size_bytes: The total size of their zips as listed; 0 if no listing was read.
    """

    folder: str
    count: int
    details: Callable[[], Iterator[ArchiveFinished]]
    seen: bool = False
    size_bytes: int = 0

    def each(self) -> Iterator[ArchiveFinished]:
        """Yield the single events."""
        return self.details()


Event = (
    RunStarted
    | RunWarned
    | RunNoted
    | FolderListed
    | ListingRetried
    | BodyStarted
    | ArchiveRetried
    | ArchivesUnchanged
    | ArchiveFinished
    | FillFinished
    | RecordingSeen
    | RecordingIngested
    | HoleRecorded
    | RunFinished
)


def to_record(event: Event) -> dict[str, Any]:
    """Return an event as JSON types: its name, then its fields that are not empty."""
    record: dict[str, Any] = {"event": type(event).__name__}
    for each in fields(type(event)):
        value = getattr(event, each.name)
        if isinstance(value, Archive):
            record["key"] = value.key
        elif isinstance(value, ObjectFacts):
            record |= {name: fact for name, fact in value._asdict().items() if fact is not None}
        elif isinstance(value, UnrecordedVersion):
            known = {name: fact for name, fact in value.facts._asdict().items() if fact is not None}
            record[each.name] = {"verdict": value.verdict, **known, "kept_as": value.kept_as}
        elif isinstance(value, datetime):
            record[each.name] = value.isoformat()
        elif isinstance(value, tuple) or callable(value):
            continue
        elif value is not None and value is not False and value != "":
            record[each.name] = value
    return record
