"""Hash stored archives and compare them with the published digests; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from attrs import define, evolve, field, frozen

from crypto_lakehouse.collection.download.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.collection.sampling import Chosen
from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.errors import SidecarMalformed, StoreError
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import Ledger, LedgerRow, Store
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["DAMAGE", "FileState", "StoredArchive", "VerificationReport", "Verifier"]

#: How many results may wait for an earlier one.
WAITING_RESULTS = 10_000

#: Number, key, the stored file, and the ledger's row.
_Item = tuple[int, str, FileStat | None, LedgerRow | None]

#: How many problems a report lists; the totals count all of them.
LISTED_PROBLEMS = 100


class FileState(StrEnum):
    """The result of hashing one stored archive."""

    OK = "ok"
    """Its bytes are the published ones."""
    DAMAGED = "damaged"
    """Its bytes are not what the sidecar or the ledger says."""
    MISSING = "missing"
    """The ledger says that it was verified, and it is gone."""
    UNPROVEN = "unproven"
    """There is no digest to compare it with."""
    UNREADABLE = "unreadable"
    """It is there, but cannot be read."""

    @property
    def mark(self) -> str:
        """The state as one character, as in rclone's `check --combined`."""
        return _MARKS[self]


_MARKS = {
    FileState.OK: "=",
    FileState.DAMAGED: "*",
    FileState.MISSING: "+",
    FileState.UNPROVEN: "-",
    FileState.UNREADABLE: "!",
}

#: States of archives that cannot be used.
DAMAGE = frozenset({FileState.DAMAGED, FileState.UNREADABLE})


@frozen
class StoredArchive:
    """One stored archive and its state.

    Attributes:
        sha256: Digest of its bytes; None if they are gone or cannot be read.
        size_bytes: The size of the file; 0 if there is none.
        expected: The digest that a damaged one should have, if it is known; else empty.
    """

    key: str
    state: FileState
    reason: str = ""
    sha256: str | None = None
    size_bytes: int = 0
    expected: str = ""


@define
class VerificationReport:
    """The result of verifying a tree.

    Attributes:
        totals: A count for each state.
        problems: The first 100 archives that are damaged, unreadable or missing.
    """

    totals: Counter[FileState] = field(factory=Counter)
    problems: list[StoredArchive] = field(factory=list)

    def add(self, archive: StoredArchive) -> None:
        """Count one archive."""
        self.totals[archive.state] += 1
        is_problem = archive.state in DAMAGE or archive.state is FileState.MISSING
        if is_problem and len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(archive)

    @property
    def exit_code(self) -> int:
        """0 all good, 3 some missing, 4 some damaged (ARCHITECTURE.md#exit-codes)."""
        if any(self.totals[state] for state in DAMAGE):
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
    """

    store: Store
    ledger: Ledger
    workers: int
    is_replaced: Callable[[str, str], Awaitable[bool]]
    waiting_results: int = field(default=WAITING_RESULTS, kw_only=True)

    async def verify(
        self,
        folders: AsyncIterator[str],
        tell: Callable[[StoredArchive], Awaitable[None]],
        *,
        chosen: Chosen | None = None,
        since_ns: int = 0,
    ) -> VerificationReport:
        """Verify the archives in the given key prefixes; memory depends on the largest folder.

        Args:
            folders: Key prefixes with a trailing slash.
            tell: Is called with each archive, in the order of folders and names.
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
                        for name, (stat, row) in (await self._names(folder, since_ns)).items():
                            if chosen is None or chosen.holds(folder + name):
                                await in_order.wait_for_room(number)
                                await send.send((number, folder + name, stat, row))
                                number += 1
        return report

    async def _work(self, queue: MemoryObjectReceiveStream[_Item], in_order: _InOrder) -> None:
        async with queue:
            async for number, key, stat, row in queue:
                await in_order.add(number, await self.state(key, stat, row))

    async def _names(
        self, folder: str, since_ns: int
    ) -> dict[str, tuple[FileStat | None, LedgerRow | None]]:
        """Return the archives that are in a folder, or were verified there, in order."""
        files = await self.store.scan(folder)
        rows = await self.ledger.rows(folder)
        names = {name for name in files if name.endswith(".zip")}
        names |= {name for name, row in rows.items() if row.verdict is Verdict.VERIFIED}
        found = {name: (files.get(name), rows.get(name)) for name in sorted(names)}
        return {
            name: (stat, row)
            for name, (stat, row) in found.items()
            if since_ns <= _written_ns(stat, row)
        }

    async def state(self, key: str, stat: FileStat | None, row: LedgerRow | None) -> StoredArchive:
        """Hash one archive and compare it."""
        size = stat.size_bytes if stat else 0
        try:
            found = await self._compared(key, size, row)
            return found if found.state is not FileState.DAMAGED else await self._once_more(found)
        except Exception as error:  # noqa: BLE001 - one archive must not end the verification
            return StoredArchive(key, FileState.UNREADABLE, unforeseen(error, key), None, size)

    async def _once_more(self, found: StoredArchive) -> StoredArchive:
        """Compare a file again that a collection may have replaced meanwhile."""
        folder, _, name = found.key.rpartition("/")
        is_arriving = bool(found.expected) and await self.is_replaced(found.key, found.expected)
        row = (await self.ledger.rows(f"{folder}/")).get(name)
        again = await self._compared(found.key, found.size_bytes, row)
        if again.state is FileState.DAMAGED and is_arriving:
            return evolve(again, state=FileState.UNPROVEN, reason=_ARRIVING)
        return again

    async def _compared(self, key: str, size: int, row: LedgerRow | None) -> StoredArchive:
        try:
            actual = await self.store.sha256(key)
        except StoreError as error:
            return StoredArchive(key, FileState.UNREADABLE, str(error), None, size)
        if actual is None:
            return StoredArchive(key, FileState.MISSING, "it was verified once, and is gone")
        try:
            expected, source = await self._expected(key, row)
        except (StoreError, SidecarMalformed) as error:
            return StoredArchive(key, FileState.DAMAGED, str(error), actual, size)
        if expected is None:
            return StoredArchive(key, FileState.UNPROVEN, source, actual, size)
        if actual != expected:
            reason = f"its SHA-256 is {actual}, the {source} says {expected}"
            return StoredArchive(key, FileState.DAMAGED, reason, actual, size, expected)
        return StoredArchive(key, FileState.OK, "", actual, size)

    async def _expected(self, key: str, row: LedgerRow | None) -> tuple[str | None, str]:
        sidecar = key + SIDECAR_SUFFIX
        data = await self.store.read(sidecar, SIDECAR_LIMIT_BYTES + 1)
        if data is not None:
            return parse_sidecar(data, sidecar), "sidecar"
        if row is not None and row.verdict is Verdict.VERIFIED:
            return row.facts.sha256, "ledger"
        if row is not None and row.accepted:
            return None, "its sidecar disagreed, and a policy let it in"
        return None, "no sidecar beside it, and not in the ledger as verified"


def _written_ns(stat: FileStat | None, row: LedgerRow | None) -> int:
    """Return when a file was written: its mark, as only local files are verified."""
    if stat is not None:
        return stat.mark
    return (row.facts.mark or 0) if row is not None else 0


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
