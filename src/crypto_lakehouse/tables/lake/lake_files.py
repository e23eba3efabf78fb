"""The files of a lake as a relocation reads and writes them: in a directory, or objects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Protocol, cast

from attrs import field, frozen

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.stores.confined import files_below, has_link, open_folder
from crypto_lakehouse.stores.disk import NO_LINK
from crypto_lakehouse.stores.objects.client import PART_BYTES
from crypto_lakehouse.tables.iceberg.bounded_files import read_whole, regular_size
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.local_io import DISK, check_inside, delete_below, location_of
from crypto_lakehouse.tables.iceberg.object_files import LakeObjects

__all__ = ["DirectoryFiles", "LakeFiles", "ObjectFiles", "files_of"]


class LakeFiles(Protocol):
    """The files below the warehouse of one lake; a path is that of a local file, or a URL.

    Each method raises `LakeError` for a path that is not used, and `OSError` or `StoreError` if
    the storage fails.
    """

    @property
    def root(self) -> str:
        """The lake: an absolute path, or a URL."""

    def location(self, path: str) -> str:
        """Return the location of a file, as Iceberg's metadata names it."""

    def has(self, path: str) -> bool:
        """Whether there is such a file."""

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes; None if there is none."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the sizes of the files below a folder, by path; an empty dict if it is absent."""

    def read(self, path: str) -> bytes:
        """Return the bytes of a file of limited size.

        Raises:
            FileNotFoundError: There is none.
        """

    def open(self, path: str) -> IO[bytes]:
        """Open a file of any size for reading.

        Raises:
            FileNotFoundError: There is none.
        """

    def store(self, path: str, steps: Iterable[bytes], size: int) -> None:
        """Write a file of any size, over an earlier one; if `steps` raises, nothing is written.

        Args:
            path: The file; its folder is made.
            steps: Its bytes.
            size: How many they are.
        """

    def create(self, path: str, data: bytes) -> None:
        """Write a new file into a folder that exists."""

    def sync(self, paths: Sequence[str]) -> None:
        """Make files that were created survive a power loss."""

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""


def files_of(place: LakePlace) -> LakeFiles:
    """Return the files of a lake."""
    if place.client is None:
        return DirectoryFiles(place.root)
    return ObjectFiles(LakeObjects(place.client))


@frozen
class DirectoryFiles:
    """The files of a lake in a directory; see `LakeFiles`. No link is followed."""

    root: str

    def location(self, path: str) -> str:
        """Return the location of a file."""
        return location_of(Path(path))

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return os.path.isfile(path)  # noqa: PTH113 - the path is text

    def size(self, path: str) -> int | None:
        """Return the size of a file; None if there is none."""
        try:
            return regular_size(path)
        except FileNotFoundError:
            return None

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the sizes of the files below a folder."""
        try:
            found = files_below(self.root, folder)
            return {each.path: each.stat(follow_symlinks=False).st_size for each in found}
        except StoreError as error:
            raise LakeError(folder, f"it is not read: {error.reason}") from error

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""
        self._refuse_link(path)
        return read_whole(path)

    def _refuse_link(self, path: str) -> None:
        if has_link(self.root, path):
            raise LakeError(path, "a symbolic link is on the path, and it is not followed")

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading."""
        self._refuse_link(path)
        regular_size(path)
        return Path(path).open("rb")

    def store(self, path: str, steps: Iterable[bytes], size: int) -> None:  # noqa: ARG002
        """Write a file beside its place, and rename it when it is complete."""
        part = f"{path}.part"
        check_inside(path, self.root)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        delete_below(self.root, part)  # of a copy that was killed
        try:
            with self._created(part) as file:
                file.writelines(steps)
            os.replace(part, path)  # noqa: PTH105 - the paths are text
        except BaseException:
            delete_below(self.root, part)
            raise

    def create(self, path: str, data: bytes) -> None:
        """Write a new file."""
        with self._created(path) as file:
            file.write(data)

    def _created(self, path: str) -> IO[bytes]:
        folder, _, name = path.rpartition("/")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK
        try:
            with open_folder(self.root, folder) as descriptor:
                at = path if descriptor is None else name
                return os.fdopen(os.open(at, flags, 0o666, dir_fd=descriptor), "wb")
        except StoreError as error:
            raise LakeError(path, f"nothing is written: {error.reason}") from error

    def sync(self, paths: Sequence[str]) -> None:
        """Sync files to disk."""
        DISK.sync(self.root, paths)

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        delete_below(self.root, path)


@frozen
class ObjectFiles:
    """The files of a lake at a URL; see `LakeFiles`. An object is durable once it is stored."""

    objects: LakeObjects
    root: str = field(init=False)

    @root.default
    def _root(self) -> str:
        return self.objects.client.url

    def location(self, path: str) -> str:
        """Return the location of a file."""
        return path

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return self.objects.find(path) is not None

    def size(self, path: str) -> int | None:
        """Return the size of a file; None if there is none."""
        info = self.objects.find(path)
        return None if info is None else info.size_bytes

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the sizes of the files below a folder."""
        return self.objects.sizes(folder)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""
        return self.objects.read(path)

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading; every read is of the same version."""
        return cast("IO[bytes]", self.objects.open(path))

    def store(self, path: str, steps: Iterable[bytes], size: int) -> None:
        """Write a file, a large one in parts."""
        if size <= PART_BYTES:
            self.objects.put(path, b"".join(steps))
        else:
            self.objects.upload(path, steps)

    def create(self, path: str, data: bytes) -> None:
        """Write a new file."""
        self.objects.put(path, data)

    def sync(self, paths: Sequence[str]) -> None:
        """Do nothing."""

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        self.objects.delete(path)
