"""Whole bodies that are not yet at their final names; small ones lie in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from typing import BinaryIO, Protocol

from attrs import define

from crypto_lakehouse.core.protocols import FileStat, Store

__all__ = ["FetchedBody", "MemoryBody"]


class FetchedBody(Protocol):
    """A whole body that is not yet at its final name."""

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        ...

    @property
    def held(self) -> bytes | None:
        """The bytes, where they are in memory."""
        ...

    def sha256(self) -> str:
        """Digest of the bytes."""
        ...

    def reader(self) -> BinaryIO:
        """Open the bytes for reading; the caller closes it."""
        ...

    async def commit(self, *, sync: bool = False) -> FileStat:
        """Move the bytes to their final name, at once and whole; see `Store.put` for `sync`."""
        ...

    async def quarantine(self, note: Mapping[str, object]) -> None:
        """Set the bytes aside, with a note on why."""
        ...

    async def discard(self) -> None:
        """Forget the bytes."""
        ...


@define
class MemoryBody:
    """A small body; nothing of it is on disk before `commit`."""

    store: Store
    key: str
    data: bytes

    @property
    def size_bytes(self) -> int:
        """Length of the body."""
        return len(self.data)

    @property
    def held(self) -> bytes:
        """The body itself."""
        return self.data

    def sha256(self) -> str:
        """Digest of the body."""
        return hashlib.sha256(self.data).hexdigest()

    def reader(self) -> BinaryIO:
        """Open the body for reading."""
        return BytesIO(self.data)

    async def commit(self, *, sync: bool = False) -> FileStat:
        """Store the body under its key."""
        return await self.store.put(self.key, self.data, sync=sync)

    async def quarantine(self, note: Mapping[str, object]) -> None:
        """Set the body aside."""
        await self.store.quarantine(self.key, self.data, note)

    async def discard(self) -> None:
        """Forget the body."""
        self.data = b""
