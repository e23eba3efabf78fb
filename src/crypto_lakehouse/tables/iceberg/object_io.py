"""File access of a lake at a URL: the objects below it, and no others.

As in a directory, only the part of a location below the warehouse is used, and it is resolved
against the URL of the lake that is open. A file is written to a temporary local file first, and is
an object once it is complete, under a name that is used once.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Any, Self

from pyarrow.fs import FileSystem, PyFileSystem
from pyiceberg.io import InputFile, OutputFile

from crypto_lakehouse.stores.objects.client import PART_BYTES, ObjectClient
from crypto_lakehouse.tables.iceberg.bounded_files import (
    MOST_BYTES,
    PACKED,
    check_whole,
    inflated,
)
from crypto_lakehouse.tables.iceberg.inner_names import PyArrowFile, PyArrowFileIO
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT, check_metadata_size, path_in_lake
from crypto_lakehouse.tables.iceberg.object_files import LakeObjects, ObjectHandler

__all__ = ["CLIENT", "TEMPORARY", "ObjectIO"]

#: The catalog's property with the client of the lake's objects.
CLIENT = "crypto-lakehouse.client"

#: The catalog's property that names the local folder of temporary files.
TEMPORARY = "crypto-lakehouse.temporary"

_STEP_BYTES = 1 << 20


class ObjectIO(PyArrowFileIO):
    """pyiceberg's file access, restricted to the objects of one lake (its `py-io-impl`).

    Raises:
        LakeError: A location is not in the lake.
        StoreError: The store fails.
    """

    @staticmethod
    def parse_location(location: str, properties: Any = None) -> tuple[str, str, str]:
        """Return scheme, host and path of a location; the path is the URL of an object."""
        return "lake", "", path_in_lake(location, (properties or {})[LAKE_ROOT])

    def _initialize_fs(self, scheme: str, netloc: str | None = None) -> FileSystem:  # noqa: ARG002
        return PyFileSystem(ObjectHandler(self.objects))

    @property
    def objects(self) -> LakeObjects:
        """The objects of the lake."""
        client: ObjectClient = self.properties[CLIENT]
        return LakeObjects(client)

    def _path(self, location: str | InputFile | OutputFile) -> str:
        text = location if isinstance(location, str) else location.location
        return self.parse_location(text, self.properties)[2]

    def new_input(self, location: str) -> PyArrowFile:
        """A file to read."""
        path = self._path(location)
        return _StoredFile(location, path, self.fs_by_scheme("lake", None), self.objects)

    def new_output(self, location: str) -> PyArrowFile:
        """A file to write; it is an object once it is closed."""
        path, folder = self._path(location), self.properties[TEMPORARY]
        return _NewFile(location, path, self.fs_by_scheme("lake", None), self.objects, folder)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file, if it is there."""
        self.objects.delete(self._path(location))


class _StoredFile(PyArrowFile):
    def __init__(self, location: str, path: str, files: FileSystem, objects: LakeObjects) -> None:
        super().__init__(location, path, files)
        self._objects = objects

    def __len__(self) -> int:
        return self._objects.size(self._path)

    def open(self, seekable: bool = True) -> Any:  # noqa: ARG002 - each can seek
        opened = self._objects.open(self._path)
        if self.location.endswith(PACKED):
            inflated(self._path, _ReadStream(opened, self._path).read())
            opened.seek(0)
        return _ReadStream(opened, self._path)


class _ReadStream:
    """An open object; what is read as a whole has a largest size, as in a directory."""

    def __init__(self, stream: io.BufferedIOBase, path: str) -> None:
        self._stream = stream
        self._path = path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.close()

    def read(self, nbytes: int | None = None) -> bytes:
        """Read some bytes, or all that are left.

        Raises:
            LakeError: All are too many.
            AvroError: All are a damaged Avro file.
        """
        if nbytes is not None and nbytes >= 0:
            return self._stream.read(nbytes)
        return check_whole(self._path, self._stream.read(MOST_BYTES + 1))


class _NewFile(PyArrowFile):
    def __init__(
        self, location: str, path: str, files: FileSystem, objects: LakeObjects, folder: str
    ) -> None:
        super().__init__(location, path, files)
        self._objects, self._folder = objects, folder

    def __len__(self) -> int:
        return self._objects.size(self._path)

    def exists(self) -> bool:
        return self._objects.find(self._path) is not None

    def create(self, overwrite: bool = False) -> Any:
        if not overwrite and self.exists():
            raise FileExistsError(f"there is already an object `{self._path}`")
        return self.create_unsynced()

    def create_unsynced(self) -> Any:
        """Open a stream for a data file, under a name that no other file has."""
        return _WriteStream(self._objects, self._path, self._folder)


class _WriteStream:
    """A stream whose bytes are stored when it is closed, and not if it is left by an error."""

    def __init__(self, objects: LakeObjects, path: str, folder: str) -> None:
        self._objects, self._path = objects, path
        self._file: Any = SpooledTemporaryFile(max_size=PART_BYTES, dir=folder)  # noqa: SIM115

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return bool(self._file.closed)

    def writable(self) -> bool:
        """Whether bytes can be written."""
        return not self.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def write(self, data: Any) -> int:
        """Write bytes; metadata that could not be read again is refused."""
        count = int(self._file.write(data))
        check_metadata_size(str(self._objects), self._path, self.tell())
        return count

    def tell(self) -> int:
        """How many bytes are written."""
        return int(self._file.tell())

    def flush(self) -> None:
        """Do nothing: bytes are stored when the stream is closed."""

    def close(self) -> None:
        """Store the bytes.

        Raises:
            StoreError: The store fails; nothing is stored.
        """
        if self.closed:
            return
        size = self.tell()
        self._file.seek(0)
        with self._file:
            if size <= PART_BYTES:
                self._objects.put(self._path, self._file.read())
            else:
                self._objects.upload(self._path, self._steps())

    def _steps(self) -> Iterator[bytes]:
        while step := self._file.read(_STEP_BYTES):
            yield step

    def discard(self) -> None:
        """Forget the bytes."""
        self._file.close()
