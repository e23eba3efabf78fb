"""The state of each day of a window."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from attrs import define, field

from crypto_lakehouse.coverage.hole_causes import HoleCause

__all__ = ["DayMarks", "Mark"]

Mark = tuple[HoleCause | None, str]
"""The state of a day: the cause of its hole, None if it is covered, and the reason."""

_NOT_COLLECTED: Mark = (HoleCause.NOT_COLLECTED, "no run has settled it")


@define
class DayMarks:
    """The states of the days of a window; a later mark replaces an earlier one.

    Args:
        first, last: The window, as ordinals, both inclusive.
    """

    first: int
    last: int
    _marks: list[Mark] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._marks = [_NOT_COLLECTED] * (self.last - self.first + 1)

    def paint(self, first: int, last: int, mark: Mark) -> None:
        """Mark the days from `first` to `last` that are in the window."""
        begin, end = max(first, self.first), min(last, self.last)
        if begin <= end:
            begin, end = begin - self.first, end - self.first + 1
            self._marks[begin:end] = [mark] * (end - begin)

    def runs(self) -> Iterator[tuple[int, int, list[Mark]]]:
        """The first day, last day and marks of each run of days with the same cause."""
        day = self.first
        for _, group in groupby(self._marks, key=itemgetter(0)):
            marks = list(group)
            yield day, day + len(marks) - 1, marks
            day += len(marks)
