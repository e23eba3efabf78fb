"""Hash stored archives and compare them with the published digests; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from math import inf
from typing import Any, NamedTuple

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream
from attrs import define, evolve, field

from crypto_lakehouse.collection.comparing import (
    DAMAGE,
    REPAIRABLE,
    Comparer,
    FileState,
    StoreComparer,
    StoredArchive,
)
from crypto_lakehouse.collection.sampling import Chosen
from crypto_lakehouse.core.errors import ConfigurationError, Problem, StoreError
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.ledger_protocols import Ledger, LedgerRow
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import FolderScan, Store
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.verdicts import Verdict

__all__ = [
    "DAMAGE",
    "REPAIRABLE",
    "FileState",
    "StoredArchive",
    "StoredSegment",
    "VerificationReport",
    "Verifier",
    "written_ns",
]

#: How many results may wait for an earlier one.
WAITING_RESULTS = 10_000

#: Number, key, the stored file, and the ledger's row.
_Item = tuple[int, str, FileStat | None, LedgerRow | None]


class StoredSegment(NamedTuple):
    """A segment that is stored; or a folder of segments, with why it cannot be read."""

    key: str
    stat: FileStat | None = None
    fault: str = ""


#: How many problems a report lists; the totals count all of them.
LISTED_PROBLEMS = 100


@define
class VerificationReport:
    """The result of verifying a tree.

    Attributes:
        totals: A count for each state.
        problems: The first 100 archives that are damaged, unreadable, missing or misrecorded.
        folders: How many of them, counted as unreadable, are folders.
        notes: Remarks for the reader, one sentence each.
    """

    totals: Counter[FileState] = field(factory=Counter)
    folders: int = 0
    problems: list[StoredArchive] = field(factory=list)
    notes: tuple[str, ...] = ()

    def add(self, archive: StoredArchive) -> None:
        """Count one archive."""
        self.totals[archive.state] += 1
        self.folders += archive.key.endswith("/")
        is_problem = archive.state in REPAIRABLE or archive.state is FileState.MISSING
        if is_problem and len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(archive)

    @property
    def exit_code(self) -> int:
        """0 all good, 3 some missing, 4 some damaged or misrecorded: ARCHITECTURE.md#exit-codes."""
        if any(self.totals[state] for state in REPAIRABLE):
            return 4
        return 3 if self.totals[FileState.MISSING] else 0

    def to_mapping(self) -> dict[str, Any]:
        """Return the object that `verify --json` prints."""
        return {
            "workflow": "verification",
            "status": "partial" if self.exit_code else "complete",
            "totals": {
                "checked": self.totals.total(),
                **{str(state): self.totals[state] for state in FileState},
            },
            "problems": [
                {"key": item.key, "state": str(item.state), "reason": item.reason}
                for item in self.problems
            ],
        }


_ARRIVING = "another version replaces it, in a run that has not ended"


