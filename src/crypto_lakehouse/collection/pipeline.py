"""Plan -> bounded queue -> worker pool -> events: one task group owns all of it.

Memory depends on the number of workers and on the longest series, never on the plan.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import TypeVar

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import evolve

from crypto_lakehouse.collection.byte_budget import ByteBudget
from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.lost_claims import ClaimLost, LostClaims
from crypto_lakehouse.collection.sharing import SharedClaims, Sharing
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.plan import Plan, PlannedSeries
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.task_groups import one_error

__all__ = ["next_of", "produce", "run_pipeline", "worker_count"]

_Item = TypeVar("_Item")

#: About how many archives, or series, are compared with the disk in one thread hop.
BATCH_ARCHIVES = 4096
BATCH_SERIES = 128


async def _nothing_to_drain() -> None:
    """Do nothing: `put` holds nothing back."""


async def run_pipeline(
    plan: Plan,
    inventory: Inventory,
    collector: ArchiveCollector,
    emit: Emit,
    *,
    budget: ByteBudget,
    workers: int,
    shared: SharedClaims | None = None,
) -> None:
    """Settle every archive of a plan, as far as a budget goes.

    Args:
        plan: The archives, a series at a time.
        inventory: Settles archives that need no work.
        collector: Settles the others.
        emit: Takes the verdicts.
        budget: Decides whether an archive may begin.
        workers: How many archives are settled at the same time.
        shared: Divides the plan with other runs; None if there are no others.

    Raises:
        StoreError: The store refuses all further writes.
    """
    # What waits in the queue is claimed, so that no other run can do it.
    waiting = 2 * workers if shared is None else 0
    settle = partial(_settle, collector, emit)
    if shared is not None:
        lost = LostClaims(shared.claims, evolve(inventory), emit)
        settle = partial(_settle_claimed, collector, emit, lost)
    send, receive = anyio.create_memory_object_stream[Work](waiting)
    with one_error():
        async with anyio.create_task_group() as tasks:
            async with receive:
                for _ in range(workers):
                    tasks.start_soon(_work, receive.clone(), settle, budget)
            async with send:
                await produce(plan, inventory, partial(_put, send), emit, budget, shared=shared)


async def produce(
    plan: Plan,
    inventory: Inventory,
    put: Callable[[Sequence[Work]], Awaitable[None]],
    emit: Emit,
    budget: ByteBudget,
    *,
    drain: Callable[[], Awaitable[None]] = _nothing_to_drain,
    shared: SharedClaims | None = None,
) -> None:
    """Divide a plan into verdicts, which are emitted, and work, which is passed to `put`.

    It ends early once the budget is used: the rest of the plan gets no verdict.

    Args:
        plan: The archives.
        inventory: Says what is to be done about each.
        put: Takes work.
        emit: Takes the verdicts.
        budget: Says when the plan ends early.
        drain: Sends on all work that `put` holds back.
        shared: Divides the plan with other runs; None if there are no others.
    """
    sharing = None
    if shared is not None:
        sharing = Sharing(shared, inventory, put, drain, emit, budget)
    async with aclosing(_batches(plan)) as batches:
        async for batch in batches:
            if budget.is_used:
                return
            if sharing is not None:
                await sharing.settle(batch)
                continue
            settled, work = await to_thread.run_sync(_sort, inventory, batch)
            if settled:
                await emit(settled)
            await put(work)
    if sharing is not None:
        await sharing.finish()


async def _put(queue: MemoryObjectSendStream[Work], work: Sequence[Work]) -> None:
    for item in work:
        try:
            queue.send_nowait(item)
        except anyio.WouldBlock:
            await queue.send(item)


async def _batches(plan: Plan) -> AsyncGenerator[list[PlannedSeries]]:
    """Gather series, so that many small ones share one thread hop."""
    batch: list[PlannedSeries] = []
    size = 0
    async for planned in plan.series():
        batch.append(planned)
        size += len(planned.periods)
        if size >= BATCH_ARCHIVES or len(batch) >= BATCH_SERIES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _sort(inventory: Inventory, batch: list[PlannedSeries]) -> tuple[list[Event], list[Work]]:
    settled: list[Event] = []
    work: list[Work] = []
    for planned in batch:
        done, todo = inventory.sort(planned)
        settled += done
        work += todo
    return settled, work


async def _work(
    queue: MemoryObjectReceiveStream[Work],
    settle: Callable[[Work], Awaitable[None]],
    budget: ByteBudget,
) -> None:
    async with queue:
        with suppress(anyio.EndOfStream):
            while True:
                work = await next_of(queue)
                if budget.admit(work):
                    await settle(work)


async def _settle(collector: ArchiveCollector, emit: Emit, work: Work) -> None:
    await emit((await collector.collect(work),))


async def _settle_claimed(
    collector: ArchiveCollector, emit: Emit, lost: LostClaims, work: Work
) -> None:
    """Settle an archive; decide on it again each time that its claim was lost for a time."""
    left: Sequence[Work] = (work,)
    while left:
        try:
            await _settle(collector, emit, left[0])
        except ClaimLost:
            left = await lost.still_to_do(left)
        else:
            return


async def next_of(queue: MemoryObjectReceiveStream[_Item]) -> _Item:
    """Take the next item; without a turn of the event loop if there is one."""
    try:
        return queue.receive_nowait()
    except anyio.WouldBlock:
        return await queue.receive()


def worker_count(places: int) -> int:
    """Return how many workers keep this many requests busy: one verifies, another fetches."""
    return 2 * places
