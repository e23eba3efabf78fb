"""Divide a plan with other runs that work on the same output at the same time.

A run claims each series that has work. A series that another run has claimed is left for later:
once its claim is free, its archives are unchanged, or this run does what the other one left undone.
Series without work need no claim.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.collection.byte_budget import ByteBudget
from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.archive import Partition
from crypto_lakehouse.core.events import ArchiveFinished, Event, RunNoted
from crypto_lakehouse.core.ledger_protocols import Claims
from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.core.plan import PlannedSeries
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.verdicts import NOT_RECORDED

__all__ = ["SharedClaims", "Sharing", "shared_by"]

#: Memory is for so many archives of series that are left; beyond that the plan waits.
_MOST_LEFT = 100_000

#: How long to wait before claims are tried again, in seconds.
_PAUSE_S = 0.5

_Sorted = tuple[list[Event], list[Work]]


_pause = partial(anyio.sleep, _PAUSE_S)


@define
class SharedClaims:
    """The claims of a run, and how it waits for those of others.

    Args:
        claims: Takes claims.
        pause: Waits before claims are tried again.
    """

    claims: Claims
    pause: Callable[[], Awaitable[None]] = _pause


def shared_by(claims: Claims | None, emit: Emit) -> tuple[SharedClaims | None, Emit]:
    """Return how a run shares its plan, and an `Emit` that ends claims, if there are any.

    A claim ends when the ledger has the verdicts; this `Emit` ends those on archives whose verdicts
    it does not need.
    """
    if claims is None:
        return None, emit

    async def emit_and_release(events: Sequence[Event]) -> None:
        await emit(events)
        keys = [
            event.archive.key
            for event in events
            if isinstance(event, ArchiveFinished) and event.verdict in NOT_RECORDED
        ]
        if keys:
            await to_thread.run_sync(claims.settled, keys)

    return SharedClaims(claims), emit_and_release


@define
class Sharing:
    """Hands the work of claimed series on.

    Args:
        shared: The claims.
        inventory: Says what is to be done about each archive.
        put: Takes work.
        drain: Sends on all work that was put, before the plan waits for others.
        emit: Takes events.
        budget: Ends the plan once it is used.
        most_left: How many archives of series that others have claimed may be left.
    """

    shared: SharedClaims
    inventory: Inventory
    put: Callable[[Sequence[Work]], Awaitable[None]]
    drain: Callable[[], Awaitable[None]]
    emit: Emit
    budget: ByteBudget
    most_left: int = field(default=_MOST_LEFT, kw_only=True)
    _left: list[PlannedSeries] = field(init=False, factory=list)

    async def settle(self, batch: Sequence[PlannedSeries]) -> None:
        """Settle series of the plan, except those that other runs have claimed."""
        for planned, found in await to_thread.run_sync(self._sort, batch):
            claimed: _Sorted | None = found
            if found[1]:
                claimed = await to_thread.run_sync(self._claim, planned, found)
            await self._hand_on(planned, claimed)
        await self._try_left()
        while sum(len(planned.periods) for planned in self._left) > self.most_left:
            await self._wait()

    async def finish(self) -> None:
        """Wait for the series that other runs have claimed, and settle them."""
        if self._left:
            count = len(self._left)
            text = agreeing(count, f"{count} series [is|are] collected by another run")
            await self.emit((RunNoted(message=f"{text}; this one waits for it"),))
        while self._left and not self.budget.is_used:
            await self._wait()

    async def _wait(self) -> None:
        await self.drain()
        await self.shared.pause()
        await self._try_left()

    async def _try_left(self) -> None:
        left, self._left = self._left, []
        for planned in left:
            await self._hand_on(planned, await to_thread.run_sync(self._claim, planned, None))

    async def _hand_on(self, planned: PlannedSeries, claimed: _Sorted | None) -> None:
        if claimed is None:
            self._left.append(planned)
            return
        settled, work = claimed
        if settled:
            await self.emit(settled)
        await self.put(work)

    def _sort(self, batch: Sequence[PlannedSeries]) -> list[tuple[PlannedSeries, _Sorted]]:
        return [(planned, self.inventory.sort(planned)) for planned in batch]

    def _claim(self, planned: PlannedSeries, found: _Sorted | None) -> _Sorted | None:
        """Claim a series; return what is to be done about it then, None if it cannot be claimed."""
        claims, name = self.shared.claims, planned.series.folder(Partition.DAILY)
        if not claims.take(name):
            return None
        # What was found before the claim may be what another run has changed since.
        if found is None or any(map(partial(self._is_outdated, {}), found[1])):
            found = self.inventory.sort(planned)
        claims.works_on(name, [item.archive.key for item in found[1]])
        return found

    def _is_outdated(self, read: dict[str, dict[str, tuple[int, int]]], work: Work) -> bool:
        """Whether the ledger has verified another file than the one that was found."""
        folder = work.archive.folder
        if folder not in read:
            read[folder] = dict(self.inventory.ledger.verified_now(folder))
        verified = read[folder].get(work.archive.name)
        return verified is not None and verified != work.stat
