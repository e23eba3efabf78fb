"""Rows of klines, and of the klines of mark price, index price and premium."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crypto_lakehouse.core.archive import DataType
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.segments.answers import Answer, Place
from crypto_lakehouse.segments.fill_day import FillDay, Row, us_per_unit
from crypto_lakehouse.segments.page_order import in_order

__all__ = ["bar_rows"]

#: The fields in the order in which they come; those of the archive (docs/archive-rows.md#klines).
_FIELDS = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip

_NUMBERS = frozenset({"open_time", "close_time", "count"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bar_rows(answer: Answer, day: FillDay) -> list[Row]:
    """Read the finished bars of a response that open within the day.

    Raises:
        SegmentError: A bar lacks a field or has one of another type; open times are not in order,
            or repeat with other values; the response has no time, or is of another series.
    """
    series = day.series
    is_index = series.data_type is DataType.INDEX_PRICE_KLINES
    answer.asked("pair" if is_index else "symbol", series.symbol)
    answer.asked("interval", "1M" if series.interval == "1mo" else series.interval)
    made_at = answer.response.server_time
    if made_at is None:
        answer.refuse("it has no server time, which tells finished bars from the others")
    made_us = (made_at - _EPOCH) // timedelta(microseconds=1)
    rows: list[tuple[Place, Row]] = []
    finished: set[int] = set()
    for place in answer.rows():
        row, close_time = _row(place)
        rows.append((place, row))
        if (close_time + 1) * us_per_unit(close_time) <= made_us:
            finished.add(place.at)
    return [
        row
        for place, row in in_order(rows, day)
        if place.at in finished and day.has(place, row.time)
    ]


def _row(place: Place) -> tuple[Row, int]:
    if not isinstance(place.row, list) or len(place.row) != len(_FIELDS):
        count = len(place.row) if isinstance(place.row, list) else 0
        place.refuse(f"it has {plural(count, 'field')} instead of {len(_FIELDS)}")
    texts = [
        str(place.number(at, name)) if name in _NUMBERS else place.decimal(at, name)
        for at, name in enumerate(_FIELDS)
    ]
    open_time, close_time = int(texts[0]), int(texts[6])
    return Row(open_time, open_time, f"{','.join(texts)}\n".encode()), close_time
