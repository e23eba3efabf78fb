"""The objects of a store as threads read them, with the identity of each version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, ClassVar, cast

from attrs import frozen

from crypto_lakehouse.core.file_identity import FileIdentity
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.stores.keys import checked_key
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.object_info import ObjectInfo
from crypto_lakehouse.stores.objects.reading import open_object

__all__ = ["ObjectFiles"]


@frozen
class _Opened:
    file: BinaryIO
    version: FileIdentity

    def identity(self) -> FileIdentity:
        return self.version  # every read is of this version, or fails


@frozen
class ObjectFiles:
    """Objects below one prefix.

    Args:
        client: The objects.
    """

    client: ObjectClient
    requests_ahead: ClassVar[int] = 16

    def place(self, key: str) -> str:
        """Return the URL of a key."""
        return self.client.place(key)

    def identity(self, key: str, listed: FileStat | None = None) -> FileIdentity | None:
        """Return the identity of an object; that of a listing needs no request."""
        if listed is not None:
            return FileIdentity(*listed)
        info = self.client.head(checked_key(key))
        return None if info is None else _identity_of(info)

    @contextmanager
    def open(self, key: str, expected: FileIdentity | None = None) -> Iterator[_Opened]:
        """Open an object: a small one is read by one request, and one of a large one is ahead."""
        size_bytes = 0 if expected is None else expected.size_bytes
        info, file = open_object(self.client, checked_key(key), size_bytes, ahead=True)
        with file:
            yield _Opened(cast("BinaryIO", file), _identity_of(info))

    def digest(self, key: str, check: Callable[[], None]) -> tuple[str, FileIdentity | None] | None:
        """Return the digest of an object and its identity, by one request."""
        digest = hashlib.sha256()
        try:
            info, chunks = self.client.stream(checked_key(key))
            for chunk in chunks:
                digest.update(chunk)
                check()
        except FileNotFoundError:
            return None
        return digest.hexdigest(), _identity_of(info)

    def read(self, key: str, limit: int) -> bytes | None:
        """Return the first bytes of an object; None if there is no object."""
        return self.client.read(checked_key(key), limit)


def _identity_of(info: ObjectInfo) -> FileIdentity:
    return FileIdentity(info.size_bytes, info.mark)
