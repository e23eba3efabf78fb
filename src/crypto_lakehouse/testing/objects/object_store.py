"""Everything a server holds: objects put there, a folder's files, and made-up archives."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from enum import Enum
from itertools import groupby
from pathlib import Path

from attrs import frozen

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.testing.made_up.catalog import Catalog
from crypto_lakehouse.testing.made_up.generator import archive_bytes, sidecar_bytes
from crypto_lakehouse.testing.objects.folder import Folder
from crypto_lakehouse.testing.objects.lru import Lru
from crypto_lakehouse.testing.objects.objects import ZIP_TYPE, BytesContent, Entry, StoredObject
from crypto_lakehouse.testing.objects.walk import walk

__all__ = ["UNKNOWN", "ObjectStore", "Unknown"]

#: How many bytes of made-up archives are kept, and how many sizes and digests.
BODY_CACHE_BYTES = 128 * 1024 * 1024
_FACTS_CACHE_ENTRIES = 100_000


class Unknown(Enum):
    """Returned by `ObjectStore.peek` if it would have to block."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN


@frozen
class _Facts:
    """What is kept of a made-up archive when its bytes are evicted."""

    entry: Entry
    sidecar: StoredObject


class ObjectStore:
    """Objects by key: those put here first, then the folder's, then made-up ones.

    May be used from several threads.

    Args:
        folder: Holds files.
        catalog: Makes archives up.
        body_cache_bytes: How many bytes of made-up archives are kept.
    """

    def __init__(
        self,
        folder: Folder | None,
        catalog: Catalog | None,
        body_cache_bytes: int = BODY_CACHE_BYTES,
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._explicit: dict[str, StoredObject | None] = {}
        self._bodies: Lru[bytes] = Lru(body_cache_bytes, len)
        self._facts: Lru[_Facts] = Lru(_FACTS_CACHE_ENTRIES, lambda _: 1)
        self._files: dict[tuple[Path, int, int], StoredObject] = {}

    def put(self, key: str, stored: StoredObject | None) -> None:
        """Hold an object under the key from now on; None for no object."""
        self._explicit[key] = stored

    def peek(self, key: str) -> StoredObject | Unknown | None:
        """The object of a key; None if there is none, `UNKNOWN` if only `get` can find out."""
        if key in self._explicit:
            return self._explicit[key]
        if self._folder is not None:
            return UNKNOWN
        facts = self._facts.get(key.removesuffix(SIDECAR_SUFFIX))
        if facts is None:
            return UNKNOWN if self._archive_of(key) is not None else None
        if key.endswith(SIDECAR_SUFFIX):
            return facts.sidecar
        body = self._bodies.get(key)
        return UNKNOWN if body is None else _stored(facts, body)

    def get(self, key: str) -> StoredObject | None:
        """The object of a key, None if there is none; blocks to read or to make it."""
        if key in self._explicit:
            return self._explicit[key]
        return self._file(key) or self._made(key)

    def entry(self, key: str) -> Entry | None:
        """The listing entry of a key, None if there is none; blocks like `get`."""
        found = None if key in self._explicit else self._archive_of(key)
        if found is None or key.endswith(SIDECAR_SUFFIX) or self._file(key) is not None:
            stored = self.get(key)
            return None if stored is None else stored.entry
        return self._facts_of(*found).entry

    def keys_after(self, prefix: str, marker: str) -> Iterator[str]:
        """Yield the keys with a prefix that sort after `marker`, sorted, lazily."""
        sources = [iter(sorted(self._put_keys(prefix, marker)))]
        if self._folder is not None:
            sources.append(walk(self._folder.children, prefix, marker))
        if self._catalog is not None:
            sources.append(walk(self._catalog.children, prefix, marker))
        for key, _ in groupby(heapq.merge(*sources)):
            if self._explicit.get(key, UNKNOWN) is not None:
                yield key

    def _put_keys(self, prefix: str, marker: str) -> list[str]:
        return [
            key
            for key, stored in self._explicit.copy().items()
            if stored is not None and key.startswith(prefix) and key > marker
        ]

    def _file(self, key: str) -> StoredObject | None:
        path = self._folder.find(key) if self._folder is not None else None
        if path is None:
            return None
        try:
            status = path.stat()
        except FileNotFoundError:  # it has gone since it was found
            return None
        version = (path, status.st_mtime_ns, status.st_size)
        if version not in self._files:
            self._files[version] = StoredObject.of_file(key, path, status)
        return self._files[version]

    def _archive_of(self, key: str) -> tuple[Archive, MatrixRow] | None:
        return None if self._catalog is None else self._catalog.archive_of(key)

    def _made(self, key: str) -> StoredObject | None:
        found = self._archive_of(key)
        if found is None:
            return None
        if key.endswith(SIDECAR_SUFFIX):
            return self._facts_of(*found).sidecar
        body = self._body(*found)
        return _stored(self._facts_of(*found, body), body)

    def _facts_of(self, archive: Archive, row: MatrixRow, body: bytes | None = None) -> _Facts:
        facts = self._facts.get(archive.key)
        if facts is None:
            body = self._body(archive, row) if body is None else body
            line = sidecar_bytes(archive.name, body, newline=row.sidecar_newline)
            sidecar = StoredObject.of(archive.sidecar_key, line)
            facts = _Facts(StoredObject.of(archive.key, body).entry, sidecar)
            self._facts.put(archive.key, facts)
        return facts

    def _body(self, archive: Archive, row: MatrixRow) -> bytes:
        body = self._bodies.get(archive.key)
        if body is None:
            body = archive_bytes(archive, row)
            self._bodies.put(archive.key, body)
        return body


def _stored(facts: _Facts, body: bytes) -> StoredObject:
    entry = facts.entry
    return StoredObject(BytesContent(body), entry.etag, entry.last_modified, ZIP_TYPE)
