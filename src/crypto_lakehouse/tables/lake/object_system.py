"""The data files of a lake at a URL as DuckDB opens them: those of its tables, and no others.

Arrow's own reader of many files is not used for them: if a file system that is written in Python
raises an error in one of Arrow's threads, the process may wait for ever.
"""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from threading import Lock
from typing import Any, ClassVar

import duckdb
from fsspec import AbstractFileSystem
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.stores.objects.reading import open_object
from crypto_lakehouse.tables.iceberg.column_names import has_one_schema
from crypto_lakehouse.tables.iceberg.inner_names import path_of
from crypto_lakehouse.tables.iceberg.object_files import LakeObjects
from crypto_lakehouse.tables.iceberg.object_io import ObjectIO
from crypto_lakehouse.tables.lake.connection import explained
from crypto_lakehouse.tables.schema.table_types import arrow_schema

__all__ = ["DataObjects", "objects_source", "reads_objects"]

#: How many bytes of small files are kept, as DuckDB opens each file several times.
_KEPT_BYTES = 64 << 20

#: What is read ahead of a large file; DuckDB asks for the chunks of columns, which are larger.
_BUFFER_BYTES = 1 << 20

_SCHEME = re.compile(r"^[a-z0-9]+://")

_numbers = count(1)


def reads_objects(table: Table) -> bool:
    """Whether a table's files are objects, which DuckDB reads for all engines."""
    return isinstance(table.io, ObjectIO)


def objects_source(
    connection: duckdb.DuckDBPyConnection, table: Table, paths: Sequence[str]
) -> str:
    """Return what a query selects from to read data files that may lack columns of their table.

    Files of earlier versions of the table have NULL in columns that it has got since.

    Args:
        connection: The connection, which has the file system of the data files.
        table: The table.
        paths: The paths of data files, as `DataObjects.add` returns them; at least one.

    Raises:
        LakeError: The columns of a file cannot be read.
    """
    listed = ", ".join(map(_quoted, paths))
    files = f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"
    if has_one_schema(table):
        return files.replace(", union_by_name = true", "")
    try:
        there = {*connection.sql(f"FROM {files}").columns}
    except duckdb.Error as error:
        raise LakeError(".".join(table.name()), explained(error)) from error
    wanted = connection.from_arrow(arrow_schema(table.schema()).empty_table())
    columns = (
        f"CAST({_name(name) if name in there else 'NULL'} AS {kind}) AS {_name(name)}"
        for name, kind in zip(wanted.columns, wanted.types, strict=True)
    )
    return f"(SELECT {', '.join(columns)} FROM {files})"  # noqa: S608 - of quoted names


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


class DataObjects(AbstractFileSystem):  # type: ignore[misc]
    """A file system of data files, for one connection; each may be read, and nothing else.

    Its scheme is its own, so that it takes no path from another file system of the connection.

    Args:
        table: A table of the lake.
    """

    cachable: ClassVar[bool] = False

    def __init__(self, table: Table) -> None:
        super().__init__()
        if not isinstance(table.io, ObjectIO):
            raise TypeError("the files of the table are no objects")
        self.protocol = f"lake{next(_numbers)}"
        self._objects: LakeObjects = table.io.objects
        self._files: dict[str, tuple[str, int]] = {}
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._guard = Lock()

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection open these files."""
        connection.register_filesystem(self)

    def add(self, table: Table, files: Iterable[DataFile]) -> list[str]:
        """Add data files; return the paths by which DuckDB opens them.

        Raises:
            LakeError: A file is not in the lake.
        """
        paths = []
        for file in files:
            url = path_of(file.file_path, table.io)
            self._objects.key(url)
            path = _SCHEME.sub(f"{self.protocol}://", url)
            self._files[path] = url, file.file_size_in_bytes
            paths.append(path)
        return paths

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def _named(self, path: str) -> tuple[str, int]:
        if path not in self._files:
            raise LakeError(str(self._objects), f"`{path}` is not a data file, and is not read")
        return self._files[path]

    def open(self, path: str, mode: str = "rb", **_options: Any) -> io.BufferedIOBase:
        """Open a data file for reading."""
        url, size = self._named(path)
        if mode != "rb":
            raise LakeError(str(self._objects), f"`{url}` is only read")
        if (data := self._kept.get(path)) is not None:
            return io.BytesIO(data)
        client, key = self._objects.client, self._objects.key(url)
        _, opened = open_object(client, key, size, buffer_bytes=_BUFFER_BYTES)
        if isinstance(opened, io.BytesIO):
            self._keep(path, opened.getvalue())
        return opened

    def _keep(self, path: str, data: bytes) -> None:
        """Keep a small file; a data file never changes."""
        with self._guard:
            if path not in self._kept:
                self._kept[path] = data
                self._kept_bytes += len(data)
            while self._kept_bytes > _KEPT_BYTES:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    def info(self, path: str, **_options: Any) -> Mapping[str, Any]:
        """Return the size of a data file, as the metadata have it; no request is made."""
        return {"name": path, "size": self._named(path)[1], "type": "file"}

    def glob(self, path: str, **_options: Any) -> list[str]:
        """Return a data file by its path; no pattern matches anything."""
        return [path] if path in self._files else []

    def exists(self, path: str, **_options: Any) -> bool:
        """Whether a path is that of a data file."""
        return path in self._files

    def modified(self, path: str) -> datetime:
        """Return the same time for each data file: none changes."""
        self._named(path)
        return datetime(1970, 1, 1, tzinfo=UTC)
