"""Tells one version of a file from the next, so that what was read is never of two versions."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple, Protocol

from crypto_lakehouse.core.object_facts import FileStat

__all__ = ["FileIdentity", "OpenedVersion", "StoredFiles", "has_content", "identity_of"]


class FileIdentity(NamedTuple):
    """What changes if a file is replaced or written to.

    Attributes:
        size_bytes: Its size.
        mark: As in `FileStat`; of a file, when it was last written, in ns since 1970.
        inode: Its number in the file system; a file that is renamed into place has another one.
            0 for an object.
    """

    size_bytes: int
    mark: int
    inode: int = 0

    @property
    def stat(self) -> FileStat:
        """What a ledger records of it."""
        return FileStat(self.size_bytes, self.mark)


class OpenedVersion(Protocol):
    """A stored file that is open for reading."""

    @property
    def file(self) -> BinaryIO:
        """Its bytes, seekable."""
        ...

    def identity(self) -> FileIdentity | None:
        """Return the identity of what is open, as it is now; blocking."""
        ...


class StoredFiles(Protocol):
    """The files of a store as threads read them, with the identity of each version; blocking."""

    @property
    def requests_ahead(self) -> int:
        """How many files to open ahead of the one that is read; 0 if to open one is no request."""
        ...

    def place(self, key: str) -> str:
        """Return the path or the URL of a key, for messages."""
        ...

    def identity(self, key: str, listed: FileStat | None = None) -> FileIdentity | None:
        """Return the identity of a file; None if there is no file.

        Args:
            key: Its key.
            listed: What a scan has just said about it, which may be the answer.

        Raises:
            StoreError: The store failed.
        """
        ...

    def open(
        self, key: str, expected: FileIdentity | None = None
    ) -> AbstractContextManager[OpenedVersion]:
        """Open a file; the caller compares its identity.

        Args:
            key: Its key.
            expected: The version that the caller is going to read. If it is another one, that may
                be opened.

        Raises:
            OSError: There is no such file in a directory, or it cannot be read.
            StoreError: There is no such object, or the store failed.
        """
        ...

    def digest(self, key: str, check: Callable[[], None]) -> tuple[str, FileIdentity | None] | None:
        """Return the digest of a file, and the identity of the version that has it.

        Args:
            key: Its key.
            check: Called regularly; may raise to cancel.

        Returns:
            None if there is no file. The identity is None if the file changed while it was read.

        Raises:
            StoreError: It cannot be read.
        """
        ...

    def read(self, key: str, limit: int) -> bytes | None:
        """Return the first `limit` bytes of a file; None if there is no file.

        Raises:
            StoreError: It cannot be read.
        """
        ...


def identity_of(file: str | int) -> FileIdentity | None:
    """Return the identity of a path or of an open file; None if it has none; blocking."""
    try:
        stat = os.stat(file)  # noqa: PTH116 - a descriptor has no path
    except OSError:
        return None
    return FileIdentity(stat.st_size, stat.st_mtime_ns, stat.st_ino)


def has_content(path: str) -> bool:
    """Whether there is a file at a path, with at least one byte; blocking."""
    identity = identity_of(path)
    return identity is not None and identity.size_bytes > 0
