"""Verify stored archives: list their folders, hash on all cores, compare; nothing is changed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, date, datetime, time
from functools import partial
from heapq import merge
from typing import TypeVar

from anyio import to_thread
from attrs import frozen

from crypto_lakehouse.collection.sampling import Sample, choose
from crypto_lakehouse.collection.verifier import (
    StoredArchive,
    StoredSegment,
    VerificationReport,
    Verifier,
    written_ns,
)
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.protocols import KeepsSegments, Store, ignore_async
from crypto_lakehouse.core.table_events import FileChecked
from crypto_lakehouse.ledger.empty import EmptyLedger
from crypto_lakehouse.ledger.place import RunLedger
from crypto_lakehouse.stores.output import Output, Place, output_of
from crypto_lakehouse.workflows.arriving import is_replaced
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.stored_folders import check_there, folders_of
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.verify_workers import AT_ONCE, open_comparer

__all__ = ["verified_and_counted", "verify_archives", "verify_tree"]


_Value = TypeVar("_Value")


@frozen
class _Stored:
    """A store, its ledger, and the folders that the ledger knows.

    Attributes:
        is_tree: Whether a folder can only be read if those above it can.
    """

    store: Store
    ledger: RunLedger | EmptyLedger
    known: Sequence[str]
    is_tree: bool = True

    async def is_replaced(self, key: str, sha256: str) -> bool:
        """Whether a run that has not ended has replaced this version of an archive."""
        if isinstance(self.ledger, EmptyLedger):
            return False
        return await to_thread.run_sync(is_replaced, self.store, self.ledger, key, sha256)

    def folders(self) -> Iterator[str]:
        """Key prefixes in the store and in the ledger, each once; blocking.

        A folder that cannot be read stands for all in it. In an object store those that the ledger
        knows can be read all the same.
        """
        seen: set[str] = set()
        unreadable: list[str] = []
        for folder in merge(folders_of(self.store, unreadable.append), self.known):
            above = (each for each in unreadable if each != folder)
            stands_for_it = self.is_tree and any(map(folder.startswith, above))
            if folder not in seen and not stands_for_it:
                # a store may list them in another order than the ledger
                seen.add(folder)
                yield folder

    def keys(self, since_ns: int) -> Iterator[str]:
        """Every key that would be verified, for a sample by number; blocking."""
        for folder in self.folders():
            try:
                there = self.store.scan_now(folder)
            except StoreError:
                continue  # the verification says it
            for name, (_, mark) in {**self.ledger.verified_now(folder), **there.zips}.items():
                if not since_ns or written_ns(there, name, mark) >= since_ns:
                    yield folder + name
        yield from (segment.key for segment in self.segments(since_ns) if not segment.fault)

    def segments(self, since_ns: int) -> Iterator[StoredSegment]:
        """Every segment that would be verified, and each folder that cannot be read; blocking.

        Only a directory says when they were written; in an object store all of them are verified.
        """
        if not isinstance(self.store, KeepsSegments):
            return
        for origin in (Origin.FILL, Origin.LIVE):
            unreadable: list[StoredSegment] = []

            def note(folder: str, reason: str, to: list[StoredSegment] = unreadable) -> None:
                to.append(StoredSegment(folder, fault=reason))

            for key, stat in self.store.segments(note, origin):
                if not self.is_tree or stat.mark >= since_ns:
                    yield StoredSegment(key, stat)
            yield from unreadable


async def verify_tree(
    place: Place,
    on_archive: Callable[[StoredArchive], Awaitable[None]] = ignore_async,
    *,
    sample: Sample | None = None,
    since: date | None = None,
    store: Store | None = None,
) -> VerificationReport:
    """Hash stored archives and segments, and compare them with their sidecars, or with the ledger.

    Nothing is changed, and a collection may run at the same time.

    Args:
        place: An output, or any mirror of the publisher's tree. If it is a configuration with
            `executor: dask`, the workers of the cluster read and hash.
        on_archive: Called with each archive when it is done, in the order of folders and names.
        sample: Only a part of them.
        since: Only files that were written on this UTC day or later.
        store: Where the archives are; that of `place` by default.

    Raises:
        ConfigurationError: `place` is not a directory, or there is neither an archive nor a ledger
            at its URL; or `since` is given, and the store does not say when files were written.
        LedgerError: The ledger exists and cannot be read.
        StoreError: The object store fails while it lists its folders.
        ClusterError: The configuration names a Dask cluster, which cannot work.
        ExtraMissing: The extra `dask` is needed, and not installed.
    """
    since_ns = _start_ns(since)
    output = output_of(place, store)
    async with _open_stored(output) as stored:
        chosen = None
        if sample is not None:
            chosen = await to_thread.run_sync(lambda: choose(sample, stored.keys(since_ns)))
        folders = _each(stored.folders())
        async with open_comparer(output) as comparer:
            at_once = (os.cpu_count() or 1) if comparer is None else AT_ONCE
            verifier = Verifier(
                stored.store, stored.ledger, at_once, stored.is_replaced, comparer=comparer
            )
            report = await verifier.verify(
                folders, on_archive, chosen=chosen, since_ns=since_ns,
                segments=_each(stored.segments(since_ns)),
            )  # fmt: skip
    refused = () if comparer is None else comparer.pool.warnings
    report.notes = (*output.ledger_remarks, *refused)
    return report


async def verify_archives(
    place: Place, archives: Iterable[Archive], store: Store | None = None
) -> list[StoredArchive]:
    """Hash these archives only.

    Raises:
        ConfigurationError: As `verify_tree`.
        LedgerError: The ledger exists and cannot be read.
    """
    found: list[StoredArchive] = []
    async with _open_stored(output_of(place, store)) as stored:
        verifier = Verifier(stored.store, stored.ledger, 1, stored.is_replaced)
        for archive in archives:
            files = await stored.store.scan(archive.folder)
            row = (await stored.ledger.rows(archive.folder)).get(archive.name)
            found.append(await verifier.state(archive.key, files.get(archive.name), row))
    return found


@asynccontextmanager
async def _open_stored(output: Output) -> AsyncIterator[_Stored]:
    """Open the ledger or its copy; an output without one is a mirror, verified by its sidecars."""
    await to_thread.run_sync(partial(check_there, output, reads_copy=True))
    ledger = ledger_at(output)
    if await to_thread.run_sync(ledger.exists):
        opened = await to_thread.run_sync(ledger.open_read_only)
        with closing(opened):
            yield _Stored(output.store, opened, await opened.folders(), not output.is_url)
        return
    yield _Stored(output.store, EmptyLedger(), (), not output.is_url)


def _start_ns(day: date | None) -> int:
    if day is None:
        return 0
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1_000_000_000


async def _each(values: Iterator[_Value]) -> AsyncIterator[_Value]:
    while (value := await to_thread.run_sync(next, values, None)) is not None:
        yield value


async def verified_and_counted(
    verify: Callable[..., Awaitable[VerificationReport]],
    monitoring: Monitoring,
    on_archive: Callable[[StoredArchive], Awaitable[None]],
) -> VerificationReport:
    """Verify, and count what was checked for metrics.

    Args:
        verify: Verifies; takes `on_archive`.
        monitoring: Counts.
        on_archive: Called with each archive when it is done.

    Raises:
        ConfigurationError: Metrics cannot be served or written; or as `verify_tree`.
    """

    async def count(archive: StoredArchive) -> None:
        monitoring.tell(FileChecked(state=archive.state))
        await on_archive(archive)

    async with monitoring:
        with monitoring.run_of("verification", lambda: report.to_mapping()["status"]):
            report = await verify(on_archive=count)
        if problem := await monitoring.finish():
            report.notes = (*report.notes, problem)
    return report
