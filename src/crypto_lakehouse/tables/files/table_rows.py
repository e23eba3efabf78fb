"""Converts frames to the Arrow tables of data files, split by partition."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import accumulate
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.tables.schema.schemas import PartitionField, TableSchema
from crypto_lakehouse.tables.schema.table_types import period_value

__all__ = ["RowMaker"]

_decode: Any = pc.__dict__["run_end_decode"]  # missing in the type stubs of Arrow


@define
class RowMaker:
    """Makes rows of a table from rows of archives.

    Attributes:
        schema: The columns of the table.
        arrow: The Arrow schema that the writer expects.
    """

    schema: TableSchema
    arrow: pa.Schema
    _times: tuple[PartitionField, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        partitioning = self.schema.partitioning
        self._times = tuple(each for each in partitioning if each.transform != "identity")

    def split(
        self, series: Series, frame: pl.DataFrame, pieces: list[tuple[str, int]]
    ) -> Iterator[tuple[tuple[Any, ...], pa.Table]]:
        """Split rows of one series by partition.

        Args:
            series: The series of the rows.
            frame: The rows, in the table's order.
            pieces: The keys of their archives with their numbers of rows, in the same order.

        Yields:
            The values of a partition's fields, and its rows.
        """
        if frame.is_empty():
            return
        rows = self._table(series, frame, pieces)
        begin = 0
        for period, count in self._periods(frame):
            yield self._partition(series, period), rows.slice(begin, count)
            begin += count

    def _table(
        self, series: Series, frame: pl.DataFrame, pieces: list[tuple[str, int]]
    ) -> pa.Table:
        if self.schema.derives_time:
            hour = pl.col("date").cast(pl.Datetime("us", "UTC")) + pl.duration(hours="hour")
            frame = frame.with_columns(hour.alias(self.schema.time))
        made = {
            "symbol": _repeated([(series.symbol, frame.height)]),
            "interval": _repeated([(series.interval or "", frame.height)]),
            "archive": _repeated(pieces),
        }
        # Types are given, because Polars exports text columns as large strings or views.
        columns = [
            made[each.name] if each.name in made else _column(frame, each) for each in self.arrow
        ]
        return pa.table(columns, schema=self.arrow)

    def _periods(self, frame: pl.DataFrame) -> Iterator[tuple[date, int]]:
        """The first day of each period that has rows, in order, with the number of rows."""
        if not self._times:
            yield date(1970, 1, 1), frame.height
            return
        times = frame["date" if self.schema.derives_time else self.schema.time]
        if self._first_day(times.min()) == self._first_day(times.max()):
            yield self._first_day(times.min()), frame.height
            return
        unit = "1y" if self._by_year else "1mo"
        periods = times.dt.truncate(unit).rle().struct.unnest()
        for count, first in periods.select("len", pl.col("value").dt.date()).iter_rows():
            yield first, count

    @property
    def _by_year(self) -> bool:
        return all(each.transform == "year" for each in self._times)

    def _first_day(self, day: Any) -> date:
        return date(day.year, 1 if self._by_year else day.month, 1)

    def _partition(self, series: Series, period: date) -> tuple[Any, ...]:
        return tuple(
            getattr(series, each.column)
            if each.transform == "identity"
            else period_value(each, period)
            for each in self.schema.partitioning
        )


def _repeated(values: list[tuple[str, int]]) -> Any:
    """A dictionary array that repeats each value the given number of times."""
    there = [(text, count) for text, count in values if count]
    ends = pa.array(accumulate(count for _, count in there), pa.int64())
    runs: Any = pa.RunEndEncodedArray.from_arrays(ends, pa.array(range(len(there)), pa.int32()))
    dictionary = pa.array([text for text, _ in there], pa.string())
    return pa.DictionaryArray.from_arrays(_decode(runs), dictionary)


def _column(frame: pl.DataFrame, field: Any) -> Any:
    if field.name not in frame.columns:  # only recorded rows have a time of receipt
        return pa.nulls(frame.height, field.type)
    return pa.chunked_array([frame[field.name].to_arrow().cast(field.type)])
