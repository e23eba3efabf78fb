"""The days of a series that runs were asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date

from attrs import frozen

from crypto_lakehouse.core.archive import Partition

__all__ = ["AskedDays"]


@frozen
class AskedDays:
    """What runs were asked for of one series.

    Attributes:
        spans: First and last UTC day of each span, both inclusive; in order, with days between
            them. `date.min` and `date.max` stand for a span without that end.
        partitions: In which partitions; of several runs, in those of any.
    """

    spans: tuple[tuple[date, date], ...] = ()
    partitions: frozenset[Partition] = frozenset()

    @classmethod
    def of(cls, spans: Iterable[tuple[date, date]], partitions: Collection[Partition]) -> AskedDays:
        """Merge spans that touch or overlap.

        Examples:
            >>> year = date(2024, 1, 1), date(2024, 12, 31)
            >>> AskedDays.of([(date(2025, 1, 1), date(2025, 1, 31)), year], []).spans
            ((datetime.date(2024, 1, 1), datetime.date(2025, 1, 31)),)
        """
        merged: list[tuple[date, date]] = []
        for first, last in sorted(spans):
            if merged and first.toordinal() <= merged[-1][1].toordinal() + 1:
                merged[-1] = merged[-1][0], max(merged[-1][1], last)
            else:
                merged.append((first, last))
        return cls(tuple(merged), frozenset(partitions))

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Yield the first and last day of each span that no run was asked for, as ordinals."""
        first = date.min.toordinal()
        for start, end in self.spans:
            yield first, start.toordinal() - 1
            first = end.toordinal() + 1
        yield first, date.max.toordinal()
