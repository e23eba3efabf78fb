"""An object store as a store: `<prefix>/<object key>`, in S3, GCS, Azure, or memory.

| what                | how                                                                     |
|---------------------|-------------------------------------------------------------------------|
| small bodies        | one request, with the SHA-256 as checksum and as metadata               |
| large bodies        | an upload in parts, which the verdict completes or aborts (`part`)      |
| the mark of a file  | 62 bits of a hash of its ETag                                           |
| scans of folders    | listings that walk beside the plan (`folder_scans`)                     |
| replaced versions   | the store copies them to `.lakehouse/replaced/` before they are replaced |
| a lost lease        | what the next holder has stored is not replaced (`fence`)               |

Methods that block are called in worker threads, as those of a directory are.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

from anyio import CapacityLimiter, from_thread, to_thread
from attrs import define, field

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive
from crypto_lakehouse.core.errors import ArchiveKeyError, StoreError
from crypto_lakehouse.core.file_identity import StoredFiles
from crypto_lakehouse.core.kept import KEPT_FOLDER, KeptVersion, Quarantined
from crypto_lakehouse.core.listed import md5_of_etag
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.protocols import PART_SUFFIX, FolderScan, KnownDigests, Watch, ignore
from crypto_lakehouse.stores.keys import checked_key
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import UnusableKey
from crypto_lakehouse.stores.objects.fence import SHA256, Fence
from crypto_lakehouse.stores.objects.files import ObjectFiles
from crypto_lakehouse.stores.objects.folder_scans import FolderScans, scan_of
from crypto_lakehouse.stores.objects.listings import WITNESS_KEY
from crypto_lakehouse.stores.objects.object_info import ObjectInfo
from crypto_lakehouse.stores.objects.part import ObjectPart
from crypto_lakehouse.stores.objects.reading import open_object
from crypto_lakehouse.stores.quarantine import note_bytes, parse_note
from crypto_lakehouse.stores.replaced import kept_as, parse_kept

__all__ = ["ObjectStore"]

_log = logging.getLogger(__name__)

_DATA = "data/"
_OWN = ".lakehouse/"
_QUARANTINE = ".lakehouse/quarantine/"
_NOTE = ".json"
_ZIP = ".zip"

_DIGEST = re.compile(r"[0-9a-f]{64}")

#: The largest number of requests at once.
_MOST_REQUESTS = 64

_T = TypeVar("_T")


def _warn(folder: str, reason: str) -> None:
    _log.warning("`%s` cannot be read: %s", folder, reason)


@define
class ObjectStore:
    """Objects below one prefix of a bucket.

    Args:
        client: The objects; it has the credentials.

    Attributes:
        fence: Writes for the run that holds the lease; None for one that needs no lease.
    """

    client: ObjectClient
    fence: Fence | None = field(init=False, default=None, repr=False)
    _scans: FolderScans = field(init=False, repr=False)
    _limiter: CapacityLimiter | None = field(init=False, default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        self._scans = FolderScans(self._pages, self.client.names)

    def _pages(self, prefix: str, after: str) -> Iterator[list[ObjectInfo]]:
        return self.client.pages(prefix, after=after)

    @property
    def url(self) -> str:
        """The URL of the prefix, without secrets."""
        return self.client.url

    @property
    def files(self) -> StoredFiles:
        """The objects as threads read them."""
        return ObjectFiles(self.client)

    async def _in_thread(self, call: Callable[..., _T], *arguments: Any) -> _T:
        if self._limiter is None:
            self._limiter = CapacityLimiter(_MOST_REQUESTS)
        return await to_thread.run_sync(call, *arguments, limiter=self._limiter)

    async def scan(self, folder: str) -> Mapping[str, FileStat]:
        """Return name and stat of every object directly below a prefix."""
        prefix = f"{checked_key(folder.rstrip('/'))}/"
        found = await self._in_thread(lambda: list(self.client.directly_below(prefix)))
        return {info.key[len(prefix) :]: FileStat(info.size_bytes, info.mark) for info in found}

    def scan_now(self, folder: str) -> FolderScan:
        """Return the archives directly below a prefix, by a listing that walks beside the plan."""
        prefix = f"{checked_key(folder.rstrip('/'))}/"
        return scan_of(self._scans.scan(prefix), prefix)

    def folders(self, on_unreadable: Callable[[str], None] = ignore) -> Iterator[str]:
        """Yield the prefixes that have objects, by one listing; no scan of them lists again."""
        return self._scans.folders(_DATA, self.client.folders, on_unreadable)

    def segments(
        self, on_unreadable: Callable[[str, str], None], origin: Origin = Origin.FILL
    ) -> Iterator[tuple[str, FileStat]]:
        """Yield key and stat of every segment of an origin, by one listing; blocking."""
        for info in self._usable(f"{origin.folder}/", on_unreadable):
            if info.key.endswith(origin.suffix):
                yield info.key, FileStat(info.size_bytes, info.mark)

    async def sha256(self, key: str) -> str | None:
        """Return the digest of an object, which is read; None if there is no object."""
        return await self._in_thread(self._sha256, checked_key(key))

    def _sha256(self, key: str) -> str | None:
        digest = hashlib.sha256()
        try:
            for chunk in self.client.stream(key)[1]:
                digest.update(chunk)
                from_thread.check_cancelled()
        except FileNotFoundError:
            return None
        return digest.hexdigest()

    async def known_digests(self, key: str, stat: FileStat) -> KnownDigests:
        """Return what the store recorded with an object, by one request without its bytes."""
        return await self._in_thread(self._known_digests, checked_key(key), stat)

    def _known_digests(self, key: str, stat: FileStat) -> KnownDigests:
        found = self.client.metadata(key)
        if found is None or FileStat(found[0].size_bytes, found[0].mark) != stat:
            return KnownDigests()
        sha256 = found[1].get(SHA256, "")
        is_whole = _DIGEST.fullmatch(sha256) is not None
        return KnownDigests(sha256 if is_whole else None, md5_of_etag(found[0].etag))

    async def read(self, key: str, limit: int) -> bytes | None:
        """Return the first bytes of an object; None if there is no object."""
        return await self._in_thread(self.client.read, checked_key(key), limit)

    def reader(self, key: str) -> BinaryIO:
        """Open an object for reading; every read is of the same version."""
        return cast("BinaryIO", open_object(self.client, checked_key(key))[1])

    async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
        """Store a small body by one request; it is durable once the store has answered."""
        try:
            # What must be durable at once replaces another version.
            return await self._in_thread(self._put, checked_key(key), data, sync)
        finally:  # a request that failed may have been done
            self._scans.forget(key)

    async def put_archive(self, key: str, data: bytes, sidecar: bytes, *, sha256: str) -> FileStat:
        """Store a sidecar and then a small archive, by two requests in one thread hop."""
        call = partial(self._put_archive, checked_key(key), data, sidecar, sha256)
        try:
            return await self._in_thread(call)
        finally:  # as in `put`
            self._scans.forget(key)

    def _put_archive(self, key: str, data: bytes, sidecar: bytes, sha256: str) -> FileStat:
        # Nothing is hashed here that would release the interpreter's lock and wait for it again.
        self._put(key + SIDECAR_SUFFIX, sidecar)
        return self._write(key, data, sha256)

    def _put(self, key: str, data: bytes, replaces: bool = False) -> FileStat:
        return self._write(key, data, hashlib.sha256(data).hexdigest(), replaces=replaces)

    def _write(self, key: str, data: bytes, sha256: str, *, replaces: bool = False) -> FileStat:
        if self.fence is None:
            info = self.client.put(key, data, **{SHA256: sha256})
        else:
            info = self.fence.put(key, data, sha256, replaces=replaces)
        return FileStat(info.size_bytes, info.mark)

    def _confirm_lease(self) -> None:
        """Check by a request, before a write that has no condition, that the lease is held."""
        if self.fence is not None:
            self.fence.confirm()

    def _check_lease(self) -> None:
        """Check without a request that the time of the lease is not over."""
        if self.fence is not None:
            self.fence.check()

    async def open_part(
        self, key: str, *, resume: bool, watch: Watch | None = None, doubtful: bool = False
    ) -> ObjectPart:
        """Begin to upload a large body. Nothing can be resumed: a part is always empty."""
        upload_key = f"{_QUARANTINE}{key}" if doubtful else key
        self._scans.forget(checked_key(key))
        confirm = self._confirm_lease
        return ObjectPart(self.client, key, upload_key, self._write_note, watch, confirm)

    async def keep_replaced(self, key: str, sha256: str) -> str:
        """Let the store copy an object to `.lakehouse/replaced/<key>/<UTC moment>-<sha256>.zip`.

        Returns:
            The key of the copy. If the object has other bytes now, because a worker that ended has
            replaced it, the key of an earlier copy; empty if there is none.
        """
        return await self._in_thread(self._keep_replaced, checked_key(key), sha256)

    def _keep_replaced(self, key: str, sha256: str) -> str:
        found = self._with_digest(key, sha256)
        if found is None:
            return self._kept_before(key, sha256)
        self._check_lease()
        kept = kept_as(key, sha256)
        self._copy(key, kept)
        self._copy(key + SIDECAR_SUFFIX, kept + SIDECAR_SUFFIX)
        after = self.client.head(key)
        if after is None or after.etag != found.etag:  # the copy may be of another version
            self.client.delete(kept, kept + SIDECAR_SUFFIX)
            return ""
        return kept

    def _copy(self, source: str, target: str) -> None:
        try:
            self.client.copy(source, target)
        except FileNotFoundError:
            return

    def _with_digest(self, key: str, sha256: str) -> ObjectInfo | None:
        """Return an object if it has this digest, by its metadata, or else by its bytes."""
        found = self.client.metadata(key)
        if found is None:
            return None
        recorded = found[1].get(SHA256)
        has_digest = (self._sha256(key) if recorded is None else recorded) == sha256
        return found[0] if has_digest else None

    def _kept_before(self, key: str, sha256: str) -> str:
        found = self.client.directly_below(f"{KEPT_FOLDER}{key}/")
        names = sorted(info.key for info in found if info.key.endswith(f"-{sha256}{_ZIP}"))
        return names[-1] if names else ""

    async def remove(self, key: str) -> None:
        """Remove an object, if there is one."""
        await self._in_thread(self.remove_now, key)

    def remove_now(self, key: str) -> None:
        """As `remove`; blocking. A part is no object, and needs no request."""
        checked_key(key)
        if not key.endswith(PART_SUFFIX):
            self._confirm_lease()
            self.client.delete(key)
            self._scans.forget(key)

    async def quarantine(self, key: str, data: bytes, note: Mapping[str, object]) -> None:
        """Store a body and a note at `.lakehouse/quarantine/<key>`."""
        await self._in_thread(self._quarantine, checked_key(key), data, note)

    def _quarantine(self, key: str, data: bytes, note: Mapping[str, object]) -> None:
        self._check_lease()
        self.client.put(f"{_QUARANTINE}{key}", data)
        self._write_note(key, note)

    def _write_note(self, key: str, note: Mapping[str, object]) -> None:
        self._check_lease()
        self.client.put(f"{_QUARANTINE}{key}{_NOTE}", note_bytes(note))

    def prepare(self) -> None:
        """Check that the bucket is there and can be listed; blocking.

        Raises:
            StoreError: It is not, or these credentials may not list it.
        """
        try:
            if next(self.client.pages(_DATA), None) is None:
                self.client.put(WITNESS_KEY, b"")
                next(self.client.pages(_OWN), None)
        except UnusableKey:  # it concerns one folder, whose scan says it
            return

    def make_durable(self, keys: Collection[str]) -> None:
        """Do nothing: an object is durable once the store has answered."""

    def quarantined(self) -> Iterator[Quarantined]:
        """Yield everything in quarantine, in the order of keys; blocking."""
        keys = sorted(info.key for info in self._usable(_QUARANTINE))
        for key in keys:
            if key.endswith(_ZIP):
                try:
                    archive = Archive.published(key.removeprefix(_QUARANTINE))
                except ArchiveKeyError:
                    continue
                yield Quarantined(archive, self._note(key + _NOTE))

    def _usable(
        self, prefix: str, on_unreadable: Callable[[str, str], None] = _warn
    ) -> Iterator[ObjectInfo]:
        """Yield the objects below a prefix, except of folders that have a key that is refused."""
        try:
            found = [*self.client.objects(prefix)]
        except UnusableKey as error:
            reason = error.reason
        else:
            yield from found
            return
        try:
            folders, has_objects = self.client.folders(prefix)
        except UnusableKey:
            folders, has_objects = [], True
        if has_objects:  # they cannot be listed without those of the folders
            on_unreadable(prefix, reason)
        for folder in folders:
            yield from self._usable(folder, on_unreadable)

    def _note(self, key: str) -> dict[str, Any]:
        try:
            return parse_note(self.client.read(key) or b"")
        except StoreError:
            return {}

    def release(self, key: str) -> None:
        """Remove an archive's bytes and note from quarantine; blocking."""
        place = f"{_QUARANTINE}{checked_key(key)}"
        self.client.delete(place, place + _NOTE)

    def kept_versions(self) -> Iterator[KeptVersion]:
        """Yield every version that `keep_replaced` kept, in the order of keys; blocking."""
        found = {info.key: info for info in self._usable(KEPT_FOLDER)}
        for place in sorted(found):
            if kept := parse_kept(place, found[place].size_bytes):
                yield kept

    def remove_kept(self, place: str) -> int | None:
        """Remove a kept version and its sidecar; return its size, None if it is gone; blocking.

        Raises:
            StoreError: It is not below the folder of replaced versions.
        """
        if not checked_key(place).startswith(KEPT_FOLDER):
            raise StoreError(self.client.place(place), "it is no replaced version")
        info = self.client.head(place)
        if info is None:
            return None
        self._check_lease()
        self.client.delete(place, place + SIDECAR_SUFFIX)
        return info.size_bytes
