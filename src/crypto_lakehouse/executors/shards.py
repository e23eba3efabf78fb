"""Settle a plan in shards, each by an executor that may be another process or another machine.

The plan, the inventory and the sinks stay in one place; an executor takes work and hands back
events. One that dies loses no archive: what has no verdict yet is given out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from attrs import define, field, frozen

from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.pipeline import produce
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.plan import Plan
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["Shard", "ShardExecutor", "ShardLost", "run_sharded"]

#: A shard is this many archives: enough that handing them over costs little, and few enough that
#: all executors are done at about the same time.
SHARD_ARCHIVES = 64

#: The first shards, one for each slot, are this large.
FIRST_SHARD_ARCHIVES = 1

#: Where sizes are listed, a shard is no more than about this many bytes.
SHARD_BYTES = 256 << 20

#: What was lost with its executor so often is `failed`.
ATTEMPTS = 3


@frozen
class Shard:
    """Some archives of one plan, for one executor.

    Attributes:
        number: Unlike that of any other shard of the run.
    """

    number: int
    work: Sequence[Work]


class ShardLost(Exception):
    """An executor ended before its shard did.

    Attributes:
        left: The work that has no verdict.
        reason: Why it ended, as far as is known.
    """

    def __init__(self, left: Sequence[Work], reason: str) -> None:
        self.left = left
        self.reason = reason
        super().__init__(reason)


class ShardExecutor(Protocol):
    """Someone who settles shards, several at a time."""

    @property
    def slots(self) -> int:
        """How many shards it takes at once; more than it works on, so that it never waits."""
        ...

    async def settle(self, shard: Shard) -> None:
        """Settle a shard, and emit one verdict for each of its archives.

        Raises:
            ShardLost: Some of it has no verdict.
            StoreError: The store takes nothing more.
        """
        ...


async def run_sharded(
    plan: Plan,
    inventory: Inventory,
    executor: ShardExecutor,
    emit: Emit,
    *,
    first_shard_archives: int = FIRST_SHARD_ARCHIVES,
) -> None:
    """Settle every archive of a plan; as `run_pipeline`, through an executor.

    Args:
        plan: The archives.
        inventory: Says what is to be done about each.
        executor: Settles shards of them.
        emit: Queues events.
        first_shard_archives: How large the first shards are, one for each slot.

    Raises:
        StoreError: The store takes nothing more.
    """
    send, receive = anyio.create_memory_object_stream[Shard](0)
    packer, alone = _Packer(executor.slots, first_shard_archives), anyio.Lock()

    async def put(work: Sequence[Work]) -> None:
        for shard in packer.pack(work):
            await send.send(shard)

    with one_error():
        async with anyio.create_task_group() as tasks:
            async with receive:
                for _ in range(executor.slots):
                    tasks.start_soon(_serve, receive.clone(), executor, emit, alone)
            async with send:
                await produce(plan, inventory, put, emit)
                for shard in packer.rest():
                    await send.send(shard)


@define
class _Packer:
    """Fills shards in the order of the plan; small ones first, so that few archives are shared.

    Args:
        slots: How many shards are given out at once; after so many the next ones are twice as
            large.
        first: How many archives a shard has at first.
    """

    slots: int
    first: int = FIRST_SHARD_ARCHIVES
    _pending: list[Work] = field(init=False, factory=list)
    _bytes: int = field(init=False, default=0)
    _count: int = field(init=False, default=0)

    def pack(self, work: Sequence[Work]) -> Iterator[Shard]:
        """Return the shards that are full now."""
        for item in work:
            self._pending.append(item)
            listed = item.planned.listed
            self._bytes += listed.size_bytes if listed else 0
            if len(self._pending) >= self._size or self._bytes >= SHARD_BYTES:
                yield self._shard()

    @property
    def _size(self) -> int:
        doublings = min(self._count // self.slots, SHARD_ARCHIVES.bit_length())
        return min(SHARD_ARCHIVES, self.first << doublings)

    def rest(self) -> Iterator[Shard]:
        """Return the last shard, where there is one."""
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
) -> None:
    async with queue:
        async for shard in queue:
            await _settle(shard, executor, emit, alone)


async def _settle(shard: Shard, executor: ShardExecutor, emit: Emit, alone: anyio.Lock) -> None:
    """Give a shard out; what is lost of it is given out again, one archive of all at a time.

    Where one of them ends whatever works on it, it shall do so without the others.
    """
    try:
        await executor.settle(shard)
    except ShardLost as lost:
        async with alone:
            for work in lost.left:
                await _settle_again(Shard(shard.number, [work]), executor, emit)


async def _settle_again(shard: Shard, executor: ShardExecutor, emit: Emit) -> None:
    reason = ""
    for _ in range(ATTEMPTS - 1):
        try:
            await executor.settle(shard)
        except ShardLost as lost:
            reason = lost.reason
        else:
            return
    await emit([_failed(work, reason) for work in shard.work])


def _failed(work: Work, reason: str) -> ArchiveFinished:
    return ArchiveFinished(
        archive=work.archive,
        verdict=Verdict.FAILED,
        reason=f"its worker ended {ATTEMPTS} times: {reason}",
        stands=work.stat is not None,
    )
