"""Summarises the coverage of a series by month, for calendars; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date

from attrs import frozen

from crypto_lakehouse.core.archive import Period
from crypto_lakehouse.coverage.coverage import UNEXPECTED, HoleCause, SeriesCoverage
from crypto_lakehouse.planning.periods import Window

__all__ = ["MonthCoverage", "months_of"]


@frozen(kw_only=True)
class MonthCoverage:
    """The days of one month that were examined.

    Attributes:
        first_day: The first day of the month.
        verified_days: How many of those days are verified.
        expected_days: How many of them the source should have.
        holes: The other ones, by cause.
    """

    first_day: date
    verified_days: int
    expected_days: int
    holes: Counter[HoleCause]

    @property
    def ratio(self) -> float:
        """The verified part of what is expected, 0 to 1; 1 if nothing is expected."""
        return self.verified_days / self.expected_days if self.expected_days else 1.0

    @property
    def worst(self) -> HoleCause | None:
        """The most important cause of holes, None if there are no holes."""
        return min(self.holes, key=_RANKS.index, default=None)

    def causes(self) -> list[HoleCause]:
        """The causes of holes, those of the most days first."""
        return sorted(self.holes, key=lambda cause: (-self.holes[cause], _RANKS.index(cause)))


_RANKS = tuple(HoleCause)


def months_of(coverage: SeriesCoverage) -> Iterator[MonthCoverage]:
    """Cut a series' coverage into months, oldest first; none if no day was examined."""
    if coverage.start is None or coverage.end is None:
        return
    causes = _by_month(coverage)
    for month in Window(coverage.start, coverage.end, coverage.end).months():
        first = max(month.first_day, coverage.start)
        last = min(month.last_day, coverage.end)
        days = (last - first).days + 1
        holes = causes.get(month.first_day, Counter())
        yield MonthCoverage(
            first_day=month.first_day,
            verified_days=days - holes.total(),
            expected_days=days - sum(holes[cause] for cause in UNEXPECTED),
            holes=holes,
        )


def _by_month(coverage: SeriesCoverage) -> dict[date, Counter[HoleCause]]:
    causes: dict[date, Counter[HoleCause]] = {}
    for hole in coverage.holes:
        # As numbers, because `date.max` has no next day.
        day, end = hole.first_day.toordinal(), hole.last_day.toordinal()
        while day <= end:
            month = Period.month(date.fromordinal(day))
            last = min(month.last_day.toordinal(), end)
            counts = causes.setdefault(month.first_day, Counter())
            counts[hole.cause] += last - day + 1
            day = last + 1
    return causes
