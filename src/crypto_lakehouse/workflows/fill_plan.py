"""Which days of which series are to be filled from the exchange; nothing is requested."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from typing import Any, Self

from attrs import evolve, field, frozen

from crypto_lakehouse.core.acknowledged import NOTHING_ACKNOWLEDGED, Acknowledged
from crypto_lakehouse.core.archive import Market, Partition, Period, Series
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.coverage.asked_days import AskedDays
from crypto_lakehouse.coverage.coverage import HoleCause, SeriesCoverage, cover_series
from crypto_lakehouse.coverage.records import SeriesRecord
from crypto_lakehouse.ledger.coverage_view import recorded_series
from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.ledger.runs import recorded_runs
from crypto_lakehouse.matrix.known_holes import KnownHoles
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.planning.explicit_plan import selects_interval, selects_symbol
from crypto_lakehouse.planning.selection import select_rows
from crypto_lakehouse.workflows.asked import Asked

__all__ = ["DaySpan", "FillPlan", "FillPlanner", "FillWindow", "SeriesFill", "spans_to_fill"]

_DAY = timedelta(days=1)

#: The exchange has nothing of these days, either.
_NOTHING_THERE = frozenset({HoleCause.RETIRED, HoleCause.OUTSIDE_LIFE})


@frozen(kw_only=True)
class FillWindow:
    """The days that a fill looks at.

    Attributes:
        start: The first UTC day that the selection names; None if it names none.
        end: The last UTC day, inclusive.
        until: The last one that the selection could name; `end` by default.
        only_holes: Whether the days after the archive's newest are left out.
    """

    start: date | None = None
    end: date
    until: date | None = None
    only_holes: bool = False

    @classmethod
    def of(cls, config: WorkflowConfig, until: date, *, only_holes: bool) -> Self:
        """Return the window of a configuration, whose days bound it, up to a day."""
        start, end = None, until
        if config.date_range is not None:
            start = config.date_range.start
            end = min(until, config.date_range.end or until)
        elif config.default_date is not None:
            start = config.default_date
            end = min(until, start)
        return cls(start=start, end=end, until=until, only_holes=only_holes)

    def in_whole_months(self) -> Self:
        """Return the window of a series that the archive has by the month only.

        A collection takes each month that shares a day with the selection, and so does a fill.
        """
        if self.start is None or self.start > self.end:
            return self
        last_day = min(Period.month(self.end).last_day, self.until or self.end)
        return evolve(self, start=Period.month(self.start).first_day, end=last_day)


@frozen
class DaySpan:
    """Consecutive UTC days that the archive lacks for the same cause, both ends inclusive."""

    first: date
    last: date
    cause: HoleCause

    @property
    def count(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1

    def days(self) -> Iterator[date]:
        """Yield each day, oldest first."""
        return (self.first + number * _DAY for number in range(self.count))


@frozen
class SeriesFill:
    """The days of one series, oldest first."""

    series: Series
    spans: tuple[DaySpan, ...]

    @property
    def count(self) -> int:
        """How many days."""
        return sum(span.count for span in self.spans)

    def days(self) -> Iterator[date]:
        """Yield each day, oldest first."""
        for span in self.spans:
            yield from span.days()


@frozen(kw_only=True)
class FillPlan:
    """Everything that a fill asks for, or has been asked for before.

    Attributes:
        series: Each series that has days to fill.
        refused: Selected series that the exchange does not give, counted by reason.
    """

    series: tuple[SeriesFill, ...] = ()
    refused: dict[str, int] = field(factory=dict)

    @property
    def count(self) -> int:
        """How many days of series."""
        return sum(each.count for each in self.series)

    @property
    def markets(self) -> tuple[Market, ...]:
        """The markets that are asked."""
        return tuple(dict.fromkeys(each.series.market for each in self.series))

    def of_market(self, market: Market) -> tuple[SeriesFill, ...]:
        """Return the series of one market."""
        return tuple(each for each in self.series if each.series.market is market)


def spans_to_fill(
    coverage: SeriesCoverage, asked: AskedDays | None, window: FillWindow
) -> Iterator[DaySpan]:
    """Yield the holes of a series that are to be filled, oldest first.

    Those are all holes but the ones outside the life of the series. A day that no run was asked for
    is filled if it is after all that were collected or asked for: what lies between is not wanted.

    Args:
        coverage: The coverage of the series up to the window's end.
        asked: What runs were asked for; None if all days of the window are wanted.
        window: The days.
    """
    newest = coverage.last_day or date.min
    wanted_to = max([newest, *(last for _, last in asked.spans)] if asked else [newest])
    last_day = newest if window.only_holes else window.end
    for hole in coverage.holes:
        first, last = hole.first_day, min(hole.last_day, last_day)
        if hole.cause in _NOTHING_THERE:
            continue
        if hole.cause is HoleCause.NOT_ASKED:
            if wanted_to >= last:
                continue
            first = max(first, wanted_to + _DAY)
        if first <= last:
            yield DaySpan(first, last, hole.cause)


@frozen(kw_only=True)
class FillPlanner:
    """Plans a fill from what a ledger knows.

    Attributes:
        config: Selects the series.
        matrix: Says which series exist, and since when.
        holes: The known holes of the publisher.
        ledger: The ledger; it need not exist.
        acknowledged: The archives that the user knows to be missing or damaged.
        why_not: Returns why a series cannot be filled; empty if it can.
    """

    config: WorkflowConfig
    matrix: Matrix
    holes: KnownHoles
    ledger: LedgerPlace
    acknowledged: Acknowledged = NOTHING_ACKNOWLEDGED
    why_not: Callable[[Series], str]

    def plan(self, window: FillWindow, today: date) -> FillPlan:
        """Plan the days of a window; blocking.

        Args:
            window: The days.
            today: The UTC day from which late archives are distinguished from missing ones.

        Raises:
            ConfigurationError: The matrix does not have what is selected.
            LedgerError: The ledger cannot be read.
        """
        found: list[SeriesFill] = []
        refused: dict[str, int] = {}
        for record, asked in self._records(window, today):
            if reason := self.why_not(record.series):
                refused[reason] = refused.get(reason, 0) + 1
                continue
            spans = tuple(self._spans(record, asked, window, today))
            if spans:
                found.append(SeriesFill(record.series, spans))
        return FillPlan(series=tuple(found), refused=refused)

    def _records(
        self, window: FillWindow, today: date
    ) -> Iterator[tuple[SeriesRecord, AskedDays | None]]:
        """Yield what is known of each selected series, and what runs were asked for of it."""
        named = list(self._named()) if window.start is not None else []
        if not self.ledger.exists():
            yield from ((SeriesRecord(series, {}), None) for series in named)
            return
        asked = Asked.of(recorded_runs(self.ledger), self.matrix)
        counts_asked = asked.is_recorded and window.start is None
        more = [*asked.series(today), *named]
        for record in recorded_series(
            self.ledger,
            self._selects,
            start=window.start,
            end=window.end if window.start is not None else None,
            more=more,
            acknowledged=self.acknowledged,
        ):
            yield record, asked.days(record.series) if counts_asked else None

    def _selects(self, series: Series) -> bool:
        return selects_symbol(self.config, series, self.matrix) and selects_interval(
            self.config, series
        )

    def _named(self) -> Iterator[Series]:
        """Yield the series that are named exactly, so that they need not be in the ledger."""
        for item in select_rows(self.config, self.matrix).rows:
            for symbol in item.symbols:
                if is_glob(symbol):
                    continue
                for interval in item.intervals:
                    yield Series(item.row.market, item.row.data_type, symbol, interval)

    def _spans(
        self, record: SeriesRecord, asked: AskedDays | None, window: FillWindow, today: date
    ) -> Iterable[DaySpan]:
        row = self.matrix.row(record.series.market, record.series.data_type)
        if row is not None and row.has_only_months(record.series.interval):
            window = window.in_whole_months()
        start = window.start
        if start is None and asked is not None and asked.spans and not _is_settled(record):
            # Nothing of it is published yet: it begins where it was asked for.
            start = asked.spans[0][0] if asked.spans[0][0] > date.min else None
        coverage = cover_series(
            evolve(record, asked=asked),
            row,
            self.holes,
            today,
            start=start,
            end=window.end,
        )
        return () if coverage is None else spans_to_fill(coverage, asked, window)


def _is_settled(record: SeriesRecord) -> bool:
    folders: dict[Partition, Any] = dict(record.folders)
    return any(folder.runs for folder in folders.values())
