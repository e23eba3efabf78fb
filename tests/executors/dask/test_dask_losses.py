"""Clusters of which more is lost than a worker: its nanny, its scheduler, its network."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from tests.executors.dask.cluster import cluster
from tests.executors.dask.test_dask_runs import SHARED, Dask
from tests.executors.processes.support import DAYS, key
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.errors import ClusterError
from crypto_lakehouse.executors.dask.cluster import open_cluster
from crypto_lakehouse.testing import faults

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found by /proc"),
    pytest.mark.usefixtures("uncovered_children"),
]


async def test_a_scheduler_that_is_killed_ends_the_run_and_the_next_completes(
    collection: Collection, tmp_path: Path
) -> None:
    with cluster(tmp_path / "dask", workers=1) as made:
        await made.workers(1)

        async def kill() -> None:
            await to_thread.run_sync(made.kill_scheduler)

        with pytest.raises(
            ClusterError, match=r"cannot be reached any more.*the next run"
        ) as ended:
            await Dask(collection, made).run_while(faults.Stall(), kill)
    assert ended.value.exit_code == 5
    report = await collection.run(**DAYS)
    assert report.totals["verified"] + report.totals["unchanged"] == 20


async def test_a_scheduler_that_is_frozen_ends_the_run_and_the_next_completes(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped: nothing answers, and no connection is closed."""
    monkeypatch.setattr("crypto_lakehouse.executors.dask.scheduler.ANSWERS_WITHIN_S", 4.0)
    monkeypatch.setattr("crypto_lakehouse.executors.dask.cluster._CLOSE_WITHIN_S", 0.5)
    with cluster(tmp_path / "dask", workers=1) as made:
        await made.workers(1)

        async def stop() -> None:
            made.stop_scheduler()
            await anyio.sleep_forever()

        with pytest.raises(
            ClusterError, match=r"has not answered for 4 seconds.*the next run"
        ) as ended:
            await Dask(collection, made).run_while(faults.Stall(), stop)
    assert ended.value.exit_code == 5
    report = await collection.run(**DAYS)
    assert report.totals["verified"] + report.totals["unchanged"] == 20


async def test_a_scheduler_that_is_frozen_once_a_run_has_connected_ends_it(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_lakehouse.executors.dask.scheduler.ANSWERS_WITHIN_S", 2.0)
    monkeypatch.setattr("crypto_lakehouse.executors.dask.cluster._CLOSE_WITHIN_S", 0.5)
    with cluster(tmp_path / "dask", workers=0) as made:

        @asynccontextmanager
        async def then_stopped(*place: Any) -> AsyncIterator[Any]:
            async with open_cluster(*place) as client:
                made.stop_scheduler()
                yield client

        monkeypatch.setattr("crypto_lakehouse.executors.dask.executor.open_cluster", then_stopped)
        with anyio.fail_after(100), pytest.raises(ClusterError, match="not answered for 2 seconds"):
            await collection.run(**SHARED, dask_scheduler=made.address)
    report = await collection.run(**DAYS)
    assert report.totals["verified"] == 20


async def test_a_scheduler_that_is_frozen_before_a_run_ends_it(tmp_path: Path) -> None:
    with cluster(tmp_path / "dask", workers=0) as made:
        made.stop_scheduler()  # its kernel accepts connections
        with anyio.fail_after(100), pytest.raises(ClusterError, match="not answered for 2 s"):
            async with open_cluster(made.address, 1, connect_within_s=2.0):
                pass


async def test_a_worker_without_a_sign_of_life_is_given_up(
    collection: Collection, tmp_path: Path
) -> None:
    """It is stopped, as by a network that is cut, for longer than the scheduler waits."""
    limit = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s"}
    with cluster(tmp_path / "dask", workers=2, **limit) as made:
        processes = await made.workers(2)
        stopped: list[int] = []

        async def stop() -> None:
            stopped.append(next(iter(processes.values())))
            os.kill(stopped[0], signal.SIGSTOP)
            await made.workers(1)

        report, listener = await Dask(collection, made).run_while(faults.Stall(), stop)
        with suppress(ProcessLookupError):  # its nanny may have ended it
            os.kill(stopped[0], signal.SIGCONT)
    assert report.totals["verified"] == 20
    assert listener.finished() == Counter(map(key, range(20)))


async def test_the_shards_of_a_worker_that_may_still_write_are_not_given_to_another(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped and nothing ends it: two workers would write to one part of a large body."""
    monkeypatch.setattr("crypto_lakehouse.ledger.lock.WORKERS_END_WITHIN_S", 0.2)
    limit = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s"}
    with cluster(tmp_path / "dask", workers=0, **limit) as made:
        made.add(nanny=False)
        (pid,) = (await made.workers(1)).values()

        async def stop() -> None:
            os.kill(pid, signal.SIGSTOP)

        with pytest.raises(ClusterError, match=r"is lost, and may still write: it holds .*0\.lock"):
            await Dask(collection, made).run_while(faults.Stall(), stop)
        os.kill(pid, signal.SIGCONT)
    report = await collection.run(**DAYS)
    assert report.totals["verified"] + report.totals["unchanged"] == 20


async def test_a_nanny_that_is_killed_loses_nothing(collection: Collection, tmp_path: Path) -> None:
    with cluster(tmp_path / "dask", workers=1) as made:
        nanny = made.add()
        await made.workers(2)

        async def kill() -> None:
            nanny.kill()
            await to_thread.run_sync(nanny.wait)
            await made.workers(1)  # its worker ends with it

        report, listener = await Dask(collection, made).run_while(faults.Stall(), kill)
    assert report.totals["verified"] == 20
    assert listener.finished() == Counter(map(key, range(20)))


async def test_clusters_of_this_machine_share_no_port(collection: Collection) -> None:
    """Dask's own port for a dashboard is taken, as by another run or another user's cluster."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # it is taken already
            taken.bind(("", 8787))
            taken.listen()
        report = await collection.run(**DAYS, executor="dask", processes=1)
    assert report.totals["verified"] == 20


async def test_a_cluster_of_this_machine_needs_no_scheduler(collection: Collection) -> None:
    report = await collection.run(**DAYS, executor="dask", processes=2)
    assert report.totals["verified"] == 20
    assert not report.warnings
    again = await collection.run(**DAYS, executor="dask", processes=2)
    assert again.totals["unchanged"] == 20


async def test_a_scheduler_that_is_not_there_ends_the_run(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = partial(open_cluster, connect_within_s=0.5)
    monkeypatch.setattr("crypto_lakehouse.executors.dask.executor.open_cluster", opening)
    with pytest.raises(ClusterError, match="cannot be reached"):
        await collection.run(**SHARED, dask_scheduler="tcp://127.0.0.1:1")
    assert collection.requested() == []
    with anyio.fail_after(100):
        report = await collection.run(**DAYS)
    assert report.totals["verified"] == 20
