"""The diffs of one recorded book: brought into order, and proven by their update ids."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from attrs import define, field, frozen

from crypto_lakehouse.live.books import Book, BookStep
from crypto_lakehouse.live.chain import Chain

__all__ = ["BookBreak", "DepthFollower"]


@frozen
class BookBreak:
    """A book ended, because a diff is missing or damaged.

    Attributes:
        update_id: The id of the last update in the book; None if it had not begun.
        first, last: The ids of the diff; it is the one behind those that are missing.
        is_damaged: Whether this diff itself cannot be used.
        cause: Why.
    """

    update_id: int | None
    first: int
    last: int
    is_damaged: bool
    cause: str


@define
class DepthFollower:
    """Follows the diffs of a book, of which some come twice, late or never.

    Attributes:
        book: The book.
        chain: The ids of the diffs.
        breaks: How the book broke; the caller empties it.
    """

    book: Book
    chain: Chain = field(factory=Chain)
    breaks: list[BookBreak] = field(init=False, factory=list)
    _late: list[tuple[int, int, int, Mapping[str, Any]]] = field(
        init=False, factory=list, repr=False
    )
    _numbers: count[int] = field(init=False, factory=count, repr=False)
    _restarts: int = field(init=False, default=0)

    def take(self, before: int, last: int, value: Mapping[str, Any], now: float) -> None:
        """Take a diff.

        Args:
            before: The id behind which it has every change.
            last: Its last id.
            value: The event.
            now: The time, in seconds.
        """
        if not self.chain.take(before, last, now):
            return
        if not self._late and last <= self.chain.last:
            self._apply(before, last, value)
            return
        heappush(self._late, (before, last, next(self._numbers), value))
        self.release()

    def release(self) -> None:
        """Take the diffs that came early, as far as the chain has gone on; begin again with it."""
        if self.chain.restarts != self._restarts:
            self._begin_again()
        if self._late and not self.chain.is_waiting:
            self._late = [each for each in self._late if each[1] <= self.chain.last]
            heapify(self._late)  # what is left out has a wrong id
        while self._late and self._late[0][0] < self.chain.last:
            before, last, _, value = heappop(self._late)
            self._apply(before, last, value)

    def _begin_again(self) -> None:
        """Break the book, as the ids of its diffs begin again."""
        update_id, last = self.book.update_id, self.chain.last
        self._restarts = self.chain.restarts
        self._late.clear()
        self.book.lost("the ids of its changes begin again")
        self.breaks.append(BookBreak(update_id, last + 1, last, False, self.book.broken_by))

    def _apply(self, before: int, last: int, value: Mapping[str, Any]) -> None:
        update_id = self.book.update_id
        if self.book.diff(value) is BookStep.BROKEN:
            waiting = self.book.waiting
            is_damaged = waiting is None
            cause = self.book.broken_by
            self.breaks.append(BookBreak(update_id, before + 1, last, is_damaged, cause))
