"""Workers of this process that join a run and leave it, in whatever order the calls come."""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import dask
import pytest
from attrs import define, evolve, field, frozen
from distributed import Client, LocalCluster
from distributed import Worker as DaskWorker
from distributed.comm import CommClosedError
from distributed.core import Status

from crypto_lakehouse.core.errors import ClusterError
from crypto_lakehouse.executors.dask import places
from crypto_lakehouse.executors.dask.executor import _task
from crypto_lakehouse.executors.dask.members import Members
from crypto_lakehouse.executors.dask.protocol import DaskJob, NotAMember
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.ledger.lock import wait_for_workers, worker_lock

SHARE = Share(parallel=1, is_adaptive=False, bytes_per_second=None, requests_per_second=None)


#: Ends the work that waits.
_ENOUGH = threading.Event()


class _Settler:
    """Settles pieces of work: some wait until it is enough."""

    async def collect(self, waits: bool) -> str:
        if waits:
            await anyio.to_thread.run_sync(_ENOUGH.wait)
        return "settled"


@frozen
class _Work:
    settler: _Settler = field(factory=_Settler)


@asynccontextmanager
async def open_agent_work(*_job: Any) -> AsyncIterator[_Work]:
    """The work of these agents."""
    yield _Work()


@define
class Worker:
    """What an agent needs of a Dask worker."""

    address: str = "tcp://worker"

    def log_event(self, topic: str, message: bytes) -> None:
        """Take a report."""


@pytest.fixture
def job(tmp_path: Path) -> DaskJob:
    return DaskJob(
        run_id=f"run-{tmp_path.name}", program=__name__, output=str(tmp_path), locks=str(tmp_path)
    )


@pytest.fixture(autouse=True)
def _no_place_is_left() -> Iterator[None]:
    yield
    left, places._PLACES = places._PLACES, {}
    for place in left.values():
        place.close()
    assert not left


async def test_a_worker_that_joins_while_its_run_leaves_has_no_agent(job: DaskJob) -> None:
    """Its agent waits for the lock of an earlier one meanwhile."""
    answers: list[str] = []

    async def join() -> None:
        answers.append(await places.join_run(job, 0, SHARE, Worker()))

    async with anyio.create_task_group() as tasks:
        with worker_lock(Path(job.locks or ""), 0):
            tasks.start_soon(join)
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(places.leave_run, job.run_id)
            await anyio.lowlevel.checkpoint()
    assert not places._PLACES
    wait_for_workers(Path(job.locks or ""), 0.0)
    assert answers == [""]


async def test_a_run_that_has_left_is_not_joined_any_more(job: DaskJob) -> None:
    assert await places.leave_run(job.run_id) == ""
    assert await places.join_run(job, 0, SHARE, Worker()) == "the run has left"
    assert not places._PLACES


async def test_a_shard_that_comes_once_its_run_has_left_starts_no_agent(job: DaskJob) -> None:
    assert await places.join_run(job, 0, SHARE, Worker()) == ""
    place = places._PLACES[job.run_id]
    assert await places.leave_run(job.run_id) == place.agent.name
    with pytest.raises(NotAMember):
        place.take("late", [(0, None)])
    wait_for_workers(Path(job.locks or ""), 0.0)


@asynccontextmanager
async def _one_worker() -> AsyncIterator[tuple[LocalCluster, Client]]:
    async with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            asynchronous=True,
        ) as made,
        Client(made, asynchronous=True, set_as_default=False) as client,
    ):
        yield made, client


async def test_a_shard_of_which_all_has_begun_lets_the_next_one_begin(job: DaskJob) -> None:
    """Its worker has one thread, and one task at a time."""
    share = evolve(SHARE, parallel=2)
    async with _one_worker() as (_, client):
        await client.run(places.join_run, job, 0, share)

        def submit(key: str, work: list[tuple[int, bool]]) -> Any:
            return client.submit(_task(), job.run_id, key, pickle.dumps(work), key=key)

        try:
            slow = submit("slow", [(0, False), (1, True)])
            with anyio.fail_after(100):
                await submit("quick", [(0, False)])
            assert slow.status == "pending"
        finally:
            _ENOUGH.set()
        await slow
        await client.run(places.leave_run, job.run_id)


