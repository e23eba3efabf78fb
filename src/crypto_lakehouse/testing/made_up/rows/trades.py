"""Rows of trades, aggTrades and bookTicker (docs/archive-rows.md#data-types)."""

from __future__ import annotations

import random
from functools import lru_cache

from crypto_lakehouse.core.archive import Market, Series
from crypto_lakehouse.testing.made_up.rows.values import (
    DAY_MS,
    Day,
    decimal,
    from_ring,
    price_ring,
    seeded,
)

__all__ = [
    "AGG_TRADES_PER_DAY",
    "QUOTES_PER_DAY",
    "TRADES_PER_DAY",
    "agg_trade_rows",
    "book_ticker_rows",
    "trade_rows",
]

TRADES_PER_DAY = 1000
AGG_TRADES_PER_DAY = 600
QUOTES_PER_DAY = 500

#: How many rows are made before they repeat; a prime, so that no day looks like the day before.
_RING_SIZE = 1009

#: The text before the time, how far the time is from its slot's start (0 up to 1), and the text
#: after the time.
_Tick = tuple[str, float, str]


def trade_rows(day: Day) -> str:
    """Write `TRADES_PER_DAY` trades; ids are consecutive over all days of the series."""
    first = day.number * TRADES_PER_DAY
    ticks = from_ring(_trades(day.series), first, TRADES_PER_DAY)
    start, slot = _slots(day, TRADES_PER_DAY)
    return "".join(
        [
            f"{first + index + 1},{head},{start + int((index + late) * slot)},{tail}\n"
            for index, (head, late, tail) in enumerate(ticks)
        ]
    )


def agg_trade_rows(day: Day) -> str:
    """Write `AGG_TRADES_PER_DAY` aggregates of one, two and three trades in turn."""
    first = day.number * AGG_TRADES_PER_DAY
    ticks = from_ring(_agg_trades(day.series), first, AGG_TRADES_PER_DAY)
    start, slot = _slots(day, AGG_TRADES_PER_DAY)
    rows = []
    for index, (head, late, tail) in enumerate(ticks):
        number = first + index
        round_number, place = divmod(number, 3)
        first_trade = round_number * 6 + (1, 2, 4)[place]
        moment = start + int((index + late) * slot)
        rows.append(f"{number + 1},{head},{first_trade},{first_trade + place},{moment},{tail}\n")
    return "".join(rows)


def book_ticker_rows(day: Day) -> str:
    """Write `QUOTES_PER_DAY` best quotes, sorted by update_id; ids have gaps, as in reality."""
    first = day.number * QUOTES_PER_DAY
    ticks = from_ring(_quotes(day.series), first, QUOTES_PER_DAY)
    start, slot = _slots(day, QUOTES_PER_DAY)
    rows = []
    for index, (head, late, tail) in enumerate(ticks):
        moment = start + int((index + late) * slot)
        event = moment + int(tail) * day.units_per_ms
        rows.append(f"{(first + index + 1) * 7},{head},{moment},{event}\n")
    return "".join(rows)


def _slots(day: Day, count: int) -> tuple[int, float]:
    """The day's start and the width of one of `count` equal slots, in the day's time unit."""
    return day.start_ms * day.units_per_ms, DAY_MS * day.units_per_ms / count


def _flags(series: Series, source: random.Random) -> str:
    """Return is_buyer_maker, and on spot is_best_match, as the market spells them."""
    maker = source.random() < 0.5
    if series.market is Market.SPOT:
        return f"{maker},True"
    return str(maker).lower()


def _lots(series: Series, source: random.Random) -> tuple[int, int]:
    """A quantity and how many decimal places it has."""
    if series.market is Market.FUTURES_CM:
        return source.randrange(1, 500), 0
    return source.randrange(1, 300_000), 5 if series.market is Market.SPOT else 3


def _spot_width(series: Series) -> int | None:
    """Spot pads every decimal to 8 places, futures pad none."""
    return 8 if series.market is Market.SPOT else None


@lru_cache(maxsize=64)
def _trades(series: Series) -> list[_Tick]:
    source = seeded(series)
    width = _spot_width(series)
    ticks = []
    for price in price_ring(series, source, _RING_SIZE):
        lots, places = _lots(series, source)
        if series.market is Market.FUTURES_CM:  # contracts of 100 USD, in the base asset
            other = decimal(lots * 10**12 // price, 8)
        else:
            other = decimal(lots * price, places + 2, width)
        head = f"{decimal(price, 2, width)},{decimal(lots, places, width)},{other}"
        ticks.append((head, source.random(), _flags(series, source)))
    return ticks


@lru_cache(maxsize=64)
def _agg_trades(series: Series) -> list[_Tick]:
    source = seeded(series)
    width = _spot_width(series)
    ticks = []
    for price in price_ring(series, source, _RING_SIZE):
        lots, places = _lots(series, source)
        head = f"{decimal(price, 2, width)},{decimal(lots, places, width)}"
        ticks.append((head, source.random(), _flags(series, source)))
    return ticks


@lru_cache(maxsize=64)
def _quotes(series: Series) -> list[_Tick]:
    source = seeded(series)
    ticks = []
    for bid in price_ring(series, source, _RING_SIZE):
        ask = bid + source.randrange(1, 20)
        bid_lots, places = _lots(series, source)
        ask_lots, _ = _lots(series, source)
        head = (
            f"{decimal(bid, 2)},{decimal(bid_lots, places)},"
            f"{decimal(ask, 2)},{decimal(ask_lots, places)}"
        )
        ticks.append((head, source.random(), str(source.randrange(6))))
    return ticks
