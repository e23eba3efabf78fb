"""Worker processes on this machine, as an executor of shards.

Each is a child process with a pipe in and a pipe out. The ledger, the lock, the events and the
progress stay in the run's own process. A worker that ends, or is silent for too long, is replaced,
and its shards are assigned again.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from crypto_lakehouse.core.config.sources import ENVIRONMENT_PREFIX
from crypto_lakehouse.core.errors import StoreError, WorkerError
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.processes.protocol import FRAME, Job, WorkerMessage
from crypto_lakehouse.executors.shards import SHARDS_A_WORKER, Shard, ShardLost

__all__ = [
    "ProcessExecutor",
    "WorkerProcess",
    "child_environment",
    "how_it_ended",
    "worker_processes",
]

#: A worker reports every 20 ms; after this many seconds without a report it is taken for dead.
SILENCE_S = 60.0

#: The run ends after this many workers in a row have ended before they settled anything.
BARREN_WORKERS = 5

#: How long a worker may take to end once its input is closed, in seconds.
END_WITHIN_S = 1.0


@define(eq=False)
class WorkerProcess:
    """One worker process, and the shards that are assigned to it."""

    job: Job
    silence_s: float = SILENCE_S
    received_bytes: int = field(init=False, default=0)
    parallel: int = field(init=False, default=0)
    has_settled: bool = field(init=False, default=False)
    _process: Process = field(init=False)
    _shards: dict[int, _AssignedShard] = field(init=False, factory=dict)
    _lost: str = field(init=False, default="")

    @property
    def load(self) -> int:
        """How many shards are assigned to it."""
        return len(self._shards)

    @property
    def shards(self) -> frozenset[int]:
        """The numbers of the shards that are assigned to it."""
        return frozenset(self._shards)

    @property
    def is_lost(self) -> bool:
        """Whether the process has ended."""
        return bool(self._lost)

    @property
    def why_lost(self) -> str:
        """Why the process has ended; empty if it has not."""
        return self._lost

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    async def start(self) -> None:
        """Start the process, without waiting until it is ready.

        Raises:
            WorkerError: The process cannot be started.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing is imported from the working directory
                "-m",
                self.job.program,
                stdin=PIPE,
                stdout=PIPE,
                # Only the run's own process handles Ctrl-C; it ends its workers in an orderly way.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                env=child_environment(),
            )
        except (OSError, NotImplementedError) as error:  # not every event loop supports processes
            raise WorkerError(f"none can be started: {error!r}") from error
        self._write(self.job)

    async def settle(self, shard: Shard) -> None:
        """Send a shard to the worker and wait until all of it has its verdicts.

        Raises:
            ShardLost: The worker ended earlier.
            StoreError: The store refuses all further writes.
        """
        assigned = _AssignedShard(dict(enumerate(shard.work)))
        self._shards[shard.number] = assigned
        try:
            if not self._lost:
                self._write(shard)
                await self._drain()
                await assigned.ended.wait()
        finally:
            del self._shards[shard.number]
        if assigned.refusal is not None:
            raise assigned.refusal
        if assigned.left:
            raise ShardLost(tuple(assigned.left.values()), self._lost)

    def _write(self, message: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    async def _drain(self) -> None:
        with suppress(ConnectionError):  # `listen` notices that the process has ended
            if self._process.stdin is not None:
                await self._process.stdin.drain()

    async def listen(self, on_report: Emit) -> None:
        """Pass the worker's events on until it ends; a report without events is a sign of life."""
        reason, grace_s = "it was silent for too long", 0.0
        try:
            while True:
                with anyio.fail_after(self.silence_s):
                    message = await self._next()
                await self.take(message, on_report)
        except TimeoutError:
            pass
        except asyncio.IncompleteReadError:
            reason, grace_s = "", END_WITHIN_S
        finally:
            self._lost = reason or "it ended"  # from now on it gets no shards
            with anyio.CancelScope(shield=True):
                code = await self._reap(grace_s)
            self._lost = reason or how_it_ended(code)
            for assigned in self._shards.values():
                assigned.ended.set()

    async def _next(self) -> WorkerMessage:
        stdout = self._process.stdout
        if stdout is None:  # pragma: no cover - it is always a pipe
            raise asyncio.IncompleteReadError(b"", FRAME.size)
        (size,) = FRAME.unpack(await stdout.readexactly(FRAME.size))
        message: WorkerMessage = pickle.loads(await stdout.readexactly(size))  # noqa: S301 - from a child
        return message

    async def take(self, message: WorkerMessage, on_report: Emit) -> None:
        """Report a message's events, and end the shards that it settles or refuses."""
        self.received_bytes, self.parallel = message.received_bytes, message.parallel
        await on_report([event for _, _, event in message.events])
        for number, index, _ in message.events:
            assigned = self._shards.get(number)
            if assigned is not None and index is not None:
                self.has_settled = True
                assigned.left.pop(index, None)
                if not assigned.left:
                    assigned.ended.set()
        if message.refusal is not None:
            for assigned in self._shards.values():
                assigned.refusal = message.refusal
                assigned.ended.set()

    async def _reap(self, grace_s: float) -> int:
        """Wait for the process, kill it after a grace period, and return its exit code."""
        with anyio.move_on_after(grace_s):
            await self._process.wait()
        self._kill()
        # Before Python 3.13 `wait` does not return as long as some of the output is unread.
        while self._process.stdout is not None and await self._process.stdout.read(1 << 16):
            pass
        return await self._process.wait()

    async def end(self) -> None:
        """Close the worker's input, and kill the process if it does not end soon."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(END_WITHIN_S):
                await self._process.wait()
            self._kill()
            await self._process.wait()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


def child_environment(*, is_whole: bool = False) -> dict[str, str]:
    """Return the variables of a worker: those of this process, without the configuration's own.

    The configuration, which may hold secrets, is sent in the job.

    Args:
        is_whole: Whether the child makes a part of its configuration itself, by all variables.
    """
    kept = {name: text for name, text in os.environ.items() if is_whole or _is_kept(name)}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _is_kept(name: str) -> bool:
    return not name.upper().startswith(ENVIRONMENT_PREFIX)


def how_it_ended(code: int) -> str:
    """Say how a process ended, by its exit code."""
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"


@define
class _AssignedShard:
    """A shard that a worker has: what is left of it, by index."""

    left: dict[int, Any]
    ended: anyio.Event = field(factory=anyio.Event)
    refusal: StoreError | None = None


@define
class ProcessExecutor:
    """Assigns each shard to the worker with the fewest; made by `worker_processes`.

    Args:
        jobs: One for each worker.
        emit: Takes the workers' events.
        meter: Counts the body bytes of all workers.
        tasks: Runs one task for each worker, which reads its reports.
        silence_s: A worker is taken for dead after this many seconds without a report.
    """

    jobs: Sequence[Job]
    emit: Emit
    meter: ByteMeter
    tasks: TaskGroup
    silence_s: float = SILENCE_S
    workers: list[WorkerProcess] = field(init=False, factory=list)
    _received_before: int = field(init=False, default=0)
    _barren: int = field(init=False, default=0)
    _replaced: anyio.Event = field(init=False, factory=anyio.Event)
    _is_ending: bool = field(init=False, default=False)
    _listening: list[anyio.CancelScope] = field(init=False, factory=list)
    _starting: anyio.Lock = field(init=False, factory=anyio.Lock)

    @property
    def slots(self) -> int:
        """How many shards are assigned at once."""
        return SHARDS_A_WORKER * len(self.jobs)

    def room(self) -> AbstractAsyncContextManager[None]:
        """Do nothing: there is a worker for every slot; see `ShardExecutor`."""
        return nullcontext()

    async def _start(self) -> None:
        """Start the workers once there is something to do: a second run often has nothing."""
        async with self._starting:
            for place in range(len(self.workers), len(self.jobs)):
                self.workers.append(await self._new(self.jobs[place]))
                self.tasks.start_soon(self.keep, place)

    async def _new(self, job: Job) -> WorkerProcess:
        worker = WorkerProcess(job, self.silence_s)
        with anyio.CancelScope(shield=True):  # never leave a started process unregistered
            await worker.start()
        return worker

    async def settle(self, shard: Shard) -> None:
        """Settle a shard; see `ShardExecutor`."""
        if len(self.workers) < len(self.jobs):
            await self._start()
        while not (alive := [worker for worker in self.workers if not worker.is_lost]):
            await self._replaced.wait()
        await min(alive, key=lambda worker: worker.load).settle(shard)

    async def keep(self, place: int) -> None:
        """Read a worker's reports until it ends, even if the run is cancelled, and replace it.

        Raises:
            WorkerError: Workers end as soon as they are started.
        """
        with anyio.CancelScope(shield=True) as scope:
            self._listening.append(scope)
            while not self._is_ending:
                worker = self.workers[place]
                await worker.listen(self._on_report)
                if not self._is_ending:
                    await self._replace(place, worker)

    async def _replace(self, place: int, worker: WorkerProcess) -> None:
        await worker.end()
        self._barren = 0 if worker.has_settled else self._barren + 1
        if self._barren >= BARREN_WORKERS:
            raise WorkerError(worker.why_lost)
        new = await self._new(worker.job)
        if self._is_ending:  # `end` did not see this one
            await new.end()
            return
        self._received_before += worker.received_bytes
        self.workers[place] = new
        self._replaced.set()
        self._replaced = anyio.Event()

    async def _on_report(self, events: Sequence[Event]) -> None:
        received = sum(worker.received_bytes for worker in self.workers)
        self.meter.received_bytes = self._received_before + received
        self.meter.parallel = sum(worker.parallel for worker in self.workers)
        if events:
            await self.emit(events)

    async def end(self) -> None:
        """End all workers; no process is left.

        Their last events are passed on if the sinks take them within two seconds.
        """
        self._is_ending = True
        for scope in self._listening:
            scope.deadline = anyio.current_time() + 2 * END_WITHIN_S
        async with anyio.create_task_group() as tasks:
            for worker in self.workers:
                tasks.start_soon(worker.end)


@asynccontextmanager
async def worker_processes(
    jobs: Sequence[Job], emit: Emit, meter: ByteMeter, silence_s: float = SILENCE_S
) -> AsyncIterator[ProcessExecutor]:
    """Run worker processes; none is left at the end, whatever happens.

    Args: as of `ProcessExecutor`.

    Raises:
        WorkerError: Workers end as soon as they are started.
    """
    async with anyio.create_task_group() as tasks:
        executor = ProcessExecutor(jobs, emit, meter, tasks, silence_s)
        try:
            yield executor
        finally:
            with anyio.CancelScope(shield=True):
                await executor.end()