async def test_a_run_that_ends_while_a_worker_is_paused_leaves_no_agent(job: DaskJob) -> None:
    """Such a worker is no member: the scheduler gives it nothing."""

    async def ignore(*_events: Any) -> None:
        pass

    async with _one_worker() as (made, client), anyio.create_task_group() as tasks:
        members = Members(client, job, lambda *_: SHARE, 1, ignore, ignore, tasks)
        await members._update(await members.addresses())
        assert [*members.present] == [made.workers[0].worker_address]
        (place,) = places._PLACES.values()
        made.scheduler.workers[made.workers[0].worker_address].status = Status.paused
        await members._update(await members.addresses())
        assert not members.present
        assert await members.leave() == [place.agent.name]
        members.wait_s = 0.0
        with pytest.raises(ClusterError, match="its only worker is paused"):
            await members.watch()
        tasks.cancel_scope.cancel()


def broken(dask_worker: Any) -> dict[str, Any]:
    """What the scheduler has of a worker whose connection breaks while it is asked."""
    raise CommClosedError("closed")


async def test_a_worker_whose_connection_breaks_while_it_is_asked_is_asked_again(
    job: DaskJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ignore(*_events: Any) -> None:
        pass

    async with _one_worker() as (made, client), anyio.create_task_group() as tasks:
        members = Members(client, job, lambda *_: SHARE, 1, ignore, ignore, tasks)
        with monkeypatch.context() as patched:
            patched.setattr("crypto_lakehouse.executors.dask.members.introduce", broken)
            await members._update(await members.addresses())
        assert (members.present, members.refused) == ({}, {})
        await members._update(await members.addresses())
        assert [*members.present] == [made.workers[0].worker_address]
        await members.leave()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("ago", ["a member", "one that is new"])
async def test_a_worker_that_has_gone_delays_no_other(
    job: DaskJob, ago: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler would try to reach it for the time in which it may connect."""
    monkeypatch.setattr("crypto_lakehouse.executors.dask.members._ANSWER_WITHIN_S", math.inf)
    monkeypatch.setattr("crypto_lakehouse.executors.dask.members._LOOK_EVERY_S", 0.01)

    async def ignore(*_events: Any) -> None:
        pass

    with dask.config.set({"distributed.comm.timeouts.connect": "1h"}):
        async with _one_worker() as (made, client), anyio.create_task_group() as tasks:
            members = Members(client, job, lambda *_: SHARE, 9, ignore, ignore, tasks)
            (gone,) = await members.addresses()
            if ago == "a member":
                await members._update([gone])
            made.scale(2)
            await made
            await made.workers[0].close()
            (there,) = await members.addresses()
            with anyio.fail_after(100):
                await members._update([gone, there])  # as it was a moment ago
            assert there in members.present
            await members.leave()
            tasks.cancel_scope.cancel()


async def test_a_refused_worker_that_is_alone_for_a_moment_ends_no_run(
    job: DaskJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All members were lost at once, and their nannies start them again."""
    monkeypatch.setattr("crypto_lakehouse.executors.dask.members._LOOK_EVERY_S", 0.01)
    looks, wake = [], anyio.Condition()

    async def looked() -> None:
        async with wake:
            looks.append(len(members.present))
            wake.notify_all()

    async def until(count: int) -> None:
        with anyio.fail_after(100):
            async with wake:
                while not looks or looks[-1] != count:
                    await wake.wait()

    async def ignore(*_events: Any) -> None:
        pass

    async with (
        _one_worker() as (made, client),
        DaskWorker(made.scheduler_address, nthreads=2),
        anyio.create_task_group() as tasks,
    ):
        members = Members(client, job, lambda *_: SHARE, 9, ignore, looked, tasks)
        tasks.start_soon(members.watch)
        await until(1)
        made.scale(0)
        await until(0)
        made.scale(1)
        await until(1)
        await members.leave()
        tasks.cancel_scope.cancel()
