"""Reads the rows of a table whose archives are in given ranges of keys, and decodes few others.

A table of records has a row for each archive of a lake. A run that concerns a few series must not
read all of them: files and row groups are skipped by their bounds of the column `archive`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from attrs import field, frozen
from pyiceberg.table import Table

from crypto_lakehouse.tables.iceberg.column_names import check_file_names
from crypto_lakehouse.tables.iceberg.data_files import completed, group_bounds
from crypto_lakehouse.tables.iceberg.filters import equals
from crypto_lakehouse.tables.iceberg.live_files import bounds_of_archives, live_files
from crypto_lakehouse.tables.schema.table_types import arrow_schema

__all__ = ["KeyRanges", "rows_between"]

#: Follows every character of a key.
_AFTER = "\U0010ffff"

_ARCHIVE = "archive"


def _disjoint(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for low, high in sorted(pairs):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


@frozen
class KeyRanges:
    """A set of keys, as ranges that include their ends.

    Attributes:
        pairs: The ends of each range; they may be given in any order, and overlap.
    """

    pairs: tuple[tuple[str, str], ...] = field(converter=_disjoint)
    _lows: tuple[str, ...] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_lows", tuple(low for low, _ in self.pairs))

    @classmethod
    def beginning(cls, prefixes: Iterable[str]) -> Self:
        """All keys that begin with one of these texts."""
        return cls((prefix, prefix + _AFTER) for prefix in prefixes)

    @classmethod
    def exactly(cls, keys: Iterable[str]) -> Self:
        """These keys."""
        return cls((key, key) for key in keys)

    def meets(self, low: str, high: str) -> bool:
        """Whether a key from `low` to `high` may be in it."""
        place = bisect_right(self._lows, high) - 1
        return place >= 0 and self.pairs[place][1] >= low

    def __contains__(self, key: str) -> bool:
        return self.meets(key, key)


def rows_between(
    table: Table, wanted: KeyRanges, columns: Sequence[str], of_table: str | None = None
) -> Iterator[pa.Table]:
    """Read the rows of a table of records whose archives are wanted, row group by row group.

    Args:
        table: The table, which has a column `archive`.
        wanted: The keys of the archives.
        columns: The columns to read.
        of_table: The table of the archives, by which records are partitioned; None for all.

    Raises:
        LakeError: A data file or a manifest cannot be read.
    """
    known = arrow_schema(table.schema())
    schema = pa.schema([known.field(name) for name in dict.fromkeys(columns)])
    row_filter = () if of_table is None else (equals("table", of_table),)
    for file in live_files(table, *row_filter):
        bounds = bounds_of_archives(table, file)
        if bounds is None or wanted.meets(*bounds):
            yield from _rows_of_file(table, file.file_path, wanted, schema)


def _rows_of_file(
    table: Table, location: str, wanted: KeyRanges, schema: pa.Schema
) -> Iterator[pa.Table]:
    opened: Any = table.io.new_input(location).open()
    with opened as stream:
        file = pq.ParquetFile(stream)
        check_file_names(table, location, file.schema_arrow)
        for number in range(file.num_row_groups):
            bounds = group_bounds(file.metadata.row_group(number))
            if bounds is None or wanted.meets(*bounds):
                rows = _rows_of_group(file, number, wanted, schema)
                if rows.num_rows:
                    yield rows


def _rows_of_group(
    file: pq.ParquetFile, number: int, wanted: KeyRanges, schema: pa.Schema
) -> pa.Table:
    """The rows of a row group; if none is wanted, only their keys are read."""
    keys: list[Any] = file.read_row_group(number, columns=[_ARCHIVE])[_ARCHIVE].to_pylist()
    chosen = [key in wanted for key in keys]
    if not any(chosen):
        return schema.empty_table()
    rows = file.read_row_group(number, columns=schema.names).filter(pa.array(chosen))
    return completed(rows, schema).cast(schema)
