"""File access of an embedded lake: inside its directory, and synced before a commit.

Iceberg's metadata names each file by its absolute location, but a lake may be copied, renamed or
mounted elsewhere. Of a location, only the part below the warehouse is used, and it is resolved
against the directory of the lake that is open. A copy never reads or writes its original's files.

The catalog is a SQLite database, whose commits survive a power loss. The files that a commit names
must survive it too: metadata and manifests are synced when they are closed, and data files, of
which there may be thousands, all at once before the commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pyarrow.fs import FileSystem
from pyiceberg.io import InputFile, OutputFile

from crypto_lakehouse.core.errors import LakeError, NoLakeError, StoreError
from crypto_lakehouse.stores.confined import leads_out, remove_file
from crypto_lakehouse.stores.disk import Disk
from crypto_lakehouse.tables.iceberg.bounded_files import (
    MOST_BYTES,
    PACKED,
    LakeFile,
    inflated,
    read_whole,
    regular_size,
)
from crypto_lakehouse.tables.iceberg.inner_names import PyArrowFile, PyArrowFileIO

__all__ = [
    "DISK",
    "LAKE_ROOT",
    "WAREHOUSE",
    "LocalIO",
    "check_inside",
    "check_metadata_size",
    "check_read",
    "check_text",
    "location_of",
    "path_in_lake",
    "sync_files",
]

#: The catalog's property that names the lake's directory.
LAKE_ROOT = "crypto-lakehouse.root"

#: The folder of the tables' files in a lake's directory.
WAREHOUSE = "warehouse"

DISK = Disk()


class LocalIO(PyArrowFileIO):
    """pyiceberg's file access, restricted to the lake's directory (its `py-io-impl`).

    A location is not parsed as a URL: `?`, `#` and `%` in a path are what they are.

    Raises:
        LakeError: A location is not in the lake, or a file would be read, written or deleted
            outside its directory, for example because of a symbolic link.
    """

    @staticmethod
    def parse_location(location: str, properties: Any = None) -> tuple[str, str, str]:
        """Return scheme, host and path of a location."""
        return "file", "", path_in_lake(location, (properties or {})[LAKE_ROOT])

    def new_input(self, location: str) -> PyArrowFile:
        """A file to read; only a regular file of limited size is."""
        path = self.parse_location(location, self.properties)[2]
        check_read(path, self.properties[LAKE_ROOT])
        return _BoundedFile(location, path, self.fs_by_scheme("file", None))

    def new_output(self, location: str) -> PyArrowFile:
        """A file to write; it is synced when it is closed."""
        path = self.parse_location(location, self.properties)[2]
        root = self.properties[LAKE_ROOT]
        check_inside(path, root)
        return _DurableFile(location, path, self.fs_by_scheme("file", None), root)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
        text = location if isinstance(location, str) else location.location
        path = self.parse_location(text, self.properties)[2]
        if not delete_below(self.properties[LAKE_ROOT], path):
            raise FileNotFoundError(f"there is no file `{path}`")


def location_of(path: Path) -> str:
    """The location of a file or folder, as Iceberg's metadata names it.

    Characters are not escaped, as other Iceberg engines do not unescape them.
    """
    return f"file://{path}"


def path_in_lake(location: str, root: str) -> str:
    """The path of a location in the lake that is open, wherever the lake was made.

    Raises:
        LakeError: The location is not in the warehouse of a lake.
    """
    _, found, rest = location.rpartition(f"/{WAREHOUSE}/")
    if not found or ".." in rest.split("/"):
        reason = f"its metadata names `{location}`, which is not in the lake and is not read"
        raise LakeError(root, reason)
    return f"{root}/{WAREHOUSE}/{rest}"


class _BoundedFile(PyArrowFile):
    def __len__(self) -> int:
        return regular_size(self._path)

    def open(self, seekable: bool = True) -> Any:  # noqa: ARG002 - each can seek
        if self.location.endswith(PACKED):
            inflated(self._path, read_whole(self._path))
        return LakeFile.open(self._path)


class _DurableFile(PyArrowFile):
    def __init__(self, location: str, path: str, filesystem: FileSystem, root: str) -> None:
        super().__init__(location, path, filesystem)
        self._root = root

    def create(self, overwrite: bool = False) -> Any:
        return _DurableStream(super().create(overwrite), self._root, self._path)

    def create_unsynced(self) -> Any:
        """Open a stream that the caller syncs later, in a batch."""
        return super().create()


class _DurableStream:
    """A stream that is synced to disk when it is closed."""

    def __init__(self, stream: Any, root: str, path: str) -> None:
        self._stream = stream
        self._root = root
        self._path = path
        self._written = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def write(self, data: bytes) -> Any:
        """Write bytes; metadata that could not be read again is refused."""
        self._written += len(data)
        check_metadata_size(self._root, self._path, self._written)
        return self._stream.write(data)

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()
            DISK.sync(self._root, [self._path])


def check_metadata_size(root: str, path: str, size: int) -> None:
    """Refuse to write metadata that could not be read again.

    Raises:
        LakeError: The file has metadata of a table, and is too large.
    """
    if size > MOST_BYTES and path.endswith(".metadata.json"):
        reason = (
            f"the metadata of the table would have more than {MOST_BYTES >> 20} MiB, and could "
            "not be read again; run `crypto-lakehouse lake expire`, then this command again"
        )
        raise LakeError(root, reason)


def check_text(path: str) -> None:
    """Refuse a directory that the metadata of tables cannot name.

    Raises:
        NoLakeError: The path is not UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        reason = (
            "is not valid UTF-8, and the metadata of tables can only hold text; rename "
            "the directory, or choose another one with `--lake`"
        )
        raise NoLakeError(path, reason) from None


def check_inside(path: str, root: str) -> None:
    """Refuse to write outside a directory.

    Raises:
        LakeError: A symbolic link leads out of it.
    """
    if leads_out(root, path):
        raise LakeError(
            path, f"nothing is written: a symbolic link leads out of `{root}`; remove it"
        )


def check_read(path: str, root: str) -> None:
    """Refuse to read a file outside a lake.

    Args:
        path: The file's path, below `root`.
        root: The lake's directory, without links on its path.

    Raises:
        LakeError: A symbolic link leads out of it.
    """
    if not os.path.realpath(path).startswith(f"{root}/"):
        raise LakeError(path, f"it is not read: a symbolic link leads out of `{root}`; remove it")


def delete_below(root: str, path: str) -> bool:
    """Delete a file below a directory; return whether there was one.

    Raises:
        LakeError: The path is not below it, or a symbolic link is on the path.
        OSError: The file cannot be deleted.
    """
    if not path.startswith(f"{root}/") or {".", ".."} & {*path.split("/")}:
        raise LakeError(path, f"nothing is deleted: it is not below `{root}`")
    try:
        return remove_file(root, path) is not None
    except StoreError as error:
        reason = f"nothing is deleted: {error.reason}"
        raise LakeError(path, reason, is_refused=error.exit_code == 2) from error


def sync_files(root: Path, locations: Iterable[str]) -> None:
    """Sync data files to disk, before a commit names them."""
    paths = [path_in_lake(location, str(root)) for location in locations]
    if paths:
        DISK.sync(str(root), paths)
