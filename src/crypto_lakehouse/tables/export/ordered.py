"""The rows of a scan in the order of the table's key, in batches of equal size.

Data files are sorted inside, and rarely overlap in time. So each file is read by itself, after the
one before it, and only files that overlap are sorted together by DuckDB, which spills to disk. The
order is checked, as another program may have written a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl
import pyarrow as pa
from attrs import evolve
from pyiceberg.manifest import DataFile

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.lake.scan import Scan
from crypto_lakehouse.tables.lake.scanned_files import time_bounds

__all__ = ["BATCH_ROWS", "OutOfOrderError", "equal_batches", "ordered_batches"]

#: Rows of a batch; a row group of a Parquet file has as many.
BATCH_ROWS = 1 << 16


class OutOfOrderError(Exception):
    """The files of a scan are not in order; it must be read with `sorts_all`."""


def ordered_batches(
    scan: Scan, key: Sequence[str], columns: Sequence[str], *, sorts_all: bool = False
) -> Iterator[pa.RecordBatch]:
    """Read the rows of one series in order.

    Args:
        scan: The rows.
        key: The columns that give the order.
        columns: The columns wanted.
        sorts_all: Sort all rows, on disk if they are many, instead of trusting that each file is
            sorted.

    Raises:
        LakeError: A file cannot be read.
        OutOfOrderError: The files are not sorted; what was read so far is no use.
    """
    read = evolve(scan, columns=tuple(dict.fromkeys((*columns, *key))))
    if sorts_all:
        batches = _sorted(read, key)
    else:
        parts = (evolve(read, files=group) for group in _groups(scan))
        batches = _checked(
            (
                batch
                for part in parts
                for batch in (
                    _sorted(part, key) if len(part.files) > 1 else part.arrow(batch_rows=BATCH_ROWS)
                )
            ),
            key,
        )
    for batch in equal_batches(batches, BATCH_ROWS):
        yield batch.select(list(columns))


def _groups(scan: Scan) -> Iterator[tuple[DataFile, ...]]:
    """The files in the order of time; those that overlap are in one group."""
    bounds = time_bounds(scan.iceberg, scan.time_column)
    timed = sorted(((*bounds(file), file) for file in scan.files), key=lambda each: each[:2])
    group: list[DataFile] = []
    until = None
    for low, high, file in timed:
        if until is not None and low > until:
            yield tuple(group)
            group, until = [], None
        group.append(file)
        until = high if until is None else max(until, high)
    if group:
        yield tuple(group)


def _sorted(scan: Scan, key: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import duckdb

    from crypto_lakehouse.tables.lake.connection import explained

    schema = evolve(scan, files=()).arrow().schema
    order = ", ".join(f'"{name}"' for name in key)
    try:
        with scan.duckdb().order(order).to_arrow_reader(BATCH_ROWS) as reader:
            for batch in reader:
                yield batch.cast(schema)
    except duckdb.Error as error:
        raise LakeError(scan.table, explained(error)) from error


def _checked(batches: Iterable[pa.RecordBatch], key: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Pass on batches whose rows are in order, also from one to the next.

    Raises:
        OutOfOrderError: They are not.
    """
    in_order = pl.lit(value=True)
    for name in reversed(key):
        value, before = pl.col(name), pl.col(name).shift(1)
        in_order = (value > before) | ((value == before) & in_order)
    last: pl.DataFrame | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        keys = pl.DataFrame(pa.Table.from_batches([batch.select(list(key))]))
        joined = keys if last is None else pl.concat([last, keys])
        if not joined.select(in_order.fill_null(value=True).all()).item():
            raise OutOfOrderError
        last = keys.tail(1)
        yield batch


def equal_batches(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Cut and join batches to `rows` rows each; the last one may have fewer.

    The same rows then give the same bytes, however the data files divide them.
    """
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, rows - count)
            held.append(part)
            start, count = start + part.num_rows, count + part.num_rows
            if count == rows:
                yield _joined(held)
                held, count = [], 0
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    (joined,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return joined
