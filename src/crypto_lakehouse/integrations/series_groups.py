"""What a collection came to for each market and data type, counted by a sink."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, timedelta

from attrs import define, field

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.events import ArchiveFinished, ArchivesUnchanged, Event, RunStarted
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict
from crypto_lakehouse.ledger.coverage_view import parse_folder

__all__ = ["GroupKey", "SeriesGroup", "SeriesGroups", "is_key_of"]

#: A market and a data type.
GroupKey = tuple[Market, DataType]

#: How many keys of each group are kept.
_NAMED = 20

#: The verdicts with which an archive is at its final name.
_STORED = SUCCESSES | {Verdict.SIDECAR_MISSING}

#: Problems that make no exit code other than 0.
_HARMLESS = frozenset({Verdict.SIDECAR_MISSING, Verdict.UPSTREAM_MISMATCH})

_DAY = timedelta(days=1)


@define
class SeriesGroup:
    """The archives of one market and data type in one run.

    Attributes:
        verdicts: How many have each verdict.
        received_bytes: Body bytes received for them.
        problem_count: How many are not as they should be, and not acknowledged.
        is_severe: Whether one of these is missing, failed or corrupt.
        problems: The verdict and the reason of the first of these, by key.
    """

    verdicts: Counter[Verdict] = field(factory=Counter)
    received_bytes: int = 0
    problem_count: int = 0
    is_severe: bool = False
    problems: dict[str, str] = field(factory=dict)
    _series: set[tuple[str, str | None]] = field(factory=set)
    _present: set[date] = field(factory=set)
    _absent: Counter[date] = field(factory=Counter)

    def stored_days(self, first: date, last: date) -> list[date]:
        """Return the days from the first to the last of which a series has an archive."""
        days = (first + number * _DAY for number in range((last - first).days + 1))
        return [day for day in days if self._is_stored(day)]

    def _is_stored(self, day: date) -> bool:
        """Whether an archive was counted, or is one of those that are unchanged."""
        return day in self._present or self._absent[day] < len(self._series)

    def add(self, event: ArchiveFinished) -> None:
        """Count one archive."""
        archive = event.archive
        self.verdicts[event.verdict] += 1
        self.received_bytes += event.fetched_bytes
        self._series.add((archive.symbol, archive.series.interval))
        if event.is_problem:
            self.problem_count += 1
            self.is_severe = self.is_severe or event.verdict not in _HARMLESS
            if len(self.problems) < _NAMED:
                self.problems[archive.key] = f"{event.verdict}: {event.reason}"
        is_stored = event.verdict in _STORED or event.accepted or event.stands
        day = archive.period.first_day
        while day <= archive.period.last_day:
            if is_stored:
                self._present.add(day)
            else:
                self._absent[day] += 1
            day += _DAY

    def add_unchanged(self, series: Series, count: int) -> None:
        """Count archives of a series that are unchanged."""
        self.verdicts[Verdict.UNCHANGED] += count
        self._series.add((series.symbol, series.interval))


@define
class SeriesGroups:
    """A sink that counts archives by market and data type.

    It is required: the results of the run are made from its counts.

    Attributes:
        takes_unchanged: Whether unchanged archives may come as one event for a folder. It must not
            be so if a day may be in two archives of a series: then it is not clear which days these
            have.
        groups: What was counted.
        plan_sha256: A digest of the selection, the source and the number of archives in the plan;
            empty before there is one.
    """

    takes_unchanged: bool = True
    groups: defaultdict[GroupKey, SeriesGroup] = field(
        factory=lambda: defaultdict(SeriesGroup), init=False
    )
    plan_sha256: str = field(init=False, default="")
    name: str = "series-groups"
    required: bool = True

    async def handle(self, events: Sequence[Event]) -> None:
        """Count a batch."""
        for event in events:
            if isinstance(event, ArchiveFinished):
                series = event.archive.series
                self.groups[series.market, series.data_type].add(event)
            elif isinstance(event, ArchivesUnchanged):
                series, _ = parse_folder(event.folder)
                self.groups[series.market, series.data_type].add_unchanged(series, event.count)
            elif isinstance(event, RunStarted):
                self.plan_sha256 = _digest(event)

    async def flush(self) -> None:
        """Do nothing: nothing is held back."""

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def is_key_of(group: GroupKey, key: str) -> bool:
    """Whether a key, or that of a folder, is of a market and data type.

    Examples:
        >>> is_key_of((Market.SPOT, DataType.KLINES), "data/spot/daily/klines/BTCUSDT/1h/")
        True
    """
    market, data_type = group
    return f"/{market.path}/" in key and f"/{data_type}/" in key


def _digest(event: RunStarted) -> str:
    asked = {"selection": event.selection, "source": event.source_url, "planned": event.planned}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
