"""Checks the order of the rows of one response, and merges the rows of several."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from attrs import define, field

from crypto_lakehouse.segments.answers import Answer, Place
from crypto_lakehouse.segments.fill_day import FillDay, Row

__all__ = ["Merging", "in_order"]


def in_order(rows: Iterable[tuple[Place, Row]], day: FillDay) -> Iterator[tuple[Place, Row]]:
    """Yield the rows of a response, each once.

    Raises:
        SegmentError: Keys or times go back, or two rows with one key differ.
    """
    before: Row | None = None
    for place, row in rows:
        if before is not None:
            if row == before:
                continue
            if row.key == before.key:
                place.refuse(f"another row before it has the same {day.key_name}, {row.key}")
            if row.key < before.key:
                place.refuse(f"its {day.key_name}, {row.key}, goes back: {before.key} is before it")
            if row.time < before.time:
                place.refuse(f"its time, {row.time}, goes back: {before.time} is before it")
        before = row
        yield place, row


@define
class Merging:
    """Merges pages that are in order, and may overlap, into rows in order.

    Memory depends on how far pages overlap: what is before a page is passed on.
    """

    day: FillDay
    _held: list[Row] = field(init=False, factory=list)
    _passed: int = field(init=False, default=-1)

    def add(self, answer: Answer, rows: list[Row]) -> Iterator[Row]:
        """Take the rows of the next response, and yield those that none can precede.

        Raises:
            SegmentError: It begins before a response that precedes it, or has a row that differs
                from an earlier one with the same key.
        """
        if not rows:
            return
        first = rows[0].key
        if first <= self._passed:
            answer.refuse(f"its first {self.day.key_name}, {first}, is before an earlier response")
        ready = 0
        while ready < len(self._held) and self._held[ready].key < first:
            ready += 1
        yield from self._pass_on(self._held[:ready])
        self._held = list(self._merged(answer, self._held[ready:], rows))

    def rest(self) -> Iterator[Row]:
        """Yield the rows that are left."""
        yield from self._pass_on(self._held)
        self._held = []

    def _pass_on(self, rows: list[Row]) -> Iterator[Row]:
        yield from rows
        if rows:
            self._passed = rows[-1].key

    def _merged(self, answer: Answer, held: list[Row], rows: list[Row]) -> Iterator[Row]:
        before: Row | None = None
        for row in heapq.merge(held, rows, key=lambda each: each.key):
            if before is not None and row.key == before.key:
                if row.line != before.line:
                    name = self.day.key_name
                    answer.refuse(f"another response has another row with the {name} {row.key}")
                continue
            before = row
            yield row
