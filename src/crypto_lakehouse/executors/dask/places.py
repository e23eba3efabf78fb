"""What runs in a Dask worker's process: it joins runs, and settles their shards.

The functions are called by name (`Client.run`) or by a task; all of their results are plain values,
which a run of another version can read.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import anyio
from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.executors.dask.agent import Agent, ShardTask
from crypto_lakehouse.executors.dask.protocol import DaskJob, NotAMember, topic_of
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.version import __version__

__all__ = ["change_share", "introduce", "join_run", "leave_run", "settle"]

#: How often a task looks whether it is still wanted, in seconds.
_LOOK_EVERY_S = 0.2


@define(eq=False)
class _Place:
    """What a run has of this worker; an agent that was idle for long is started again."""

    job: DaskJob
    number: int
    share: Share
    worker: Any
    agent: Agent = field(init=False)
    _is_closed: bool = field(init=False, default=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock)

    def open(self) -> None:
        """Start an agent, and wait until it works; blocking.

        Raises:
            Exception: Whatever hinders it.
        """
        send = partial(self.worker.log_event, topic_of(self.job.run_id))
        self.agent = Agent(self.job, self.number, self.share, self.worker.address, send)
        self.agent.start()
        self.agent.ready.result()

    def take(self, key: str, work: Sequence[Any]) -> ShardTask:
        """Give a shard to the agent; blocking.

        Raises:
            NotAMember: The run has left: no agent may begin for it any more.
        """
        with self._lock:
            if self._is_closed:
                raise NotAMember
            while (task := self.agent.take(key, work)) is None:
                self.open()
            return task

    def close(self) -> None:
        """End the agent; blocking until it writes no more."""
        with self._lock:
            self._is_closed = True
        self.agent.stop()
        self.agent.join()


_PLACES: dict[str, _Place] = {}

#: The last runs that have left: a call to join may come, or be finished, after that.
_LEFT: deque[str] = deque(maxlen=10_000)

#: A run joins and leaves in turn; each has its lock for as long as a call needs it.
_TURNS: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()


def _turn_of(run_id: str) -> anyio.Lock:
    return _TURNS.setdefault(run_id, anyio.Lock())


def introduce(dask_worker: Any) -> dict[str, Any]:
    """Return what a run has to know of this worker before it sends a job."""
    return {
        "version": __version__,
        "python": list(sys.version_info[:2]),
        "threads": dask_worker.state.nthreads,
        "name": f"{socket.gethostname()}:{os.getpid()}",
    }


async def join_run(job: DaskJob, number: int, share: Share, dask_worker: Any) -> str:
    """Take part in a run, once agents of earlier runs on the same output have ended.

    Returns:
        Why this worker cannot; empty if it can.
    """
    async with _turn_of(job.run_id):
        if job.run_id in _LEFT:
            return "the run has left"
        for run_id, place in list(_PLACES.items()):
            if place.job.output == job.output:
                del _PLACES[run_id]
                await to_thread.run_sync(place.close)
        place = _Place(job, number, share, dask_worker)
        try:
            await to_thread.run_sync(place.open)
        except Exception as error:  # noqa: BLE001 - the run says it, and goes on with other workers
            return redact(f"{error}" or repr(error))
        _PLACES[job.run_id] = place
        return ""


async def leave_run(run_id: str) -> str:
    """End the agent of a run for good, also one that is about to begin.

    What it was collecting is aborted.

    Returns:
        The agent; empty if there is none.
    """
    _LEFT.append(run_id)
    async with _turn_of(run_id):
        if (place := _PLACES.pop(run_id, None)) is None:
            return ""
        await to_thread.run_sync(place.close)
        return place.agent.name


async def change_share(run_id: str, share: Share) -> None:
    """Change the limits of an agent, for what it works on as well."""
    if (place := _PLACES.get(run_id)) is not None:
        place.share = share
        place.agent.change(share)


async def settle(run_id: str, key: str, work: bytes) -> None:
    """Settle a shard; the task of a scheduler.

    It waits in the event loop of the worker: a thread for each shard would take turns with the
    agent's, and Dask's profiler would look at it a hundred times a second.

    Raises:
        NotAMember: This process has not joined the run.
        AgentEnded: The agent ended earlier.
        ShardReleased: The worker leaves the cluster, or the scheduler has given up the task.
        StoreError: The store refuses all further writes.
    """
    from distributed import get_worker

    worker = get_worker()
    if (place := _PLACES.get(run_id)) is None:
        raise NotAMember
    since = time.monotonic()
    taken = pickle.loads(work)  # noqa: S301 - of the run, by the scheduler
    task = await to_thread.run_sync(place.take, key, taken)
    done = asyncio.wrap_future(task.done)
    try:
        # The next shard begins when nothing of this one waits any more: the agent never idles.
        if await _wait(asyncio.wrap_future(task.begun), worker, key) and not done.done():
            _secede(worker, key, time.monotonic() - since)
        await _wait(done, worker, key)
    finally:
        if not done.done():
            place.agent.abandon(task)
    await asyncio.shield(done)


def _secede(worker: Any, key: str, duration_s: float) -> None:
    """Let the worker begin with its next task, as `distributed.secede` does for one in a thread."""
    from distributed.worker_state_machine import SecedeEvent

    event = SecedeEvent(key=key, compute_duration=duration_s, stimulus_id=f"begun-{key}")
    worker.handle_stimulus(event)


async def _wait(future: asyncio.Future[None], worker: Any, key: str) -> bool:
    """Wait for a future as long as the scheduler has the task; return whether it is done."""
    while not future.done() and _is_wanted(worker, key):
        await asyncio.wait([future], timeout=_LOOK_EVERY_S)
    return future.done()


def _is_wanted(worker: Any, key: str) -> bool:
    """Whether the scheduler still has the task. It releases those of clients that are gone."""
    task = worker.state.tasks.get(key)
    if task is None or task.state in {"cancelled", "released", "forgotten"}:
        return False
    return worker.status.name in {"running", "paused"}
