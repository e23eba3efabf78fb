"""Rows of recordings that are in no table yet, for queries: of a key, the one received first.

A key that the table has is left out, wherever its row comes from: archives stand before fills, and
fills before recordings. So it does not matter whether a segment is ingested while it is read here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
from attrs import frozen

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.core.data_types import kind_of
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.live_keys import live_begin, live_folder
from crypto_lakehouse.segments.live_open import RecordedFiles
from crypto_lakehouse.tables.ingest.recorded_rows import first_received
from crypto_lakehouse.tables.lake.spill import temporary_folder
from crypto_lakehouse.tables.lake.time_range import TimeRange
from crypto_lakehouse.tables.live.excerpts import Excerpt, excerpt_text, split_lines
from crypto_lakehouse.tables.reading.parse import NotReadable, frame_of
from crypto_lakehouse.tables.schema.received import excerpt_columns, key_has_day
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["KnownKeys", "Uncommitted", "Wanted", "uncommitted_rows"]

_ARCHIVE = "archive"

#: How much later than its name says a segment may have events: an hour, and a clock that is wrong.
_LATEST = timedelta(days=1)

Wanted = Callable[[Series], bool]
"""Whether a series is selected."""

KnownKeys = Callable[[Series, pl.DataFrame], pl.DataFrame]
"""The keys that the table has of a series, at least those among some rows."""


@frozen(eq=False)
class Uncommitted:
    """Rows that are in no table yet.

    Attributes:
        rows: The rows, by series and in the order of the key.
        series: Symbol and interval of each series that has rows in recordings, also of those whose
            rows are all in the table.
    """

    rows: pa.Table
    series: frozenset[tuple[str, str | None]] = frozenset()


def uncommitted_rows(
    files: RecordedFiles,
    schema: TableSchema,
    columns: pa.Schema,
    *,
    wanted: Wanted,
    times: TimeRange,
    settled: Collection[str],
    known_keys: KnownKeys,
    lake: Path | None,
) -> Uncommitted:
    """Read the rows of recordings that a table does not have; blocking.

    One series is in memory at a time. The rows are in a file without a name.

    Args:
        files: The segments.
        schema: The table.
        columns: The columns of the rows.
        wanted: Selects series.
        times: Selects rows by the time of the table.
        settled: Keys of segments that are left out, as their rows are in the table.
        known_keys: Finds the keys that the table has.
        lake: The lake's directory, for temporary files; None for the system's.

    Raises:
        SegmentError: A segment is damaged.
        StoreError: A segment cannot be read.
    """
    series: set[tuple[str, str | None]] = set()
    with temporary_folder(lake) as folder:
        path = str(folder / "rows")
        excerpts = _excerpts(files, schema, wanted, times, settled, folder)
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, columns) as writer:
            for one, group in _by_series(excerpts):
                series.add((one.symbol, one.interval))
                rows = _standing(group, schema, columns, times)
                if not rows.is_empty():
                    rows = rows.join(known_keys(one, rows), on=schema.key, how="anti")
                if not rows.is_empty():
                    writer.write_table(_table(one, rows, columns))
        # The file stays as long as something has its rows, without a name.
        rows_of_all = pa.ipc.open_file(pa.memory_map(path)).read_all()
        return Uncommitted(rows_of_all, frozenset(series))


def _excerpts(
    files: RecordedFiles,
    schema: TableSchema,
    wanted: Wanted,
    times: TimeRange,
    settled: Collection[str],
    folder: Path,
) -> list[Excerpt]:
    kind = kind_of(schema.market, schema.data_type)
    if kind is None:
        return []

    # The row that was received first may be of the day before.
    beside = timedelta(0) if key_has_day(schema) else _LATEST

    def is_wanted(series: Series, day: date) -> bool:
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        end = begin + timedelta(days=1) + beside
        return times.overlaps(begin, end) and wanted(series)

    found: list[Excerpt] = []
    for number, key in enumerate(files.keys(live_folder(schema.market, kind))):
        if key in settled or not _may_have(key, times, beside):
            continue
        opened = files.open(key)
        if opened is None:
            continue
        place = folder / str(number)
        place.mkdir()
        found += split_lines(*opened, place, wanted=is_wanted).excerpts
    return found


def _may_have(key: str, times: TimeRange, beside: timedelta) -> bool:
    """Whether a segment may have events in a range of times: they come before they are received."""
    return times.start is None or live_begin(key) + _LATEST + beside >= times.start


def _by_series(excerpts: Iterable[Excerpt]) -> Iterator[tuple[Series, list[Excerpt]]]:
    groups: dict[Series, list[Excerpt]] = {}
    for each in excerpts:
        groups.setdefault(each.archive.series, []).append(each)
    yield from sorted(groups.items())


def _standing(
    excerpts: list[Excerpt], schema: TableSchema, columns: pa.Schema, times: TimeRange
) -> pl.DataFrame:
    """The rows of a series in recordings: of each key the one that was received first."""
    rows = pl.concat([_parsed(each, schema, columns) for each in excerpts])
    if key_has_day(schema):
        return first_received(_within(rows, schema.time, times), schema.key)
    return _within(first_received(rows, schema.key), schema.time, times)


def _within(rows: pl.DataFrame, time: str, times: TimeRange) -> pl.DataFrame:
    when = pl.col(time)
    if times.start is not None:
        rows = rows.filter(when >= times.start)
    if times.end is not None:
        rows = rows.filter(when < times.end)
    return rows


def _parsed(excerpt: Excerpt, schema: TableSchema, columns: pa.Schema) -> pl.DataFrame:
    exact = any(pa.types.is_decimal(each.type) for each in columns)
    text = b"".join(excerpt_text(excerpt.path))
    try:
        rows = frame_of(text, excerpt.rows, excerpt_columns(schema), "us", exact=exact)
    except NotReadable as error:
        reason = f"the rows of {excerpt.archive.series} cannot be read: a value is out of range"
        raise SegmentError(excerpt.archive.segment_key, reason) from error
    return rows.with_columns(pl.lit(excerpt.archive.key).alias(_ARCHIVE))


def _table(series: Series, rows: pl.DataFrame, columns: pa.Schema) -> pa.Table:
    of_series = {"symbol": series.symbol, "interval": series.interval or ""}
    added = [
        pl.lit(value).alias(name) for name, value in of_series.items() if name in columns.names
    ]
    rows = rows.with_columns(added)
    values = [
        rows[field.name].to_arrow().cast(field.type)
        if field.name in rows.columns
        else pa.nulls(rows.height, field.type)
        for field in columns
    ]
    return pa.table(values, schema=columns)
