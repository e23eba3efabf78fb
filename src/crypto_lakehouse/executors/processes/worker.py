"""A worker process: reads shards from standard input and writes events to standard output.

It has neither the ledger nor the lock of the run, and no terminal. The caller, which is the main
module of the process, makes what settles the work.
"""

from __future__ import annotations

import asyncio
import math
import os
import pickle
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field

from crypto_lakehouse.collection.pipeline import next_of, worker_count
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.executors.processes.private_pipes import private_pipes
from crypto_lakehouse.executors.processes.protocol import FRAME, Job, WorkerMessage
from crypto_lakehouse.executors.shards import Settler, Shard
from crypto_lakehouse.ledger.lock import worker_lock

__all__ = ["OpenSettler", "Worker", "serve"]

#: Seconds between two reports; the run takes a worker that sends none for long for dead.
REPORT_EVERY_S = 0.02

#: Opens what settles the work of a job, and closes it at the end.
OpenSettler = Callable[[Any, ByteMeter, Emit], AbstractAsyncContextManager[Settler]]

#: One archive for the pool: the number of its shard, its index in the shard, and the work.
_Item = tuple[int, int, Any]


@define
class Worker:
    """Settles shards as they arrive, and reports their events.

    Args:
        job: The worker's parameters.
        out: Takes the reports.
        open_settler: Opens what settles the work.
        meter: Counts the body bytes of this process.
    """

    job: Job
    out: IO[bytes]
    open_settler: OpenSettler
    meter: ByteMeter = field(factory=ByteMeter)
    _events: list[tuple[int, int | None, Event]] = field(init=False, factory=list)
    _shard: ContextVar[int] = field(init=False, factory=lambda: ContextVar("shard"))

    async def run(self, shards: IO[bytes]) -> None:
        """Work until `shards` ends, which it does when the run ends or its process is gone."""
        send, receive = anyio.create_memory_object_stream[_Item](math.inf)
        opening = self.open_settler(self.job, self.meter, self._emit)
        async with send, receive, opening as settler, anyio.create_task_group() as tasks:
            for _ in range(worker_count(self.job.share.parallel)):
                tasks.start_soon(self._settle, receive, settler)
            tasks.start_soon(self._report)
            await _ShardReader(shards, send).until_end()
            tasks.cancel_scope.cancel()

    async def _settle(self, queue: MemoryObjectReceiveStream[_Item], settler: Settler) -> None:
        while True:
            number, place, work = await next_of(queue)
            self._shard.set(number)
            event = await settler.collect(work)
            self._events.append((number, place, event))

    async def _emit(self, events: Sequence[Event]) -> None:
        self._events += [(self._shard.get(), None, event) for event in events]

    async def _report(self) -> None:
        with suppress(BrokenPipeError):  # the run's process is gone: `shards` ends as well
            while True:
                await anyio.sleep(REPORT_EVERY_S)
                self.report()

    def report(self, refusal: StoreError | None = None) -> None:
        """Write what happened since the last report.

        Blocks this worker while the run's process is behind (backpressure).
        """
        events, self._events = self._events, []
        message = WorkerMessage(events, self.meter.received_bytes, self.meter.parallel, refusal)
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self.out.write(FRAME.pack(len(data)) + data)
        self.out.flush()


@define(eq=False)
class _ShardReader:
    """Reads shards in a thread of its own, which ends with the process.

    Args:
        shards: The pipe that the run's process writes to.
        queue: Takes the archives of the shards.
    """

    shards: IO[bytes]
    queue: MemoryObjectSendStream[_Item]
    _loop: asyncio.AbstractEventLoop = field(init=False, factory=asyncio.get_running_loop)
    _ended: asyncio.Future[None] = field(init=False)

    async def until_end(self) -> None:
        """Read until the pipe ends, because the run has ended or its process is gone."""
        self._ended = self._loop.create_future()
        threading.Thread(target=self._read, name="shards", daemon=True).start()
        await self._ended

    def _read(self) -> None:
        failure = None
        try:
            while True:
                self._call(self._put, pickle.load(self.shards))  # noqa: S301 - from the parent
        except (EOFError, pickle.UnpicklingError):  # the pipe may end in the middle of a shard
            pass
        except Exception as error:  # noqa: BLE001 - raised again in the event loop
            failure = error
        self._call(self._end, failure)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed already
            self._loop.call_soon_threadsafe(function, *arguments)

    def _put(self, shard: Shard) -> None:
        # If the store refuses all further writes, the worker is about to end and takes no archives.
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            for place, work in enumerate(shard.work):
                self.queue.send_nowait((shard.number, place, work))

    def _end(self, error: Exception | None) -> None:
        if self._ended.done():  # cancelled: the worker ends for another reason
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


def serve(open_settler: OpenSettler) -> int:
    """Run a worker; only its reports go to standard output.

    Args:
        open_settler: Opens what settles the work.

    Returns:
        The process's exit code.
    """
    shards, out = private_pipes()
    try:
        worker = Worker(pickle.load(shards), out, open_settler)  # noqa: S301 - from the parent
    except (EOFError, pickle.UnpicklingError):  # the run ended before it sent the job
        return 0
    job = worker.job
    held = nullcontext() if job.locks is None else worker_lock(Path(job.locks), job.number)
    with held:
        # From now on the next run waits for this process; its own run must still be there.
        return _work(worker, shards) if os.getppid() == job.parent else 0


def _work(worker: Worker, shards: IO[bytes]) -> int:
    refusal: StoreError | None = None
    out = worker.out
    try:
        with one_error():
            anyio.run(worker.run, shards)
    except StoreError as error:
        refusal = error
    try:
        worker.report(refusal)
    except BrokenPipeError:  # the run's process is gone
        with suppress(BrokenPipeError):  # otherwise Python 3.13 reports a failed close
            out.close()
        return 1
    return 0
