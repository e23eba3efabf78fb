"""Collections on a Dask cluster, and what goes wrong with it at the worst moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from attrs import define
from tests.executors.dask.cluster import Cluster, cluster, places_of_worker
from tests.executors.processes.support import DAYS, Listener, files, key, rows
from tests.workflows.conftest import Collection

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.errors import ClusterError
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found by /proc"),
    pytest.mark.usefixtures("uncovered_children"),
]

#: All runs share an output directory with their workers, on this machine.
SHARED: dict[str, Any] = {**DAYS, "executor": "dask", "shared_directory": True}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with two workers, each under a nanny."""
    with cluster(tmp_path_factory.mktemp("dask"), workers=2) as made:
        yield made


@define
class Dask:
    """Runs on a cluster."""

    collection: Collection
    cluster: Cluster

    async def run(self, **changes: Any) -> tuple[CollectionReport, Listener]:
        listener = Listener()
        options = {**SHARED, "dask_scheduler": self.cluster.address, **changes}
        return await self.collection.run(**options, sinks=[listener]), listener

    async def run_while(
        self, stall: faults.Stall, act: Callable[[], Awaitable[None]], **changes: Any
    ) -> tuple[CollectionReport, Listener]:
        """Collect; do something while the archive number 9 is on its way, then let it go on."""
        self.collection.server.inject(key(9), stall)

        async def act_at() -> None:
            await stall.reached.passed()
            await act()
            stall.release.open()

        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(act_at)
                found = await self.run(**changes)
        return found


@pytest.fixture
async def dask(collection: Collection, two: Cluster) -> Dask:
    await two.workers(2)
    return Dask(collection, two)


async def busy(cluster: Cluster) -> list[int]:
    """The processes that have a shard now, or may get one."""
    return [*(await cluster.workers(2)).values()]


async def test_a_run_ends_as_one_alone(dask: Dask) -> None:
    collection = dask.collection
    collection.server.remove(key(3))
    collection.server.inject(key(5), faults.Status(503))
    collection.server.put(key(7), b"no zip at all")
    report, listener = await dask.run()
    assert not report.warnings
    assert listener.finished() == Counter(map(key, range(20)))
    assert await dask.cluster.asked(places_of_worker) == [[], []]
    shared = rows(collection), files(collection)
    collection.root.rename(collection.root.with_name("shared"))
    alone = await collection.run(**DAYS)
    assert report.totals == alone.totals
    assert shared == (rows(collection), files(collection))
    assert report.totals["verified"] == 18


async def test_a_worker_that_is_killed_loses_nothing(dask: Dask) -> None:
    async def kill() -> None:
        for pid in await busy(dask.cluster):
            os.kill(pid, signal.SIGKILL)

    report, listener = await dask.run_while(faults.Stall(), kill)
    assert report.totals["verified"] == 20
    assert listener.finished() == Counter(map(key, range(20)))


async def test_an_archive_that_ends_three_workers_has_failed(dask: Dask) -> None:
    stalls = [faults.Stall() for _ in range(3)]
    dask.collection.server.inject(key(9), *stalls)

    async def kill() -> None:
        for stall in stalls:
            await stall.reached.passed()
            for pid in await busy(dask.cluster):
                os.kill(pid, signal.SIGKILL)
            stall.release.open()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        report, listener = await dask.run()
    assert listener.finished() == Counter(map(key, range(20)))
    assert report.totals["verified"] + report.totals["failed"] == 20
    reasons = {problem.key: problem.reason for problem in report.problems}
    assert "its worker ended 3 times: the Dask worker" in reasons[key(9)]


async def test_limits_are_divided_again_when_a_worker_comes_and_goes(dask: Dask) -> None:
    seen: list[list[int]] = []

    async def come_and_go() -> None:
        seen.append(await dask.cluster.shares(2))
        third = dask.cluster.add(nanny=False)
        seen.append(await dask.cluster.shares(3))
        third.terminate()
        await to_thread.run_sync(third.wait)
        while await dask.cluster.shares(2) != [8, 8]:
            pass  # the run has not seen yet that it is gone

    report, listener = await dask.run_while(faults.Stall(), come_and_go)
    assert report.totals["verified"] == 20
    assert listener.finished() == Counter(map(key, range(20)))
    assert seen == [[8, 8], [5, 5, 6]]


async def test_a_run_that_is_stopped_leaves_no_agent(dask: Dask) -> None:
    stall = faults.Stall()
    dask.collection.server.inject(key(9), stall)
    values = {**dask.collection.config, **SHARED, "dask_scheduler": dask.cluster.address}
    workflow = ArchiveCollectionWorkflow(WorkflowConfig(values, environ={}))

    async def stop() -> None:
        await stall.reached.passed()
        workflow.stop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        report = (await workflow.run()).report
    assert report.status == "interrupted"
    assert await dask.cluster.asked(places_of_worker) == [[], []]
    stall.release.open()
    again, _ = await dask.run()
    assert again.totals["verified"] + again.totals["unchanged"] == 20


async def test_agents_end_with_a_run_that_is_killed(dask: Dask, tmp_path: Path) -> None:
    """The next run on the same output waits for them, and completes."""
    stall = faults.Stall()
    dask.collection.server.inject(key(9), stall)
    path = tmp_path / "run.json"
    values = {**dask.collection.config, **SHARED, "dask_scheduler": dask.cluster.address}
    values["discovery"] = "calendar"
    path.write_text(json.dumps({name: value for name, value in values.items() if value}))
    command = [sys.executable, "-m", "crypto_lakehouse", "collect", "--config", str(path)]
    with subprocess.Popen(  # noqa: ASYNC220
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        assert await to_thread.run_sync(stall.reached.wait, 100)
        run.kill()
    report, listener = await dask.run()
    stall.release.open()
    assert report.totals["verified"] + report.totals["unchanged"] == 20
    assert listener.finished() == Counter(map(key, range(20)))


async def test_workers_that_do_not_fit_are_refused_by_name(dask: Dask, tmp_path: Path) -> None:
    preload = tmp_path / "older.py"
    preload.write_text("import crypto_lakehouse.version as v; v.__version__ = '0.0.1'")
    others = [
        dask.cluster.add("--preload", str(preload), nanny=False),
        dask.cluster.add(threads=2, nanny=False),
    ]
    try:
        await dask.cluster.workers(4)
        report, listener = await dask.run()
    finally:
        for process in others:
            process.terminate()
            process.wait()
    assert report.totals["verified"] == 20
    assert listener.finished() == Counter(map(key, range(20)))
    text = "\n".join(report.warnings)
    assert "it has version 0.0.1, and the run " in text
    assert "it has 2 threads; start it with `--nthreads 1`" in text


async def test_credentials_are_not_sent(dask: Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    url = dask.collection.server.url.replace("//", "//me:s3cret@")
    with pytest.raises(ClusterError, match="set `CRYPTO_LAKEHOUSE_SOURCE_URL") as raised:
        await dask.run(source_url=url)
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in dask.cluster.log()
    assert dask.collection.requested() == []
