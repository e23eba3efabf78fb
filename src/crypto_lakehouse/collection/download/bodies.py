"""Complete bodies that are not yet at their final names: in memory, or in a part if large."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Protocol

from attrs import define, field

from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import Part, Store
from crypto_lakehouse.zips.check import check_zip
from crypto_lakehouse.zips.stream_check import StreamedZip

__all__ = ["FetchedBody", "MemoryBody", "PartBody", "PassingBytes"]


class FetchedBody(Protocol):
    """A complete body that is not yet at its final name."""

    @property
    def size_bytes(self) -> int:
        """The number of bytes."""
        ...

    def sha256(self) -> str:
        """Return the digest of the bytes."""
        ...

    def md5(self) -> str | None:
        """Return the MD5 of the bytes; None if it was not computed while they arrived."""
        ...

    async def zip_fault(self, member: str) -> str:
        """Return why the bytes are not a zip with that one member; empty if they are."""
        ...

    async def commit(self, *, sync: bool = False) -> FileStat:
        """Move the bytes to their final name, atomically; see `Store.put` for `sync`."""
        ...

    async def quarantine(self, note: Mapping[str, object]) -> bool:
        """Move the bytes to quarantine, with a note; return whether they are there."""
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

    def sha256(self) -> str:
        """Return the digest of the body."""
        return hashlib.sha256(self.data).hexdigest()

    def md5(self) -> str:
        """Return the MD5 of the body."""
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()

    async def zip_fault(self, member: str) -> str:
        """Return why the body is not a readable zip; empty if it is."""
        return await check_zip(lambda: BytesIO(self.data), member, self.size_bytes)

    async def commit(self, *, sync: bool = False) -> FileStat:
        """Store the body under its key."""
        return await self.store.put(self.key, self.data, sync=sync)

    async def quarantine(self, note: Mapping[str, object]) -> bool:
        """Move the body to quarantine."""
        await self.store.quarantine(self.key, self.data, note)
        return True

    async def discard(self) -> None:
        """Forget the body."""
        self.data = b""


@define
class PassingBytes:
    """Checks a large body while its bytes pass, so that none is read back.

    Args:
        with_md5: Whether the MD5 is computed, which takes three times as long as the SHA-256.
        expected_bytes: The size of the body; None if it is not known.
    """

    with_md5: bool
    expected_bytes: int | None = None
    zip: StreamedZip = field(init=False)
    _md5: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.zip = StreamedZip(self.expected_bytes or 0)
        self._md5 = hashlib.md5(usedforsecurity=False) if self.with_md5 else None

    def feed(self, data: bytes | bytearray) -> None:
        """Take the next bytes."""
        self.zip.feed(data)
        if self._md5 is not None:
            self._md5.update(data)

    def md5(self) -> str | None:
        """Return the MD5 of the bytes so far; None if it is not computed."""
        return None if self._md5 is None else str(self._md5.hexdigest())


@define
class PartBody:
    """A large body that is complete in a part.

    Args:
        part: Has the bytes.
        passed: Has checked all of them, in order.
    """

    part: Part
    passed: PassingBytes

    @property
    def size_bytes(self) -> int:
        """The size of the part."""
        return self.part.size_bytes

    def sha256(self) -> str:
        """Return the digest of the part."""
        return self.part.sha256()

    def md5(self) -> str | None:
        """Return the MD5 of the part; None if it was not computed."""
        return self.passed.md5()

    async def zip_fault(self, member: str) -> str:
        """Return why the part is not a readable zip; empty if it is."""
        return self.passed.zip.fault(member)

    async def commit(self, *, sync: bool = False) -> FileStat:
        """Move the part to its final name."""
        return await self.part.commit(sync=sync)

    async def quarantine(self, note: Mapping[str, object]) -> bool:
        """Move the part to quarantine, unless the store has to remove it."""
        return await self.part.quarantine(note)

    async def discard(self) -> None:
        """Remove the part."""
        await self.part.discard()
