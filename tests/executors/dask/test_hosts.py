"""Clusters of several hosts: one is cut off in mid-run, and comes back."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.executors.dask.cluster import cluster
from tests.executors.dask.hosts import a_host, missing
from tests.executors.processes.support import DAYS, key
from tests.workflows.conftest import Collection

from crypto_lakehouse.collection.verifier import FileState, StoredArchive
from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.workflows import run_verification

pytestmark = pytest.mark.usefixtures("uncovered_children")


@pytest.fixture(scope="module", autouse=True)
def _needs_namespaces() -> None:
    if why := missing():
        pytest.skip(f"several hosts were NOT tried: {why}")


async def test_a_host_that_is_cut_off_and_comes_back_loses_nothing(
    collection: Collection, tmp_path: Path
) -> None:
    await collection.run(**DAYS)
    path = collection.path(key(9))
    real = path.with_suffix(".real")
    path.rename(real)
    with path.open("wb") as file:
        file.truncate(8 << 30)  # to hash it takes long
    seen: list[StoredArchive] = []

    async def see(archive: StoredArchive) -> None:
        seen.append(archive)

    with (
        a_host() as host,
        cluster(
            tmp_path / "dask", 0, host.address, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="4s"
        ) as made,
    ):
        made.add(host=host.own, within=host.command)
        await made.hosts(host.own)
        values = {
            **collection.config, **DAYS, "executor": "dask", "dask_scheduler": made.address,
            "shared_directory": True,
        }  # fmt: skip

        async def cut_off() -> None:
            await made.shares(1)
            host.cut_off()
            real.replace(path)
            made.add()  # on this machine, with the address of the scheduler
            await made.hosts(host.address)
            host.come_back()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cut_off)
            report = await run_verification(WorkflowConfig(values, environ={}), on_archive=see)
    assert report.totals == {FileState.OK: 20}
    assert len({each.key for each in seen}) == len(seen) == 20
