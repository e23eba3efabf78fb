"""An agent: it settles the shards of one run in a thread of a Dask worker's process.

It has an event loop and an HTTP client of its own, which serve all shards of the run. It has
neither the ledger nor the lock of the run.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field

from crypto_lakehouse.collection.pipeline import next_of, worker_count
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.gc_tuning import collecting_rarely
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.task_groups import first_leaf, one_error
from crypto_lakehouse.executors.dask.memory import keeping_freed_memory
from crypto_lakehouse.executors.dask.protocol import (
    AgentEnded,
    AgentReport,
    DaskJob,
    ShardReleased,
)
from crypto_lakehouse.executors.shards import Settler
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.ledger.lock import worker_lock

__all__ = ["Agent", "AgentWork", "ShardTask"]

_log = logging.getLogger("crypto_lakehouse")

#: Seconds between two reports: all pass through the scheduler. The last event of a shard does not
#: wait for it.
REPORT_EVERY_S = 0.25

#: An agent without shards ends after this many seconds; the next shard starts another one.
IDLE_S = 10.0


class AgentWork(Protocol):
    """What an agent works with."""

    @property
    def settler(self) -> Settler:
        """Settles the work of shards."""

    def change(self, share: Share) -> None:
        """Change the limits."""


#: Opens the work of an agent: `open_agent_work` of the module that a job names.
OpenWork = Callable[[Any, Share, ByteMeter, Emit], AbstractAsyncContextManager[AgentWork]]


@define(eq=False)
class ShardTask:
    """One shard of an agent.

    Attributes:
        key: The key of its task at the scheduler.
        waiting: How many archives have not begun.
        left: How many archives have no verdict.
        begun: Is set once every archive has begun, so that another shard may come.
        done: Is set once all archives are settled; has the error of an agent that ended earlier.
    """

    key: str
    waiting: int
    left: int
    begun: Future[None] = field(factory=Future)
    done: Future[None] = field(factory=Future)
    scope: set[anyio.CancelScope] = field(factory=set)
    is_abandoned: bool = False

    def end(self, error: Exception | None = None) -> None:
        """Let the task of the scheduler end."""
        if not self.begun.done():
            self.begun.set_result(None)
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


_Item = tuple[ShardTask, int, Any]


@define(eq=False)
class Agent:
    """Settles shards, and reports their events.

    Args:
        job: The parameters of the run.
        number: The number of the worker's lock.
        share: How many requests it may send, and how fast.
        worker: The address of its worker.
        send: Sends a pickled report to the run; called in the agent's thread.
        idle_s: After how many seconds without shards it ends.

    Attributes:
        ready: Is done once the agent works; has the error if it cannot.
    """

    job: DaskJob
    number: int
    share: Share
    worker: str
    send: Callable[[bytes], None]
    idle_s: float = IDLE_S
    name: str = field(factory=lambda: uuid4().hex)
    ready: Future[None] = field(init=False, factory=Future)
    meter: ByteMeter = field(init=False, factory=ByteMeter)
    _lock: threading.Lock = field(init=False, factory=threading.Lock)
    _thread: threading.Thread = field(init=False)
    _shards: dict[str, ShardTask] = field(init=False, factory=dict)
    _events: list[tuple[str, int | None, Event]] = field(init=False, factory=list)
    _reported: tuple[int, int] = field(init=False, default=(0, 0))
    _current: ContextVar[str] = field(init=False, factory=lambda: ContextVar("shard"))
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _stop: anyio.Event = field(init=False)
    _queue: MemoryObjectSendStream[_Item] = field(init=False)
    _grow: Callable[[], None] = field(init=False)
    _work: AgentWork = field(init=False)
    _has_ended: bool = field(init=False, default=False)

    def start(self) -> None:
        """Start the thread; `ready` tells when it works."""
        self._thread = threading.Thread(target=self._run, name="collecting", daemon=True)
        self._thread.start()

    def take(self, key: str, work: Sequence[tuple[int, Any]]) -> ShardTask | None:
        """Begin with a shard; None if the agent has ended. For any thread.

        Args:
            key: The key of its task.
            work: Its archives, each with its index.
        """
        task = ShardTask(key, len(work), len(work))
        with self._lock:
            if self._has_ended:
                return None
            self._shards[key] = task
            self._call(self._put, task, work)
        return task

    def abandon(self, task: ShardTask) -> None:
        """Abort the archives of a shard that has no use any more. For any thread."""
        with self._lock:
            if not self._has_ended:
                self._call(self._abort, task)

    def change(self, share: Share) -> None:
        """Change the limits, for shards that run as well. For any thread."""
        with self._lock:
            self.share = share
            if not self._has_ended and self.ready.done():
                self._call(self._change, share)

    def stop(self) -> None:
        """Abort all shards, and end. For any thread."""
        with self._lock:
            if not self._has_ended and self.ready.done():
                self._call(self._stop.set)

    def join(self) -> None:
        """Wait until the thread has ended; blocking."""
        self._thread.join()

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _run(self) -> None:
        reason: Exception = ShardReleased()
        try:
            with ExitStack() as held, one_error():
                if self.job.locks is not None:
                    held.enter_context(worker_lock(Path(self.job.locks), self.number))
                held.enter_context(collecting_rarely())
                held.enter_context(keeping_freed_memory())
                anyio.run(self._main)
        except Exception as error:  # noqa: BLE001 - the reason why its shards are lost
            reason = self._failed(first_leaf(error))
        finally:
            with self._lock:
                self._has_ended = True
                tasks = [*self._shards.values()]
            for task in tasks:
                task.end(reason)

    def _failed(self, error: Exception) -> Exception:
        """Return what ends the tasks of an agent that has ended by an error."""
        if not self.ready.done():
            self.ready.set_exception(error)
        if isinstance(error, StoreError):
            return error
        _log.error("the agent of a run has ended", exc_info=error)
        return AgentEnded(f"{type(error).__name__}: {redact(str(error))}")

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), anyio.Event()
        open_work: OpenWork = importlib.import_module(self.job.program).open_agent_work
        self._queue, receive = anyio.create_memory_object_stream[_Item](math.inf)
        opening = open_work(self.job, self.share, self.meter, self._emit)
        async with (
            self._queue,
            receive,
            opening as self._work,
            anyio.create_task_group() as tasks,
        ):
            workers = 0

            def grow() -> None:
                nonlocal workers
                for _ in range(workers, worker_count(self.share.parallel)):
                    tasks.start_soon(self._settle, receive)
                    workers += 1

            self._grow = grow
            grow()
            tasks.start_soon(self._report)
            self.ready.set_result(None)
            try:
                await self._stop.wait()
                tasks.cancel_scope.cancel()
            finally:
                self.report(is_last=True)

    def _put(self, task: ShardTask, work: Sequence[tuple[int, Any]]) -> None:
        for index, item in work:
            self._queue.send_nowait((task, index, item))

    def _abort(self, task: ShardTask) -> None:
        task.is_abandoned = True
        for scope in task.scope:
            scope.cancel()
        self._forget(task)
        task.end(ShardReleased())

    def _change(self, share: Share) -> None:
        self._work.change(share)
        self._grow()

    def _forget(self, task: ShardTask) -> None:
        with self._lock:
            self._shards.pop(task.key, None)

    async def _settle(self, queue: MemoryObjectReceiveStream[_Item]) -> None:
        while True:
            task, index, work = await next_of(queue)
            task.waiting -= 1
            if not task.waiting and not task.begun.done():
                task.begun.set_result(None)
            if not task.is_abandoned:
                await self._settle_one(task, index, work)

    async def _settle_one(self, task: ShardTask, index: int, work: Any) -> None:
        self._current.set(task.key)
        with anyio.CancelScope() as scope:
            task.scope.add(scope)
            try:
                event = await self._work.settler.collect(work)
            finally:
                task.scope.discard(scope)
            self._events.append((task.key, index, event))
            task.left -= 1
            if not task.left:
                self.report()
                self._forget(task)
                task.end()

    async def _emit(self, events: Sequence[Event]) -> None:
        self._events += [(self._current.get(), None, event) for event in events]

    async def _report(self) -> None:
        idle_since = self._loop.time()
        while not self._stop.is_set():
            await anyio.sleep(REPORT_EVERY_S)
            progress = self.meter.received_bytes, self.meter.parallel
            if self._events or progress != self._reported:
                self.report()
            if self._shards:
                idle_since = self._loop.time()
            elif self._loop.time() - idle_since > self.idle_s:
                self._end_if_idle()

    def _end_if_idle(self) -> None:
        with self._lock:
            if not self._shards:
                self._has_ended = True
                self._stop.set()

    def report(self, *, is_last: bool = False) -> None:
        """Send what happened since the last report."""
        events, self._events = self._events, []
        self._reported = self.meter.received_bytes, self.meter.parallel
        report = AgentReport(self.worker, self.name, events, *self._reported, is_last)
        self.send(pickle.dumps(report, pickle.HIGHEST_PROTOCOL))
