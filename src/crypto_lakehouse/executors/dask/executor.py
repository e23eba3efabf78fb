"""Workers of a Dask cluster, as an executor of shards.

The ledger, the lock, the events and the progress stay in the run's own process.
"""

from __future__ import annotations

import asyncio
import math
import pickle
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field

from crypto_lakehouse.core.errors import ClusterError, StoreError
from crypto_lakehouse.core.events import RunWarned
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.dask.cluster import open_cluster
from crypto_lakehouse.executors.dask.members import Member, Members
from crypto_lakehouse.executors.dask.protocol import (
    AgentEnded,
    AgentReport,
    DaskJob,
    NotAMember,
    ShardReleased,
    topic_of,
)
from crypto_lakehouse.executors.dask.scheduler import allowed_failures, scheduler_gone
from crypto_lakehouse.executors.shards import SHARDS_A_WORKER, Shard, ShardLost
from crypto_lakehouse.executors.share import Share

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["DaskExecutor", "dask_workers"]

#: The run ends after this many shards in a row were lost before anything was settled.
BARREN_SHARDS = 15

#: A shard whose worker leaves in order is assigned again as a whole, this many times.
_LEAVES = 3

#: How long reports may come after the outcome that they precede, in seconds.
_REPORTS_WITHIN_S = 30.0

#: How long the sinks may take the last events of a run that ends early, in seconds.
_LAST_EVENTS_WITHIN_S = 2.0


def _task() -> Callable[[str, str, bytes], Any]:
    """Return the function of a task, which is sent by value: the scheduler imports no module."""

    async def collect(run_id: str, key: str, work: bytes) -> None:
        from crypto_lakehouse.executors.dask.places import settle

        await settle(run_id, key, work)

    return collect


@define(eq=False)
class _Assigned:
    """A shard that a member has: what is left of it, by index."""

    left: dict[int, Any]
    settled: anyio.Event = field(factory=anyio.Event)


