"""How much a plan is: archives, bytes, requests, and about how long it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import Partition
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.listed import md5_of_etag
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries
from crypto_lakehouse.workflows.wiring.transport_stack import parallel_downloads

__all__ = ["SeriesSize", "sizes_of"]

#: What an estimate assumes of a source: seconds to the first byte of a response, and bytes per
#: second on one connection (ARCHITECTURE.md#assumed-line).
ASSUMED_ANSWER_S = 0.04
ASSUMED_BYTES_PER_S = 5_000_000


@frozen
class SeriesSize:
    """How much of one series is planned, or of several together.

    Attributes:
        daily, monthly: Archives to be requested.
        not_published: Archives that cannot exist.
        missing: Archives that the source's listing lacks, although they must exist.
        size_bytes: Of the zips to be requested, None if no listing was read.
        requests: What fetching all of it takes, without retries.
        estimate_s: About how long that takes, in seconds; see `ASSUMED_ANSWER_S`.
        first, last: The first and the last period planned.
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

    @property
    def type_name(self) -> tuple[str, str]:
        """Market and data type."""
        return self.market, self.data_type

    @property
    def planned(self) -> int:
        """All archives of the plan."""
        return self.daily + self.monthly + self.not_published + self.missing

    def __add__(self, other: SeriesSize) -> SeriesSize:
        # A sum with an unknown part is unknown; a series without archives is no part of it.
        sizes = [part.size_bytes for part in (self, other) if part.planned]
        known = [size for size in sizes if size is not None]
        return SeriesSize(
            market=other.market,
            data_type=other.data_type,
            daily=self.daily + other.daily,
            monthly=self.monthly + other.monthly,
            not_published=self.not_published + other.not_published,
            missing=self.missing + other.missing,
            size_bytes=sum(known) if known and len(known) == len(sizes) else None,
            requests=self.requests + other.requests,
            estimate_s=self.estimate_s + other.estimate_s,
            first=min(filter(None, (self.first, other.first)), default=""),
            last=max(self.last, other.last),
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
            "bytes": self.size_bytes,
            "requests": self.requests,
            "estimate_seconds": round(self.estimate_s, 1),
            "first": self.first,
            "last": self.last,
        }


def sizes_of(plan: Iterable[PlannedSeries], config: WorkflowConfig) -> Iterator[SeriesSize]:
    """Compute the size of every series of a plan."""
    for planned in plan:
        yield _size(planned, config)


def _size(planned: PlannedSeries, config: WorkflowConfig) -> SeriesSize:
    due = [item for item in planned.periods if not item.not_published and not item.unlisted]
    daily = sum(item.period.partition is Partition.DAILY for item in due)
    is_listed = any(item.listed or item.unlisted for item in planned.periods)
    size = sum(item.listed.size_bytes for item in due if item.listed)
    requests = sum(_requests(item, config) for item in due)
    series = planned.series
    return SeriesSize(
        market=series.market,
        data_type=series.data_type,
        symbol=series.symbol,
        interval=series.interval,
        daily=daily,
        monthly=len(due) - daily,
        not_published=sum(bool(item.not_published) for item in planned.periods),
        missing=sum(item.unlisted for item in planned.periods),
        size_bytes=size if is_listed or not due else None,
        requests=requests,
        estimate_s=(requests * ASSUMED_ANSWER_S + size / ASSUMED_BYTES_PER_S)
        / parallel_downloads(config),
        first=planned.periods[0].period.text,
        last=planned.periods[-1].period.text,
    )


def _requests(item: PlannedPeriod, config: WorkflowConfig) -> int:
    """Zip and sidecar; only the zip if the listing proves it and no sidecar is kept."""
    if config.download_checksum or config.integrity != "listing":
        return 2
    return 1 if item.listed is None or md5_of_etag(item.listed.etag) else 2
