"""The figures of a page, from the same coverage that `status` sums up; blocking."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import count

from attrs import define, field

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.data_types import DataType
from crypto_lakehouse.coverage.coverage import SeriesCoverage
from crypto_lakehouse.ledger.runs import TimedRun, timed_runs
from crypto_lakehouse.pages.calendar import MOST_DAYS, Cell, Strip, day_strip, month_strip
from crypto_lakehouse.pages.figures import (
    CoverageFigures,
    GroupFigures,
    OriginFigures,
    PageFigures,
    RunFigure,
    SeriesFigures,
)
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.freshness import Allowed, stale_groups
from crypto_lakehouse.workflows.series_origins import Recording, SeriesOrigins
from crypto_lakehouse.workflows.status import ASKED, CoverageStatus, StatusTotals
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at

__all__ = ["MOST_RUNS", "MOST_SERIES", "CoverageFold", "origin_figures", "page_figures"]

#: How many series of a page have a strip of their own, the least complete first.
MOST_SERIES = 1200

#: How many runs a page shows.
MOST_RUNS = 12

_OF = {True: "what runs were asked for", False: "what the publisher has"}


@define
class _Calendar:
    """The months or the days of a group, by number."""

    cells: dict[int, Cell] = field(factory=lambda: defaultdict(Cell))

    def add(self, strip: Strip) -> None:
        """Add the cells of a series."""
        for number, cell in enumerate(strip, strip.first):
            own = self.cells[number]
            own.verified += cell.verified
            own.expected += cell.expected
            if cell.holes:
                own.holes.update(cell.holes)


@define
class _Group:
    totals: StatusTotals = field(factory=StatusTotals)
    lag_days: int = 0
    complete: int = 0
    months: _Calendar = field(factory=_Calendar)
    days: _Calendar = field(factory=_Calendar)


@define
class _Kept:
    """A series that may get a strip of its own."""

    coverage: SeriesCoverage
    months: Strip
    days: Strip | None

    def figures(self, *, by_days: bool) -> SeriesFigures:
        coverage, strip = self.coverage, self.days if by_days else self.months
        assert strip is not None  # noqa: S101 - by days only if all have them
        series = coverage.series
        return SeriesFigures(
            name=f"{series.symbol} {series.interval}" if series.interval else series.symbol,
            verified_days=coverage.verified_days,
            expected_days=coverage.expected_days,
            newest=coverage.last_day,
            holes=coverage.days_by_cause(),
            strip=strip,
        )


@define
class CoverageFold:
    """Sums up series as they are read; memory grows with them by a few bytes a month.

    Args:
        most_series: How many get a strip of their own.
    """

    most_series: int = MOST_SERIES
    totals: StatusTotals = field(factory=StatusTotals)
    _groups: dict[tuple[str, str], _Group] = field(init=False, factory=dict)
    _kept: list[tuple[float, int, int, _Kept]] = field(init=False, factory=list)
    _number: Iterator[int] = field(init=False, factory=count)
    _by_days: bool = field(init=False, default=True)

    def add(self, coverage: SeriesCoverage) -> None:
        """Add one series."""
        self.totals.add(coverage)
        series = coverage.series
        group = self._groups.setdefault((series.market, series.data_type), _Group())
        group.totals.add(coverage)
        group.lag_days = max(group.lag_days, coverage.lag_days)
        group.complete += coverage.ratio == 1
        months, days = month_strip(coverage), day_strip(coverage)
        if months is None:
            return
        group.months.add(months)
        self._by_days &= days is not None
        if days is not None and self._by_days:
            group.days.add(days)
        # The most complete one is the first to go; of equals the last one.
        order = (-coverage.ratio, -next(self._number))
        heapq.heappush(self._kept, (order[0], order[1], 0, _Kept(coverage, months, days)))
        if len(self._kept) > self.most_series:
            heapq.heappop(self._kept)

    def figures(self, now: datetime) -> tuple[bool, tuple[int, int] | None, list[GroupFigures]]:
        """Return whether strips have days, their span, and the groups.

        Args:
            now: The time, aware.
        """
        by_days = self._by_days and self._is_short()
        kept: dict[tuple[str, str], list[SeriesFigures]] = defaultdict(list)
        for *_, each in sorted(self._kept, key=lambda item: item[:2], reverse=True):
            series = each.coverage.series
            kept[series.market, series.data_type].append(each.figures(by_days=by_days))
        groups = [
            _group_figures(key, group, kept[key], now, by_days=by_days)
            for key, group in self._groups.items()
        ]
        numbers = [number for group in groups for number in group.cells]
        return by_days, (min(numbers), max(numbers)) if numbers else None, groups

    def _is_short(self) -> bool:
        numbers = [number for group in self._groups.values() for number in group.days.cells]
        return not numbers or max(numbers) - min(numbers) < MOST_DAYS


def _group_figures(
    key: tuple[str, str],
    group: _Group,
    series: Sequence[SeriesFigures],
    now: datetime,
    *,
    by_days: bool,
) -> GroupFigures:
    newest = next(iter(group.totals.newest.values()))
    whole = sum(each.verified_days == each.expected_days for each in series)
    return GroupFigures(
        market=key[0],
        data_type=key[1],
        coverage=coverage_figures(group.totals),
        newest=newest,
        age_s=None if newest is None else _age_s(newest, now),
        lag_days=group.lag_days,
        cells=(group.days if by_days else group.months).cells,
        series=series,
        left_out=(group.totals.series - len(series), group.complete - whole),
    )


def _age_s(day: date, now: datetime) -> float:
    return (now - datetime.combine(day + timedelta(days=1), time(), UTC)).total_seconds()


def coverage_figures(totals: StatusTotals) -> CoverageFigures:
    """Return the figures of a sum over series."""
    return CoverageFigures(
        series=totals.series,
        verified_days=totals.verified_days,
        expected_days=totals.expected_days,
        size_bytes=totals.size_bytes,
        holes=totals.holes,
        open_holes=totals.open_holes,
        verdicts=totals.verdicts,
    )


def page_figures(
    status: CoverageStatus,
    output: Output,
    fold: CoverageFold,
    now: datetime,
    *,
    place: str,
    objectives: Mapping[str, float] | None,
) -> PageFigures:
    """Return what the ledger has for a page; blocking.

    Args:
        status: The coverage, which is read here into `fold`.
        output: Where the ledger is.
        fold: Empty.
        now: The time, aware.
        place: What the page calls the output.
        objectives: How old the newest days may be, as the key `freshness` has it.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    for coverage in status:
        fold.add(coverage)
    by_days, span, groups = fold.figures(now)
    allowed = Allowed(objectives=objectives or {}, selects=status.selects_type)
    return PageFigures(
        place=place,
        at=now,
        of=_OF[status.of == ASKED],
        by_days=by_days,
        span=span,
        total=coverage_figures(fold.totals) if status.has_ledger else None,
        groups=groups,
        stale=[*map(str, stale_groups(fold.totals.newest, allowed, now))],
        runs=[*map(_run_figure, timed_runs(ledger_at(output), MOST_RUNS))]
        if status.has_ledger
        else (),
    )


