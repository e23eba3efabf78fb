"""Ingestions into a lake at a URL, whose data files other processes write; some are lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import anyio
import pytest
from anyio import to_thread
from attrs import define, field
from tests.executors.dask.cluster import Cluster, cluster, places_of_worker
from tests.executors.processes.support import workers
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, Request, behind_faults
from tests.tables.sample_data import bars, days, put
from tests.workflows.lakes import FIRST
from tests.workflows.test_archives_in_a_store import upload
from tests.workflows.test_ingestion_elsewhere import (
    contents,
    first_stage,
    second_stage,
    told,
)

from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.orphans import sweep_table
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.lake_report import IngestReport

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found by /proc"),
    pytest.mark.usefixtures("uncovered_children"),
]

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _an_item_for_each_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypto_lakehouse.tables.files.series_writer._ITEM_BYTES", 1)


@pytest.fixture(autouse=True)
def _credentials(ministack_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    ministack_bucket.give_credentials(monkeypatch)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, ministack_bucket: Bucket) -> Iterator[Cluster]:
    """A cluster with two workers, which have credentials of their own."""
    folder = tmp_path_factory.mktemp("dask")
    with cluster(folder, workers=2, **ministack_bucket.environment) as made:
        yield made


@define
class Workers:
    """Two workers: processes of a run, or those of a cluster.

    Attributes:
        options: What makes a run use them.
        pids: Returns their processes now.
    """

    options: dict[str, Any]
    pids: Callable[[], list[int]]


def on(made: Cluster) -> Workers:
    def pids() -> list[int]:
        return [*anyio.run(made.workers, 2).values()]

    options = {"executor": "dask", "dask_scheduler": made.address, "shared_directory": True}
    return Workers(options, pids)


@pytest.fixture(params=["processes", "dask"])
async def elsewhere(request: pytest.FixtureRequest) -> Workers:
    if request.param == "processes":
        return Workers({"processes": 2}, workers)
    made: Cluster = request.getfixturevalue("two")
    await made.workers(2)
    return on(made)


@define
class Place:
    """A lake at a URL as one machine sees it."""

    url: str
    bucket: Bucket
    state: Path

    def config(self, archives: object, **options: Any) -> LakeConfig:
        values = {
            "output_directory": str(archives), "lake": self.url, "storage": self.bucket.storage,
            "state_directory": str(self.state), **options,
        }  # fmt: skip
        return LakeConfig(values, environ={})

    async def ingested(self, archives: object, **options: Any) -> IngestReport:
        report = (await IngestWorkflow(self.config(archives, **options)).run()).report
        assert isinstance(report, IngestReport)
        return report

    def open(self) -> Lake:
        return Lake.open(self.url, storage=self.bucket.storage, state_directory=str(self.state))

    def contents(self) -> dict[str, list[Any]]:
        with self.open() as lake:
            return contents(lake)

    def orphans(self) -> list[str]:
        """The data files that no snapshot has; they are deleted."""
        with self.open() as lake:
            found = [path for name in lake.tables for path in sweep_table(lake.table(name))]
        return [path for path in found if path.endswith(".parquet")]

    def left(self) -> list[str]:
        """What a run has left beside the tables and their records."""
        client = self.bucket.open(self.url).client
        return [info.key for info in client.objects(".lakehouse/workers/")]


@pytest.fixture
def place(ministack_bucket: Bucket, tmp_path: Path) -> Place:
    return Place(ministack_bucket.fresh_prefix(), ministack_bucket, tmp_path / "state")


async def ingested_here(root: Path, **options: Any) -> IngestReport:
    config = LakeConfig({"output_directory": str(root), **options}, environ={})
    report = (await IngestWorkflow(config).run()).report
    assert isinstance(report, IngestReport)
    return report


def said(report: IngestReport) -> dict[str, Any]:
    return {name: each for name, each in told(report).items() if name != "notes"}


def nothing_new(_tree: Path) -> None:
    """Leave the archives as they are."""


_QUARANTINE = {"policies": {"continuity": "quarantine"}}


@define
class First:
    """The first archives, and what one process makes of them in a directory."""

    tree: Path
    said: dict[str, Any]
    contents: dict[str, list[Any]]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    tree, made = tmp_path_factory.mktemp("first") / "tree", tmp_path_factory.mktemp("made")
    first_stage(tree)
    report = anyio.run(partial(ingested_here, tree, workers=1, lake=made))
    with Lake.open(made) as lake:
        return First(tree, said(report), contents(lake))


#: What happens to the archives, and then the selection of a run.
RUNS: tuple[tuple[Callable[[Path], None], dict[str, Any]], ...] = (
    (first_stage, {"symbols": ["ETH*", "XRPUSDT"], **_QUARANTINE}),
    (nothing_new, {}),
    (second_stage, {}),
    (nothing_new, {"symbols": ["BTCUSDT", "BADUSDT"], "again": True, "compression": "zstd"}),
)


async def test_the_lake_is_that_of_one_process_in_a_directory(
    tmp_path: Path, place: Place, elsewhere: Workers
) -> None:
    """After each of several runs, whose reports are the same, too."""
    tree = tmp_path / "tree"
    states = set()
    for happen, selection in RUNS if "executor" in elsewhere.options else RUNS[::2]:
        happen(tree)
        alone = await ingested_here(tree, workers=1, **selection)
        report = await place.ingested(tree, **selection, **elsewhere.options)
        assert said(report) == said(alone)
        assert place.contents() == contents(tree)
        assert not place.orphans()
        states |= {row[2] for row in place.contents()["lakehouse.archives"]}
    assert states >= {"ingested", "superseded", "quarantined"}
    assert place.contents()["lakehouse.differences"]
    assert (place.left(), workers()) == ([], [])


async def test_workers_read_archives_from_a_store(place: Place, first: First, two: Cluster) -> None:
    """Nothing is in a directory that the workers must share."""
    options = {**on(two).options, "shared_directory": False}
    report = await place.ingested(upload(place.bucket, first.tree), **options)
    assert said(report) == first.said
    assert place.contents() == first.contents


@define(eq=False)
class AtDataFile:
    """Does something once, when the first data file has been stored, and before that is known."""

    proxy: FaultProxy
    act: Callable[[], None]
    has_acted: bool = False
    _lock: Lock = field(init=False, factory=Lock)

    def __call__(self, request: Request, forward: Forward) -> Answer | None:
        is_data = request.kind == "put" and request.key.endswith(".parquet")
        with self._lock:
            if not is_data or "/spot/" not in request.key or self.has_acted:
                return forward()
            self.has_acted = True
            forward()
            self.act()
            return None


@pytest.fixture
def behind(place: Place) -> Iterator[tuple[FaultProxy, Place]]:
    """The lake, and the same behind a proxy that can act."""
    with behind_faults(place.bucket) as (proxy, bucket):
        yield proxy, Place(place.url, bucket, place.state)


async def test_workers_that_are_killed_lose_no_row_and_commit_none_twice(
    first: First, behind: tuple[FaultProxy, Place], elsewhere: Workers
) -> None:
    proxy, place = behind

    def kill() -> None:
        found = elsewhere.pids()
        assert len(found) == 2
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    proxy.fault = fault = AtDataFile(proxy, kill)
    report = await place.ingested(first.tree, **elsewhere.options)
    proxy.clear()
    assert (fault.has_acted, report.exit_code) == (True, 4)  # of the bad file
    assert place.contents() == first.contents
    assert place.orphans()  # what a killed one has stored is swept
    assert not place.orphans()
    assert place.contents() == first.contents


async def test_the_run_after_one_that_was_killed_completes(
    tmp_path: Path, first: First, behind: tuple[FaultProxy, Place], two: Cluster
) -> None:
    proxy, place = behind
    file = tmp_path / "run.json"
    await two.workers(2)
    options = {**on(two).options, "lake": place.url, "storage": dict(place.bucket.storage)}
    given = {"output_directory": str(first.tree), "state_directory": str(place.state), **options}
    file.write_text(json.dumps(given))
    script = (
        "from crypto_lakehouse.tables.files import series_writer; series_writer._ITEM_BYTES = 1; "
        "from crypto_lakehouse.cli.main import main; main()"
    )
    command = [sys.executable, "-c", script, "ingest", "--config", str(file)]
    before = await two.asked(places_of_worker)
    with subprocess.Popen(  # noqa: ASYNC220
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as run:
        proxy.fault = fault = AtDataFile(proxy, run.kill)
        _, err = await to_thread.run_sync(run.communicate)
    proxy.clear()
    assert (fault.has_acted, run.returncode) == (True, -signal.SIGKILL), err.decode()
    report = await place.ingested(first.tree, **on(two).options)
    assert said(report) == first.said
    assert await two.asked(places_of_worker) == before
    place.orphans()
    assert place.contents() == first.contents
    assert not [*place.state.glob("lake-*/journal/*")]


async def test_machines_that_share_a_lake_share_a_cluster(
    tmp_path: Path, place: Place, two: Cluster
) -> None:
    """Two runs at once: neither ends the agents of the other."""
    await two.workers(2)
    tree, other = tmp_path / "tree", Place(place.url, place.bucket, tmp_path / "another machine")
    symbols = {"here": ["BTCUSDT", "ETHUSDT"], "there": ["ADAUSDT", "XRPUSDT"]}
    for symbol in [*symbols["here"], *symbols["there"]]:
        for day in days(FIRST, 3):
            put(tree, bars(day, symbol))
    reports: list[IngestReport] = []

    async def ingest(machine: Place, symbols: list[str]) -> None:
        reports.append(await machine.ingested(tree, symbols=symbols, **on(two).options))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ingest, place, symbols["here"])
        tasks.start_soon(ingest, other, symbols["there"])
    assert [(each.archives, each.status) for each in reports] == [(6, "complete")] * 2
    await ingested_here(tree)
    assert place.contents() == other.contents() == contents(tree)


async def test_a_worker_that_may_not_write_the_lake_is_refused_by_name(
    tmp_path: Path, rclone_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This server checks signatures, and the secret of one of two workers is another one."""
    rclone_bucket.give_credentials(monkeypatch)
    place = Place(rclone_bucket.fresh_prefix(), rclone_bucket, tmp_path / "state")
    tree = tmp_path / "tree"
    put(tree, bars(FIRST))
    own = rclone_bucket.environment
    with cluster(tmp_path / "dask", workers=1, **own) as made:
        made.add(nanny=False, AWS_SECRET_ACCESS_KEY="another")
        await made.workers(2)
        report = await place.ingested(tree, **on(made).options)
        assert own["AWS_SECRET_ACCESS_KEY"] not in made.log()
    refused = [note for note in report.notes if "is refused" in note]
    assert len(refused) == 1
    assert ".lakehouse/workers/" in refused[0]
    await ingested_here(tree)
    assert place.contents() == contents(tree)
