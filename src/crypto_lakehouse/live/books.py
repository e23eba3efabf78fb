"""An order book that is proven by its update ids: begun with a snapshot, and changed by diffs.

Each diff names the ids of its first and last update, and on futures the last id of the one before.
It has the quantities of all levels that changed behind an id: the one before its first, on futures
the one that it names. A book that is at this id or behind it, and not yet at the diff's last one,
can take it: as quantities are absolute, it does no harm if some of the changes are in the book.

A book stands on a snapshot, and takes the diffs that follow it without a gap. If one does not
follow, is damaged or is of another symbol, the book is broken: it has no levels until another
snapshot meets the diffs that came since. It is never wrong and plausible.

Source: Binance's documentation, "How to manage a local order book correctly", of spot and futures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Market

__all__ = ["MOST_HELD", "Book", "BookStep", "check_snapshot"]

#: So many diffs wait for a snapshot; of more, the newest.
MOST_HELD = 10_000

_DECIMAL = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?", re.ASCII)


class BookStep(StrEnum):
    """What became of a snapshot or a diff."""

    APPLIED = "applied"
    """The levels are those after it."""

    HELD = "held"
    """It waits for a snapshot."""

    OLD = "old"
    """The book, or what waits, is newer. If the book has no levels, another snapshot is needed."""

    BROKEN = "broken"
    """It does not follow, or is damaged; `Book.broken_by` says why. A snapshot is needed."""


class _Damaged(ValueError):
    """A snapshot or a diff cannot be read."""


_Levels = dict[Decimal, Decimal]


@frozen
class _Diff:
    """A diff has every change behind one id, up to another."""

    before: int
    last_id: int
    bids: _Levels
    asks: _Levels


@define
class Book:
    """The order book of a symbol.

    Attributes:
        market: The market; futures have other rules than spot.
        symbol: The symbol, in upper case.
        keeps_levels: Whether it has levels; without them it only proves that there could be some,
            in little memory.
        update_id: The id of the last update in the levels; None while there are none.
        broken_by: Why the last book broke; empty if none has.
        breaks: How often one broke.
    """

    market: Market
    symbol: str
    keeps_levels: bool = True
    update_id: int | None = field(init=False, default=None)
    broken_by: str = field(init=False, default="")
    breaks: int = field(init=False, default=0)
    _bids: _Levels = field(init=False, factory=dict, repr=False)
    _asks: _Levels = field(init=False, factory=dict, repr=False)
    _lowest: Decimal | None = field(init=False, default=None)
    _highest: Decimal | None = field(init=False, default=None)
    _held: list[_Diff] = field(init=False, factory=list, repr=False)

    @property
    def is_proven(self) -> bool:
        """Whether it has the levels of `update_id`."""
        return self.update_id is not None

    @property
    def waiting(self) -> tuple[int, int] | None:
        """The range of the update ids that wait for a snapshot; None if no diff does."""
        return (self._held[0].before + 1, self._held[-1].last_id) if self._held else None

    def bids(self) -> list[tuple[Decimal, Decimal]]:
        """Price and quantity of the known bids, best first; empty if the book is not proven.

        What is below the lowest price of a snapshot that was cut off is not known, and left out.
        """
        lowest = self._lowest
        known = (each for each in self._bids.items() if lowest is None or each[0] >= lowest)
        return sorted(known, reverse=True)

    def asks(self) -> list[tuple[Decimal, Decimal]]:
        """As `bids`, for the other side."""
        highest = self._highest
        known = (each for each in self._asks.items() if highest is None or each[0] <= highest)
        return sorted(known)

    def snapshot(self, value: Mapping[str, Any], *, limit: int) -> BookStep:
        """Begin with a response of the endpoint `depth`, and take the diffs that wait.

        Args:
            value: The response.
            limit: How many levels of a side were asked for: a side that has so many is cut off.

        Returns:
            `APPLIED`; `OLD` if the diffs that wait begin later, or the book is as new; `BROKEN` if
            it is damaged, which changes no levels.
        """
        try:
            last_id = _id(value, "lastUpdateId")
            bids, asks = _levels(value, "bids"), _levels(value, "asks")
        except _Damaged as error:
            self._note(f"a snapshot: {error}")
            return BookStep.BROKEN
        if self.update_id is not None and last_id <= self.update_id:
            return BookStep.OLD
        waiting = [diff for diff in self._held if diff.last_id > last_id]
        if waiting and waiting[0].before > last_id:
            return BookStep.OLD
        if self.keeps_levels:
            self._lowest = min(bids) if len(bids) >= limit else None
            self._highest = max(asks) if len(asks) >= limit else None
            self._bids, self._asks = _present(bids), _present(asks)
        self.update_id, self._held = last_id, []
        for diff in waiting:  # they follow one another
            self._apply(diff)
        return BookStep.APPLIED

    def diff(self, value: Mapping[str, Any]) -> BookStep:
        """Take the next message of the stream `depth`.

        Args:
            value: The event: without `stream` and `data` around it.

        Returns:
            What became of it. After `BROKEN` the diffs from this one on wait for a snapshot, a
            damaged one excepted; it may be one that does not follow those that wait.
        """
        try:
            diff = self._read(value)
        except _Damaged as error:
            self._break(f"a diff: {error}")
            return BookStep.BROKEN
        if self.update_id is None:
            return self._hold(diff)
        if diff.last_id <= self.update_id:
            return BookStep.OLD
        if diff.before > self.update_id:
            return self._begin_anew(diff, self.update_id)
        self._apply(diff)
        return BookStep.APPLIED

    def lost(self, reason: str) -> None:
        """Break the book, because diffs may have been lost: as when its connection has ended."""
        self._break(reason)

    def _hold(self, diff: _Diff) -> BookStep:
        if self._held:
            last_id = self._held[-1].last_id
            if diff.last_id <= last_id:
                return BookStep.OLD
            if diff.before > last_id:
                return self._begin_anew(diff, last_id)
        self._held.append(diff)
        del self._held[:-MOST_HELD]
        return BookStep.HELD

    def _begin_anew(self, diff: _Diff, last_id: int) -> BookStep:
        self._break(f"the ids behind {last_id} up to {diff.before} are missing")
        self._held.append(diff)
        return BookStep.BROKEN

    def _apply(self, diff: _Diff) -> None:
        for levels, changes in ((self._bids, diff.bids), (self._asks, diff.asks)):
            for price, quantity in changes.items():
                if quantity:
                    levels[price] = quantity
                else:
                    levels.pop(price, None)
        self.update_id = diff.last_id

    def _break(self, reason: str) -> None:
        self._note(reason)
        self.update_id = None
        self._bids, self._asks, self._held = {}, {}, []

    def _note(self, reason: str) -> None:
        self.broken_by = reason
        self.breaks += 1

    def _read(self, value: Mapping[str, Any]) -> _Diff:
        if value.get("s") != self.symbol:
            raise _Damaged("it is of another symbol")
        first_id, last_id = _id(value, "U"), _id(value, "u")
        if first_id > last_id:
            raise _Damaged(f"its ids go back from {first_id} to {last_id}")
        before = first_id - 1 if self.market is Market.SPOT else _id(value, "pu")
        if before >= last_id:
            raise _Damaged(f"its ids go back from {before} to {last_id}")
        bids, asks = _levels(value, "b"), _levels(value, "a")
        return _Diff(before, last_id, *((bids, asks) if self.keeps_levels else ({}, {})))


def check_snapshot(value: object) -> None:
    """Check that a response of the endpoint `depth` can be read.

    Raises:
        ValueError: It cannot; the text says why.
    """
    if not isinstance(value, Mapping):
        raise _Damaged("it is no object")
    _id(value, "lastUpdateId")
    _levels(value, "bids")
    _levels(value, "asks")


def _id(value: Mapping[str, Any], name: str) -> int:
    found = value.get(name)
    if type(found) is not int or found < 0:  # a flag is no number
        raise _Damaged(f"`{name}` is missing, or no whole number")
    return found


def _levels(value: Mapping[str, Any], name: str) -> _Levels:
    found = value.get(name)
    if not isinstance(found, list):
        raise _Damaged(f"`{name}` is missing, or no list")
    pairs = _pairs(found, name)
    return {_decimal(price, name): _decimal(quantity, name) for price, quantity in pairs}


def _pairs(rows: Iterable[Any], name: str) -> Iterable[list[Any]]:
    for row in rows:
        if not isinstance(row, list) or len(row) != 2:
            raise _Damaged(f"a level of `{name}` is no pair")
        yield row


def _decimal(text: Any, name: str) -> Decimal:
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise _Damaged(f"a level of `{name}` has a value that is no decimal as text")
    return Decimal(text)


def _present(levels: _Levels) -> _Levels:
    return {price: quantity for price, quantity in levels.items() if quantity}
