"""`NAME.part`: an unfinished large body; and hashing of whole files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import RawIOBase
from typing import Any

from anyio import from_thread, to_thread
from attrs import define, field

from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import PART_SUFFIX, Watch
from crypto_lakehouse.stores.disk import NO_LINK, WRITE, Disk, file_stat
from crypto_lakehouse.stores.os_errors import as_store_errors

__all__ = ["ONE_FILE", "LocalPart", "fold_file", "hash_file", "no_link"]

#: No error in reading stored bytes ends the run: one bad sector concerns one file.
ONE_FILE: frozenset[int] = frozenset()

_STEP_BYTES = 1 << 20


@define
class LocalPart:
    """`NAME.part`: an unfinished large body beside its final name.

    Args:
        disk: Makes the system calls that change the disk.
        final_path: The path of the complete body.
        set_aside: Moves a file to quarantine, with a note.
        watch: Is called with the bytes in the order in which they are stored.
    """

    disk: Disk
    final_path: str
    set_aside: Callable[[str, Mapping[str, object]], None]
    watch: Watch | None = None
    size_bytes: int = field(init=False, default=0)
    _file: int | None = field(init=False, default=None)
    _digest: Any = field(init=False, factory=hashlib.sha256)

    @property
    def path(self) -> str:
        """The path of the unfinished bytes."""
        return self.final_path + PART_SUFFIX

    def begin(self) -> None:
        """Open an empty part; blocking."""
        self._open(WRITE | os.O_TRUNC)

    def resume(self) -> None:
        """Hash the bytes that are already there; blocking, and no file is left open."""
        with as_store_errors(self.path), suppress(FileNotFoundError):
            _fold_path(self.path, self._fold)

    def _fold(self, data: bytes | bytearray) -> None:
        self._digest.update(data)
        self.size_bytes += len(data)
        if self.watch is not None:
            self.watch(data)

    def _open(self, flags: int) -> int:
        with as_store_errors(self.path):
            self._file = self.disk.open(self.path, flags)
        return self._file

    async def append(self, data: bytes | bytearray) -> None:
        """Hash and write a buffer in one thread hop."""
        await to_thread.run_sync(self._append, data)

    def _append(self, data: bytes | bytearray) -> None:
        file = self._open(WRITE | os.O_APPEND) if self._file is None else self._file
        with as_store_errors(self.path):
            view = memoryview(data)
            while view:
                view = view[self.disk.append(file, view) :]
        self._fold(data)

    def sha256(self) -> str:
        """Return the digest of everything in the part."""
        return str(self._digest.hexdigest())

    async def close(self) -> None:
        """Close the file; the bytes stay."""
        if self._file is not None:
            file, self._file = self._file, None
            self.disk.close(file)

    async def commit(self, *, sync: bool = False) -> FileStat:
        """Rename to the final name."""
        await self.close()
        with as_store_errors(self.final_path):
            if sync:
                await to_thread.run_sync(self.disk.sync_each, (self.path,))
            self.disk.rename(self.path, self.final_path)
            return file_stat(os.stat(self.final_path))  # noqa: PTH116

    async def discard(self) -> None:
        """Remove the bytes."""
        await self.close()
        with as_store_errors(self.path):
            self.disk.unlink(self.path)

    async def quarantine(self, note: Mapping[str, object]) -> bool:
        """Move the bytes to quarantine, with a note; they are always kept."""
        await self.close()
        self.set_aside(self.path, note)
        return True


def hash_file(path: str) -> str | None:
    """Return the digest of a file, None if there is no file; in a worker thread."""
    digest = hashlib.sha256()
    with as_store_errors(path, ONE_FILE, reads=True):
        try:
            _fold_path(path, digest.update)
        except FileNotFoundError:
            return None
    return digest.hexdigest()


def no_link(path: str, flags: int) -> int:
    """Open a regular file: symbolic links are not followed, and a pipe does not block."""
    return os.open(path, flags | NO_LINK)


def _fold_path(path: str, update: Callable[[bytes], None]) -> None:
    with open(path, "rb", buffering=0, opener=no_link) as file:
        fold_file(file, update)


def fold_file(
    file: RawIOBase,
    update: Callable[[bytes], None],
    check: Callable[[], None] = from_thread.check_cancelled,
) -> None:
    """Read a file in steps, in a worker thread.

    Args:
        file: The file.
        update: Called with each step.
        check: Called after each step; by default it raises if the task is cancelled.
    """
    while chunk := file.read(_STEP_BYTES):
        update(chunk)
        check()
