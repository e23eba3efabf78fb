"""Rows of aggTrades."""

from __future__ import annotations

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.segments.answers import Answer, Place
from crypto_lakehouse.segments.fill_day import FillDay, Row
from crypto_lakehouse.segments.page_order import in_order

__all__ = ["agg_rows"]


def agg_rows(answer: Answer, day: FillDay) -> list[Row]:
    """Read the aggregate trades of a response that are within the day.

    Raises:
        SegmentError: A trade lacks a field or has one of another type; ids or times are not in
            order, or an id repeats with other values; the response is of another series.
    """
    answer.asked("symbol", day.series.symbol)
    is_spot = day.series.market is Market.SPOT
    rows = [(place, _row(place, is_spot=is_spot)) for place in answer.rows()]
    return [row for place, row in in_order(rows, day) if day.has(place, row.time)]


def _row(place: Place, *, is_spot: bool) -> Row:
    number, time = place.number("a"), place.number("T")
    # Spot spells flags so in its archives, futures otherwise (docs/archive-rows.md#flags).
    flag = str(place.flag("m"))
    flags = f"{flag},{place.flag('M')}" if is_spot else flag.lower()
    line = (
        f"{number},{place.decimal('p')},{place.decimal('q')},{place.number('f')},"
        f"{place.number('l')},{time},{flags}\n"
    )
    return Row(number, time, line.encode())
