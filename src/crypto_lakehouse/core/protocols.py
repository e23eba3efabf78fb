"""The seams: what the pipeline asks of a store, a ledger and a listing; `sink` has that of sinks.

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
from typing import BinaryIO, NamedTuple, Protocol

from attrs import frozen

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.kept import KeptVersion, Quarantined
from crypto_lakehouse.core.listed import ListingPage
from crypto_lakehouse.core.object_facts import FileStat, ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict

__all__ = [
    "PART_SUFFIX",
    "Emit",
    "FolderScan",
    "InventoryLedger",
    "Ledger",
    "LedgerRow",
    "Listing",
    "Part",
    "Store",
    "Watch",
    "ignore",
    "ignore_async",
]

#: Behind a key: the beginning of its bytes, beside its final name.
PART_SUFFIX = ".part"

Emit = Callable[[Sequence[Event]], Awaitable[None]]
"""Hand events on, in order; waits while the sinks are behind (backpressure)."""


def ignore(_report: object) -> None:
    """Take a report of progress, and do nothing: the default of a callback."""


async def ignore_async(_report: object) -> None:
    """Take events, and do nothing: the default of an `Emit`."""


Watch = Callable[[bytes | bytearray], None]
"""Look at bytes as they pass; quick, and raises nothing."""


class LedgerRow(NamedTuple):
    """What the ledger knows of one archive: of the version that is stored, if one is.

    Attributes:
        newer: The verdict on a newer version that could not take the stored one's place.
        accepted: Whether a policy let the bytes in although the sidecar disagrees.
        newer_etag, newer_sidecar_etag: Of the newer version.
    """

    verdict: Verdict
    facts: ObjectFacts
    newer: Verdict | None = None
    accepted: bool = False
    newer_etag: str | None = None
    newer_sidecar_etag: str | None = None


@frozen
class FolderScan:
    """What one directory scan shows of a key prefix.

    Attributes:
        zips: Size in bytes and mark of each archive, by name; plain pairs,
            as there may be millions.
        others: Names of everything else, sidecars among it; these cost no look at the file.
    """

    zips: Mapping[str, tuple[int, int]]
    others: AbstractSet[str]


class Part(Protocol):
    """An unfinished body; not visible at its final name before `commit`.

    Nothing reads it back: who needs its bytes watches them pass (see `Store.open_part`).
    """

    @property
    def size_bytes(self) -> int:
        """How many bytes it holds."""
        ...

    async def append(self, data: bytes | bytearray) -> None:
        """Add bytes, and fold them into the digest.

        Raises:
            StoreError: The store refused.
        """
        ...

    def sha256(self) -> str:
        """Digest of everything appended so far, resumed bytes included."""
        ...

    async def commit(self, *, sync: bool = False) -> FileStat:
        """Move the bytes to their final name, at once and whole.

        Args:
            sync: Whether they must survive a power loss before the name is theirs.
        """
        ...

    async def close(self) -> None:
        """Release what `append` holds open; the bytes stay until they are moved or removed."""
        ...

    async def discard(self) -> None:
        """Remove the bytes."""
        ...

    async def quarantine(self, note: Mapping[str, object]) -> None:
        """Set the bytes aside with a note on why."""
        ...


class Store(Protocol):
    """Where verified bytes lie, under their object keys.

    A body that is not whole yet is no archive: `scan` and `scan_now` show it, if at all, as its
    name with `PART_SUFFIX` behind, and `remove` takes such a key. What is kept beside the archives
    (in quarantine, or of replaced versions) is in no scan of another folder.

    Every method raises StoreError where the store refuses or a key would leave it.
    """

    async def scan(self, folder: str) -> Mapping[str, FileStat]:
        """Name and stat of every file in a key prefix; empty where there is none."""
        ...

    def scan_now(self, folder: str) -> FolderScan:
        """The archives of a key prefix, and what else is there; blocking."""
        ...

    async def sha256(self, key: str) -> str | None:
        """Digest of a stored file, None where there is none."""
        ...

    async def read(self, key: str, limit: int) -> bytes | None:
        """The first `limit` bytes of a stored file, None where there is none."""
        ...

    def reader(self, key: str) -> BinaryIO:
        """Open a stored file for reading; the caller closes it."""
        ...

    async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
        """Store a small body under its key, at once and whole.

        Args:
            key: Its key.
            data: Its bytes.
            sync: Whether they must survive a power loss before the name is theirs.
        """
        ...

    async def open_part(self, key: str, *, resume: bool, watch: Watch | None = None) -> Part:
        """Begin a large body, or find the bytes that an earlier try left, which may be none.

        Args:
            key: Its key.
            resume: Whether bytes that an earlier try left are kept.
            watch: Is shown every byte of the part once and in order, in a worker thread; of what
                is there already, too.
        """
        ...

    async def keep_replaced(self, key: str, sha256: str) -> str:
        """Keep a stored file's bytes, and its sidecar's, before another version takes its place.

        The file stays where it is; what is kept survives a power loss.

        Args:
            key: Its key.
            sha256: Digest of its bytes.

        Returns:
            Where they are kept, relative to the store; the sidecar is beside it. Empty where
            other bytes stand there by now.
        """
        ...

    async def remove(self, key: str) -> None:
        """Remove a stored file, where there is one."""
        ...

    def remove_now(self, key: str) -> None:
        """As `remove`; blocking."""
        ...

    async def quarantine(self, key: str, data: bytes, note: Mapping[str, object]) -> None:
        """Set a small body aside, in the place of an earlier one, with a note on why."""
        ...

    def prepare(self) -> None:
        """Clear what a killed run left half-way; blocking, and before any other call of a run.

        Unfinished bodies stay: a later call of `open_part` may go on with them.
        """
        ...

    def make_durable(self, keys: Collection[str]) -> None:
        """Let archives, and their sidecars where there are some, survive a power loss; blocking."""
        ...

    def quarantined(self) -> Iterator[Quarantined]:
        """Everything that was set aside, in the order of keys; blocking."""
        ...

    def release(self, key: str) -> None:
        """Remove what was set aside of an archive, where there is something; blocking."""
        ...

    def kept_versions(self) -> Iterator[KeptVersion]:
        """Every version that `keep_replaced` kept, in the order of keys; blocking."""
        ...

    def remove_kept(self, place: str) -> int | None:
        """Remove a kept version and its sidecar; its size, None where it is gone; blocking.

        Args:
            place: What `keep_replaced` returned.
        """
        ...


class Ledger(Protocol):
    """What earlier runs found out; written only by its own sink."""

    async def rows(self, folder: str) -> Mapping[str, LedgerRow]:
        """Everything known of the archives in a key prefix, by file name."""
        ...


class InventoryLedger(Ledger, Protocol):
    """A ledger as a run's producer asks it: blocking, in a worker thread."""

    def rows_now(self, folder: str) -> Mapping[str, LedgerRow]:
        """As `rows`; blocking."""
        ...

    def verified_now(self, folder: str) -> Mapping[str, tuple[int, int]]:
        """Size and mark of those that are verified, as in `FolderScan.zips`; blocking.

        Those whose newer version was refused are left out. It is all that a second run asks of
        nearly every archive, at a fraction of the price of `rows`.
        """
        ...

    def objects_now(self, folder: str) -> Mapping[str, ObjectFacts]:
        """Size, ETags and date of the objects that `verified_now` stands for; blocking."""
        ...

    def parts_now(self, folder: str) -> Mapping[str, ObjectFacts]:
        """Size, ETag and date of unfinished bodies in a key prefix, by file name; blocking."""
        ...


class Listing(Protocol):
    """A source's listing of what it holds (S3 ListObjects, version 1)."""

    def pages(
        self, prefix: str, *, after: str = "", delimiter: str = "", page_keys: int = 1000
    ) -> AsyncGenerator[ListingPage]:
        """Yield a prefix's pages, in order, until the listing ends or the caller stops.

        Args:
            prefix: A key prefix that ends with a slash.
            after: Only keys behind this one, in the order of their UTF-8 bytes.
            delimiter: `/` rolls up what lies below folders; empty lists every object.
            page_keys: How many entries a page may have, at most 1000.

        Raises:
            ListingError: A page could not be had, after all retries.
        """
        ...

    async def folders(self, prefix: str) -> list[str]:
        """Return the folders right below a prefix, as whole prefixes with a trailing slash.

        Raises:
            ListingError: As `pages`.
        """
        ...
