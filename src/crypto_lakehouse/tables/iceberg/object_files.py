"""The objects of a lake at a URL, by their URLs; and as a file system that Arrow reads from."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import pyarrow as pa
from attrs import frozen
from pyarrow import fs

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.object_info import ObjectInfo
from crypto_lakehouse.stores.objects.reading import open_object
from crypto_lakehouse.tables.iceberg.bounded_files import MOST_BYTES
from crypto_lakehouse.tables.iceberg.local_io import WAREHOUSE

__all__ = ["LakeObjects", "ObjectHandler"]


@frozen
class LakeObjects:
    """The objects below the warehouse of one lake, by their URLs.

    Each method raises `LakeError` for a URL that is not below it, and `StoreError` if the store
    fails.
    """

    client: ObjectClient

    def __str__(self) -> str:
        """The URL of the lake."""
        return self.client.url

    def key(self, url: str) -> str:
        """Return the key of an object in the lake."""
        key = url.removeprefix(f"{self.client.url}/")
        names = key.split("/")
        if key == url or names[0] != WAREHOUSE or {"", ".", ".."} & {*names}:
            raise LakeError(str(self), f"`{url}` is not an object of its tables, and is not used")
        return key

    def find(self, url: str) -> ObjectInfo | None:
        """Return what the store says about an object; None if there is none."""
        return self.client.head(self.key(url))

    def size(self, url: str) -> int:
        """Return the size of an object in bytes.

        Raises:
            FileNotFoundError: There is none.
        """
        info = self.find(url)
        if info is None:
            raise FileNotFoundError(_absent(url))
        return info.size_bytes

    def open(self, url: str) -> io.BufferedIOBase:
        """Open an object for reading; every read is of the same version.

        Raises:
            FileNotFoundError: There is none.
        """
        key = self.key(url)
        try:
            return open_object(self.client, key)[1]
        except StoreError:
            if self.client.head(key) is None:
                raise FileNotFoundError(_absent(url)) from None
            raise

    def read(self, url: str) -> bytes:
        """Return the bytes of an object of limited size.

        Raises:
            FileNotFoundError: There is none.
            LakeError: It is too large.
        """
        found = self.client.read_small(self.key(url), MOST_BYTES)
        if found is None:
            raise FileNotFoundError(_absent(url))
        if found[1] is None:
            raise LakeError(url, f"it has more than {MOST_BYTES >> 20} MiB, and is not read")
        return found[1]

    def put(self, url: str, data: bytes) -> None:
        """Store a small object."""
        self.client.put(self.key(url), data)

    def upload(self, url: str, steps: Iterable[bytes]) -> None:
        """Store a large object; an exception that `steps` raises leaves nothing."""
        self.client.upload(self.key(url), steps)

    def delete(self, url: str) -> None:
        """Delete an object, if it is there."""
        self.client.delete(self.key(url))

    def sizes(self, url: str) -> dict[str, int]:
        """Return the sizes of the objects below a folder, by their URLs."""
        found = self.client.objects(f"{self.key(url.rstrip('/'))}/")
        return {self.client.place(info.key): info.size_bytes for info in found}

    def below(self, url: str) -> Iterator[tuple[str, datetime]]:
        """Yield the URL of each object below a folder, and when it was written."""
        for info in self.client.objects(f"{self.key(url.rstrip('/'))}/"):
            written = datetime.fromtimestamp(info.written_ns / 1e9, UTC)
            yield f"{self.client.url}/{info.key}", written


def _absent(url: str) -> str:
    return f"there is no object `{url}`"


class ObjectHandler(fs.FileSystemHandler):
    """Lets Arrow read the objects of a lake; it writes nothing."""

    def __init__(self, objects: LakeObjects) -> None:
        self.objects = objects

    def __eq__(self, other: object) -> bool:
        """Whether another one has the same objects."""
        return isinstance(other, ObjectHandler) and str(other.objects) == str(self.objects)

    def __ne__(self, other: object) -> bool:
        """Whether another one has other objects."""
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def get_type_name(self) -> str:
        """The name of the kind of file system."""
        return "lake"

    def normalize_path(self, path: str) -> str:
        """The only form of a path is that of its object's URL."""
        return path

    def get_file_info(self, paths: Any) -> list[fs.FileInfo]:
        """Whether each path is an object, and its size."""
        return [self._described(path) for path in paths]

    def _described(self, path: str) -> fs.FileInfo:
        info = self.objects.find(path)
        if info is None:
            return fs.FileInfo(path, fs.FileType.NotFound)
        return fs.FileInfo(path, fs.FileType.File, size=info.size_bytes)

    def open_input_file(self, path: str) -> Any:
        """Open an object for reading."""
        return pa.PythonFile(cast("Any", self.objects.open(path)), mode="r")

    def open_input_stream(self, path: str) -> Any:
        """Open an object for reading."""
        return self.open_input_file(path)

    def get_file_info_selector(self, selector: fs.FileSelector) -> NoReturn:
        """Refuse to list: tables are read by the files that their metadata names."""
        self._refuse(selector.base_dir)

    def _refuse(self, *_given: Any) -> NoReturn:
        reason = "Arrow reads the files that the metadata of tables names, and does nothing else"
        raise LakeError(str(self.objects), reason)

    create_dir = delete_dir = delete_dir_contents = delete_file = _refuse  # type: ignore[assignment]
    delete_root_dir_contents = move = copy_file = _refuse  # type: ignore[assignment]
    open_output_stream = open_append_stream = _refuse  # type: ignore[assignment]
