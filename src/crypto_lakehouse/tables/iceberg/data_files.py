"""Data files of a table: their locations and schemas, and how they are read."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from attrs import field, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from crypto_lakehouse.tables.iceberg.column_names import check_file_names
from crypto_lakehouse.tables.schema.table_types import arrow_schema

__all__ = [
    "TableVersion",
    "archives_in",
    "completed",
    "group_bounds",
    "identity_values",
    "partition_of",
    "partition_path",
    "repeating_columns",
    "rows_by_archive",
    "rows_in",
    "rows_of",
    "rows_without",
    "schema_for_writing",
    "values_in",
    "written_schema",
]

#: Columns that are constant within an archive.
_REPEATING = ("symbol", "interval", "archive")


@frozen
class TableVersion:
    """A version of a table's schema and properties, as a cache key that many files share."""

    uuid: str
    schema_id: int
    properties: frozenset[tuple[str, str]]
    table: Table = field(eq=False)

    @classmethod
    def of(cls, table: Table) -> TableVersion:
        """The current version of a table."""
        known = table.metadata
        properties = frozenset(known.properties.items())
        return cls(str(known.table_uuid), known.current_schema_id, properties, table)


def partition_path(table: Table, partition: tuple[Any, ...]) -> str:
    """The folders of a partition, as `interval=1m/symbol=BTCUSDT/open_time_year=2024/`."""
    spec, schema = table.spec(), table.schema()
    parts = [
        f"{each.name}={each.transform.to_human_string(schema.find_type(each.source_id), value)}/"
        for each, value in zip(spec.fields, partition, strict=True)
    ]
    return "".join(parts)


def schema_for_writing(table: Table) -> pa.Schema:
    """As `written_schema`, of a table; made once for each version of the table."""
    return _schema_for_writing(TableVersion.of(table))


@functools.lru_cache(maxsize=32)
def _schema_for_writing(version: TableVersion) -> pa.Schema:
    return written_schema(version.table.schema())


def written_schema(schema: Schema) -> pa.Schema:
    """The Arrow schema of rows for the writer; columns that repeat are dictionaries."""
    arrow = arrow_schema(schema)
    for name in _REPEATING:
        place = arrow.get_field_index(name)
        if place >= 0:
            repeating = pa.dictionary(pa.int32(), pa.string())
            arrow = arrow.set(place, arrow.field(place).with_type(repeating))
    return arrow


def repeating_columns(schema: pa.Schema) -> list[str]:
    """The columns of a schema that are constant within an archive."""
    return [name for name in _REPEATING if name in schema.names]


def rows_without(
    table: Table, location: str, archives: frozenset[str] = frozenset()
) -> Iterator[pa.Table]:
    """Read a data file row group by row group, without the rows of some archives."""
    return _rows(table, location, archives, wanted=False)


def rows_of(table: Table, location: str, archives: frozenset[str]) -> Iterator[pa.Table]:
    """Read the rows of some archives from a data file, row group by row group."""
    return _rows(table, location, archives, wanted=True)


def _rows(
    table: Table, location: str, archives: frozenset[str], *, wanted: bool
) -> Iterator[pa.Table]:
    opened: Any = table.io.new_input(location).open()
    with opened as stream:
        check_file_names(table, location, pq.read_schema(stream))
        yield from rows_in(stream, written_schema(table.schema()), archives, wanted=wanted)


def rows_in(
    stream: Any, schema: pa.Schema, archives: frozenset[str], *, wanted: bool = True
) -> Iterator[pa.Table]:
    """Read rows of an open Parquet file, row group by row group.

    Args:
        stream: The open file.
        schema: The columns of the rows; those that the file lacks are NULL.
        archives: The keys of archives.
        wanted: Whether to read the rows of these archives; otherwise all others.
    """
    keys = pa.array(sorted(archives), pa.string())
    file = pq.ParquetFile(stream, read_dictionary=repeating_columns(schema))
    for number in range(file.num_row_groups):
        if wanted and not _may_have(file.metadata.row_group(number), archives):
            continue
        kept = file.read_row_group(number, columns=schema.names)
        if wanted or archives:  # a table that is read whole need not have the column
            found = pc.is_in(kept["archive"].cast(pa.string()), value_set=keys)
            kept = kept.filter(found if wanted else pc.invert(found))
        if kept.num_rows:
            yield completed(kept, schema).cast(schema)


def _may_have(group: pq.RowGroupMetaData, archives: frozenset[str]) -> bool:
    """Whether a row group's bounds of the column `archive` include one of the keys."""
    bounds = group_bounds(group)
    return bounds is None or any(bounds[0] <= key <= bounds[1] for key in archives)


def group_bounds(group: pq.RowGroupMetaData) -> tuple[str, str] | None:
    """The smallest and the largest key in a row group's column `archive`; None if unknown."""
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema == "archive":
            known: Any = column.statistics
            if known is None or not known.has_min_max:
                return None
            return known.min, known.max
    return None


def completed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Add the columns, as NULL, that the table has got since the file was written."""
    for name in schema.names:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, schema.field(name).type))
    return rows.select(schema.names)


def archives_in(table: Table, file: DataFile) -> frozenset[str]:
    """The keys of the archives with rows in a data file; only the column `archive` is read."""
    return values_in(table, file, "archive")


def rows_by_archive(table: Table, file: DataFile) -> dict[str, int]:
    """How many rows a data file has of each archive, by key; only one column is read."""
    counts: Any = pc.value_counts(_column(table, file, "archive"))
    return {each["values"]: each["counts"] for each in counts.to_pylist()}


def values_in(table: Table, file: DataFile, column: str) -> frozenset[str]:
    """The values of a repeating column in a data file; only this column is read."""
    values: list[Any] = _column(table, file, column).unique().to_pylist()
    return frozenset(values)


def _column(table: Table, file: DataFile, column: str) -> Any:
    opened: Any = table.io.new_input(file.file_path).open()
    with opened as stream:
        parquet = pq.ParquetFile(stream, read_dictionary=[column])
        check_file_names(table, file.file_path, parquet.schema_arrow)
        return parquet.read(columns=[column])[column]


def identity_values(table: Table, file: DataFile) -> dict[str, Any]:
    """The columns that have one value in all rows of a data file, by its partition."""
    spec = table.specs()[file.spec_id]
    return {
        field.name: value
        for field, value in zip(spec.fields, partition_of(file), strict=True)
        if str(field.transform) == "identity"
    }


def partition_of(file: DataFile) -> tuple[Any, ...]:
    """The partition values of a data file."""
    return tuple(file.partition[place] for place in range(len(file.partition)))
