"""Parquet data files of a table, as Iceberg registers them.

Files are written here and not by pyiceberg, which holds a whole file's rows in memory and takes
no part in their order: here rows arrive batch by batch, sorted, and leave by row group.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from attrs import define, field, frozen
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.typedef import Record

from crypto_lakehouse.tables.files.parquet_options import FileLayout, parquet_options
from crypto_lakehouse.tables.schema.table_types import arrow_schema

__all__ = [
    "PartitionWriter",
    "archives_in",
    "partition_of",
    "partition_path",
    "rows_without",
    "written_schema",
]

#: Columns that are the same for all rows of an archive.
_REPEATING = ("symbol", "interval", "archive")


@define(eq=False)
class PartitionWriter:
    """Writes the rows of one partition, in the order in which they come.

    Attributes:
        table: The table.
        partition: Values of its partition fields, in their order.
        stem: What the files' names begin with.
        announce: Told of each file's place before it is created.
    """

    table: Table
    partition: tuple[Any, ...]
    stem: str
    announce: Callable[[str], None]
    layout: FileLayout = field(factory=FileLayout)
    _schema: pa.Schema = field(init=False)
    _held: list[pa.Table] = field(init=False, factory=list)
    _held_rows: int = field(init=False, default=0)
    _file: _OpenFile | None = field(init=False, default=None)
    _done: list[DataFile] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._schema = _prepared(_Version.of(self.table)).arrow

    def write(self, rows: pa.Table) -> None:
        """Take rows, which follow those before in the table's order."""
        self._held.append(rows)
        self._held_rows += rows.num_rows
        while self._held_rows >= self.layout.row_group_rows:
            self._write_group(self.layout.row_group_rows)

    def close(self) -> list[DataFile]:
        """Write what is held, and return all files.

        Raises:
            OSError: A file cannot be written.
        """
        if self._held_rows:
            self._write_group(self._held_rows)
        self._finish_file()
        return self._done

    def abandon(self) -> None:
        """Close what is open; the files are void."""
        if self._file is not None:
            self._file.abandon()
            self._file = None

    def _write_group(self, rows: int) -> None:
        joined = pa.concat_tables(self._held).unify_dictionaries()
        group, rest = joined.slice(0, rows), joined.slice(rows)
        self._held, self._held_rows = [rest] if rest.num_rows else [], rest.num_rows
        if self._file is None:
            self._file = _OpenFile.create(
                self.table, self.partition, f"{self.stem}-{len(self._done)}.parquet",
                self._schema, self.layout, self.announce, group,
            )  # fmt: skip
        self._file.writer.write_table(group, row_group_size=max(rows, 1))
        if self._file.size >= self.layout.file_bytes:
            self._finish_file()

    def _finish_file(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            self._done.append(file.finish())


@define(eq=False)
class _OpenFile:
    table: Table
    partition: tuple[Any, ...]
    location: str
    stream: Any
    writer: pq.ParquetWriter

    @classmethod
    def create(
        cls,
        table: Table,
        partition: tuple[Any, ...],
        name: str,
        schema: pa.Schema,
        layout: FileLayout,
        announce: Callable[[str], None],
        sample: pa.Table,
    ) -> _OpenFile:
        location = f"{_data_root(table)}/{partition_path(table, partition)}{name}"
        announce(location)
        output: Any = table.io.new_output(location)
        stream = getattr(output, "create_unsynced", output.create)()
        writer = pq.ParquetWriter(stream, schema, **parquet_options(schema, layout, sample))
        return cls(table, partition, location, stream, writer)

    @property
    def size(self) -> int:
        return int(self.stream.tell())

    def finish(self) -> DataFile:
        self.writer.close()
        size = self.size
        self.stream.close()
        return _described(
            self.table, self.partition, self.location, size, self.writer.writer.metadata
        )

    def abandon(self) -> None:
        self.writer.close()
        self.stream.close()


def _data_root(table: Table) -> str:
    root: str = table.properties.get("write.data.path", f"{table.location()}/data")
    return root.rstrip("/")


def partition_path(table: Table, partition: tuple[Any, ...]) -> str:
    """The folders of a partition, as `interval=1m/symbol=BTCUSDT/open_time_year=2024/`."""
    spec, schema = table.spec(), table.schema()
    parts = [
        f"{each.name}={each.transform.to_human_string(schema.find_type(each.source_id), value)}/"
        for each, value in zip(spec.fields, partition, strict=True)
    ]
    return "".join(parts)


def _described(
    table: Table, partition: tuple[Any, ...], location: str, size: int, metadata: pq.FileMetaData
) -> DataFile:
    prepared = _prepared(_Version.of(table))
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=metadata,
        stats_columns=prepared.statistics,
        parquet_column_mapping=prepared.numbers,
    )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=Record(*partition),
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=table.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


@frozen
class _Version:
    """A table's schema and properties, which a thousand files have in common."""

    uuid: str
    schema_id: int
    properties: frozenset[tuple[str, str]]
    table: Table = field(eq=False)

    @classmethod
    def of(cls, table: Table) -> _Version:
        known = table.metadata
        properties = frozenset(known.properties.items())
        return cls(str(known.table_uuid), known.current_schema_id, properties, table)


@frozen
class _Prepared:
    arrow: pa.Schema
    statistics: Any
    numbers: Any


@functools.lru_cache(maxsize=32)
def _prepared(version: _Version) -> _Prepared:
    """What every file needs, and takes as long to make as to write a small file."""
    schema = version.table.schema()
    return _Prepared(
        written_schema(schema),
        compute_statistics_plan(schema, version.table.properties),
        parquet_path_to_id_mapping(schema),
    )


def written_schema(schema: Schema) -> pa.Schema:
    """The schema of tables given to the writer: what repeats for long comes as a dictionary."""
    arrow = arrow_schema(schema)
    for name in _REPEATING:
        place = arrow.get_field_index(name)
        if place >= 0:
            repeating = pa.dictionary(pa.int32(), pa.string())
            arrow = arrow.set(place, arrow.field(place).with_type(repeating))
    return arrow


def _repeating_in(schema: pa.Schema) -> list[str]:
    return [name for name in _REPEATING if name in schema.names]


def rows_without(
    table: Table, location: str, archives: frozenset[str] = frozenset()
) -> Iterator[pa.Table]:
    """Read a data file by row group, without the rows of some archives."""
    schema = written_schema(table.schema())
    unwanted = pa.array(sorted(archives), pa.string())
    opened: Any = table.io.new_input(location).open()
    with opened as stream:
        file = pq.ParquetFile(stream, read_dictionary=_repeating_in(schema))
        for number in range(file.num_row_groups):
            group = file.read_row_group(number, columns=schema.names)
            of = group["archive"].cast(pa.string())
            kept = group.filter(pc.invert(pc.is_in(of, value_set=unwanted)))
            if kept.num_rows:
                yield kept.cast(schema)


def archives_in(table: Table, file: DataFile) -> frozenset[str]:
    """Keys of the archives that a data file has rows of; only its column `archive` is read."""
    opened: Any = table.io.new_input(file.file_path).open()
    with opened as stream:
        column = pq.ParquetFile(stream, read_dictionary=["archive"]).read(columns=["archive"])
    keys: list[Any] = column["archive"].unique().to_pylist()
    return frozenset(keys)


def partition_of(file: DataFile) -> tuple[Any, ...]:
    """A data file's partition values."""
    return tuple(file.partition[place] for place in range(len(file.partition)))
