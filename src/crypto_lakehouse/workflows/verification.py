"""Verify a collected tree: walk its folders, hash on all cores, compare; nothing is changed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, date, datetime, time
from functools import partial
from heapq import merge
from itertools import groupby
from pathlib import Path

from anyio import to_thread

from crypto_lakehouse.collection.sampling import Sample, choose
from crypto_lakehouse.collection.verifier import (
    StoredArchive,
    VerificationReport,
    Verifier,
)
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.protocols import LedgerRow, ignore_async
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.tree import key_folders

__all__ = ["verify_archives", "verify_tree"]


class _NoLedger:
    """A tree that no run has written, as a mirror made by other means."""

    async def rows(self, _folder: str) -> dict[str, LedgerRow]:
        return {}

    def verified_now(self, _folder: str) -> dict[str, tuple[int, int]]:
        return {}


async def verify_tree(
    root: str | os.PathLike[str],
    tell: Callable[[StoredArchive], Awaitable[None]] = ignore_async,
    *,
    sample: Sample | None = None,
    since: date | None = None,
) -> VerificationReport:
    """Hash archives below `root` and compare them with their sidecars, or with the ledger.

    Nothing is changed, and a collection may run beside it.

    Args:
        root: An output directory, or any mirror of the publisher's tree.
        tell: Told of each archive as it is done, in the order of folders and names.
        sample: Only a part of them.
        since: Only files that were written on this UTC day or later.

    Raises:
        ConfigurationError: `root` is no directory.
        LedgerError: The ledger is there and cannot be read.
    """
    store = LocalStore(Path(root))
    since_ns = _start_ns(since)
    async with _open_ledger(store) as (ledger, known):
        verifier = Verifier(store, ledger, workers=os.cpu_count() or 1)
        chosen = None
        if sample is not None:
            names = partial(_names, store, ledger, known, since_ns)
            chosen = await to_thread.run_sync(lambda: choose(sample, names()))
        folders = _folders(store.root, known)
        return await verifier.verify(folders, tell, chosen=chosen, since_ns=since_ns)


async def verify_archives(
    root: str | os.PathLike[str], archives: Iterable[Archive]
) -> list[StoredArchive]:
    """Hash these archives only.

    Raises:
        ConfigurationError: `root` is no directory.
        LedgerError: The ledger is there and cannot be read.
    """
    store = LocalStore(Path(root))
    found: list[StoredArchive] = []
    async with _open_ledger(store) as (ledger, _):
        verifier = Verifier(store, ledger, workers=1)
        for archive in archives:
            files = await store.scan(archive.folder)
            row = (await ledger.rows(archive.folder)).get(archive.name)
            found.append(await verifier.state(archive.key, files.get(archive.name), row))
    return found


@asynccontextmanager
async def _open_ledger(
    store: LocalStore,
) -> AsyncIterator[tuple[SqliteLedger | _NoLedger, list[str]]]:
    """The ledger of a tree and the folders that it knows; an empty one where there is none."""
    if not await to_thread.run_sync(store.root.is_dir):
        problem = Problem("$.output_directory", f"`{store.root}` is no directory")
        raise ConfigurationError([problem])
    path = store.own_path("ledger.sqlite")
    if not await to_thread.run_sync(path.is_file):
        yield _NoLedger(), []
        return
    opened = await to_thread.run_sync(SqliteLedger.open_read_only, path)
    with closing(opened):
        yield opened, await opened.folders()


def _start_ns(day: date | None) -> int:
    if day is None:
        return 0
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1_000_000_000


def _names(
    store: LocalStore, ledger: SqliteLedger | _NoLedger, known: list[str], since_ns: int
) -> Iterator[str]:
    """Every key that would be verified, for a sample by number; blocking."""
    for folder, _ in groupby(merge(key_folders(store.root), known)):
        gone = ledger.verified_now(folder)
        for name, (_, mtime_ns) in {**gone, **store.scan_now(folder).zips}.items():
            if mtime_ns >= since_ns:
                yield folder + name


async def _folders(root: Path, known: Iterable[str]) -> AsyncIterator[str]:
    """Key prefixes on disk and in the ledger, each once."""
    for folder, _ in groupby(merge(key_folders(root), known)):
        yield folder
