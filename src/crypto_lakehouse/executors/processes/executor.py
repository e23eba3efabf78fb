"""Worker processes on this machine, as an executor of shards.

Each is a child with a pipe in and a pipe out. The ledger, the lock, the events and the progress
stay in the run's own process; one that dies, or is silent for too long, loses its shards, which
are given out again, and is replaced.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.config.sources import ENVIRONMENT_PREFIX
from crypto_lakehouse.core.errors import StoreError, WorkerError
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.processes.protocol import FRAME, Job, WorkerMessage
from crypto_lakehouse.executors.shards import Shard, ShardLost

__all__ = ["ProcessExecutor", "WorkerProcess", "worker_processes"]

#: How many shards a worker holds: it never waits for the next one.
SHARDS_A_WORKER = 3

#: A worker tells something every 20 ms; after this long without a word it is taken for dead.
SILENCE_S = 60.0

#: So many workers in a row that end before they settled anything end the run.
BARREN_WORKERS = 5

#: How long a worker may take to end once it is told to, in seconds.
END_WITHIN_S = 1.0


@define(eq=False)
class WorkerProcess:
    """One worker, and the shards that it holds."""

    job: Job
    silence_s: float = SILENCE_S
    received_bytes: int = field(init=False, default=0)
    parallel: int = field(init=False, default=0)
    has_settled: bool = field(init=False, default=False)
    _process: Process = field(init=False)
    _shards: dict[int, _Held] = field(init=False, factory=dict)
    _lost: str = field(init=False, default="")

    @property
    def load(self) -> int:
        """How many shards it holds."""
        return len(self._shards)

    @property
    def is_lost(self) -> bool:
        """Whether it has ended."""
        return bool(self._lost)

    @property
    def why_lost(self) -> str:
        """Why it has ended, empty where it has not."""
        return self._lost

    @property
    def pid(self) -> int:
        """Its process's number."""
        return self._process.pid

    async def start(self) -> None:
        """Start the process; it makes itself ready while others do other things.

        Raises:
            WorkerError: There can be no such process.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # nothing is imported from the working directory
                "-m",
                self.job.program,
                stdin=PIPE,
                stdout=PIPE,
                # Ctrl-C is for the run's own process, which ends its workers in order.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                env=_environment(),
            )
        except (OSError, NotImplementedError) as error:  # not every event loop has processes
            raise WorkerError(f"none can be started: {error!r}") from error
        self._write(self.job)

    async def settle(self, shard: Shard) -> None:
        """Hand a shard over and wait for its end.

        Raises:
            ShardLost: The worker ended before.
            StoreError: The store takes nothing more.
        """
        held = self._shards[shard.number] = _Held(dict(enumerate(shard.work)))
        try:
            if not self._lost:
                self._write(shard)
                await self._drain()
                await held.ended.wait()
        finally:
            del self._shards[shard.number]
        if held.refusal is not None:
            raise StoreError(*held.refusal, stops_run=True)
        if held.left:
            raise ShardLost(tuple(held.left.values()), self._lost)

    def _write(self, message: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    async def _drain(self) -> None:
        with suppress(ConnectionError):  # its end is noticed where it is read
            if self._process.stdin is not None:
                await self._process.stdin.drain()

    async def listen(self, heard: Emit) -> None:
        """Hand on what the worker tells, until it ends; an empty batch is a sign of life."""
        reason, patience_s = "it was silent for too long", 0.0
        try:
            while True:
                with anyio.fail_after(self.silence_s):
                    told = await self._next()
                await self._take(told, heard)
        except TimeoutError:
            pass
        except asyncio.IncompleteReadError:
            reason, patience_s = "", END_WITHIN_S
        finally:
            self._lost = reason or "it ended"  # from now on it is given nothing
            with anyio.CancelScope(shield=True):
                code = await self._reap(patience_s)
            self._lost = reason or _how_it_ended(code)
            for held in self._shards.values():
                held.ended.set()

    async def _next(self) -> WorkerMessage:
        stdout = self._process.stdout
        if stdout is None:  # pragma: no cover - it is a pipe
            raise asyncio.IncompleteReadError(b"", FRAME.size)
        (size,) = FRAME.unpack(await stdout.readexactly(FRAME.size))
        told: WorkerMessage = pickle.loads(await stdout.readexactly(size))  # noqa: S301 - our own child's
        return told

    async def _take(self, told: WorkerMessage, heard: Emit) -> None:
        self.received_bytes, self.parallel = told.received_bytes, told.parallel
        await heard([event for _, _, event in told.events])
        for number, place, _ in told.events:
            held = self._shards.get(number)
            if held is not None and place is not None:
                self.has_settled = True
                held.left.pop(place, None)
                if not held.left:
                    held.ended.set()
        if told.refusal is not None:
            for held in self._shards.values():
                held.refusal = told.refusal
                held.ended.set()

    async def _reap(self, patience_s: float) -> int:
        """Return the exit code of a process that ends by itself, or else is ended now."""
        with anyio.move_on_after(patience_s):
            await self._process.wait()
        self._kill()
        # Before Python 3.13 nobody's `wait` returns as long as some of the output is unread.
        while self._process.stdout is not None and await self._process.stdout.read(1 << 16):
            pass
        return await self._process.wait()

    async def end(self) -> None:
        """Tell the worker to end, and see to it that it does; leaves no process behind."""
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


def _environment() -> dict[str, str]:
    """What a worker has to know of this process; the configuration, with its secrets, is none."""
    kept = {name: text for name, text in os.environ.items() if _is_kept(name)}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _is_kept(name: str) -> bool:
    return not name.upper().startswith(ENVIRONMENT_PREFIX)


def _how_it_ended(code: int) -> str:
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"


@define
class _Held:
    """A shard in a worker's hands: what is left of it, by place."""

    left: dict[int, Work]
    ended: anyio.Event = field(factory=anyio.Event)
    refusal: tuple[str, str] | None = None


@define
class ProcessExecutor:
    """Gives each shard to the worker that holds the fewest; use `worker_processes`.

    Args:
        jobs: One for each worker.
        emit: Takes the workers' events.
        meter: Counts for all of them.
        tasks: Own the tasks that listen to workers.
        silence_s: After this long without a word a worker is taken for dead, in seconds.
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
        """How many shards are given out at once."""
        return SHARDS_A_WORKER * len(self.jobs)

    async def _start(self) -> None:
        """Start the workers, once there is something to do: a second run often has nothing."""
        async with self._starting:
            for place in range(len(self.workers), len(self.jobs)):
                self.workers.append(await self._new(self.jobs[place]))
                self.tasks.start_soon(self.keep, place)

    async def _new(self, job: Job) -> WorkerProcess:
        worker = WorkerProcess(job, self.silence_s)
        with anyio.CancelScope(shield=True):  # there is none that nobody knows
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
        """Listen to a worker to its end, also when the run is cancelled, and replace it.

        Raises:
            WorkerError: Workers end as soon as they are started.
        """
        with anyio.CancelScope(shield=True) as scope:
            self._listening.append(scope)
            while not self._is_ending:
                worker = self.workers[place]
                await worker.listen(self._heard)
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

    async def _heard(self, events: Sequence[Event]) -> None:
        received = sum(worker.received_bytes for worker in self.workers)
        self.meter.received_bytes = self._received_before + received
        self.meter.parallel = sum(worker.parallel for worker in self.workers)
        if events:
            await self.emit(events)

    async def end(self) -> None:
        """End all workers; leaves no process behind.

        What they tell last is handed on, where it is taken within a second.
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
    """Run worker processes; whatever happens, none is left at the end.

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