def _run_figure(run: TimedRun) -> RunFigure:
    return RunFigure(
        workflow=run.workflow,
        status=run.status,
        planned=run.planned,
        started_at=run.started_at.astimezone(UTC),
        seconds=run.seconds,
    )


def origin_figures(
    origins: Iterable[SeriesOrigins], recordings: Iterable[Recording]
) -> list[OriginFigures]:
    """Sum up where rows come from, by market and data type."""
    by_group: dict[tuple[str, str], list[SeriesOrigins]] = defaultdict(list)
    for each in origins:
        by_group[each.series.market, each.series.data_type].append(each)
    segments: dict[tuple[str, str], int] = {
        (each.market, each.data_type): each.segments for each in recordings
    }
    return [
        _origin(key, by_group.get(key, []), segments.get(key, 0))
        for key in sorted({*by_group, *segments}, key=_place)
    ]


def _place(key: tuple[str, str]) -> tuple[int, int]:
    return list(Market).index(Market(key[0])), list(DataType).index(DataType(key[1]))


def _origin(key: tuple[str, str], series: Sequence[SeriesOrigins], segments: int) -> OriginFigures:
    spans: dict[str, tuple[date, date] | None] = {}
    for name in ("archive", "fill", "live"):
        found = [span for each in series if (span := getattr(each, name)) is not None]
        ends = [span.first for span in found], [span.last for span in found]
        spans[name] = (min(ends[0]), max(ends[1])) if found else None
    scores = [score for each in series for score in each.scores]
    rows = sum(score.archive_rows for score in scores)
    lacking = sum(score.missing + score.differing for score in scores)
    return OriginFigures(
        market=key[0],
        data_type=key[1],
        archive=spans["archive"],
        fill=spans["fill"],
        live=spans["live"],
        segments=segments,
        score=(rows - lacking) / rows if rows else None,
    )
