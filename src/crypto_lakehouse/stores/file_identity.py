"""Tells one version of a file from the next, so that a digest is never that of other bytes."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.stores.os_errors import as_store_errors
from crypto_lakehouse.stores.parts import ONE_FILE, fold_file, no_link

__all__ = ["FileIdentity", "hash_identified", "identity_of"]


class FileIdentity(NamedTuple):
    """What changes if a file is replaced or written to.

    Attributes:
        size_bytes: Its size.
        mtime_ns: When it was last written, in ns since 1970.
        inode: Its number in the file system; a file that is renamed into place has another one.
    """

    size_bytes: int
    mtime_ns: int
    inode: int

    @property
    def stat(self) -> FileStat:
        """What a ledger records of it."""
        return FileStat(self.size_bytes, self.mtime_ns)


def identity_of(file: str | int) -> FileIdentity | None:
    """Return the identity of a path or of an open file; None if it has none; blocking."""
    try:
        stat = os.stat(file)  # noqa: PTH116 - a descriptor has no path
    except OSError:
        return None
    return FileIdentity(stat.st_size, stat.st_mtime_ns, stat.st_ino)


def hash_identified(path: str) -> tuple[str, FileIdentity | None] | None:
    """Return the digest of a file, and the identity of the version that has it; in a worker thread.

    Returns:
        None if there is no file. The identity is None if the file changed while it was read.

    Raises:
        StoreError: It cannot be read.
    """
    digest = hashlib.sha256()
    with as_store_errors(path, ONE_FILE):
        try:
            with open(path, "rb", buffering=0, opener=no_link) as file:
                before = identity_of(file.fileno())
                fold_file(file, digest.update)
                after = identity_of(file.fileno())
        except FileNotFoundError:
            return None
    return digest.hexdigest(), before if before == after else None
