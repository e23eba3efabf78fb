"""A plan of archives that are named one by one: those that failed, or those to be repaired."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import date
from fnmatch import fnmatchcase
from itertools import groupby

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, Series
from crypto_lakehouse.core.config.values import AUTO, is_glob
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries, PlanTotals
from crypto_lakehouse.matrix.model import Matrix

__all__ = ["ExplicitPlan", "is_selected", "selects_interval", "selects_symbol"]


@frozen
class ExplicitPlan:
    """Exactly these archives, regardless of the calendar.

    Attributes:
        archives: In order, without repeats.
        today: The UTC day on which the plan was made.
        matrix: Gives the publication lag of each archive.
    """

    archives: tuple[Archive, ...]
    today: date
    matrix: Matrix
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @classmethod
    def of(cls, archives: Iterable[Archive], today: date, matrix: Matrix) -> ExplicitPlan:
        """Plan archives in any order."""
        return cls(tuple(sorted(set(archives))), today, matrix)

    def each_series(self) -> Iterator[PlannedSeries]:
        """Every series with its periods."""
        for series, group in groupby(self.archives, key=lambda archive: archive.series):
            row = self.matrix.row(series.market, series.data_type)
            offered = row.partitions if row else {}
            lags = {partition: facts.lag_days for partition, facts in offered.items()}
            yield PlannedSeries(
                series,
                tuple(
                    PlannedPeriod(archive.period, "", lags.get(archive.partition, 0))
                    for archive in group
                ),
            )

    async def series(self) -> AsyncIterator[PlannedSeries]:
        """As `each_series`."""
        for planned in self.each_series():
            yield planned

    def totals(self) -> PlanTotals:
        """The size of the plan."""
        return PlanTotals(archives=len(self.archives), due=len(self.archives))

    def why_empty(self) -> str:
        """Explain a plan without archives; empty for a plan with some."""
        return "" if self.archives else "the ledger has nothing of that kind"


def is_selected(config: WorkflowConfig, archive: Archive, matrix: Matrix | None = None) -> bool:
    """Whether a configuration selects an archive; a criterion that is not configured matches all.

    Args:
        config: The selection.
        archive: One archive.
        matrix: Finds folders whose name is shorter than the configured contract: the index of
            `BTCUSD_PERP` is in `BTCUSD`.
    """
    return (
        selects_symbol(config, archive.series, matrix)
        and selects_interval(config, archive.series)
        and _has_days(config, archive)
        and (config.partitions == AUTO or archive.partition in config.partitions)
    )


def selects_symbol(config: WorkflowConfig, series: Series, matrix: Matrix | None = None) -> bool:
    """Whether a configuration selects the market, the data type and the symbol of a series."""
    return (
        _holds(config.markets, series.market)
        and _holds(config.data_types, series.data_type)
        and _has_symbol(config, series, matrix)
    )


def selects_interval(config: WorkflowConfig, series: Series) -> bool:
    """Whether a configuration selects the interval of a series, if it has one."""
    wanted = config.intervals
    if isinstance(wanted, Mapping):
        wanted = wanted.get(series.data_type)
    return series.interval is None or wanted is None or series.interval in wanted


def _holds(chosen: tuple[object, ...] | None, value: object) -> bool:
    return chosen is None or value in chosen


def _has_symbol(config: WorkflowConfig, series: Series, matrix: Matrix | None) -> bool:
    wanted = config.symbols
    if isinstance(wanted, Mapping):
        wanted = wanted.get(series.market, ())
    row = matrix.row(series.market, series.data_type) if matrix else None
    named = (
        wanted is None
        or series.symbol in wanted
        or any(fnmatchcase(series.symbol, symbol) for symbol in wanted if is_glob(symbol))
        or (row is not None and row.files_under_pair(series.symbol, wanted))
    )
    return named and config.symbol_filter.accepts(series.symbol, series.market)


def _has_days(config: WorkflowConfig, archive: Archive) -> bool:
    if config.date_range is not None:
        start, end = config.date_range.start, config.date_range.end
    elif config.default_date is not None:
        start = end = config.default_date
    else:
        return True
    starts_in_time = end is None or archive.period.first_day <= end
    return starts_in_time and start <= archive.period.last_day
