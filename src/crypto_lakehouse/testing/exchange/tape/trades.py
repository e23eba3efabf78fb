"""Trades and aggTrades of one symbol: made up, or given by the caller."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Protocol

from attrs import frozen

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
from crypto_lakehouse.testing.made_up.rows.values import seeded

__all__ = ["AggTrade", "GivenTrades", "RandomTrades", "Totals", "Trade", "Trades"]


@frozen
class Trade:
    """One trade.

    Attributes:
        price: In the instrument's units.
        quantity: In the instrument's units.
        other: The amount in the other asset, in the instrument's units.
        is_buyer_maker: Whether the taker sold.
    """

    id: int
    time_us: int
    price: int
    quantity: int
    other: int
    is_buyer_maker: bool


@frozen
class AggTrade:
    """Consecutive trades of one taker at one price and time, whose ids are from first to last."""

    id: int
    time_us: int
    price: int
    quantity: int
    first_id: int
    last_id: int
    is_buyer_maker: bool


@frozen
class Totals:
    """Sums over consecutive trades, in the instrument's units."""

    quantity: int
    other: int
    taker_buy_quantity: int
    taker_buy_other: int


class Trades(Protocol):
    """All trades of one symbol, by index: 0 is the first of the tape.

    Both counts are the index of the first trade, or aggTrade, that is not before the moment.
    """

    def count_before(self, moment_us: int) -> int:
        """How many trades there are before a moment."""
        ...

    def agg_count_before(self, moment_us: int) -> int:
        """How many aggTrades there are before a moment."""
        ...

    def has(self, index: int) -> bool:
        """Whether there will ever be a trade at an index."""
        ...

    def trade(self, index: int) -> Trade:
        """The trade at an index."""
        ...

    def agg(self, index: int) -> AggTrade:
        """The aggTrade at an index."""
        ...

    def index_of_id(self, trade_id: int) -> int:
        """The index of the first trade with this id or a greater one."""
        ...

    def index_of_agg_id(self, agg_id: int) -> int:
        """The index of the first aggTrade with this id or a greater one."""
        ...

    def totals(self, first: int, end: int) -> Totals:
        """Sums over the trades from one index up to another, exclusive."""
        ...

    def price_range(self, first: int, end: int) -> tuple[int, int]:
        """The lowest and the highest price of at least one trade, from an index up to another."""
        ...


class _Columns:
    """Trades as columns, with running sums."""

    def __init__(self, rows: Iterable[tuple[int, int, int, bool]]) -> None:
        self.prices, self.quantities, self.makers = array("q"), array("q"), bytearray()
        self.others: list[int] = []  # amounts and sums may exceed 64 bits
        self.sums: tuple[list[int], ...] = ([0], [0], [0], [0])
        for price, quantity, other, maker in rows:
            self.prices.append(price)
            self.quantities.append(quantity)
            self.others.append(other)
            self.makers.append(maker)
            bought = (0, 0) if maker else (quantity, other)
            for sums, amount in zip(self.sums, (quantity, other, *bought), strict=True):
                sums.append(sums[-1] + amount)


#: AggTrades of one, two and three trades follow each other in turn.
_TRADES_OF_TURN = 6
_FIRST_OF_TURN = (0, 1, 3)

#: How many turns are made before they repeat; a prime, so that no day looks like the day before.
_TURNS = 101
_RING_AGGS = 3 * _TURNS
_RING_TRADES = _TRADES_OF_TURN * _TURNS


