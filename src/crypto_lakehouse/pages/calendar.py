"""Cuts the coverage of series into months, or into days if all of them are few; pure.

A month is numbered from year 0, a day by its ordinal. The strip of a series has one cell for each
month or day that was examined, a few bytes each, so that thousands of series fit into memory.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from datetime import date

from attrs import define, field

from crypto_lakehouse.coverage.coverage import SeriesCoverage
from crypto_lakehouse.coverage.hole_causes import UNEXPECTED, HoleCause
from crypto_lakehouse.coverage.months import months_of

__all__ = ["CAUSES", "MOST_DAYS", "Cell", "Strip", "day_strip", "month_number", "month_strip"]

#: The causes of holes, by their numbers in a cell.
CAUSES = tuple(HoleCause)

#: A calendar of no more days than this is one of days.
MOST_DAYS = 92

_NO_CAUSE = -1


@define
class Cell:
    """A month or a day, of one series or of several.

    Attributes:
        verified: How many days are verified.
        expected: How many the source should have.
        holes: The days that it should have and that are not verified, by cause.
    """

    verified: int = 0
    expected: int = 0
    holes: Counter[HoleCause] = field(factory=Counter)

    @property
    def cause(self) -> HoleCause | None:
        """The cause of most of the holes, None if there is none; of equals the most important."""
        return min(self.holes, key=lambda cause: (-self.holes[cause], CAUSES.index(cause)),
                   default=None)  # fmt: skip


@define
class Strip:
    """Cells that follow each other.

    Attributes:
        first: The number of the first month or day.
    """

    first: int
    _verified: array[int] = field(init=False, factory=lambda: array("i"))
    _expected: array[int] = field(init=False, factory=lambda: array("i"))
    _causes: array[int] = field(init=False, factory=lambda: array("b"))

    def append(self, cell: Cell) -> None:
        """Add the next month or day."""
        cause = cell.cause
        self._verified.append(cell.verified)
        self._expected.append(cell.expected)
        self._causes.append(_NO_CAUSE if cause is None else CAUSES.index(cause))

    def __len__(self) -> int:
        return len(self._causes)

    def __iter__(self) -> Iterator[Cell]:
        """Yield the cells; of the holes of one, all have the cause of most."""
        for verified, expected, cause in zip(
            self._verified, self._expected, self._causes, strict=True
        ):
            holes = (
                Counter() if cause == _NO_CAUSE else Counter({CAUSES[cause]: expected - verified})
            )
            yield Cell(verified, expected, holes)


def month_number(day: date) -> int:
    """Number the month of a day, from year 0."""
    return 12 * day.year + day.month - 1


def month_strip(coverage: SeriesCoverage) -> Strip | None:
    """Return the months of a series, None if no day was examined."""
    if coverage.start is None:
        return None
    strip = Strip(month_number(coverage.start))
    for month in months_of(coverage):
        due = Counter(
            {cause: days for cause, days in month.holes.items() if cause not in UNEXPECTED}
        )
        strip.append(Cell(month.verified_days, month.expected_days, due))
    return strip


def day_strip(coverage: SeriesCoverage) -> Strip | None:
    """Return the days of a series; None if no day was examined, or more than `MOST_DAYS`."""
    if coverage.start is None or coverage.end is None:
        return None
    first, last = coverage.start.toordinal(), coverage.end.toordinal()
    if last - first >= MOST_DAYS:
        return None
    cells = [Cell(1, 1) for _ in range(first, last + 1)]
    for hole in coverage.holes:
        begin = hole.first_day.toordinal() - first
        for place in range(begin, begin + hole.days):
            is_due = hole.cause not in UNEXPECTED
            cells[place] = Cell(0, 1, Counter({hole.cause: 1})) if is_due else Cell()
    strip = Strip(first)
    for cell in cells:
        strip.append(cell)
    return strip
