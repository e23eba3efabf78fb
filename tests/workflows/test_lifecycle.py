"""One owner for every task, one run for every directory, nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import anyio
import pytest
from tests.workflows.conftest import BIG_KEY, KEY, Collection, big_zip

from crypto_lakehouse.core import MetricsCollector, WorkflowConfig
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    LockHeldError,
    RunningLoopError,
    SelectionError,
    SinkError,
    StoreError,
)
from crypto_lakehouse.core.events import ArchiveFinished, Event, RunFinished, RunStarted
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.report import CollectionFailed
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow


def open_files() -> list[str]:
    """What this process holds open below the temporary directory, where Linux tells."""
    found = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(FileNotFoundError):
            found.append(str(descriptor.readlink()))
    return sorted(path for path in found if ".lakehouse" in path or path.endswith(".part"))


ALL_INTERVALS = {"intervals": None, "partitions": ["daily"]}


class Listener:
    """A sink that remembers, or fails."""

    name = "listener"

    def __init__(self, *, fails: bool = False, required: bool = False) -> None:
        self.fails = fails
        self.required = required
        self.events: list[Event] = []
        self.closed = 0

    async def handle(self, events: Sequence[Event]) -> None:
        if self.fails:
            raise ValueError("the sink is sick")
        self.events.extend(events)

    async def flush(self) -> None:
        pass

    async def close(self) -> None:
        self.closed += 1


async def test_every_event_reaches_every_sink_in_order(collection: Collection) -> None:
    sinks = [Listener(), Listener()]
    collector = MetricsCollector()
    report = await collection.run(sinks=sinks, metrics_collector=collector, **ALL_INTERVALS)
    for sink in sinks:
        assert isinstance(sink.events[0], RunStarted)
        assert isinstance(sink.events[-1], RunFinished)
        assert sink.events[-1].status == report.status == "complete"
        finished = [event for event in sink.events if isinstance(event, ArchiveFinished)]
        assert len({event.archive for event in finished}) == 13
        assert sink.closed == 1
    assert collector.get_metrics()["totals"] == report.to_mapping()["totals"]


async def test_a_sick_sink_is_dropped_and_named(collection: Collection) -> None:
    report = await collection.run(sinks=[Listener(fails=True)])
    assert report.totals["verified"] == 1
    assert any("listener sink failed" in warning for warning in report.warnings)


async def test_a_sick_sink_that_is_required_stops_the_run(collection: Collection) -> None:
    with pytest.raises(SinkError, match="listener"):
        await collection.run(sinks=[Listener(fails=True, required=True)])


async def test_a_second_run_on_the_same_directory_is_refused(collection: Collection) -> None:
    stall = faults.Stall(at=0)
    collection.server.inject(KEY, stall)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collection.run)
        await anyio.to_thread.run_sync(stall.reached.wait, 30)
        with pytest.raises(LockHeldError) as caught:
            await collection.run()
        assert caught.value.exit_code == 11
        stall.release.open()
    report = await collection.run()
    assert report.totals["unchanged"] == 1


async def test_a_stopped_run_says_so_and_keeps_what_is_verified(collection: Collection) -> None:
    stall = faults.Stall(at=0)
    collection.server.inject(KEY, stall)
    workflow = ArchiveCollectionWorkflow(
        WorkflowConfig({**collection.config, **ALL_INTERVALS}), retry=collection.retry
    )

    async def stop() -> None:
        await anyio.to_thread.run_sync(stall.reached.wait, 30)
        while workflow.counts.verdicts.total() < 12:
            await anyio.lowlevel.checkpoint()
        workflow.stop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        report = await workflow.run()
    assert report.status == "interrupted"
    assert report.exit_code == 130
    assert report.totals["verified"] == 12
    collection.server.clear()
    report = await collection.run(**ALL_INTERVALS)
    assert report.totals["unchanged"] == 12
    assert report.totals["verified"] == 1


async def test_a_run_stopped_before_it_began_does_nothing(collection: Collection) -> None:
    workflow = ArchiveCollectionWorkflow(WorkflowConfig(collection.config))
    workflow.stop(143)
    report = await workflow.run()
    assert report.status == "interrupted"
    assert report.exit_code == 143
    assert report.success_rate == 0.0  # nothing was planned: that is no success
    assert repr(report) == "<CollectionReport: interrupted>"
    assert collection.requested() == []


async def test_a_cancelled_run_leaves_nothing_behind(collection: Collection) -> None:
    collection.publish(BIG_KEY, big_zip())
    stall = faults.Stall(at=3_000_000)
    collection.server.inject(BIG_KEY, stall)
    trades = {"data_types": ["trades"], "intervals": None}
    before = open_files()
    tasks_before = asyncio.all_tasks()
    task = asyncio.ensure_future(collection.run(**trades))
    await anyio.to_thread.run_sync(stall.reached.wait, 30)
    part = collection.path(BIG_KEY + ".part")
    while not part.exists() or not part.stat().st_size:
        await anyio.lowlevel.checkpoint()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == tasks_before
    assert open_files() == before
    assert not collection.path(BIG_KEY).exists()
    report = await collection.run(**trades)
    assert report.totals["verified"] == 1
    assert any(request.range for request in collection.server.requests), "it was resumed"


async def test_no_more_requests_are_under_way_than_configured(collection: Collection) -> None:
    report = await collection.run(max_parallel_downloads=3, **ALL_INTERVALS)
    assert report.totals["verified"] == 13
    assert collection.server.peak_concurrency <= 3


@pytest.mark.parametrize("parallel", [1, 256, "auto"])
async def test_any_parallelism_collects(collection: Collection, parallel: int | str) -> None:
    report = await collection.run(max_parallel_downloads=parallel, **ALL_INTERVALS)
    assert report.totals["verified"] == 13


async def test_a_session_of_the_application_is_used_and_not_closed(
    collection: Collection,
) -> None:
    async with aiohttp.ClientSession(auto_decompress=False, headers={"X-Mine": "1"}) as session:
        report = await collection.run(session=session)
        assert report.totals["verified"] == 1
        assert not session.closed
    assert collection.server.requests[0].headers["X-Mine"] == "1"


async def test_a_full_disk_stops_the_run_with_a_clear_error(collection: Collection) -> None:
    class FullStore(LocalStore):
        async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
            raise StoreError(self.path(key), "No space left on device", stops_run=True)

    with pytest.raises(StoreError, match="No space left"):
        await collection.run(store=FullStore(collection.root), **ALL_INTERVALS)
    assert not list(collection.root.rglob("*.zip"))


async def test_a_directory_in_the_place_of_a_file_fails_that_archive_only(
    collection: Collection,
) -> None:
    collection.path(KEY).mkdir(parents=True)
    report = await collection.run(intervals=["1h", "1d"])
    assert report.totals["failed"] == 1
    assert report.totals["verified"] == 1
    assert "directory" in report.problems[0].reason.lower()


async def test_an_output_that_cannot_be_a_directory_is_a_configuration_error(
    collection: Collection, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await collection.run(output_directory=str(file))
    assert collection.requested() == []


async def test_a_selection_that_nothing_fits_is_an_error(collection: Collection) -> None:
    with pytest.raises(SelectionError, match="monthly only"):
        await collection.run(data_types=["klines"], intervals=["3d"], partitions=["daily"])
    assert not collection.root.exists()


async def test_an_empty_plan_is_said_and_is_no_failure(collection: Collection) -> None:
    collection.root.mkdir()
    report = await collection.run(only="failed")
    assert report.totals["planned"] == 0
    assert report.success_rate == 100.0
    assert report.exit_code == 0
    assert any("plan is empty" in warning for warning in report.warnings)


async def test_execute_inside_a_loop_names_run(collection: Collection) -> None:
    workflow = ArchiveCollectionWorkflow(WorkflowConfig(collection.config))
    with pytest.raises(RunningLoopError, match=r"await ArchiveCollectionWorkflow\.run\(\)"):
        workflow.execute()


async def test_failures_can_be_raised(collection: Collection) -> None:
    collection.server.remove(KEY)
    report = await collection.run()
    with pytest.raises(CollectionFailed, match="missing") as caught:
        report.raise_for_failures()
    assert caught.value.report is report


async def test_two_runs_on_two_directories_run_side_by_side(
    collection: Collection, tmp_path: Path
) -> None:
    async with anyio.create_task_group() as tasks:
        for name in ("a", "b"):
            directory = str(tmp_path / name)

            async def run(directory: str = directory) -> None:
                report = await collection.run(output_directory=directory)
                assert report.totals["verified"] == 1

            tasks.start_soon(run)
