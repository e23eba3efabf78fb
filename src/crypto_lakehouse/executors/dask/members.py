"""Which workers of the cluster take part in a run, and with what share of its limits."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from attrs import define, field

from crypto_lakehouse.core.errors import ClusterError, LockHeldError
from crypto_lakehouse.core.events import RunWarned
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.executors.dask.places import change_share, introduce, join_run, leave_run
from crypto_lakehouse.executors.dask.protocol import DaskJob
from crypto_lakehouse.executors.dask.scheduler import SchedulerSilent, answer_of, scheduler_gone
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.ledger.lock import worker_lock
from crypto_lakehouse.version import __version__

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Member", "Members"]

#: How often the scheduler is asked for its workers, in seconds.
_LOOK_EVERY_S = 0.5

#: How long a run waits until the cluster has a worker, in seconds.
WAIT_FOR_WORKERS_S = 300.0

#: How long a worker may take to answer, in seconds: to join, it may have to end an earlier agent.
_ANSWER_WITHIN_S = 60.0

#: How long an agent may take to end with its run, in seconds.
_LEAVE_WITHIN_S = 10.0

#: How long the scheduler may take to say how the tasks of a worker that is gone ended.
_LAST_WORD_S = 2.0


@define(eq=False)
class Member:
    """A worker that takes part in the run.

    Attributes:
        address: Its address.
        name: Its host and process.
        number: Its number in the run; one that is gone leaves its number to another.
        load: How many shards it has.
        gone: Is set some time after the scheduler has lost it.
        released: Is set once it is lost, and cannot write any more.
    """

    address: str
    name: str
    number: int
    load: int = 0
    gone: anyio.Event = field(factory=anyio.Event)
    released: anyio.Event = field(factory=anyio.Event)


@define(eq=False)
class Members:
    """Admits workers as they come, and divides the limits of the run between those that are there.

    Args:
        client: Reaches the scheduler.
        job: What a member must know.
        share_of: The share of the n-th of so many members.
        most: How many members there may be: each needs one request at least.
        emit: Takes warnings about workers that are refused.
        changed: Called after members came or went.
        tasks: Runs what may last longer than a look at the scheduler.
        wait_s: How long to wait for the first member.
    """

    client: Client
    job: DaskJob
    share_of: Callable[[int, int], Share]
    most: int
    emit: Emit
    changed: Callable[[], Awaitable[None]]
    tasks: TaskGroup
    wait_s: float = WAIT_FOR_WORKERS_S
    present: dict[str, Member] = field(init=False, factory=dict)
    refused: dict[str, str] = field(init=False, factory=dict)
    asked: set[str] = field(init=False, factory=set)
    unreleased: set[int] = field(init=False, factory=set)
    is_silent: bool = field(init=False, default=False)

    async def watch(self) -> None:
        """Follow the cluster for as long as the run works.

        Once the run has had a member, others may follow: a nanny needs seconds to start a worker
        again, and a worker that is refused may be the only one meanwhile.

        Raises:
            ClusterError: The scheduler is gone, or no worker can take part.
        """
        alone_since = anyio.current_time()
        had_members = False
        while True:
            addresses = await self.addresses()
            await self._update(addresses)
            if self.present:
                alone_since = anyio.current_time()
                had_members = True
            elif self.refused and not had_members:
                raise ClusterError(self._why_refused())
            elif anyio.current_time() - alone_since > self.wait_s:
                raise ClusterError(await self._why_none_works())
            await anyio.sleep(_LOOK_EVERY_S)

    def _why_refused(self) -> str:
        return "no worker can take part: " + "; ".join(self.refused.values())

    async def _why_none_works(self) -> str:
        """Say why no worker takes part; the scheduler counts those that wait."""
        if self.refused:
            return self._why_refused()
        paused = len(await answer_of(self.client, self.client.scheduler.ncores()))
        if not paused:
            return "the scheduler has no worker; start some that connect to it"
        who = "its only worker is" if paused == 1 else f"{plural(paused, 'worker')} are"
        return (
            f"the scheduler has no worker that takes tasks: {who} paused, as Dask does when memory "
            "is nearly full (`distributed.worker.memory.pause`), or about to end; give workers "
            "more memory (`--memory-limit`), or start others"
        )

    async def addresses(self) -> list[str]:
        """Ask the scheduler for its workers.

        Raises:
            ClusterError: It is gone, or does not answer.
        """
        return [*await self._answer(self.client.scheduler.ncores_running())]

    async def _answer(self, question: Awaitable[Mapping[str, int]]) -> Mapping[str, int]:
        try:
            return await answer_of(self.client, question)
        except SchedulerSilent:
            self.is_silent = True
            raise

    async def _update(self, addresses: Sequence[str]) -> None:
        lost = [member for name, member in self.present.items() if name not in addresses]
        for member in lost:
            self.drop(member)
        self.refused = {name: why for name, why in self.refused.items() if name in addresses}
        known = self.present.keys() | self.refused.keys()
        free = self.most - len(self.present)
        new = [name for name in addresses if name not in known][: max(0, free)]
        if new:
            await self._admit(new)
        elif lost:
            await self._divide()
        if new or lost:
            await self.changed()

    def drop(self, member: Member) -> None:
        """Take out a member that is gone; its shards are lost a moment later."""
        if self.present.pop(member.address, None) is not None:
            self.unreleased.add(member.number)
            self.tasks.start_soon(_set_later, member.gone)
            self.tasks.start_soon(self._release, member)

    async def _release(self, member: Member) -> None:
        """Wait until a member that is lost cannot write to the output directory any more.

        One that was cut off may still write parts of large bodies; another one with the same shard
        would write to the same files. In an object store each writes an upload of its own.

        Raises:
            ClusterError: It holds its lock for too long, and had a shard.
        """
        try:
            if self.job.locks is not None:
                await to_thread.run_sync(self._take_lock, member.number)
        except LockHeldError as error:
            if member.load:
                raise ClusterError(
                    f"the Dask worker {member.name} is lost, and may still write: it holds "
                    f"`{error.path}`; end it"
                ) from None
        else:
            self.unreleased.discard(member.number)
            member.released.set()

    def _take_lock(self, number: int) -> None:
        with worker_lock(Path(self.job.locks or ""), number):
            pass

    async def _admit(self, new: Sequence[str]) -> None:
        """Lower the shares of the members, then let the new ones join.

        The limits of the run hold at every moment.
        """
        told: dict[str, Any] = await self._run(introduce, new)
        faults = {name: _fault(about) for name, about in told.items()}
        fit = [name for name in new if isinstance(told.get(name), dict) and not faults[name]]
        used = {member.number for member in self.present.values()}
        taken = used | self.unreleased
        numbers = islice((number for number in count() if number not in taken), len(fit))
        joining = [
            Member(name, told[name]["name"], number)
            for name, number in zip(fit, numbers, strict=False)
        ]
        await self._divide(joining)
        answers = await self._join(joining)
        for member in joining:
            reason = answers.get(member.address)
            if reason == "":
                self.present[member.address] = member
            elif isinstance(reason, str):
                faults[member.address] = reason
        refused = {name: reason for name, reason in faults.items() if reason}
        for name, reason in refused.items():
            about = told[name]["name"] if isinstance(told[name], dict) else ""
            await self._refuse(name, about, reason)
        if len(self.present) < len(used) + len(joining):
            await self._divide()

    async def _join(self, joining: Sequence[Member]) -> dict[str, Any]:
        """Let members join, each with its share; return their answers by address."""
        answers: dict[str, Any] = {}
        with one_error():
            async with anyio.create_task_group() as tasks:
                for member in joining:
                    self.asked.add(member.address)
                    asked = (self.job, member.number, self._share(member, joining))
                    tasks.start_soon(self._ask, join_run, member.address, asked, answers)
        return answers

    async def _refuse(self, address: str, name: str, reason: str) -> None:
        text = f"the Dask worker {address}{f' ({name})' if name else ''} is refused: {reason}"
        self.refused[address] = text
        await self.emit([RunWarned(message=text)])

    def _share(self, member: Member, joining: Sequence[Member] = ()) -> Share:
        numbers = sorted({each.number for each in (*self.present.values(), *joining)})
        return self.share_of(len(numbers), numbers.index(member.number))

    async def _divide(self, joining: Sequence[Member] = ()) -> None:
        """Give every member its share."""
        async with anyio.create_task_group() as tasks:
            for member in [*self.present.values()]:
                share = self._share(member, joining)
                tasks.start_soon(self._run, change_share, [member.address], self.job.run_id, share)

    async def _run(
        self, function: Callable[..., Any], workers: Sequence[str], *arguments: Any
    ) -> dict[str, Any]:
        """Call a function on workers.

        Returns:
            The results by address. That of a worker which fails is its exception; one that does not
            answer in time, or leaves the cluster meanwhile, has none.
        """
        found: dict[str, Any] = {}
        with one_error():
            async with anyio.create_task_group() as tasks:
                for worker in workers:
                    tasks.start_soon(self._ask, function, worker, arguments, found)
        return found

    async def _ask(
        self, function: Callable[..., Any], worker: str, arguments: Any, found: dict[str, Any]
    ) -> None:
        """Call a function on a worker as long as the cluster has it.

        The scheduler would try to reach one that has gone for half a minute, in which no other
        worker is admitted, and no shard of a lost one is assigned again.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_gone, worker, tasks.cancel_scope)
            try:
                with anyio.move_on_after(_ANSWER_WITHIN_S):
                    found |= await self.client.run(
                        function, *arguments, workers=[worker], on_error="return"
                    )
            except (OSError, RuntimeError) as error:
                raise scheduler_gone(self.client, error) from error
            tasks.cancel_scope.cancel()

    async def _until_gone(self, worker: str, call: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(_LOOK_EVERY_S)
            if worker not in await self._answer(self.client.scheduler.ncores()):
                call.cancel()

    async def leave(self) -> list[str]:
        """End the agents of the run; none writes afterwards, unless it cannot be reached.

        Every worker that was ever asked to join may have one: its answer may not have come yet, and
        one that is paused is no member.

        Returns:
            The agents that have ended.
        """
        ended: dict[str, Any] = {}
        if self.asked and self.client.status == "running" and not self.is_silent:
            with anyio.move_on_after(_LEAVE_WITHIN_S), suppress(ClusterError):
                there = await answer_of(self.client, self.client.scheduler.ncores())
                if workers := sorted(self.asked.intersection(there)):
                    ended = await self._run(leave_run, workers, self.job.run_id)
        return [agent for agent in ended.values() if isinstance(agent, str) and agent]


async def _set_later(event: anyio.Event) -> None:
    """Set an event once the scheduler has had the time to say how tasks ended."""
    await anyio.sleep(_LAST_WORD_S)
    event.set()


def _fault(about: object) -> str:
    """Return why a worker cannot take part, by what it says of itself; empty if it can."""
    if isinstance(about, ImportError | AttributeError):
        return f"it has no crypto-lakehouse {__version__} ({about})"
    if not isinstance(about, dict):
        return ""  # it is gone again, or the next look shows what is wrong
    if about["version"] != __version__:
        return f"it has version {about['version']}, and the run {__version__}"
    if about["python"] != list(sys.version_info[:2]):
        theirs, own = (".".join(map(str, each)) for each in (about["python"], sys.version_info[:2]))
        return f"it has Python {theirs}, and the run {own}"
    if about["threads"] != 1:
        return f"it has {plural(about['threads'], 'thread')}; start it with `--nthreads 1`"
    return ""
