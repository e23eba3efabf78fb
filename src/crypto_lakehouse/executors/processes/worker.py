"""A worker process: settles the shards that come on standard input, tells on standard output.

It has no ledger, no lock of the run and no screen. What settles an archive is made by the caller,
whose program is the process's main module.
"""

from __future__ import annotations

import asyncio
import math
import os
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import ContextVar
from typing import IO

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field

from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.collection.pipeline import next_of, worker_count
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.executors.processes.protocol import FRAME, Job, WorkerMessage
from crypto_lakehouse.executors.shards import Shard
from crypto_lakehouse.ledger.lock import worker_lock
from crypto_lakehouse.stores.directory import LocalStore

__all__ = ["OpenCollector", "Worker", "serve"]

#: What happened is told so often, in seconds; a worker that is silent for long is taken for dead.
TELL_EVERY_S = 0.02

#: Makes what settles archives, and closes its client at the end.
OpenCollector = Callable[[Job, ByteMeter, Emit], AbstractAsyncContextManager[ArchiveCollector]]

#: One archive for the pool: its shard's number, its place in the shard, and the work.
_Item = tuple[int, int, Work]


@define
class Worker:
    """Settles shards as they come, and tells what becomes of them.

    Args:
        job: What it has to do.
        out: Takes what happened.
        open_collector: Makes what settles archives.
        meter: Counts the bytes of this process.
    """

    job: Job
    out: IO[bytes]
    open_collector: OpenCollector
    meter: ByteMeter = field(factory=ByteMeter)
    _events: list[tuple[int, int | None, Event]] = field(init=False, factory=list)
    _shard: ContextVar[int] = field(init=False, factory=lambda: ContextVar("shard"))

    async def run(self, shards: IO[bytes]) -> None:
        """Work until `shards` ends, which is when the run does or its process is gone."""
        send, receive = anyio.create_memory_object_stream[_Item](math.inf)
        opening = self.open_collector(self.job, self.meter, self._emit)
        async with send, receive, opening as collector, anyio.create_task_group() as tasks:
            for _ in range(worker_count(self.job.share.parallel)):
                tasks.start_soon(self._settle, receive, collector)
            tasks.start_soon(self._tell)
            await _Inbox(shards, send).until_its_end()
            tasks.cancel_scope.cancel()

    async def _settle(
        self, queue: MemoryObjectReceiveStream[_Item], collector: ArchiveCollector
    ) -> None:
        while True:
            number, place, work = await next_of(queue)
            self._shard.set(number)
            event = await collector.collect(work)
            self._events.append((number, place, event))

    async def _emit(self, events: Sequence[Event]) -> None:
        self._events += [(self._shard.get(), None, event) for event in events]

    async def _tell(self) -> None:
        with suppress(BrokenPipeError):  # the run's process is gone: `shards` ends as well
            while True:
                await anyio.sleep(TELL_EVERY_S)
                self.tell()

    def tell(self, refusal: tuple[str, str] | None = None) -> None:
        """Write what happened; blocks while the run's process is behind, and so do the workers."""
        events, self._events = self._events, []
        told = WorkerMessage(events, self.meter.received_bytes, self.meter.parallel, refusal)
        data = pickle.dumps(told, pickle.HIGHEST_PROTOCOL)
        self.out.write(FRAME.pack(len(data)) + data)
        self.out.flush()


@define(eq=False)
class _Inbox:
    """Shards as they come; read in a thread of their own, which ends with the process.

    Args:
        shards: What the run's process writes.
        queue: Takes their archives.
    """

    shards: IO[bytes]
    queue: MemoryObjectSendStream[_Item]
    _loop: asyncio.AbstractEventLoop = field(init=False, factory=asyncio.get_running_loop)
    _ended: asyncio.Future[None] = field(init=False)

    async def until_its_end(self) -> None:
        """Read until there are no more, as the run has ended or its process is gone."""
        self._ended = self._loop.create_future()
        threading.Thread(target=self._read, name="shards", daemon=True).start()
        await self._ended

    def _read(self) -> None:
        failure = None
        try:
            while True:
                self._call(self._put, pickle.load(self.shards))  # noqa: S301 - our parent's
        except (EOFError, pickle.UnpicklingError):  # its end may come in the middle of a shard
            pass
        except Exception as error:  # noqa: BLE001 - the process would end before a thread told it
            failure = error
        self._call(self._end, failure)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the worker has ended before
            self._loop.call_soon_threadsafe(function, *arguments)

    def _put(self, shard: Shard) -> None:
        # A worker whose store takes no more is about to end: nobody takes these.
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            for place, work in enumerate(shard.work):
                self.queue.send_nowait((shard.number, place, work))

    def _end(self, error: Exception | None) -> None:
        if self._ended.done():  # the worker ends for another reason
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


def serve(open_collector: OpenCollector) -> int:
    """Run a worker; standard output is for what it tells alone.

    Args:
        open_collector: Makes what settles archives.

    Returns:
        The process's exit code.
    """
    # Not `sys.stdin`: Python would end with a fatal error while a thread reads from that.
    shards = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    elsewhere = os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else sys.stderr.fileno()
    os.dup2(elsewhere, sys.stdout.fileno())
    try:
        worker = Worker(pickle.load(shards), out, open_collector)  # noqa: S301 - our parent's
    except (EOFError, pickle.UnpicklingError):  # the run ended before it began
        return 0
    job = worker.job
    with worker_lock(LocalStore(job.root).own_path("workers"), job.number):
        # From now on the next run waits for this process; the last one must not be gone already.
        return _work(worker, shards) if os.getppid() == job.parent else 0


def _work(worker: Worker, shards: IO[bytes]) -> int:
    refusal, out = None, worker.out
    try:
        with one_error():
            anyio.run(worker.run, shards)
    except StoreError as error:
        refusal = error.path, error.reason
    try:
        worker.tell(refusal)
    except BrokenPipeError:  # the run's process is gone
        with suppress(BrokenPipeError):  # or else Python 3.13 says that it could not close it
            out.close()
        return 1
    return 0
