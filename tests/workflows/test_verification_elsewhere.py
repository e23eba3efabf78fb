"""Verifications whose archives are hashed by the workers of a Dask cluster."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from tests.executors.dask.cluster import Cluster, agents_of_worker, cluster, places_of_worker
from tests.executors.processes.support import DAYS, key
from tests.workflows.conftest import Collection

from crypto_lakehouse.cli.main import main
from crypto_lakehouse.collection.verifier import FileState, StoredArchive
from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.workflows import run_verification

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found by /proc"),
    pytest.mark.usefixtures("uncovered_children"),
]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with two workers, each under a nanny."""
    with cluster(tmp_path_factory.mktemp("dask"), workers=2) as made:
        yield made


async def damaged(collection: Collection) -> None:
    """20 archives: one damaged, one gone, and one without a proof."""
    await collection.run(**DAYS)
    collection.path(key(3)).write_bytes(b"no zip")
    collection.path(key(5)).unlink()
    other = collection.path(key(7))
    other.with_name("BTCUSDT-1h-2020-01-01.zip").write_bytes(b"from elsewhere")


def on(made: Cluster) -> list[str]:
    return ["--executor", "dask", "--dask-scheduler", made.address, "--shared-directory"]


def verify(*words: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(["verify", *words])
    return ended.value.code


@pytest.mark.parametrize(
    "options", [[], ["--sample", "50%", "--seed", "s"], ["--since", "2020-01-01"]]
)
async def test_it_finds_what_one_machine_finds(
    collection: Collection,
    two: Cluster,
    tmp_path: Path,
    options: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    await damaged(collection)
    await two.workers(2)
    found = []
    for where in ([], on(two)):
        sums, lines = tmp_path / "sums", tmp_path / "lines"
        place = ["-o", str(collection.root), "--sums", str(sums), "--combined", str(lines)]
        words = [*place, *options, *where, "--json"]
        code = await to_thread.run_sync(partial(verify, *words))
        told = json.loads(capsys.readouterr().out)
        found.append((code, told, sums.read_text(), lines.read_text()))
    assert found[0] == found[1]
    assert found[0][0] == 4
    assert await two.asked(places_of_worker) == [[], []]


async def test_workers_that_are_killed_lose_no_archive(
    collection: Collection, two: Cluster
) -> None:
    """Another one is refused, by name."""
    await damaged(collection)
    pids = [*(await two.workers(2)).values()]
    refused = two.add(threads=2)
    await two.workers(3)
    values = {
        **collection.config, **DAYS, "executor": "dask", "dask_scheduler": two.address,
        "shared_directory": True,
    }  # fmt: skip
    seen: list[StoredArchive] = []

    async def see(archive: StoredArchive) -> None:
        seen.append(archive)

    path = collection.path(key(9))
    real = path.with_suffix(".real")
    path.rename(real)
    with path.open("wb") as file:
        file.truncate(8 << 30)  # to hash it takes long

    async def kill() -> None:
        while sum(len(places) for places in await two.asked(places_of_worker)) != 2:
            pass
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        real.replace(path)

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            report = await run_verification(WorkflowConfig(values, environ={}), on_archive=see)
    finally:
        refused.terminate()
        refused.wait()
    assert report.totals == {
        FileState.OK: 18, FileState.DAMAGED: 1, FileState.MISSING: 1, FileState.UNPROVEN: 1
    }  # fmt: skip
    assert [each.key for each in seen] == sorted(each.key for each in seen)
    (note,) = report.notes
    assert "is refused: it has 2 threads" in note


async def test_two_at_once_do_not_end_each_others_agents(
    collection: Collection, two: Cluster
) -> None:
    await collection.run(**DAYS)
    await two.workers(2)
    with collection.path(key(9)).open("wb") as file:
        file.truncate(8 << 30)  # to hash it takes long
    values = {
        **collection.config, **DAYS, "executor": "dask", "dask_scheduler": two.address,
        "shared_directory": True,
    }  # fmt: skip
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_verification, WorkflowConfig(values, environ={}))
        await two.shares(2)
        first = [{*names} for names in await two.asked(agents_of_worker)]
        tasks.start_soon(run_verification, WorkflowConfig(values, environ={}))
        await two.shares(4)  # each worker takes part in both
        both = [{*names} for names in await two.asked(agents_of_worker)]
        assert all(some < more for some, more in zip(first, both, strict=True))
        os.truncate(collection.path(key(9)), 0)  # what hashes it is done
