"""The figures of a run that metrics are made of: events, counted by labels that are bounded.

Symbols are no labels unless that is asked for: thousands of them would each be a time series.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    Event,
    FillFinished,
    ListingRetried,
    RecordingIngested,
    RecordingSeen,
    RunFinished,
    RunStarted,
    RunWarned,
)
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.table_events import (
    ArchiveIngested,
    FileChecked,
    TableCommitted,
    TableEvent,
)
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict
from crypto_lakehouse.ledger.coverage_view import parse_folder

__all__ = ["GroupCoverage", "Histogram", "Labels", "RunFigures"]

Labels = tuple[str, ...]

#: Upper bounds of buckets, in seconds: a request in a data center, and a large archive.
_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ARCHIVE_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

#: The status of requests without a response, and of responses whose status is none of HTTP.
_NO_ANSWER, _OTHER = "none", "other"


@define
class Histogram:
    """Counts values by their size.

    Attributes:
        bounds: The upper bound of each bucket, ascending; a further bucket has the rest.
        counts: How many values each bucket has.
        total: The sum of all values.
    """

    bounds: Sequence[float]
    counts: list[int] = field(init=False)
    total: float = field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> Histogram:
        """Return another one with the same values."""
        copied = Histogram(self.bounds)
        copied.counts, copied.total = [*self.counts], self.total
        return copied

    def without(self, earlier: Histogram) -> Histogram:
        """Return what has been added to an earlier copy."""
        added = Histogram(self.bounds)
        added.counts = [new - old for new, old in zip(self.counts, earlier.counts, strict=True)]
        added.total = self.total - earlier.total
        return added


@frozen(kw_only=True)
class GroupCoverage:
    """What the ledger has of a group of series: of a market and data type, or of one series.

    Attributes:
        hole_days: Days that are not verified, by cause.
        newest: The newest verified day of all; None if none is.
        lag_days: How many days the newest verified day of the series that is furthest behind is
            before the newest that the source should have.
    """

    hole_days: Mapping[str, int]
    newest: date | None
    lag_days: int

    def beside(self, other: GroupCoverage | None) -> GroupCoverage:
        """Return what this group and that of another output have together."""
        if other is None:
            return self
        both = (self.newest, other.newest)
        days = [day for day in both if day is not None]
        return GroupCoverage(
            hole_days=Counter(self.hole_days) + Counter(other.hole_days),
            newest=min(days) if len(days) == len(both) else None,
            lag_days=max(self.lag_days, other.lag_days),
        )


@define
class RunFigures:
    """Counts the events of runs; may be fed and read in any thread.

    Args:
        by_symbol: Whether symbol and interval are labels of what is known of series.
        objectives: How old the newest verified day of groups may be, as the key `freshness` says.
    """

    by_symbol: bool = False
    objectives: Mapping[str, float] = field(factory=dict)
    archives: Counter[Labels] = field(init=False, factory=Counter)
    archive_bytes: Counter[Labels] = field(init=False, factory=Counter)
    archive_seconds: dict[Labels, Histogram] = field(init=False, factory=dict)
    requests: Counter[Labels] = field(init=False, factory=Counter)
    request_seconds: dict[Labels, Histogram] = field(init=False, factory=dict)
    retries: Counter[Labels] = field(init=False, factory=Counter)
    warnings: int = field(init=False, default=0)
    fills: Counter[Labels] = field(init=False, factory=Counter)
    fill_rows: Counter[Labels] = field(init=False, factory=Counter)
    fill_requests: int = field(init=False, default=0)
    fill_weight: int = field(init=False, default=0)
    ingested: Counter[Labels] = field(init=False, factory=Counter)
    lake_rows: Counter[Labels] = field(init=False, factory=Counter)
    lake_commits: Counter[Labels] = field(init=False, factory=Counter)
    scored_rows: Counter[Labels] = field(init=False, factory=Counter)
    recorded_rows: Counter[Labels] = field(init=False, factory=Counter)
    checked: Counter[Labels] = field(init=False, factory=Counter)
    live_ingestions: Counter[Labels] = field(init=False, factory=Counter)
    live_ingested_rows: int = field(init=False, default=0)
    recorded: RecordingSeen | None = field(init=False, default=None)
    planned: dict[Labels, int] = field(init=False, factory=dict)
    planned_bytes: dict[Labels, int] = field(init=False, factory=dict)
    started: dict[Labels, float] = field(init=False, factory=dict)
    settled_before: dict[Labels, int] = field(init=False, factory=dict)
    finished: dict[Labels, float] = field(init=False, factory=dict)
    succeeded: dict[Labels, float] = field(init=False, factory=dict)
    runs: Counter[Labels] = field(init=False, factory=Counter)
    newest: dict[Labels, date] = field(init=False, factory=dict)
    coverages: dict[str, Mapping[Labels, GroupCoverage]] = field(init=False, factory=dict)
    earlier: Mapping[Labels, GroupCoverage] = field(init=False, factory=dict)
    earlier_objectives: Mapping[Labels, float] = field(init=False, factory=dict)
    daemon_time: Callable[[], float] | None = field(init=False, default=None)
    lock: threading.RLock = field(init=False, factory=threading.RLock)
    workflows: dict[str, str] = field(init=False, factory=dict)

    def count(self, events: Iterable[Event | TableEvent]) -> None:
        """Count a batch of events."""
        with self.lock:
            for event in events:
                count = _COUNTED.get(type(event))
                if count is not None:
                    count(self, event)

    @property
    def settled(self) -> int:
        """How many archives, and days to fill, have a verdict; of all runs."""
        return self.archives.total() + self.fills.total()

    def labels_of(self, series: Series) -> Labels:
        """The labels of what is known of a series."""
        if self.by_symbol:
            return (series.market, series.data_type, series.symbol, series.interval or "")
        return (series.market, series.data_type)

    def begin(self, workflow: str, run_id: str, at: datetime) -> None:
        """Note that a run has begun; one that ends before it has a plan is counted, too."""
        with self.lock:
            self.workflows[run_id] = workflow
            self.started[(workflow,)] = at.timestamp()

    def answer(self, status: int | None, seconds: float) -> None:
        """Count a request, and the time until its response came; `None` if none came."""
        with self.lock:
            if status is None:
                self.requests[(_NO_ANSWER,)] += 1
            else:
                _answer(self, status, seconds)

    def cover(self, coverage: Mapping[Labels, GroupCoverage], place: str = "") -> None:
        """Take what a ledger has of each group of series, by the labels of `labels_of`.

        Args:
            coverage: What it has.
            place: Its output, which is another one than those of other coverages.
        """
        with self.lock:
            self.coverages[place] = coverage

    def take_earlier(
        self, coverage: Mapping[Labels, GroupCoverage], objectives: Mapping[Labels, float]
    ) -> None:
        """Take what earlier runs have found out; it holds until a ledger is read.

        Args:
            coverage: What ledgers had of each group of series, by the labels of `labels_of`.
            objectives: The objective of each market and data type.
        """
        with self.lock:
            self.earlier, self.earlier_objectives = coverage, objectives

    def only_of(self, places: Container[str]) -> None:
        """Forget what was known of other outputs."""
        with self.lock:
            kept = {place: each for place, each in self.coverages.items() if place in places}
            self.coverages = kept

    @property
    def coverage(self) -> Mapping[Labels, GroupCoverage]:
        """What all ledgers together have; what earlier runs have found, if none was read.

        A group of several outputs is as new as it is in all of them: the newest day of the one that
        is behind counts.
        """
        found = [*self.coverages.values()] or [self.earlier]
        if len(found) == 1:
            return found[0]
        groups: dict[Labels, GroupCoverage] = {}
        for coverage in found:
            for labels, group in coverage.items():
                groups[labels] = group.beside(groups.get(labels))
        return groups


def _archive(figures: RunFigures, event: ArchiveFinished) -> None:
    series = event.archive.series
    figures.archives[series.market, series.data_type, event.verdict] += 1
    if event.requests:
        _requests(figures, event)
    if event.verdict in SUCCESSES:
        _verified(figures, series, event.archive.period.last_day)


def _requests(figures: RunFigures, event: ArchiveFinished) -> None:
    series = event.archive.series
    figures.archive_bytes[series.market, series.data_type] += event.fetched_bytes
    _add(figures.archive_seconds, (series.market,), event.elapsed_s, _ARCHIVE_S)
    for status, seconds in event.answers:
        _answer(figures, status, seconds)
    if silent := event.requests - len(event.answers):
        figures.requests[(_NO_ANSWER,)] += silent


def _answer(figures: RunFigures, status: int, seconds: float) -> None:
    code = str(status) if 100 <= status <= 599 else _OTHER
    figures.requests[(code,)] += 1
    _add(figures.request_seconds, (), seconds, _REQUEST_S)


def _verified(figures: RunFigures, series: Series, day: date) -> None:
    labels = figures.labels_of(series)
    if (newest := figures.newest.get(labels)) is None or newest < day:
        figures.newest[labels] = day


def _unchanged(figures: RunFigures, event: ArchivesUnchanged) -> None:
    try:
        series, _ = parse_folder(event.folder)
    except ArchiveKeyError:  # an application's own event
        return
    figures.archives[series.market, series.data_type, Verdict.UNCHANGED] += event.count


def _archive_retried(figures: RunFigures, _: ArchiveRetried) -> None:
    figures.retries[("archive",)] += 1


def _listing_retried(figures: RunFigures, _: ListingRetried) -> None:
    figures.retries[("listing",)] += 1


def _warned(figures: RunFigures, _: RunWarned) -> None:
    figures.warnings += 1


def _filled(figures: RunFigures, event: FillFinished) -> None:
    series = event.archive.series
    figures.fills[series.market, series.data_type, event.verdict] += 1
    figures.fill_requests += event.requests
    figures.fill_weight += event.weight
    if event.verdict is FillVerdict.FILLED and not event.known:
        figures.fill_rows[series.market, series.data_type] += event.rows


def _ingested(figures: RunFigures, event: ArchiveIngested) -> None:
    figures.ingested[event.table, event.state] += 1
    figures.lake_rows[(event.table,)] += event.rows


def _committed(figures: RunFigures, event: TableCommitted) -> None:
    figures.lake_commits[(event.table,)] += 1
    if event.scored_rows:
        figures.scored_rows[(event.table,)] += event.scored_rows
        figures.recorded_rows[(event.table,)] += event.recorded_rows


def _checked(figures: RunFigures, event: FileChecked) -> None:
    figures.checked[(event.state,)] += 1


def _recorded(figures: RunFigures, event: RecordingSeen) -> None:
    figures.recorded = event


def _recording_ingested(figures: RunFigures, event: RecordingIngested) -> None:
    figures.live_ingestions["partial" if event.fault else "complete",] += 1
    figures.live_ingested_rows += event.rows


def _started(figures: RunFigures, event: RunStarted) -> None:
    labels = (event.workflow,)
    figures.workflows[event.run_id] = event.workflow
    figures.started[labels] = event.at.timestamp()
    figures.settled_before[labels] = figures.settled
    figures.planned[labels] = event.planned
    if event.size_bytes is not None:
        figures.planned_bytes[labels] = event.size_bytes


def _finished(figures: RunFigures, event: RunFinished) -> None:
    workflow = figures.workflows.pop(event.run_id, "")
    if workflow:  # a run that ends before it has a plan has not begun
        figures.finished[(workflow,)] = event.at.timestamp()
        figures.runs[workflow, event.status] += 1
        if event.status == "complete":
            figures.succeeded[(workflow,)] = event.at.timestamp()


def _add(
    histograms: dict[Labels, Histogram], labels: Labels, value: float, bounds: Sequence[float]
) -> None:
    histogram = histograms.get(labels)
    if histogram is None:
        histogram = histograms[labels] = Histogram(bounds)
    histogram.add(value)


#: What counts each event; others are not counted.
_COUNTED: Mapping[type, Callable[[RunFigures, Any], None]] = {
    ArchiveFinished: _archive,
    ArchivesUnchanged: _unchanged,
    ArchiveRetried: _archive_retried,
    ListingRetried: _listing_retried,
    RunWarned: _warned,
    FillFinished: _filled,
    ArchiveIngested: _ingested,
    TableCommitted: _committed,
    FileChecked: _checked,
    RecordingSeen: _recorded,
    RecordingIngested: _recording_ingested,
    RunStarted: _started,
    RunFinished: _finished,
}
