"""Parquet data files of a table, as Iceberg registers them.

pyiceberg's own writer is not used, because it holds all rows of a file in memory and does not
sort them. Here rows arrive sorted, batch by batch, and are written row group by row group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from attrs import define, evolve, field, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.tables.files.parquet_options import FileLayout, parquet_options
from crypto_lakehouse.tables.files.row_groups import RowGroups
from crypto_lakehouse.tables.iceberg.data_files import partition_path, schema_for_writing
from crypto_lakehouse.tables.iceberg.inner_names import described_file

__all__ = ["PartitionWriter", "WriterFactory", "data_root"]


@frozen(kw_only=True)
class WriterFactory:
    """Opens writers for partitions of one table.

    Attributes:
        table: The table.
        layout: How its files are written.
        stem: The common prefix of the file names.
        announce: Called with each file's location before the file is created.
    """

    table: Table
    layout: FileLayout
    stem: str
    announce: Callable[[str], None]

    def named(self, suffix: object) -> WriterFactory:
        """Return a factory whose file names continue with a suffix."""
        return evolve(self, stem=f"{self.stem}-{suffix}")

    def open(self, partition: tuple[Any, ...], suffix: object) -> PartitionWriter:
        """Return a writer for one partition, whose file names continue with a suffix."""
        return PartitionWriter(self.named(suffix), partition)


@define(eq=False)
class PartitionWriter:
    """Writes the rows of one partition, in the order in which they come.

    Attributes:
        files: The table, and how its files are named and written.
        partition: Values of its partition fields, in their order.
    """

    files: WriterFactory
    partition: tuple[Any, ...]
    _schema: pa.Schema = field(init=False)
    _groups: RowGroups = field(init=False)
    _file: _OpenFile | None = field(init=False, default=None)
    _done: list[DataFile] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._schema = schema_for_writing(self.files.table)
        self._groups = RowGroups(self.files.layout.row_group_rows, self._write_group)

    def write(self, rows: pa.Table) -> None:
        """Add rows, which must follow the earlier ones in the table's order."""
        self._groups.add(rows)

    def close(self) -> list[DataFile]:
        """Write the buffered rows, and return all files.

        Raises:
            OSError: A file cannot be written.
        """
        self._groups.finish()
        self._finish_file()
        return self._done

    def abandon(self) -> None:
        """Close the open file; none of the files may be used."""
        if self._file is not None:
            self._file.abandon()
            self._file = None

    def _write_group(self, group: pa.Table) -> None:
        if self._file is None:
            self._file = self._create(group)
        self._file.writer.write_table(group, row_group_size=max(group.num_rows, 1))
        if self._file.size >= self.files.layout.file_bytes:
            self._finish_file()

    def _create(self, sample: pa.Table) -> _OpenFile:
        files, table = self.files, self.files.table
        name = f"{files.stem}-{len(self._done)}.parquet"
        location = f"{data_root(table)}/{partition_path(table, self.partition)}{name}"
        files.announce(location)
        output: Any = table.io.new_output(location)
        stream = getattr(output, "create_unsynced", output.create)()
        options = parquet_options(self._schema, files.layout, sample)
        writer = pq.ParquetWriter(stream, self._schema, **options)
        return _OpenFile(table, self.partition, location, stream, writer)

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
        getattr(self.stream, "discard", self.stream.close)()  # of an object, which it is not yet


def data_root(table: Table) -> str:
    """The location below which a table's data files are, without a trailing slash."""
    root: str = table.properties.get("write.data.path", f"{table.location()}/data")
    return root.rstrip("/")
