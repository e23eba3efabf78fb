"""A store in memory: what an application's own store may look like."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import BinaryIO

from attrs import define, field

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.kept import KeptVersion, Quarantined
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import PART_SUFFIX, FolderScan, Watch, ignore

__all__ = ["KeepsNothing", "MemoryPart", "MemoryStore"]


class KeepsNothing:
    """The part of a store that concerns what is kept beside the archives, with nothing in it."""

    def prepare(self) -> None:
        pass

    def make_durable(self, keys: Collection[str]) -> None:
        pass

    def quarantined(self) -> Iterator[Quarantined]:
        return iter(())

    def release(self, key: str) -> None:
        pass

    def kept_versions(self) -> Iterator[KeptVersion]:
        return iter(())

    def remove_kept(self, place: str) -> int | None:
        return None


@define
class MemoryStore:
    """Bodies in dicts; each body has a number, which is its mark."""

    bodies: dict[str, tuple[bytes, int]] = field(factory=dict)
    parts: dict[str, bytearray] = field(factory=dict)
    aside: dict[str, tuple[bytes, Mapping[str, object]]] = field(factory=dict)
    kept: dict[str, tuple[str, bytes]] = field(factory=dict)
    _count: int = 0

    def _stat(self, key: str) -> FileStat:
        data, mark = self.bodies[key]
        return FileStat(len(data), mark)

    def _below(self, names: Collection[str], folder: str) -> list[str]:
        prefix = folder.rstrip("/") + "/"
        ends = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return [end for end in ends if "/" not in end]

    async def scan(self, folder: str) -> Mapping[str, FileStat]:
        prefix = folder.rstrip("/") + "/"
        return {name: self._stat(prefix + name) for name in self._below(self.bodies, folder)}

    def scan_now(self, folder: str) -> FolderScan:
        prefix = folder.rstrip("/") + "/"
        names = set(self._below(self.bodies, folder))
        zips = {name: self._stat(prefix + name) for name in names if name.endswith(".zip")}
        parts = {name + PART_SUFFIX for name in self._below(self.parts, folder)}
        return FolderScan(zips, (names - zips.keys()) | parts)

    def folders(self, on_unreadable: Callable[[str], None] = ignore) -> Iterator[str]:
        keys = [*self.bodies, *self.parts]
        return iter(sorted({key.rpartition("/")[0] + "/" for key in keys if key[:5] == "data/"}))

    async def sha256(self, key: str) -> str | None:
        _check(key)
        return hashlib.sha256(self.bodies[key][0]).hexdigest() if key in self.bodies else None

    async def read(self, key: str, limit: int) -> bytes | None:
        _check(key)
        return self.bodies[key][0][:limit] if key in self.bodies else None

    def reader(self, key: str) -> BinaryIO:
        _check(key)
        if key not in self.bodies:
            raise StoreError(key, "there is no such body")
        return io.BytesIO(self.bodies[key][0])

    async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
        _check(key)
        self._count += 1
        self.bodies[key] = (bytes(data), self._count)
        return self._stat(key)

    async def open_part(
        self, key: str, *, resume: bool, watch: Watch | None = None, doubtful: bool = False
    ) -> MemoryPart:
        _check(key)
        held = self.parts.get(key, bytearray()) if resume else bytearray()
        self.parts[key] = held
        if watch is not None and held:
            watch(bytes(held))
        return MemoryPart(self, key, watch)

    async def keep_replaced(self, key: str, sha256: str) -> str:
        if await self.sha256(key) != sha256:
            return ""
        self.kept[f"{key}@{sha256}"] = (key, self.bodies[key][0])
        return f"{key}@{sha256}"

    async def remove(self, key: str) -> None:
        self.remove_now(key)

    def remove_now(self, key: str) -> None:
        _check(key)
        self.bodies.pop(key, None)
        self.parts.pop(key.removesuffix(PART_SUFFIX), None)

    async def quarantine(self, key: str, data: bytes, note: Mapping[str, object]) -> None:
        _check(key)
        self.aside[key] = (bytes(data), note)

    def prepare(self) -> None:
        pass

    def make_durable(self, keys: Collection[str]) -> None:
        pass

    def quarantined(self) -> Iterator[Quarantined]:
        for key, (_, note) in sorted(self.aside.items()):
            yield Quarantined(Archive.parse(key), note)

    def release(self, key: str) -> None:
        self.aside.pop(key, None)

    def kept_versions(self) -> Iterator[KeptVersion]:
        for place, (key, data) in sorted(self.kept.items(), key=lambda item: item[1][0]):
            yield KeptVersion(key, place.rpartition("@")[2], len(data), place)

    def remove_kept(self, place: str) -> int | None:
        return len(self.kept.pop(place)[1]) if place in self.kept else None


def _check(key: str) -> None:
    if any(part in {"", ".", ".."} for part in key.split("/")):
        raise StoreError(repr(key), "a key must not leave the store")


@define
class MemoryPart:
    """An unfinished body, beside the bodies."""

    store: MemoryStore
    key: str
    watch: Watch | None

    @property
    def _data(self) -> bytearray:
        return self.store.parts[self.key]

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    async def append(self, data: bytes | bytearray) -> None:
        self._data.extend(data)
        if self.watch is not None:
            self.watch(data)

    def sha256(self) -> str:
        return hashlib.sha256(self._data).hexdigest()

    async def commit(self, *, sync: bool = False) -> FileStat:
        return await self.store.put(self.key, bytes(self.store.parts.pop(self.key)), sync=sync)

    async def close(self) -> None:
        pass

    async def discard(self) -> None:
        self.store.parts.pop(self.key, None)

    async def quarantine(self, note: Mapping[str, object]) -> bool:
        await self.store.quarantine(self.key, bytes(self.store.parts.pop(self.key)), note)
        return True
