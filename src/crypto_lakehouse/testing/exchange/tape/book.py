"""The order book of one symbol: its state and its changes, ten times a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
from crypto_lakehouse.testing.exchange.tape.trades import Trades

__all__ = ["BOOK_STEP_US", "Book", "BookState"]

#: The time between two changes.
BOOK_STEP_US = 100_000

#: How many changes have one step's place in the numbering of updates.
_IDS_OF_STEP = 5

#: How many prices of each side the book reaches from the best one.
_REACH = 120

#: A level keeps its quantity for so many steps.
_STEPS_OF_QUANTITY = 20


@frozen
class BookState:
    """The book after an update.

    Attributes:
        update_id: The id of the last update in it.
        time_us: When it was so.
        bids: Quantities by price, best first, in the instrument's units.
        asks: Quantities by price, best first, in the instrument's units.
    """

    update_id: int
    time_us: int
    bids: Mapping[int, int]
    asks: Mapping[int, int]


class Book:
    """The book, which follows the last trade.

    Args:
        instrument: The symbol.
        trades: Its trades.
        start_us: When the book begins.
    """

    def __init__(self, instrument: Instrument, trades: Trades, start_us: int) -> None:
        self._trades = trades
        self._start_us = start_us
        self._most = 500 if instrument.contract_size else 300_000

    def step_at(self, moment_us: int) -> int:
        """The number of the last step at a moment."""
        return max(0, (moment_us - self._start_us) // BOOK_STEP_US)

    def time_of(self, step: int) -> int:
        """When a step happened."""
        return self._start_us + step * BOOK_STEP_US

    def ids_of(self, step: int) -> tuple[int, int]:
        """The first and the last update id of a step; the next step's ids follow."""
        return step * _IDS_OF_STEP + 1, (step + 1) * _IDS_OF_STEP

    def state(self, step: int) -> BookState:
        """The book after a step."""
        bids, asks = (dict(side) for side in self._sides(step))
        return BookState(self.ids_of(step)[1], self.time_of(step), bids, asks)

    def best(self, step: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The best bid and the best ask after a step, each a price and its quantity."""
        bids, asks = self._sides(step)
        return next(bids), next(asks)

    def changes(self, before: int, after: int) -> tuple[dict[int, int], dict[int, int]]:
        """What changed between two steps: new quantities by price, 0 for a level that is gone."""
        old, new = self.state(before), self.state(after)
        return _changes(old.bids, new.bids), _changes(old.asks, new.asks)

    def _sides(self, step: int) -> tuple[Iterator[tuple[int, int]], Iterator[tuple[int, int]]]:
        """The levels of both sides, best first."""
        last = max(0, self._trades.count_before(self.time_of(step) + 1) - 1)
        middle = self._trades.trade(last).price
        bids = range(middle - 1, max(0, middle - 1 - _REACH), -1)
        asks = range(middle + 1, middle + 1 + _REACH)
        return self._levels(bids, step), self._levels(asks, step)

    def _levels(self, prices: range, step: int) -> Iterator[tuple[int, int]]:
        for price in prices:
            quantity = self._quantity(price, step)
            if quantity:
                yield price, quantity

    def _quantity(self, price: int, step: int) -> int:
        """The quantity at a price, which changes at steps that differ from price to price."""
        age = (step + price * 7) // _STEPS_OF_QUANTITY
        mixed = (price * 0x9E3779B1 ^ age * 0x85EBCA6B) & 0xFFFFFFFF
        mixed = (mixed ^ mixed >> 15) * 0x2C1B3C6D & 0xFFFFFFFF
        mixed ^= mixed >> 13
        return 0 if mixed % 8 == 0 else mixed % self._most + 1


def _changes(old: Mapping[int, int], new: Mapping[int, int]) -> dict[int, int]:
    changed = {price: quantity for price, quantity in new.items() if old.get(price) != quantity}
    return changed | dict.fromkeys(old.keys() - new.keys(), 0)
