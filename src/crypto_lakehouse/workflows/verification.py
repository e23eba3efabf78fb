"""Verify stored archives: list their folders, hash on all cores, compare; nothing is changed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, date, datetime, time
from heapq import merge
from itertools import groupby

from anyio import to_thread
from attrs import frozen

from crypto_lakehouse.collection.sampling import Sample, choose
from crypto_lakehouse.collection.verifier import (
    StoredArchive,
    VerificationReport,
    Verifier,
)
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.protocols import Store, ignore_async
from crypto_lakehouse.ledger.empty import EmptyLedger
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.state import StateFolder, existing_root
from crypto_lakehouse.stores.tree import key_folders
from crypto_lakehouse.workflows.arriving import is_replaced

__all__ = ["verify_archives", "verify_tree"]


@frozen
class _Stored:
    """A store, its ledger, and the folders that the ledger knows."""

    store: Store
    ledger: SqliteLedger | EmptyLedger
    known: Sequence[str]

    async def is_replaced(self, key: str, sha256: str) -> bool:
        """Whether a run that has not ended has replaced this version of an archive."""
        if not isinstance(self.ledger, SqliteLedger):
            return False
        return await to_thread.run_sync(is_replaced, self.store, self.ledger, key, sha256)

    def folders(self) -> Iterator[str]:
        """Key prefixes on disk and in the ledger, each once; blocking."""
        store = self.store
        on_disk = key_folders(store.root) if isinstance(store, LocalStore) else iter(())
        every = merge(on_disk, self.known)
        return (folder for folder, _ in groupby(every))

    def keys(self, since_ns: int) -> Iterator[str]:
        """Every key that would be verified, for a sample by number; blocking."""
        for folder in self.folders():
            gone = self.ledger.verified_now(folder)
            for name, (_, mark) in {**gone, **self.store.scan_now(folder).zips}.items():
                if mark >= since_ns:
                    yield folder + name


async def verify_tree(
    root: str | os.PathLike[str],
    on_archive: Callable[[StoredArchive], Awaitable[None]] = ignore_async,
    *,
    sample: Sample | None = None,
    since: date | None = None,
    store: Store | None = None,
) -> VerificationReport:
    """Hash stored archives and compare them with their sidecars, or with the ledger.

    Nothing is changed, and a collection may run at the same time.

    Args:
        root: An output directory, or any mirror of the publisher's tree.
        on_archive: Called with each archive when it is done, in the order of folders and names.
        sample: Only a part of them.
        since: Only files that were written on this UTC day or later.
        store: Where the archives are; `root` by default. A store other than a directory cannot be
            walked: the folders that the ledger in `root` knows are verified.

    Raises:
        ConfigurationError: `root` is not a directory; or `store` is not a directory either, and
            `root` has no ledger, or `since` is given.
        LedgerError: The ledger exists and cannot be read.
    """
    if since is not None and not isinstance(store, LocalStore | None):
        reason = "only a directory says when an archive was written; leave `since` out"
        raise ConfigurationError([Problem("since", reason)])
    since_ns = _start_ns(since)
    async with _open_stored(root, store) as stored:
        verifier = Verifier(stored.store, stored.ledger, os.cpu_count() or 1, stored.is_replaced)
        chosen = None
        if sample is not None:
            chosen = await to_thread.run_sync(lambda: choose(sample, stored.keys(since_ns)))
        folders = _each(stored.folders())
        return await verifier.verify(folders, on_archive, chosen=chosen, since_ns=since_ns)


async def verify_archives(
    root: str | os.PathLike[str], archives: Iterable[Archive], store: Store | None = None
) -> list[StoredArchive]:
    """Hash these archives only.

    Raises:
        ConfigurationError: As `verify_tree`.
        LedgerError: The ledger exists and cannot be read.
    """
    found: list[StoredArchive] = []
    async with _open_stored(root, store) as stored:
        verifier = Verifier(stored.store, stored.ledger, 1, stored.is_replaced)
        for archive in archives:
            files = await stored.store.scan(archive.folder)
            row = (await stored.ledger.rows(archive.folder)).get(archive.name)
            found.append(await verifier.state(archive.key, files.get(archive.name), row))
    return found


@asynccontextmanager
async def _open_stored(root: str | os.PathLike[str], store: Store | None) -> AsyncIterator[_Stored]:
    """Open the ledger; a directory without one is a mirror, verified by its sidecars."""
    state = StateFolder(await to_thread.run_sync(existing_root, root))
    chosen: Store = LocalStore(state.root) if store is None else store
    if await to_thread.run_sync(state.ledger.is_file):
        opened = await to_thread.run_sync(SqliteLedger.open_read_only, state.ledger)
        with closing(opened):
            yield _Stored(chosen, opened, await opened.folders())
    elif isinstance(chosen, LocalStore):
        yield _Stored(chosen, EmptyLedger(), ())
    else:
        reason = f"`{state.root}` has no ledger, and only a directory can be verified without one"
        raise ConfigurationError([Problem("$.output_directory", reason)])


def _start_ns(day: date | None) -> int:
    if day is None:
        return 0
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1_000_000_000


async def _each(folders: Iterator[str]) -> AsyncIterator[str]:
    for folder in folders:
        yield folder
