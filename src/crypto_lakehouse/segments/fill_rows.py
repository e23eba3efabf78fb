"""The rows of a segment as the CSV of the archive of its day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from crypto_lakehouse.core.archive import DataType, Series
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.segments.answers import Answer
from crypto_lakehouse.segments.bar_rows import bar_rows
from crypto_lakehouse.segments.fill_day import FillDay, Row
from crypto_lakehouse.segments.fill_segment import FillHeader, FillResponse, fill_key
from crypto_lakehouse.segments.funding_rows import funding_rows
from crypto_lakehouse.segments.metric_rows import metric_rows
from crypto_lakehouse.segments.page_order import Merging
from crypto_lakehouse.segments.trade_rows import agg_rows

__all__ = ["FILLED_TYPES", "csv_rows"]

#: Reads the rows of one response.
_Page: TypeAlias = Callable[[Answer, FillDay], list[Row]]

#: Reads the rows of all responses, which are few.
_Whole: TypeAlias = Callable[[Iterable[Answer], FillDay], list[Row]]

_PAGES: Mapping[DataType, _Page] = {
    DataType.KLINES: bar_rows,
    DataType.MARK_PRICE_KLINES: bar_rows,
    DataType.INDEX_PRICE_KLINES: bar_rows,
    DataType.PREMIUM_INDEX_KLINES: bar_rows,
    DataType.AGG_TRADES: agg_rows,
}

_WHOLE: Mapping[DataType, _Whole] = {
    DataType.FUNDING_RATE: funding_rows,
    DataType.METRICS: metric_rows,
}

#: The data types that segments can hold.
FILLED_TYPES = frozenset({*_PAGES, *_WHOLE})


def csv_rows(
    series: Series, header: FillHeader, responses: Iterable[FillResponse]
) -> Iterator[bytes]:
    """Make the archive's CSV of a segment: its published columns, without a header line.

    Values are the texts that came, and times are in the unit that came, as text in metrics. Rows
    are sorted by their key, each key once. Rows of other days, and bars that were not finished when
    the response was made, are left out.

    Args:
        series: The series.
        header: Of the segment.
        responses: In the order of their rows; pages may overlap.

    Yields:
        One line, with its end, for each row.

    Raises:
        SegmentError: A response is not a success, not JSON, of another series or endpoint, lacks a
            field or has one of another type (as a decimal that is a number), is not in order, or
            has two different rows with one key.
    """
    key = fill_key(series, header.day)
    day = FillDay(series, header.day)
    answers = (Answer(key, number, each) for number, each in enumerate(responses, 1))
    for row in _rows(answers, day, key):
        yield row.line


def _rows(answers: Iterable[Answer], day: FillDay, key: str) -> Iterator[Row]:
    kind = day.series.data_type
    if kind in _WHOLE:
        yield from _WHOLE[kind](answers, day)
        return
    if kind not in _PAGES:
        raise SegmentError(key, f"no segment can hold `{kind}`")
    merging = Merging(day)
    for answer in answers:
        if answer.endpoint != kind:
            answer.refuse(f"`{kind}` are not made of this endpoint")
        yield from merging.add(answer, _PAGES[kind](answer, day))
    yield from merging.rest()