@define(eq=False)
class DaskExecutor:
    """Assigns each shard to the member with the fewest; made by `dask_workers`.

    Args:
        job: What the agents must know.
        share_of: The share of the n-th of so many members.
        most: How many members there may be.
        emit: Takes the agents' events.
        meter: Counts the body bytes of all agents.
        tasks: Runs what follows the cluster.
        scheduler: The address of the scheduler; None for a cluster on this machine.
        processes: How many workers that cluster has.
    """

    job: DaskJob
    share_of: Callable[[int, int], Share]
    most: int
    emit: Emit
    meter: ByteMeter
    tasks: TaskGroup
    scheduler: str | None
    processes: int
    members: Members | None = field(init=False, default=None)
    _assigned: dict[str, _Assigned] = field(init=False, factory=dict)
    _received: dict[str, int] = field(init=False, factory=dict)
    _parallel: dict[str, int] = field(init=False, factory=dict)
    _ended: dict[str, anyio.Event] = field(init=False, factory=lambda: defaultdict(anyio.Event))
    _rooms: int = field(init=False, default=0)
    _keys: count[int] = field(init=False, factory=count)
    _barren: int = field(init=False, default=0)
    _changed: anyio.Condition = field(init=False, factory=anyio.Condition)
    _vacated: anyio.Condition = field(init=False, factory=anyio.Condition)
    _starting: anyio.Lock = field(init=False, factory=anyio.Lock)
    _opened: AsyncExitStack = field(init=False, factory=AsyncExitStack)
    _client: Client = field(init=False)
    _send: MemoryObjectSendStream[bytes] = field(init=False)
    _watching: anyio.CancelScope = field(init=False, factory=anyio.CancelScope)
    _reading: anyio.CancelScope = field(init=False, factory=lambda: anyio.CancelScope(shield=True))

    @property
    def slots(self) -> int:
        """How many shards may be assigned at once, with as many members as there may be."""
        return SHARDS_A_WORKER * self.most

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        """Wait until a member can take a shard; see `ShardExecutor`.

        The first one waits for nothing: the cluster is connected once there is a shard.
        """
        async with self._vacated:
            while self._rooms >= max(1, SHARDS_A_WORKER * self._member_count()):
                await self._vacated.wait()
            self._rooms += 1
        try:
            yield
        finally:
            self._rooms -= 1
            with anyio.CancelScope(shield=True):
                async with self._vacated:
                    self._vacated.notify(1)

    def _member_count(self) -> int:
        return 0 if self.members is None else len(self.members.present)

    async def _start(self) -> Members:
        """Connect once there is something to do: a second run often has nothing."""
        async with self._starting:
            if self.members is None:
                opening = open_cluster(self.scheduler, self.processes)
                self._client = await self._opened.enter_async_context(opening)
                await self._check_failures()
                self._send, receive = anyio.create_memory_object_stream[bytes](math.inf)
                self._client.subscribe_topic(topic_of(self.job.run_id), self._heard)
                self.tasks.start_soon(self._read, receive)
                self.members = Members(
                    self._client,
                    self.job,
                    self.share_of,
                    self.most,
                    self.emit,
                    self._notify,
                    self.tasks,
                )
                self.tasks.start_soon(self._watch, self.members)
        return self.members

    async def _watch(self, members: Members) -> None:
        with self._watching:
            await members.watch()

    async def _check_failures(self) -> None:
        failures = await allowed_failures(self._client)
        if failures:
            ended = plural(failures + 1, "worker")
            text = (
                f"the Dask scheduler gives a task up after it ended {ended}; set "
                "`distributed.scheduler.allowed-failures: 0` there, so that one bad archive costs "
                "fewer workers"
            )
            await self.emit([RunWarned(message=text)])

    def _heard(self, event: tuple[float, bytes]) -> None:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # the run has ended
            self._send.send_nowait(event[1])

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
        async with self._vacated:
            self._vacated.notify_all()

    async def _free_member(self, members: Members) -> Member:
        """Wait for a member that can take a shard, and give it one to carry."""
        async with self._changed:
            while True:
                free = [each for each in members.present.values() if each.load < SHARDS_A_WORKER]
                if free:
                    member = min(free, key=lambda each: each.load)
                    member.load += 1
                    return member
                await self._changed.wait()

    async def settle(self, shard: Shard) -> None:
        """Settle a shard; see `ShardExecutor`.

        Raises:
            ClusterError: The scheduler is gone, or no worker can take part.
        """
        members = self.members or await self._start()
        assigned = _Assigned(dict(enumerate(shard.work)))
        for _ in range(_LEAVES):
            member = await self._free_member(members)
            try:
                reason = await self._settle_on(member, shard.number, assigned)
            finally:
                member.load -= 1
                with anyio.CancelScope(shield=True):
                    async with self._changed:
                        self._changed.notify(1)
            if not assigned.left:
                return
            if reason:
                break
        raise ShardLost(tuple(assigned.left.values()), reason or "its workers left the cluster")

    async def _settle_on(self, member: Member, number: int, assigned: _Assigned) -> str:
        """Let a member settle what is left of a shard.

        Returns:
            Why something is left; empty if nothing is, or the member left in order.
        """
        key = f"collect-{self.job.run_id}-{number}-{next(self._keys)}"
        self._assigned[key] = assigned
        work = pickle.dumps([*assigned.left.items()], pickle.HIGHEST_PROTOCOL)
        future = self._client.submit(
            _task(),
            self.job.run_id,
            key,
            work,
            key=key,
            workers=[member.address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        try:
            return await self._until_settled(future, member, assigned)
        finally:
            del self._assigned[key]
            if self._client.status == "running":
                future.release()

    async def _until_settled(self, future: Future, member: Member, assigned: _Assigned) -> str:
        """Wait until a shard has its verdicts, or its task or its member has ended."""
        ended = anyio.Event()
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _future: loop.call_soon_threadsafe(ended.set))
        async with anyio.create_task_group() as tasks:

            async def wait_for(event: anyio.Event) -> None:
                await event.wait()
                tasks.cancel_scope.cancel()

            for event in (assigned.settled, ended, member.gone):
                tasks.start_soon(wait_for, event)
        if future.status == "finished":
            with anyio.move_on_after(_REPORTS_WITHIN_S):  # they may come after the end of the task
                await assigned.settled.wait()
        if not assigned.left:
            return ""
        if self._client.status != "running":
            raise scheduler_gone(self._client)
        if future.status == "finished":
            return "its verdicts did not arrive"
        error = await future.exception() if future.status == "error" else None
        if error is None or type(error).__name__ == "KilledWorker":
            await self._lose(member)
        return self._why_lost(error, member)

    async def _lose(self, member: Member) -> None:
        """Wait until a member that is lost cannot write any more."""
        if self.members is not None:
            self.members.drop(member)
        await member.released.wait()

    def _why_lost(self, error: BaseException | None, member: Member) -> str:
        """Return why a shard is lost; empty if its member has left it in order."""
        match error:
            case StoreError():
                raise error
            case None | ShardReleased():
                return ""
            case NotAMember():  # another process has its address now
                if self.members is not None:
                    self.members.drop(member)
                return ""
            case AgentEnded():
                reason = str(error)
            case _ if type(error).__name__ == "KilledWorker":
                reason = f"the Dask worker {member.name} has ended, or was cut off"
            case _:
                reason = f"the Dask worker {member.name} failed: {error!r}"
        self._barren += 1
        if self._barren >= BARREN_SHARDS:
            raise ClusterError(f"its workers end before they settle anything: {reason}")
        return reason

    async def _read(self, reports: MemoryObjectReceiveStream[bytes]) -> None:
        """Pass the agents' events on until the run ends, even if it is cancelled."""
        with self._reading, reports:
            async for data in reports:
                await self._take(pickle.loads(data))  # noqa: S301 - see `protocol`

    async def _take(self, report: AgentReport) -> None:
        self._received[report.agent] = report.received_bytes
        self._parallel[report.worker] = 0 if report.is_last else report.parallel
        present = self.members.present if self.members else {}
        self.meter.received_bytes = sum(self._received.values())
        self.meter.parallel = sum(self._parallel.get(name, 0) for name in present)
        events, settled = [], []
        for key, index, event in report.events:
            assigned = self._assigned.get(key)
            if assigned is None or (index is not None and index not in assigned.left):
                continue  # another worker has the shard by now
            events.append(event)
            if index is not None:
                del assigned.left[index]
                settled.append(assigned)
        if events:
            await self.emit(events)
        for assigned in settled:
            self._barren = 0
            if not assigned.left:
                assigned.settled.set()
        if report.is_last:
            self._ended[report.agent].set()

    async def end(self) -> None:
        """End the agents, pass their last events on, and leave the cluster."""
        if self.members is not None:
            self._watching.cancel()
            agents = await self.members.leave()
            self._reading.deadline = anyio.current_time() + _LAST_EVENTS_WITHIN_S
            with anyio.move_on_after(_LAST_EVENTS_WITHIN_S):
                for agent in agents:
                    await self._ended[agent].wait()
            self._send.close()
        await self._opened.aclose()


@asynccontextmanager
async def dask_workers(
    job: DaskJob,
    share_of: Callable[[int, int], Share],
    most: int,
    emit: Emit,
    meter: ByteMeter,
    *,
    scheduler: str | None,
    processes: int,
) -> AsyncIterator[DaskExecutor]:
    """Collect on the workers of a cluster; none has an agent of the run at its end.

    Args: as of `DaskExecutor`.

    Raises:
        ClusterError: The scheduler cannot be reached or is gone, or no worker can take part.
        ExtraMissing: The extra `dask` is not installed.
    """
    async with anyio.create_task_group() as tasks:
        executor = DaskExecutor(job, share_of, most, emit, meter, tasks, scheduler, processes)
        try:
            yield executor
        finally:
            with anyio.CancelScope(shield=True):
                await executor.end()
            tasks.cancel_scope.cancel()
