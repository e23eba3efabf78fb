"""Hash what is stored and compare it with what was published; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from attrs import define, field, frozen

from crypto_lakehouse.collection.sidecar import SIDECAR_LIMIT_BYTES, parse_sidecar
from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.errors import SidecarMalformed, StoreError
from crypto_lakehouse.core.ports import Ledger, LedgerRow, Store
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["FileState", "StoredArchive", "VerificationReport", "Verifier"]

#: How many problems a report lists; the totals count all of them.
LISTED_PROBLEMS = 100


class FileState(StrEnum):
    """What hashing one stored archive showed."""

    OK = "ok"
    """Its bytes are the published ones."""
    DAMAGED = "damaged"
    """Its bytes are not what the sidecar or the ledger says."""
    MISSING = "missing"
    """The ledger says that it was verified, and it is gone."""
    UNPROVEN = "unproven"
    """Nothing here says what its digest must be."""


@frozen
class StoredArchive:
    """One stored archive and its state."""

    key: str
    state: FileState
    reason: str = ""


@define
class VerificationReport:
    """What verifying a tree showed.

    Attributes:
        totals: A count for each state.
        problems: The first 100 archives that are damaged or missing.
    """

    totals: Counter[FileState] = field(factory=Counter)
    problems: list[StoredArchive] = field(factory=list)

    def add(self, archive: StoredArchive) -> None:
        """Count one archive."""
        self.totals[archive.state] += 1
        is_problem = archive.state in {FileState.DAMAGED, FileState.MISSING}
        if is_problem and len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(archive)

    @property
    def exit_code(self) -> int:
        """0 all good, 3 some missing, 4 some damaged (design 3.5)."""
        if self.totals[FileState.DAMAGED]:
            return 4
        return 3 if self.totals[FileState.MISSING] else 0

    def to_mapping(self) -> dict[str, Any]:
        """The object that `verify --json` prints."""
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


@define
class Verifier:
    """Hashes archives, several at once.

    Args:
        store: Where they lie.
        ledger: What runs found out; a sidecar beside its zip counts more.
        workers: How many are hashed at once; hashing takes a core each.
    """

    store: Store
    ledger: Ledger
    workers: int

    async def verify(
        self, folders: AsyncIterator[str], tell: Callable[[StoredArchive], Awaitable[None]]
    ) -> VerificationReport:
        """Verify every archive in the given key prefixes; memory depends on the largest folder.

        Args:
            folders: Key prefixes with a trailing slash.
            tell: Told of each archive, in no particular order.
        """
        report = VerificationReport()
        send, receive = anyio.create_memory_object_stream[tuple[str, LedgerRow | None]](
            2 * self.workers
        )

        async def work(queue: MemoryObjectReceiveStream[tuple[str, LedgerRow | None]]) -> None:
            async with queue:
                async for key, row in queue:
                    archive = await self._state(key, row)
                    report.add(archive)
                    await tell(archive)

        with one_error():
            async with anyio.create_task_group() as tasks:
                async with receive:
                    for _ in range(self.workers):
                        tasks.start_soon(work, receive.clone())
                async with send:
                    async for folder in folders:
                        for name, row in (await self._names(folder)).items():
                            await send.send((folder + name, row))
        return report

    async def _names(self, folder: str) -> Mapping[str, LedgerRow | None]:
        """Archives that lie in a folder, or were verified there once, in order."""
        files = await self.store.scan(folder)
        rows = await self.ledger.rows(folder)
        names = {name for name in files if name.endswith(".zip")}
        names |= {name for name, row in rows.items() if row.verdict is Verdict.VERIFIED}
        return {name: rows.get(name) for name in sorted(names)}

    async def _state(self, key: str, row: LedgerRow | None) -> StoredArchive:
        try:
            actual = await self.store.sha256(key)
            expected, source = await self._expected(key, row)
        except (StoreError, SidecarMalformed) as error:
            return StoredArchive(key, FileState.DAMAGED, str(error))
        if actual is None:
            return StoredArchive(key, FileState.MISSING, "it was verified once, and is gone")
        if expected is None:
            reason = "no sidecar beside it, and not in the ledger as verified"
            return StoredArchive(key, FileState.UNPROVEN, reason)
        if actual != expected:
            reason = f"its SHA-256 is {actual}, the {source} says {expected}"
            return StoredArchive(key, FileState.DAMAGED, reason)
        return StoredArchive(key, FileState.OK)

    async def _expected(self, key: str, row: LedgerRow | None) -> tuple[str | None, str]:
        sidecar = key + SIDECAR_SUFFIX
        data = await self.store.read(sidecar, SIDECAR_LIMIT_BYTES + 1)
        if data is not None:
            return parse_sidecar(data, sidecar), "sidecar"
        is_known = row is not None and row.verdict is Verdict.VERIFIED
        return (row.sha256 if row and is_known else None), "ledger"