class RandomTrades:
    """Made-up trades without end, with ids from 1 on.

    Args:
        instrument: The symbol, its units and its pace.
        start_us: When the trading begins.
        seed: The seed of the tape.
    """

    def __init__(self, instrument: Instrument, start_us: int, seed: int) -> None:
        source = seeded("exchange trades", seed, instrument.market, instrument.symbol)
        level = seeded("exchange price", seed, instrument.base).randrange(2_000, 6_000_000)
        price = max(10_000, level * 10**instrument.price_places // 100)
        steps = [source.gauss(0, 0.0005) for _ in range(_RING_AGGS)]
        drift = sum(steps) / _RING_AGGS  # the walk closes, so that it repeats without a jump
        position = 0.0
        unit_us = 1 if instrument.market is Market.SPOT else 1000
        self._start_us = start_us
        self._every_us = instrument.agg_every_us
        self._late_us = array("q")
        rows = []
        most = 500 if instrument.contract_size else 300_000
        for index, step in enumerate(steps):
            position += step - drift
            self._late_us.append(source.randrange(max(1, self._every_us // unit_us)) * unit_us)
            at, maker = max(1, round(price * (1 + position))), source.random() < 0.5
            for _ in range(index % 3 + 1):
                quantity = source.randrange(1, most)
                rows.append((at, quantity, instrument.other_amount(at, quantity), maker))
        self._ring = _Columns(rows)

    def count_before(self, moment_us: int) -> int:
        """How many trades there are before a moment."""
        return _first_trade(self.agg_count_before(moment_us))

    def agg_count_before(self, moment_us: int) -> int:
        """How many aggTrades there are before a moment."""
        slot = (moment_us - self._start_us) // self._every_us
        if slot < 0:
            return 0
        return slot + (self._agg_time(slot) < moment_us)

    def has(self, index: int) -> bool:
        """Whether there will ever be a trade at an index: always."""
        return index >= 0

    def trade(self, index: int) -> Trade:
        """The trade at an index."""
        turn, place = divmod(index, _TRADES_OF_TURN)
        agg = 3 * turn + (0, 1, 1, 2, 2, 2)[place]
        ring, at = self._ring, index % _RING_TRADES
        return Trade(
            index + 1,
            self._agg_time(agg),
            ring.prices[at],
            ring.quantities[at],
            ring.others[at],
            bool(ring.makers[at]),
        )

    def agg(self, index: int) -> AggTrade:
        """The aggTrade at an index."""
        first, count = _first_trade(index), index % 3 + 1
        at = first % _RING_TRADES  # the ring has whole turns, so that no aggTrade goes over its end
        return AggTrade(
            index + 1,
            self._agg_time(index),
            self._ring.prices[at],
            sum(self._ring.quantities[at : at + count]),
            first + 1,
            first + count,
            bool(self._ring.makers[at]),
        )

    def index_of_id(self, trade_id: int) -> int:
        """The index of the first trade with this id or a greater one."""
        return max(0, trade_id - 1)

    def index_of_agg_id(self, agg_id: int) -> int:
        """The index of the first aggTrade with this id or a greater one."""
        return max(0, agg_id - 1)

    def totals(self, first: int, end: int) -> Totals:
        """Sums over the trades from one index up to another, exclusive."""
        return Totals(*(_up_to(sums, end) - _up_to(sums, first) for sums in self._ring.sums))

    def price_range(self, first: int, end: int) -> tuple[int, int]:
        """The lowest and the highest price of at least one trade, from an index up to another."""
        prices = self._ring.prices
        if end - first >= _RING_TRADES:
            return min(prices), max(prices)
        place = first % _RING_TRADES
        part = prices[place : place + end - first]
        part += prices[: end - first - len(part)]
        return min(part), max(part)

    def _agg_time(self, index: int) -> int:
        return self._start_us + index * self._every_us + self._late_us[index % _RING_AGGS]


def _first_trade(agg: int) -> int:
    """The index of the first trade of an aggTrade."""
    turn, place = divmod(agg, 3)
    return turn * _TRADES_OF_TURN + _FIRST_OF_TURN[place]


def _up_to(sums: Sequence[int], end: int) -> int:
    """The sum of a repeated ring up to an index, from the running sums of one turn of it."""
    rounds, place = divmod(end, len(sums) - 1)
    return rounds * sums[-1] + sums[place]


class GivenTrades:
    """Trades that the caller gives, in the order of their ids.

    Args:
        trades: The trades.

    Raises:
        ValueError: Ids do not increase, or times decrease.
    """

    def __init__(self, trades: Iterable[Trade]) -> None:
        self._trades = list(trades)
        self._ids = [trade.id for trade in self._trades]
        self._times = [trade.time_us for trade in self._trades]
        for earlier, later in zip(self._trades, self._trades[1:], strict=False):
            if later.id <= earlier.id or later.time_us < earlier.time_us:
                raise ValueError(f"trade {later.id} does not follow trade {earlier.id}")
        groups = groupby(self._trades, lambda one: (one.time_us, one.price, one.is_buyer_maker))
        self._aggs = [
            _joined(number, list(members)) for number, (_, members) in enumerate(groups, 1)
        ]
        self._agg_times = [agg.time_us for agg in self._aggs]
        self._columns = _Columns(
            (trade.price, trade.quantity, trade.other, trade.is_buyer_maker)
            for trade in self._trades
        )

    @classmethod
    def of(
        cls, instrument: Instrument, rows: Iterable[tuple[int, int, str, str, bool]]
    ) -> GivenTrades:
        """Read trades whose decimals are text.

        Args:
            instrument: The symbol and its units.
            rows: Id, time in microseconds, price, quantity, and whether the buyer is the maker.

        Raises:
            ValueError: A decimal has more places than the instrument, or see the class.
        """
        return cls(_read(instrument, row) for row in rows)

    def count_before(self, moment_us: int) -> int:
        """How many trades there are before a moment."""
        return bisect_left(self._times, moment_us)

    def agg_count_before(self, moment_us: int) -> int:
        """How many aggTrades there are before a moment."""
        return bisect_left(self._agg_times, moment_us)

    def has(self, index: int) -> bool:
        """Whether there will ever be a trade at an index."""
        return 0 <= index < len(self._trades)

    def trade(self, index: int) -> Trade:
        """The trade at an index."""
        return self._trades[index]

    def agg(self, index: int) -> AggTrade:
        """The aggTrade at an index."""
        return self._aggs[index]

    def index_of_id(self, trade_id: int) -> int:
        """The index of the first trade with this id or a greater one."""
        return bisect_left(self._ids, trade_id)

    def index_of_agg_id(self, agg_id: int) -> int:
        """The index of the first aggTrade with this id or a greater one."""
        return max(0, agg_id - 1)

    def totals(self, first: int, end: int) -> Totals:
        """Sums over the trades from one index up to another, exclusive."""
        return Totals(*(sums[end] - sums[first] for sums in self._columns.sums))

    def price_range(self, first: int, end: int) -> tuple[int, int]:
        """The lowest and the highest price of at least one trade, from an index up to another."""
        part = self._columns.prices[first:end]
        return min(part), max(part)


def _joined(number: int, members: Sequence[Trade]) -> AggTrade:
    first, last = members[0], members[-1]
    quantity = sum(trade.quantity for trade in members)
    return AggTrade(
        number, first.time_us, first.price, quantity, first.id, last.id, first.is_buyer_maker
    )


def _read(instrument: Instrument, row: tuple[int, int, str, str, bool]) -> Trade:
    trade_id, time_us, price_text, quantity_text, maker = row
    price = _units(price_text, instrument.price_places)
    quantity = _units(quantity_text, instrument.quantity_places)
    return Trade(
        trade_id, time_us, price, quantity, instrument.other_amount(price, quantity), maker
    )


def _units(text: str, places: int) -> int:
    scaled = Decimal(text).scaleb(places)
    if scaled != int(scaled):
        raise ValueError(f"{text} has more places after the point than {places}")
    return int(scaled)
