"""Ingestions whose data files are written by other processes, some of which are lost."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext, suppress
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from tests.executors.dask.cluster import Cluster, cluster, places_of_worker
from tests.executors.processes.support import workers
from tests.tables.sample_data import bars, changed_text, days, month_of, put, text_of
from tests.workflows.lakes import FIRST, ingested

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.errors import ClusterError, LakeError
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.iceberg.orphans import sweep_table
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.lake_report import IngestReport
from crypto_lakehouse.workflows.proving import StoredZip

pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found by /proc"),
    pytest.mark.usefixtures("uncovered_children"),
]

#: What is another one in each run.
_OWN = {"commit", "recorded_at", "table_sequence", "sequence"}

_REPORTED = {"lake", "duration_seconds"}


@pytest.fixture(autouse=True)
def _an_item_for_each_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypto_lakehouse.tables.files.series_writer._ITEM_BYTES", 1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with two workers, each under a nanny."""
    with cluster(tmp_path_factory.mktemp("dask"), workers=2) as made:
        yield made


@pytest.fixture(params=["processes", "dask"])
async def elsewhere(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of a run on two worker processes, or on two workers of a cluster."""
    if request.param == "processes":
        return {"processes": 2}
    made: Cluster = request.getfixturevalue("two")
    await made.workers(2)
    return on(made)


def ms_of(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000


def on(made: Cluster) -> dict[str, Any]:
    return {"executor": "dask", "dask_scheduler": made.address, "shared_directory": True}


def contents(of: Path | Lake) -> dict[str, list[Any]]:
    """The rows of all tables, without what is another one in each run."""
    found = {}
    with Lake.open(of) if isinstance(of, Path) else nullcontext(of) as lake:
        for name in lake.tables:
            columns = [each for each in lake.table(name).schema().column_names if each not in _OWN]
            query = ", ".join(f'"{each}"' for each in columns)
            found[name] = lake.sql(f"SELECT {query} FROM {name} ORDER BY ALL").fetchall()  # noqa: S608
    return found


def orphans(root: Path, table: str = "spot.klines") -> list[str]:
    """The files of a table that no snapshot has; they are deleted."""
    with Lake.open(root) as lake:
        return sweep_table(lake.table(table))


def told(report: IngestReport) -> dict[str, Any]:
    return {name: each for name, each in report.to_mapping().items() if name not in _REPORTED}


def first_stage(root: Path) -> None:
    """Days; days with their month, which differs; a bad file; and one with a hole."""
    for symbol in ("BTCUSDT", "ETHUSDT", "ADAUSDT"):
        for day in days(FIRST, 3):
            put(root, bars(day, symbol))
    put(root, month_of(bars(FIRST, "ETHUSDT")))
    changed = bars(FIRST, "ETHUSDT")
    put(root, changed, changed_text(changed))
    put(root, bars(FIRST, "BADUSDT"), "no,numbers\n")
    hole = bars(FIRST, "XRPUSDT")
    put(root, hole, "".join(text_of(hole).splitlines(keepends=True)[::2]))


def second_stage(root: Path) -> None:
    """New versions: of a day, of a month one of whose days is gone, and of the bad file."""
    for archive in (bars(FIRST), month_of(bars(FIRST, "ETHUSDT"))):
        put(root, archive, changed_text(archive))
    (root / bars(days(FIRST, 2)[1], "ETHUSDT").key).unlink()
    put(root, bars(FIRST, "BADUSDT"))


async def test_rows_provenance_and_refusals_are_those_of_one_process(
    tmp_path: Path, elsewhere: dict[str, Any]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    states = set()
    for stage in (first_stage, second_stage):
        reports = []
        for root, options in ((here, {}), (there, elsewhere)):
            stage(root)
            policies = {"continuity": "quarantine"}
            reports.append(await ingested(root, policies=policies, **options))
        assert told(reports[0]) == told(reports[1])
        assert contents(here) == contents(there)
        assert not orphans(there)
        states |= {row[2] for row in contents(there)["lakehouse.archives"]}
        assert reports[1].rows
        assert contents(there)["lakehouse.differences"]
    assert states == {"ingested", "superseded", "refused", "quarantined"}
    assert workers() == []


Pids = Callable[[], Awaitable[list[int]]]


class Halted:
    """An archive whose zip is a pipe: the process that opens it waits."""

    def __init__(self, root: Path, archive: Archive) -> None:
        self.path = root / archive.key
        self.real = self.path.with_suffix(".real")
        self.path.rename(self.real)
        os.mkfifo(self.path)

    async def reached(self, pids: Pids) -> int:
        """Wait until one of some processes opens it, which is returned."""
        with anyio.fail_after(100):
            while True:
                for pid in await pids():
                    if waits_for_pipe(pid):
                        return pid
                await anyio.sleep(0.01)

    def let_go(self) -> None:
        """Put the zip in its place; a process that waits is told that it cannot be read."""
        held = None
        with suppress(OSError):  # nothing waits any more
            held = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        self.real.replace(self.path)
        if held is not None:
            os.close(held)


def waits_for_pipe(pid: int | str) -> bool:
    """Whether a thread of a process opens a pipe that no other process has opened."""
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            if (thread / "wchan").read_text() == "wait_for_partner":
                return True
    return False


async def children() -> list[int]:
    return workers()


def of_cluster(made: Cluster, count: int) -> Pids:
    async def pids() -> list[int]:
        return [*(await made.workers(count)).values()]

    return pids


@pytest.fixture(scope="module", autouse=True)
def _needs_wchan(tmp_path_factory: pytest.TempPathFactory) -> None:
    pipe = tmp_path_factory.mktemp("pipe") / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe]) as opening:
        for _ in range(500):
            if waits_for_pipe(opening.pid):
                break
            subprocess.run(["sleep", "0.01"], check=True)
        seen = waits_for_pipe(opening.pid)
        opening.kill()
    if not seen:
        pytest.skip("the system does not say what a thread waits for (/proc/PID/wchan)")


def ingestion(root: Path, **options: Any) -> IngestWorkflow:
    """The archives of a tree, which are not hashed before: one of them may be a pipe."""
    zips = [
        StoredZip(archive, LocalFiles(root), hashlib.sha256(data).hexdigest())
        for archive, data in (
            (Archive.parse(str(path.relative_to(root))), path.read_bytes())
            for path in sorted(root.glob("data/**/*.zip"))
        )
    ]
    config = LakeConfig({"output_directory": str(root), **options}, environ={})
    return IngestWorkflow(config, zips=lambda: zips)


async def while_reading(
    root: Path,
    archive: Archive,
    pids: Pids,
    act: Callable[[], Awaitable[None]],
    options: dict[str, Any],
) -> IngestReport:
    """Ingest; do something while a worker reads an archive."""
    workflow = ingestion(root, **options)
    halted = Halted(root, archive)

    async def act_at() -> None:
        await halted.reached(pids)
        await act()
        halted.let_go()

    with one_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(act_at)
            report = (await workflow.run()).report
    assert isinstance(report, IngestReport)
    return report


async def test_workers_that_are_killed_lose_no_row(
    tmp_path: Path, elsewhere: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    first_stage(here)
    first_stage(there)
    await ingested(here)

    pids: Pids = children
    if "executor" in elsewhere:
        pids = of_cluster(request.getfixturevalue("two"), 2)

    async def kill() -> None:
        found = await pids()
        assert len(found) == 2
        for pid in found:
            os.kill(pid, signal.SIGKILL)

    report = await while_reading(there, bars(FIRST, "ETHUSDT"), pids, kill, elsewhere)
    assert report.exit_code == 4  # of the bad file
    assert contents(here) == contents(there)
    assert not orphans(there)


async def test_a_worker_that_is_killed_leaves_no_data_file(tmp_path: Path) -> None:
    """It has written rows of the first archive, and waits for the second one."""
    series = Series(Market.SPOT, DataType.TRADES, "BTCUSDT")
    first, second = (Archive(series, Period.day(day)) for day in days(FIRST, 2))
    lines = "".join(f"{n},1.5,2.0,3.0,{ms_of(FIRST) + n},True,True\n" for n in range(400_000))
    put(tmp_path, first, lines)
    put(tmp_path, second)
    seen: list[Path] = []

    async def kill() -> None:
        folder = tmp_path / ".lakehouse" / "lake" / "warehouse" / "spot" / "trades" / "data"
        seen.extend(folder.rglob("*.parquet"))
        for pid in workers():
            os.kill(pid, signal.SIGKILL)

    report = await while_reading(tmp_path, second, children, kill, {"processes": 2})
    assert (report.archives, len(seen)) == (2, 1)
    assert not seen[0].exists()
    assert not orphans(tmp_path, "spot.trades")


async def test_archives_that_end_three_workers_are_held_back(tmp_path: Path) -> None:
    archive = bars(FIRST, "ETHUSDT")
    put(tmp_path, archive)
    put(tmp_path, bars(FIRST))
    workflow = ingestion(tmp_path, processes=2)
    halted = Halted(tmp_path, archive)

    async def kill() -> None:
        for _ in range(3):
            os.kill(await halted.reached(children), signal.SIGKILL)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        report = (await workflow.run()).report
    states = {each["key"]: each for each in report.problems}
    assert states[archive.key]["state"] == "held_back"
    assert "its worker ended 3 times" in states[archive.key]["reason"]
    halted.let_go()
    again = await ingested(tmp_path)
    assert again.archives == 2 - report.archives
    assert again.status == "complete"


async def test_a_scheduler_that_is_killed_ends_the_run_and_nothing_is_committed(
    tmp_path: Path,
) -> None:
    first_stage(tmp_path)
    with cluster(tmp_path / "dask", workers=1) as made:
        await made.workers(1)

        async def kill() -> None:
            await to_thread.run_sync(made.kill_scheduler)

        with pytest.raises(ClusterError, match="cannot be reached any more") as ended:
            await while_reading(
                tmp_path, bars(FIRST, "ETHUSDT"), of_cluster(made, 1), kill, on(made)
            )
    assert ended.value.exit_code == 5
    with Lake.open(tmp_path) as lake:
        assert not [*live_files(lake.table("spot.klines"))]
    report = await ingested(tmp_path)
    assert report.archives
    assert not orphans(tmp_path)


async def test_a_run_that_is_stopped_leaves_no_agent(tmp_path: Path, two: Cluster) -> None:
    await two.workers(2)
    first_stage(tmp_path)
    workflow = ingestion(tmp_path, **on(two))
    halted = Halted(tmp_path, bars(FIRST, "ETHUSDT"))

    async def stop() -> None:
        await halted.reached(of_cluster(two, 2))
        workflow.stop()
        halted.let_go()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        report = (await workflow.run()).report
    assert report.exit_code == 130
    assert await two.asked(places_of_worker) == [[], []]
    assert (await ingested(tmp_path, **on(two))).exit_code == 4


async def test_an_error_of_a_worker_ends_the_run(tmp_path: Path) -> None:
    """Such as a disk that is full: here a folder that cannot be made."""
    first_stage(tmp_path)
    await ingested(tmp_path, symbols=["ADAUSDT"])
    folder = tmp_path / ".lakehouse" / "lake" / "warehouse" / "spot" / "klines" / "data"
    (folder / "interval=1h" / "symbol=ETHUSDT").write_text("in the way")
    with pytest.raises((LakeError, OSError), match="ETHUSDT"):
        await ingested(tmp_path, processes=2)
