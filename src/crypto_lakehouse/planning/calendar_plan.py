"""Turn a configuration and a matrix into a lazy stream of archives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from attrs import frozen

from crypto_lakehouse.core.archive import Partition, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import Problem, SelectionError
from crypto_lakehouse.core.plan import PlannedArchive, PlannedPeriod, PlannedSeries, PlanTotals
from crypto_lakehouse.matrix.model import Matrix, MatrixRow
from crypto_lakehouse.planning.periods import Life, Window, cover_days
from crypto_lakehouse.planning.selection import Selection, select, unfiltered_symbols
from crypto_lakehouse.planning.selection_faults import filter_problems
from crypto_lakehouse.planning.undue import UndueSymbols

__all__ = ["CalendarPlan", "plan_collection", "series_lives", "window_of"]


@frozen
class CalendarPlan:
    """A plan made from the calendar, without a request to the source.

    Memory does not grow with the number of archives: only the periods of one series exist at a
    time, and series with the same lives share their periods.

    Attributes:
        selection: The selected series.
        window: The selected days, and today.
        named: The symbols that are configured by name.
    """

    selection: Selection
    window: Window
    named: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def today(self) -> date:
        """The UTC day on which the plan was made."""
        return self.window.today

    @property
    def notes(self) -> tuple[str, ...]:
        """What was selected and left out of the plan, a sentence each; these are not errors."""
        return self.selection.notes

    def each_series(self) -> Iterator[PlannedSeries]:
        """Every series with its periods: rows in the matrix's order, then symbols, intervals."""
        for item in self.selection.rows:
            for symbol in item.symbols:
                for interval in item.intervals:
                    lives = series_lives(item.row, symbol, interval)
                    periods = cover_days(self.window, lives, item.partitions)
                    if periods:
                        series = Series(item.row.market, item.row.data_type, symbol, interval)
                        yield PlannedSeries(series, periods)

    async def series(self) -> AsyncIterator[PlannedSeries]:
        """As `each_series`."""
        for planned in self.each_series():
            yield planned

    def __iter__(self) -> Iterator[PlannedArchive]:
        for planned in self.each_series():
            yield from planned.archives()

    def count(self) -> int:
        """Count the archives of the plan without making them."""
        return sum(len(planned.periods) for planned in self.each_series())

    def totals(self) -> PlanTotals:
        """The size of the plan, without making the archives."""
        archives = due = 0
        undue = UndueSymbols(self.named)
        answers: dict[int, tuple[Sequence[PlannedPeriod], int]] = {}  # few, shared by many series
        for planned in self.each_series():
            periods = planned.periods
            if id(periods) not in answers:
                answers[id(periods)] = periods, sum(not item.not_published for item in periods)
            archives += len(periods)
            due += answers[id(periods)][1]
            undue.add(planned, answers[id(periods)][1])
        return PlanTotals(archives=archives, due=due, notes=undue.notes())

    def why_empty(self) -> str:
        """Explain a plan without archives; empty for a plan with some."""
        if next(self.each_series(), None) is not None:
            return ""
        if not self.selection.rows:
            return (
                "no series fits the markets, data types and symbols; see `crypto-lakehouse matrix`"
            )
        return (
            "none of the series is published in the wanted partitions and intervals; "
            "3d, 1w and 1mo klines and fundingRate are monthly only; see `crypto-lakehouse matrix`"
        )


def series_lives(row: MatrixRow, symbol: str, interval: str | None) -> dict[Partition, Life]:
    """When the series exists, for each partition that offers its interval."""
    lives = {}
    for partition, facts in row.partitions.items():
        if not row.lacks(symbol, partition) and interval in (facts.intervals or (None,)):
            first, last = row.life(symbol, partition)
            lives[partition] = Life(first, last, facts.lag_days, removed=row.state == "removed")
    return lives


def plan_collection(
    config: WorkflowConfig, matrix: Matrix, today: date | None = None
) -> CalendarPlan:
    """Make the plan of a collection from the calendar.

    Args:
        config: What to collect; it names its days.
        matrix: What the publisher offers.
        today: The UTC day to plan for; the current one by default.

    Raises:
        ConfigurationError: The matrix does not have what the configuration selects.
        SelectionError: Nothing fits the selection.
    """
    window = window_of(config, today or datetime.now(UTC).date())
    plan = CalendarPlan(select(config, matrix), window, config.all_symbols)
    if why := plan.why_empty():
        if plan.selection.rows:
            raise SelectionError([Problem("$.partitions", why)])
        filtered = unfiltered_symbols(config, matrix) if not config.symbol_filter.is_open else ()
        problems = filter_problems(config.symbol_filter, filtered) if filtered else ()
        raise SelectionError([*problems] or [Problem("$.symbols", why)])
    return plan


def window_of(config: WorkflowConfig, today: date) -> Window:
    """The days that a configuration names, else today; an open end is yesterday."""
    if config.date_range is not None:
        start, end = config.date_range.start, config.date_range.end
        return Window(start, end or max(start, today - timedelta(days=1)), today)
    day = config.default_date or today
    return Window(day, day, today)
