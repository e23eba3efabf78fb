"""Bars of trades, mark price, index and premium."""

from __future__ import annotations

from typing import Any

from crypto_lakehouse.core.archive import DataType
from crypto_lakehouse.testing.exchange.rest.errors import ApiError
from crypto_lakehouse.testing.exchange.rest.query import Query
from crypto_lakehouse.testing.exchange.tape.bars import Bar, Bars
from crypto_lakehouse.testing.exchange.tape.intervals import Interval

__all__ = ["klines"]

_DAY_US = 86_400_000_000


def klines(query: Query) -> list[list[Any]]:
    """Answer `klines` and its three siblings: bars that open from a time up to another.

    The bar that is not finished is the last one.
    """
    kind = DataType(query.endpoint)
    listed = query.contracts()[0] if kind is DataType.INDEX_PRICE_KLINES else query.listed()
    interval, limit = query.interval(), query.limit()
    start, end, takes_last = _span(query)
    bars = listed.bars(kind)
    numbers = _numbers(query, bars, interval, start, end)
    chosen = numbers[-limit:] if takes_last else numbers[:limit]
    return [_row(query, bars.bar(interval, number, query.now_us)) for number in chosen]


def _span(query: Query) -> tuple[int, int, bool]:
    """The span of opens, both inclusive, and whether its last rows are wanted.

    Raises:
        ApiError: The span is longer than the market allows.
    """
    start, end = query.span()
    now = query.now_us
    if query.rules.bars_span_days is None:
        return start or 0, now if end is None else end, start is None
    longest = query.rules.bars_span_days * _DAY_US
    if end is None:
        end = now if start is None else min(start + longest, now)
    if start is None:
        start = max(0, end - longest)
    if end - start >= longest + 1000:  # an end in milliseconds includes the whole of its last one
        text = f"Maximum time interval is {query.rules.bars_span_days} days."
        raise ApiError(-4088, text)
    return start, end, True


def _numbers(query: Query, bars: Bars, interval: Interval, start: int, end: int) -> range:
    """The numbers of the bars that open in a span and are known now."""
    first = interval.number(start)
    first += interval.opens(first) < start
    last = min(interval.number(end), interval.number(query.now_us))
    return range(max(first, bars.first_number(interval)), last + 1)


def _row(query: Query, bar: Bar) -> list[Any]:
    return [
        query.time_out(bar.open_us),
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        query.time_out(bar.end_us) - 1,
        bar.other_volume,
        bar.count,
        bar.taker_volume,
        bar.taker_other_volume,
        "0",
    ]
