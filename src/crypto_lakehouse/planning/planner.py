"""Turn a configuration and a matrix into a lazy stream of archives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, Partition, Series
from crypto_lakehouse.core.config import WorkflowConfig
from crypto_lakehouse.core.plan import PlannedArchive
from crypto_lakehouse.planning.matrix import Matrix, MatrixRow
from crypto_lakehouse.planning.periods import DatedPeriod, Life, Window, cover_days
from crypto_lakehouse.planning.selection import Selection, select

__all__ = ["Plan", "PlannedSeries", "plan_collection"]


@frozen
class PlannedSeries:
    """One series and the periods planned of it, oldest first."""

    series: Series
    periods: tuple[DatedPeriod, ...]

    def archives(self) -> Iterator[PlannedArchive]:
        """The series' part of the plan."""
        series = self.series
        for dated in self.periods:
            archive = Archive(series, dated.period)
            yield PlannedArchive(archive, dated.not_published, dated.lag_days)


@frozen
class Plan:
    """What a run will do; enumerated anew, and in the same order, at each iteration.

    Memory does not grow with the number of archives: only one series' periods exist at a time,
    and series that ask the same question of the calendar share its answer.

    Attributes:
        selection: The series wanted.
        window: The days wanted, as seen today.
    """

    selection: Selection
    window: Window

    def series(self) -> Iterator[PlannedSeries]:
        """Every series with its periods: rows in the matrix's order, then symbols, intervals."""
        for item in self.selection.rows:
            for symbol in item.symbols:
                for interval in item.intervals:
                    lives = _lives(item.row, symbol, interval)
                    periods = cover_days(self.window, lives, item.partitions)
                    if periods:
                        series = Series(item.row.market, item.row.data_type, symbol, interval)
                        yield PlannedSeries(series, periods)

    def __iter__(self) -> Iterator[PlannedArchive]:
        for planned in self.series():
            yield from planned.archives()

    def count(self) -> int:
        """How many archives the plan holds, found without making them."""
        return sum(len(planned.periods) for planned in self.series())

    @property
    def today(self) -> date:
        """The UTC day on which the plan was made."""
        return self.window.today

    def why_empty(self) -> str:
        """Explain a plan without archives; empty for a plan with some."""
        if next(self.series(), None) is not None:
            return ""
        if not self.selection.rows:
            return (
                "no series fits the markets, data types and symbols; see `crypto-lakehouse matrix`"
            )
        return (
            "none of the series is published in the wanted partitions and intervals; "
            "3d, 1w and 1mo klines and fundingRate are monthly only; see `crypto-lakehouse matrix`"
        )


def _lives(row: MatrixRow, symbol: str, interval: str | None) -> dict[Partition, Life]:
    """When the series exists, for each partition that offers its interval."""
    lives = {}
    for partition, facts in row.partitions.items():
        if interval is None or interval in facts.intervals:
            first, last = row.life(symbol, partition)
            lives[partition] = Life(first, last, facts.lag_days, removed=row.state == "removed")
    return lives


def plan_collection(config: WorkflowConfig, matrix: Matrix, today: date | None = None) -> Plan:
    """Make the plan of a collection from the calendar.

    Args:
        config: What to collect; it names its days.
        matrix: What the publisher offers.
        today: The UTC day to plan for; the current one by default.

    Raises:
        ConfigurationError: The matrix does not have what the configuration wants.
    """
    window = _window(config, today or datetime.now(UTC).date())
    return Plan(select(config, matrix), window)


def _window(config: WorkflowConfig, today: date) -> Window:
    if config.date_range is not None:
        return Window(config.date_range.start, config.date_range.end, today)
    day = config.default_date or today
    return Window(day, day, today)
