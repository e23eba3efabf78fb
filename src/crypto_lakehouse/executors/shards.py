"""Settle a plan in shards; an executor may be another process or another machine.

The plan, the inventory and the sinks stay in one place; an executor takes work and returns
events. No archive is lost if an executor ends: archives without a verdict are assigned again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol, TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from attrs import define, evolve, field, frozen

from crypto_lakehouse.collection.byte_budget import ByteBudget
from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.lost_claims import LostClaims
from crypto_lakehouse.collection.pipeline import produce
from crypto_lakehouse.collection.sharing import SharedClaims
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.plan import Plan
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.executors.shard_sizes import ShardSizes

__all__ = ["Settler", "Shard", "ShardExecutor", "ShardLost", "run_sharded", "settle_shard"]

#: A shard has this many archives: enough to make the transfer cheap, and few enough that all
#: executors finish at about the same time.
SHARD_ARCHIVES = 64

#: How many shards a worker has at once, so that it never waits for the next one.
SHARDS_A_WORKER = 3

#: How many archives the first shards have.
FIRST_SHARD_ARCHIVES = 1

#: If sizes are listed, a shard holds at most about this many bytes.
SHARD_BYTES = 256 << 20

#: An archive is `failed` after this many executors have ended while they worked on it.
ATTEMPTS = 3


@frozen
class Shard:
    """Some archives of one plan, or other work, for one executor.

    Attributes:
        number: Unique within the run.
        work: What the settler of the run's workers takes, such as `Work`.
    """

    number: int
    work: Sequence[Any]


class Settler(Protocol):
    """Settles work in a worker, several pieces at a time."""

    async def collect(self, work: Any, /) -> Any:
        """Settle a piece of work; return what the run must know, such as the verdict."""
        ...


#: Settles a shard; see `ShardExecutor`.
_Settle: TypeAlias = Callable[[Shard], Awaitable[None]]


class ShardLost(Exception):
    """An executor ended before its shard did.

    Attributes:
        left: The work that has no verdict.
        reason: Why the executor ended, as far as is known.
    """

    def __init__(self, left: Sequence[Any], reason: str) -> None:
        self.left = left
        self.reason = reason
        super().__init__(reason)

    def __reduce__(self) -> tuple[type[ShardLost], tuple[Sequence[Any], str]]:
        """Survive pickle and copy, which pass `args` alone."""
        return type(self), (self.left, self.reason)


class ShardExecutor(Protocol):
    """Settles shards, several at a time."""

    @property
    def slots(self) -> int:
        """How many shards it takes at once; more than it works on, so that it never idles."""
        ...

    def room(self) -> AbstractAsyncContextManager[None]:
        """Wait until a worker can take one more shard, and keep the room for it."""
        ...

    async def settle(self, shard: Shard) -> None:
        """Settle a shard, and emit one verdict for each of its archives.

        Raises:
            ShardLost: Part of the shard has no verdict.
            StoreError: The store refuses all further writes.
        """
        ...


async def run_sharded(
    plan: Plan,
    inventory: Inventory,
    executor: ShardExecutor,
    emit: Emit,
    budget: ByteBudget,
    *,
    first_shard_archives: int = FIRST_SHARD_ARCHIVES,
    first_workers: int | None = None,
    largest: int = SHARD_ARCHIVES,
    shared: SharedClaims | None = None,
) -> None:
    """Settle every archive of a plan, as `run_pipeline` does, through an executor.

    With a budget, a shard has one archive, which begins when it is assigned.

    Args:
        plan: The archives.
        inventory: Says what is to be done about each.
        executor: Settles shards of them.
        emit: Queues events.
        budget: Decides whether an archive may begin.
        first_shard_archives: How large the first shards are.
        first_workers: For how many workers these are, before the size doubles; by default there
            is one for each slot.
        largest: How many archives a shard may have whose kind is settled quickly.
        shared: Divides the plan with other runs; None if there are no others.

    Raises:
        StoreError: The store refuses all further writes.
    """
    send, receive = anyio.create_memory_object_stream[Shard](0)
    most = 1 if budget.is_limited else SHARD_ARCHIVES
    first_shards = executor.slots if first_workers is None else SHARDS_A_WORKER * first_workers
    sizes = None if budget.is_limited or largest <= most else ShardSizes(largest)
    packer, alone = _Packer(first_shards, first_shard_archives, most, sizes), anyio.Lock()
    lost = None if shared is None else LostClaims(shared.claims, evolve(inventory), emit)
    begin = partial(_begin, budget, lost)

    async def put(work: Sequence[Work]) -> None:
        for shard in packer.pack(work):
            await send.send(shard)

    async def drain() -> None:
        for shard in packer.rest():
            await send.send(shard)

    with one_error():
        async with anyio.create_task_group() as tasks:
            async with receive:
                for _ in range(executor.slots):
                    tasks.start_soon(_serve, receive.clone(), executor, emit, alone, begin, sizes)
            async with send:
                await produce(plan, inventory, put, emit, budget, drain=drain, shared=shared)
                await drain()


@define
class _Packer:
    """Fills shards in the order of the plan; the first ones are small, to spread a short plan.

    Args:
        slots: How many shards are assigned at once; after each such round the size doubles.
        first: How many archives the first shards have.
        most: How many archives a shard has at most of whose kind nothing is known.
        sizes: How many more it may have of a kind that is settled quickly; None for none.
    """

    slots: int
    first: int = FIRST_SHARD_ARCHIVES
    most: int = SHARD_ARCHIVES
    sizes: ShardSizes | None = None
    _pending: list[Work] = field(init=False, factory=list)
    _bytes: int = field(init=False, default=0)
    _count: int = field(init=False, default=0)

    def pack(self, work: Sequence[Work]) -> Iterator[Shard]:
        """Yield the shards that are full."""
        for item in work:
            self._pending.append(item)
            listed = item.planned.listed
            self._bytes += listed.size_bytes if listed else 0
            if len(self._pending) >= self._size(item) or self._bytes >= SHARD_BYTES:
                yield self._shard()

    def _size(self, last: Work) -> int:
        doublings = min(self._count // self.slots, SHARD_ARCHIVES.bit_length())
        usual = min(self.most, self.first << doublings)
        return usual if self.sizes is None else max(usual, self.sizes.of(last))

    def rest(self) -> Iterator[Shard]:
        """Yield the last, incomplete shard, if there is one."""
        if self._pending:
            yield self._shard()

    def _shard(self) -> Shard:
        work, self._pending, self._bytes = self._pending, [], 0
        self._count += 1
        return Shard(self._count, work)


async def _serve(
    queue: MemoryObjectReceiveStream[Shard],
    executor: ShardExecutor,
    emit: Emit,
    alone: anyio.Lock,
    begin: Callable[[Shard], Awaitable[Shard | None]],
    sizes: ShardSizes | None,
) -> None:
    async def fail(work: Work, reason: str) -> None:
        await emit([_failed(work, reason)])

    async with queue:
        while True:
            # A shard is made when a worker can take it, and so by the newest of the sizes.
            async with executor.room():
                try:
                    shard = await queue.receive()
                except anyio.EndOfStream:
                    return
                begun = await begin(shard)
                if begun is None:
                    continue
                since = anyio.current_time()
                await settle_shard(begun, executor.settle, alone, fail)
                if sizes is not None:
                    sizes.learn(begun.work, anyio.current_time() - since)


async def _begin(budget: ByteBudget, lost: LostClaims | None, shard: Shard) -> Shard | None:
    """Return what of a shard may be assigned; None if nothing of it.

    Args:
        budget: Decides whether an archive may begin.
        lost: Finds what another run has done while claims were lost; None if there are no others.
        shard: The work.
    """
    if not all(map(budget.admit, shard.work)):
        return None
    if lost is None:
        return shard
    left = await lost.still_to_do(shard.work)
    return evolve(shard, work=left) if left else None


async def settle_shard(
    shard: Shard,
    settle: _Settle,
    alone: anyio.Lock,
    fail: Callable[[Any, str], Awaitable[None]],
) -> None:
    """Assign a shard; assign what is lost of it again, at last each archive of it alone.

    Most workers end because their machine does: what is lost is first assigned again together. If
    one archive ends every process that works on it, the others are not lost with it.

    Args:
        shard: The work.
        settle: Assigns it; `ShardExecutor.settle`.
        alone: Is held while lost work is assigned again; one for a run.
        fail: Called with work that ended every process, and why the last one ended.
    """
    try:
        await settle(shard)
    except ShardLost as lost:
        async with alone:
            await _settle_again(shard.number, lost.left, settle, fail)


async def _settle_again(
    number: int,
    left: Sequence[Any],
    settle: _Settle,
    fail: Callable[[Any, str], Awaitable[None]],
) -> None:
    for _ in range(ATTEMPTS - 2):
        try:
            await settle(Shard(number, left))
        except ShardLost as lost:
            left = lost.left
        else:
            return
    for work in left:
        try:
            await settle(Shard(number, [work]))
        except ShardLost as lost:
            await fail(work, f"its worker ended {ATTEMPTS} times: {lost.reason}")


def _failed(work: Work, reason: str) -> ArchiveFinished:
    return ArchiveFinished(
        archive=work.archive,
        verdict=Verdict.FAILED,
        reason=reason,
        stands=work.stat is not None,
    )