@define
class Verifier:
    """Hashes archives, several at a time.

    Args:
        store: Has the archives.
        ledger: What runs have found out; a sidecar beside its zip takes precedence.
        workers: How many archives are hashed at the same time; each takes a core.
        is_replaced: Returns whether a run that has not ended has replaced the version of a key with
            a digest; what proves the new one may not be there yet.
        waiting_results: How many results may wait for one slow archive.
        comparer: Hashes the archives; by default this process does.
    """

    store: Store
    ledger: Ledger
    workers: int
    is_replaced: Callable[[str, str], Awaitable[bool]]
    waiting_results: int = field(default=WAITING_RESULTS, kw_only=True)
    comparer: Comparer | None = field(default=None, kw_only=True)

    @property
    def _comparer(self) -> Comparer:
        return self.comparer or StoreComparer(self.store)

    async def verify(
        self,
        folders: AsyncIterator[str],
        tell: Callable[[StoredArchive], Awaitable[None]],
        *,
        segments: AsyncIterator[StoredSegment] | None = None,
        chosen: Chosen | None = None,
        since_ns: int = 0,
    ) -> VerificationReport:
        """Verify the archives in the given key prefixes; memory depends on the largest folder.

        Args:
            folders: Key prefixes with a trailing slash.
            tell: Is called with each archive, in the order of folders and names.
            segments: What is verified after them, by its sidecar.
            chosen: Only these are verified; None for all.
            since_ns: Only files that were written at this time or later, in ns since 1970; for
                missing files the time in the ledger counts.
        """
        report = VerificationReport()
        in_order = _InOrder(report, tell, self.waiting_results)
        send, receive = anyio.create_memory_object_stream[_Item](2 * self.workers)
        with one_error():
            async with anyio.create_task_group() as tasks:
                async with receive:
                    for _ in range(self.workers):
                        tasks.start_soon(self._work, receive.clone(), in_order)
                number = 0
                async with send:
                    async for folder in folders:
                        try:
                            found = await self._archives(folder, chosen, since_ns)
                        except StoreError as error:
                            await in_order.wait_for_room(number)
                            await in_order.add(number, _unreadable(folder, str(error)))
                            number += 1
                            continue
                        for key, stat, row in found:
                            await in_order.wait_for_room(number)
                            await send.send((number, key, stat, row))
                            number += 1
                    async for segment in _chosen_of(segments, chosen):
                        await in_order.wait_for_room(number)
                        if segment.fault:
                            await in_order.add(number, _unreadable(segment.key, segment.fault))
                        else:
                            await send.send((number, segment.key, segment.stat, None))
                        number += 1
        return report

    async def _work(self, queue: MemoryObjectReceiveStream[_Item], in_order: _InOrder) -> None:
        async with queue:
            async for number, key, stat, row in queue:
                await in_order.add(number, await self.state(key, stat, row))

    async def _archives(
        self, folder: str, chosen: Chosen | None, since_ns: int
    ) -> list[tuple[str, FileStat | None, LedgerRow | None]]:
        """Return the archives to verify that are in a folder, or were verified there, in order."""
        scan = await to_thread.run_sync(self.store.scan_now, folder)
        rows = await self.ledger.rows(folder)
        marks = {
            name: row.facts.mark or 0
            for name, row in rows.items()
            if row.verdict is Verdict.VERIFIED
        }
        marks |= {name: mark for name, (_, mark) in scan.zips.items()}
        return [
            (
                folder + name,
                _stat_in(scan, name),
                rows.get(name),
            )
            for name in sorted(marks)
            if (not since_ns or written_ns(scan, name, marks[name]) >= since_ns)
            and (chosen is None or chosen.holds(folder + name))
        ]

    async def state(self, key: str, stat: FileStat | None, row: LedgerRow | None) -> StoredArchive:
        """Hash one archive and compare it."""
        size = stat.size_bytes if stat else 0
        try:
            found = await self._comparer.compare(key, size, row)
            if found.state is FileState.MISRECORDED:
                return await self._with_row_of_now(found, stat)
            return found if found.state is not FileState.DAMAGED else await self._once_more(found)
        except Exception as error:  # noqa: BLE001 - one archive must not end the verification
            return StoredArchive(key, FileState.UNREADABLE, unforeseen(error, key), None, size)

    async def _row_of_now(self, key: str) -> LedgerRow | None:
        folder, _, name = key.rpartition("/")
        return (await self.ledger.rows(f"{folder}/")).get(name)

    async def _with_row_of_now(self, found: StoredArchive, stat: FileStat | None) -> StoredArchive:
        """Judge a row again that may be of another version, or that a collection has written."""
        row = await self._row_of_now(found.key)
        again = await self._comparer.compare(found.key, found.size_bytes, row)
        is_of_file = stat is not None and row is not None and row.facts.mark == stat.mark
        if again.state is FileState.MISRECORDED and not is_of_file:
            return evolve(again, state=FileState.OK, reason="")  # the next collection checks it
        return again

    async def _once_more(self, found: StoredArchive) -> StoredArchive:
        """Compare a file again that a collection may have replaced meanwhile."""
        is_arriving = bool(found.expected) and await self.is_replaced(found.key, found.expected)
        row = await self._row_of_now(found.key)
        again = await self._comparer.compare(found.key, found.size_bytes, row)
        if again.state is FileState.DAMAGED and is_arriving:
            return evolve(again, state=FileState.UNPROVEN, reason=_ARRIVING)
        return again


def _unreadable(folder: str, reason: str) -> StoredArchive:
    """Return the entry of a folder that cannot be listed: what it holds cannot be judged."""
    return StoredArchive(folder, FileState.UNREADABLE, reason)


async def _chosen_of(
    segments: AsyncIterator[StoredSegment] | None, chosen: Chosen | None
) -> AsyncIterator[StoredSegment]:
    """Yield the segments to verify, if there are any."""
    if segments is not None:
        async for segment in segments:
            if segment.fault or chosen is None or chosen.holds(segment.key):
                yield segment


def _stat_in(scan: FolderScan, name: str) -> FileStat | None:
    return FileStat(*scan.zips[name]) if name in scan.zips else None


def written_ns(scan: FolderScan, name: str, mark: int) -> float:
    """Return when an archive was written, in ns since 1970.

    Args:
        scan: Its folder.
        name: Its name; the archive may be missing.
        mark: Its mark; that of the ledger if it is missing.

    Returns:
        The time; infinity for a missing archive of a store whose marks are no times: when it was
        written is not known.

    Raises:
        ConfigurationError: The store does not say it.
    """
    if scan.marks_are_times:
        return mark
    if scan.written_ns is None:
        reason = "the store does not say when an archive was written; leave `since` out"
        raise ConfigurationError([Problem("since", reason)])
    return scan.written_ns.get(name, inf)


@define
class _InOrder:
    """Passes the workers' results on in the order of the requests."""

    report: VerificationReport
    tell: Callable[[StoredArchive], Awaitable[None]]
    most_waiting: int
    _waiting: dict[int, StoredArchive] = field(init=False, factory=dict)
    _next: int = field(init=False, default=0)
    _is_telling: bool = field(init=False, default=False)
    _room: anyio.Event = field(init=False, factory=anyio.Event)

    async def add(self, number: int, archive: StoredArchive) -> None:
        """Take a result; the worker that closes a gap passes the waiting ones on."""
        self._waiting[number] = archive
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while (following := self._waiting.pop(self._next, None)) is not None:
                self.report.add(following)
                await self.tell(following)
                self._next += 1
                self._room.set()
        finally:
            self._is_telling = False

    async def wait_for_room(self, number: int) -> None:
        """Wait while too many results wait for a slow one."""
        while number - self._next > self.most_waiting:
            self._room = anyio.Event()
            await self._room.wait()
