"""Rows of the kline family (docs/archive-rows.md#klines and docs/archive-rows.md#price-klines)."""

from __future__ import annotations

import random
from datetime import date, timedelta
from functools import lru_cache

from crypto_lakehouse.core.archive import DataType, Market, Period, Series
from crypto_lakehouse.testing.made_up.rows.values import (
    DAY_MS,
    Day,
    decimal,
    from_ring,
    price_ring,
    seeded,
)

__all__ = ["STEP_MS", "kline_rows"]

#: Lengths of the intervals that fit into a day, in milliseconds.
STEP_MS = {
    "1s": 1000, "1m": 60_000, "3m": 180_000, "5m": 300_000, "15m": 900_000, "30m": 1_800_000,
    "1h": 3_600_000, "2h": 7_200_000, "4h": 14_400_000, "6h": 21_600_000, "8h": 28_800_000,
    "12h": 43_200_000, "1d": DAY_MS,
}  # fmt: skip

#: How many bars are made before they repeat; a prime, so that no day looks like the day before.
_RING_SIZE = 1531

#: The text of a bar: from the open up to the close_time, and after it to the end of the line.
_Bar = tuple[str, str]


def kline_rows(day: Day) -> str:
    """Write the bars that open on the day.

    Each bar opens at the close of the bar before it, over the edges of days, too. 3d bars count
    from the epoch, 1w bars open on Mondays, 1mo bars on the first of the month.
    """
    interval = day.series.interval or ""
    ring = _bars(day.series)
    step_ms = STEP_MS.get(interval)
    if step_ms is None:
        return _long_bar(day, interval, ring)
    step = step_ms * day.units_per_ms
    start, end = (ms * day.units_per_ms for ms in (day.start_ms, day.start_ms + DAY_MS))
    bars = from_ring(ring, start // step, DAY_MS // step_ms)
    last = step - 1
    opens = range(start, end, step)
    return "".join(
        [
            f"{opened},{head},{opened + last},{tail}\n"
            for opened, (head, tail) in zip(opens, bars, strict=True)
        ]
    )


def _long_bar(day: Day, interval: str, ring: list[_Bar]) -> str:
    """Write the one bar longer than a day that opens on the day, if one does."""
    number, end = _long_bar_at(day, interval)
    if end is None:
        return ""
    head, tail = ring[number % len(ring)]
    opened = day.start_ms * day.units_per_ms
    closed = (day.start_ms + (end - day.date).days * DAY_MS) * day.units_per_ms - 1
    return f"{opened},{head},{closed},{tail}\n"


def _long_bar_at(day: Day, interval: str) -> tuple[int, date | None]:
    """Number the bar that opens on the day, and name the day after its last one."""
    if interval == "3d":
        number, offset = divmod(day.number, 3)
        return number, None if offset else day.date + timedelta(days=3)
    if interval == "1w":
        number, offset = divmod(day.number + 3, 7)  # 1970-01-01 was a Thursday
        return number, None if offset else day.date + timedelta(days=7)
    number = day.date.year * 12 + day.date.month
    if day.date.day != 1:
        return number, None
    return number, Period.month(day.date).last_day + timedelta(days=1)


@lru_cache(maxsize=64)
def _bars(series: Series) -> list[_Bar]:
    """Make the closed ring of bars of one series: each bar opens at the previous close."""
    source = seeded(series)
    if series.data_type is DataType.PREMIUM_INDEX_KLINES:
        closes = [round(source.gauss(0, 40_000)) for _ in range(_RING_SIZE)]
    else:
        closes = price_ring(series, source, _RING_SIZE)
    if series.interval == "1s":
        closes = _with_quiet_bars(source, closes)
    return [_bar(series, source, closes[index - 1], close) for index, close in enumerate(closes)]


def _with_quiet_bars(source: random.Random, closes: list[int]) -> list[int]:
    """Hold the price in about half of the bars: in a second there is often no trade."""
    held = closes[:1]
    for close in closes[1:]:
        held.append(held[-1] if source.random() < 0.5 else close)
    return held


def _bar(series: Series, source: random.Random, opened: int, closed: int) -> _Bar:
    """Write one bar; prices are in hundredths, of the premium index in hundred-millionths."""
    low_open_close, high_open_close = sorted((opened, closed))
    reach = max(1, abs(high_open_close) // 5000)
    high = high_open_close + source.randrange(reach + 1)
    low = low_open_close - source.randrange(reach + 1)
    prices = (opened, high, low, closed)
    if series.data_type is not DataType.KLINES:
        places = 8 if series.data_type is DataType.PREMIUM_INDEX_KLINES else 2
        head = ",".join([decimal(price, places, 8) for price in prices])
        # Neither index nor mark price is traded; `count` is a filler, 60 in files of 1m bars.
        return f"{head},0", f"0,{_filler(series)},0,0,0"
    if series.interval == "1s" and opened == closed:
        return _traded_bar(series.market, (closed,) * 4, 0, 0, 0)
    volume = source.randrange(1_000, 5_000_000)
    taker = source.randrange(volume + 1)
    return _traded_bar(series.market, prices, volume, taker, source.randrange(1, 3000))


def _filler(series: Series) -> int:
    """The number in `count` if nothing is traded: the bar's length in seconds.

    Only the 60 of 1m files is known; the other intervals' are assumed to follow it.
    """
    return STEP_MS.get(series.interval or "", DAY_MS) // 1000


def _traded_bar(
    market: Market, prices: tuple[int, ...], volume: int, taker: int, count: int
) -> _Bar:
    """Write a bar with its volumes, which are in lots of the market."""
    mid = (prices[0] + prices[3]) // 2
    if market is Market.SPOT:  # lots of 0.00001
        head = [decimal(price, 2, 8) for price in prices]
        volumes = [decimal(lots, 5, 8) for lots in (volume, taker)]
        quotes = [decimal(lots * mid, 7, 8) for lots in (volume, taker)]
    elif market is Market.FUTURES_CM:  # contracts of 100 USD; the other volume is in the base
        head = [decimal(price, 2) for price in prices]
        volumes = [str(lots) for lots in (volume, taker)]
        quotes = [decimal(lots * 10**12 // mid, 8) for lots in (volume, taker)]
    else:  # lots of 0.001
        head = [decimal(price, 2) for price in prices]
        volumes = [decimal(lots, 3) for lots in (volume, taker)]
        quotes = [decimal(lots * mid, 5) for lots in (volume, taker)]
    return (
        ",".join([*head, volumes[0]]),
        f"{quotes[0]},{count},{volumes[1]},{quotes[1]},0",
    )
