"""Parquet data files of a table, as Iceberg registers them.

Files are written here and not by pyiceberg, which holds a whole file's rows in memory and takes
no part in their order: here rows arrive batch by batch, sorted, and leave by row group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from attrs import define, field
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.tables.files.parquet_options import FileLayout, parquet_options
from crypto_lakehouse.tables.iceberg.data_files import partition_path, schema_for_writing
from crypto_lakehouse.tables.iceberg.inner_names import described_file

__all__ = ["PartitionWriter"]


@define(eq=False)
class PartitionWriter:
    """Writes the rows of one partition, in the order in which they come.

    Attributes:
        table: The table.
        partition: Values of its partition fields, in their order.
        stem: What the files' names begin with.
        announce: Called with each file's place before it is created.
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
        self._schema = schema_for_writing(self.table)

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
        return described_file(
            self.table, self.partition, self.location, size, self.writer.writer.metadata
        )

    def abandon(self) -> None:
        self.writer.close()
        self.stream.close()


def _data_root(table: Table) -> str:
    root: str = table.properties.get("write.data.path", f"{table.location()}/data")
    return root.rstrip("/")
