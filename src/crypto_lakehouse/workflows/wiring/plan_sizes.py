"""How much a plan is, and what of it a collection would fetch: archives, bytes, requests, time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from attrs import frozen

from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.work import Action, Work
from crypto_lakehouse.core.archive import Archive, Partition
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished, ArchivesUnchanged, Event
from crypto_lakehouse.core.listed import md5_of_etag
from crypto_lakehouse.core.plan import PlannedArchive, PlannedPeriod, PlannedSeries
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.workflows.wiring.transport_stack import parallel_downloads

__all__ = ["SeriesSize", "sizes_of"]

#: What an estimate assumes of a source: seconds to the first byte of a response, and bytes per
#: second on one connection (ARCHITECTURE.md#assumed-line).
ASSUMED_ANSWER_S = 0.04
ASSUMED_BYTES_PER_S = 5_000_000


@frozen
class SeriesSize:
    """How much of one series is planned, or of several together, and what would be fetched.

    Attributes:
        daily, monthly: Archives that the source should have, by partition.
        not_published: Archives that cannot exist.
        missing: Archives that the source's listing lacks, although they must exist; some may be
            here, and are then counted below, too.
        size_bytes: Of the zips to be fetched, None if no listing was read.
        requests: What fetching them takes, without retries.
        estimate_s: About how long that takes, in seconds; see `ASSUMED_ANSWER_S`.
        first, last: The first and the last day planned, also of months.
        planned_bytes: Of the zips of `daily` and `monthly`, None if no listing was read.
        planned_requests: What fetching all of them takes.
        verified: Archives that are here and verified; nothing of them is requested.
        to_fetch: Archives whose zip is requested.
        to_check: Files that the ledger does not prove. They are hashed first, and only fetched if
            they are not what was published.
        sidecars: Verified archives whose sidecar is requested.
        quarantined: Archives whose bytes are in quarantine, and have not changed at the source.
        refused: Archives in folders that cannot be read.
    """

    market: str = ""
    data_type: str = ""
    symbol: str = ""
    interval: str | None = None
    daily: int = 0
    monthly: int = 0
    not_published: int = 0
    missing: int = 0
    size_bytes: int | None = None
    requests: int = 0
    estimate_s: float = 0.0
    first: str = ""
    last: str = ""
    planned_bytes: int | None = None
    planned_requests: int = 0
    verified: int = 0
    to_fetch: int = 0
    to_check: int = 0
    sidecars: int = 0
    quarantined: int = 0
    refused: int = 0

    @property
    def type_name(self) -> tuple[str, str]:
        """Market and data type."""
        return self.market, self.data_type

    @property
    def planned(self) -> int:
        """All archives of the plan."""
        return self.daily + self.monthly + self.not_published + self.missing

    def __add__(self, other: SeriesSize) -> SeriesSize:
        return SeriesSize(
            market=other.market,
            data_type=other.data_type,
            size_bytes=_sum_of_known(self, other, "size_bytes"),
            planned_bytes=_sum_of_known(self, other, "planned_bytes"),
            estimate_s=self.estimate_s + other.estimate_s,
            first=min(filter(None, (self.first, other.first)), default=""),
            last=max(self.last, other.last),
            **{name: getattr(self, name) + getattr(other, name) for name in _COUNTS},
        )

    def to_mapping(self) -> dict[str, Any]:
        """The object that `plan --json` prints, without names if it is a sum."""
        names = (
            {
                "market": self.market,
                "data_type": self.data_type,
                "symbol": self.symbol,
                "interval": self.interval,
            }
            if self.symbol
            else {}
        )
        return names | {
            "planned": self.planned,
            "daily": self.daily,
            "monthly": self.monthly,
            "not_published": self.not_published,
            "missing": self.missing,
            "verified": self.verified,
            "to_fetch": self.to_fetch,
            "to_check": self.to_check,
            "sidecars": self.sidecars,
            "quarantined": self.quarantined,
            "refused": self.refused,
            "bytes": self.size_bytes,
            "requests": self.requests,
            "planned_bytes": self.planned_bytes,
            "planned_requests": self.planned_requests,
            "estimate_seconds": round(self.estimate_s, 1),
            "first": self.first,
            "last": self.last,
        }


#: The attributes of a size that are sums of those of its parts.
_COUNTS = (
    "daily", "monthly", "not_published", "missing", "requests", "planned_requests", "verified",
    "to_fetch", "to_check", "sidecars", "quarantined", "refused",
)  # fmt: skip


def _sum_of_known(one: SeriesSize, other: SeriesSize, name: str) -> int | None:
    """A sum with an unknown part is unknown; a series without archives is no part of it."""
    sizes = [getattr(part, name) for part in (one, other) if part.planned]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None


#: How the verdicts of an inventory are counted; what the source lacks is counted by the plan.
_SETTLED = {
    Verdict.UNCHANGED: "verified",
    Verdict.UPSTREAM_MISMATCH: "quarantined",
    Verdict.FAILED: "refused",
}

#: How the work that an inventory leaves is counted.
_LEFT = {Action.FETCH: "to_fetch", Action.CHECK: "to_check", Action.FETCH_SIDECAR: "sidecars"}


def sizes_of(
    plan: Iterable[PlannedSeries],
    inventory: Inventory,
    config: WorkflowConfig,
    on_fetch: Callable[[Archive], None] | None = None,
    on_refused: Callable[[ArchiveFinished], None] = ignore,
) -> Iterator[SeriesSize]:
    """Compute the size of every series of a plan; blocking.

    Args:
        plan: The series.
        inventory: Decides what is fetched, as it does for a collection.
        config: The configuration of the collection.
        on_fetch: Called with each archive whose zip would be fetched.
        on_refused: Called with each archive in a folder that cannot be read.
    """
    for planned in plan:
        due = [item for item in planned.periods if not item.not_published and not item.unlisted]
        if inventory.has_nothing_of(planned):
            yield _size(planned, due, due, Counter(to_fetch=len(due)), config)
            fetched = (Archive(planned.series, item.period) for item in due)
        else:
            settled, work = inventory.sort(planned)
            for event in settled:
                if isinstance(event, ArchiveFinished) and event.verdict is Verdict.FAILED:
                    on_refused(event)
            needed = [item.planned for item in work if item.action is Action.FETCH]
            yield _size(planned, due, needed, _counts(settled, work), config)
            fetched = (item.archive for item in needed)
        if on_fetch is not None:
            for archive in fetched:
                on_fetch(archive)


def _counts(settled: Sequence[Event], work: Sequence[Work]) -> Counter[str]:
    counts = Counter(_LEFT[item.action] for item in work)
    for event in settled:
        if isinstance(event, ArchivesUnchanged):
            counts["verified"] += event.count
        elif isinstance(event, ArchiveFinished) and event.verdict in _SETTLED:
            counts[_SETTLED[event.verdict]] += 1
    return counts


def _size(
    planned: PlannedSeries,
    due: Sequence[PlannedPeriod],
    fetched: Sequence[PlannedPeriod | PlannedArchive],
    counts: Counter[str],
    config: WorkflowConfig,
) -> SeriesSize:
    periods, series = planned.periods, planned.series
    is_listed = any(item.listed or item.unlisted for item in periods)
    daily = sum(item.period.partition is Partition.DAILY for item in due)
    size = _bytes(fetched)
    requests = _requests(fetched, config) + counts["sidecars"]
    return SeriesSize(
        market=series.market,
        data_type=series.data_type,
        symbol=series.symbol,
        interval=series.interval,
        daily=daily,
        monthly=len(due) - daily,
        not_published=sum(bool(item.not_published) for item in periods),
        missing=sum(item.unlisted for item in periods),
        size_bytes=size if is_listed or not fetched else None,
        requests=requests,
        estimate_s=(requests * ASSUMED_ANSWER_S + size / ASSUMED_BYTES_PER_S)
        / parallel_downloads(config),
        first=min(item.period.first_day for item in periods).isoformat(),
        last=max(item.period.last_day for item in periods).isoformat(),
        planned_bytes=_bytes(due) if is_listed or not due else None,
        planned_requests=_requests(due, config),
        **counts,
    )


def _bytes(items: Iterable[PlannedPeriod | PlannedArchive]) -> int:
    return sum(item.listed.size_bytes for item in items if item.listed)


def _requests(items: Sequence[PlannedPeriod | PlannedArchive], config: WorkflowConfig) -> int:
    """Zip and sidecar; only the zip if the listing proves it and no sidecar is kept."""
    if config.download_checksum or config.integrity != "listing":
        return 2 * len(items)
    return sum(1 if not item.listed or md5_of_etag(item.listed.etag) else 2 for item in items)
