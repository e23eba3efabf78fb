"""The protocols of stores and listings; `ledger_protocols` and `sink` have the others.

The core has no disk and no database; implementations are passed in. Each protocol is small, so
that an implementation for another disk, cloud or database is one class.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from collections.abc import Set as AbstractSet
from typing import BinaryIO, Protocol, runtime_checkable

from attrs import field, frozen

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.kept import KeptVersion, Quarantined
from crypto_lakehouse.core.listed import ListingPage
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.origin import Origin

__all__ = [
    "PART_SUFFIX",
    "Emit",
    "FolderScan",
    "KeepsSegments",
    "KnownDigests",
    "KnowsDigests",
    "Listing",
    "Part",
    "PutsArchives",
    "Store",
    "Watch",
    "ignore",
    "ignore_async",
]

#: The suffix of an unfinished body, which has the first bytes of its archive.
PART_SUFFIX = ".part"

Emit = Callable[[Sequence[Event]], Awaitable[None]]
"""Passes events on, in order; waits while the sinks are behind (backpressure)."""


def ignore(_report: object) -> None:
    """Do nothing: the default of a callback for progress."""


async def ignore_async(_report: object) -> None:
    """Do nothing: the default of an `Emit`."""


Watch = Callable[[bytes | bytearray], None]
"""Is called with bytes as they are stored; must be fast, and raise nothing."""


@frozen
class FolderScan:
    """The result of one directory scan of a key prefix.

    Attributes:
        zips: Size in bytes and mark of each archive, by name; plain pairs,
            as there may be millions.
        others: The names of all other entries, including sidecars; no stat is made for these.
        marks_are_times: Whether the marks say when the archives were written, in ns since 1970.
        written_ns: When each archive was written, if the marks do not say so; None if the store
            does not know.
    """

    zips: Mapping[str, tuple[int, int]]
    others: AbstractSet[str]
    marks_are_times: bool = False
    written_ns: Mapping[str, int] | None = field(default=None, eq=False, repr=False)


class Part(Protocol):
    """An unfinished body; not visible at its final name before `commit`.

    It cannot be read back: a caller that needs its bytes passes `watch` to `Store.open_part`.
    """

    @property
    def size_bytes(self) -> int:
        """How many bytes it holds."""
        ...

    async def append(self, data: bytes | bytearray) -> None:
        """Append bytes, and add them to the digest.

        Raises:
            StoreError: The store failed.
        """
        ...

    def sha256(self) -> str:
        """Return the digest of all bytes so far, including resumed ones."""
        ...

    async def commit(self, *, sync: bool = False) -> FileStat:
        """Move the bytes to their final name, atomically.

        Args:
            sync: Whether they must survive a power loss before they get the name.
        """
        ...

    async def close(self) -> None:
        """End the part without a commit; does nothing after `commit`, `discard` or `quarantine`.

        The bytes stay if the store can resume them; otherwise they are removed.
        """
        ...

    async def discard(self) -> None:
        """Remove the bytes."""
        ...

    async def quarantine(self, note: Mapping[str, object]) -> bool:
        """Move the bytes to quarantine, with a note on the reason.

        Returns:
            Whether they are there. A store that cannot move unfinished bytes removes them; those of
            a part that is `doubtful` it must keep.
        """
        ...


class Store(Protocol):
    """Keeps verified bytes under their object keys.

    An unfinished body is not an archive: `scan` and `scan_now` may return it under its name plus
    `PART_SUFFIX`, and `remove` takes such a key. Quarantined bytes and replaced versions are in no
    scan of the archives' folders.

    Every method raises StoreError if the store fails or a key would leave it.
    """

    async def scan(self, folder: str) -> Mapping[str, FileStat]:
        """Return name and stat of every file in a key prefix; empty if there are none."""
        ...

    def scan_now(self, folder: str) -> FolderScan:
        """Return the archives of a key prefix, and the names of other files; blocking."""
        ...

    def folders(self, on_unreadable: Callable[[str], None] = ignore) -> Iterator[str]:
        """Yield the key prefixes below `data/` that have files, each once; blocking.

        They are in the order of their text, if the store lists its files in the order of their
        keys. Others may be among them: empty ones, and those that only have other prefixes.
        Nothing is changed; to scan each prefix as it is yielded costs no further listing of a store
        that lists whole prefixes.

        Args:
            on_unreadable: Called with each prefix of which it cannot be said what is below it,
                before it is yielded. To scan it raises the reason.
        """
        ...

    async def sha256(self, key: str) -> str | None:
        """Return the digest of a stored file; None if there is no file."""
        ...

    async def read(self, key: str, limit: int) -> bytes | None:
        """Return the first `limit` bytes of a stored file; None if there is no file."""
        ...

    def reader(self, key: str) -> BinaryIO:
        """Open a stored file for reading; the caller closes it."""
        ...

    async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
        """Store a small body under its key, atomically.

        Args:
            key: Its key.
            data: Its bytes.
            sync: Whether they must survive a power loss before they get the name.
        """
        ...

    async def open_part(
        self, key: str, *, resume: bool, watch: Watch | None = None, doubtful: bool = False
    ) -> Part:
        """Begin a large body, or resume one that an earlier attempt left, if there is one.

        Args:
            key: Its key.
            resume: Whether the bytes of an earlier attempt are kept.
            watch: Is called with every byte of the part once and in order, in a worker thread,
                including the resumed bytes.
            doubtful: Whether an earlier download of the body was not clearly good, so that this one
                may have to go to quarantine.
        """
        ...

    async def keep_replaced(self, key: str, sha256: str) -> str:
        """Keep a stored file and its sidecar before another version replaces them.

        The file stays where it is; what is kept survives a power loss.

        Args:
            key: Its key.
            sha256: Digest of its bytes.

        Returns:
            Where the file is kept, relative to the store; the sidecar is beside it. Empty if
            the stored file has other bytes now.
        """
        ...

    async def remove(self, key: str) -> None:
        """Remove a stored file, if there is one."""
        ...

    def remove_now(self, key: str) -> None:
        """As `remove`; blocking."""
        ...

    async def quarantine(self, key: str, data: bytes, note: Mapping[str, object]) -> None:
        """Put a small body in quarantine, with a note on the reason; replaces an earlier one."""
        ...

    def prepare(self) -> None:
        """Clean up after a killed run; blocking, and before any other call of a run.

        Unfinished bodies stay: a later call of `open_part` may resume them.
        """
        ...

    def make_durable(self, keys: Collection[str]) -> None:
        """Sync archives and their sidecars, so that they survive a power loss; blocking."""
        ...

    def quarantined(self) -> Iterator[Quarantined]:
        """Yield everything in quarantine, in the order of keys; blocking."""
        ...

    def release(self, key: str) -> None:
        """Remove an archive from quarantine, if it is there; blocking."""
        ...

    def kept_versions(self) -> Iterator[KeptVersion]:
        """Yield every version that `keep_replaced` kept, in the order of keys; blocking."""
        ...

    def remove_kept(self, place: str) -> int | None:
        """Remove a kept version and its sidecar; return its size, None if it is gone; blocking.

        Args:
            place: What `keep_replaced` returned.
        """
        ...


@frozen
class KnownDigests:
    """Digests of a stored file that the store knows without reading it; None if it does not.

    Attributes:
        sha256: The SHA-256 that was stored with the bytes, in one request.
        md5: What would be the MD5 if the store makes its ETags from that. It proves a file that the
            source lists with the same; it disproves none.
    """

    sha256: str | None = None
    md5: str | None = None


@runtime_checkable
class KnowsDigests(Protocol):
    """A store that may know digests of its files; others read the files for them."""

    async def known_digests(self, key: str, stat: FileStat) -> KnownDigests:
        """Return what is known about a stored file of this size and mark."""
        ...


@runtime_checkable
class PutsArchives(Protocol):
    """A store that takes a small archive and its sidecar at once; others get two calls of `put`.

    It pays for a store that switches to a thread in each call, which costs more than the bytes do.
    """

    async def put_archive(self, key: str, data: bytes, sidecar: bytes, *, sha256: str) -> FileStat:
        """Store a sidecar, and then its small archive, each atomically.

        The sidecar is stored first; if it cannot be stored, the archive is not stored either.

        Args:
            key: The archive's key; that of the sidecar has `SIDECAR_SUFFIX` behind it.
            data: The archive's bytes.
            sidecar: The sidecar's bytes.
            sha256: The digest of `data`, which the caller has verified.
        """
        ...


@runtime_checkable
class KeepsSegments(Protocol):
    """A store that lists segments, below `rest/` and `live/`; others are taken to have none."""

    def segments(
        self, on_unreadable: Callable[[str, str], None], origin: Origin = Origin.FILL
    ) -> Iterator[tuple[str, FileStat]]:
        """Yield key and stat of every segment, in the order of keys in each folder; blocking.

        Args:
            on_unreadable: Called with the key prefix of a folder that cannot be read, and why not.
            origin: Those of fills, or of recordings.

        Raises:
            StoreError: The store failed.
        """
        ...


class Listing(Protocol):
    """A source's listing of its objects (S3 ListObjects, version 1)."""

    def pages(
        self, prefix: str, *, after: str = "", delimiter: str = "", page_keys: int = 1000
    ) -> AsyncGenerator[ListingPage]:
        """Yield a prefix's pages, in order, until the listing ends or the caller stops.

        Args:
            prefix: A key prefix that ends with a slash.
            after: Only keys after this one, in the order of their UTF-8 bytes.
            delimiter: `/` groups the objects of folders; empty lists every object.
            page_keys: The largest number of entries on a page, at most 1000.

        Raises:
            ListingError: A page could not be fetched, after all retries.
        """
        ...

    async def folders(self, prefix: str) -> list[str]:
        """Return the folders directly below a prefix, as full prefixes with a trailing slash.

        Raises:
            ListingError: As `pages`.
        """
        ...
