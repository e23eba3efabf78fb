"""Collecting and ingesting in one stream: the same tables, and every archive once."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.workflows.conftest import KEY, Collection
from tests.workflows.lakes import ingested, row_count

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.errors import LockHeldError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest

EVERY: dict[str, Any] = {"intervals": None, "partitions": ["daily"]}


def both(collection: Collection, *, batch: int = 20_000, **config: Any) -> CollectAndIngest:
    of = WorkflowConfig({**collection.config, **config})
    lake = LakeConfig(output_directory=str(collection.root))
    return CollectAndIngest(of, lake, batch_archives=batch)


@pytest.mark.parametrize("batch", [1, 2, 5, 13, 20_000])
async def test_batches_make_the_same_table(collection: Collection, batch: int) -> None:
    workflow = both(collection, batch=batch, **EVERY)
    report = (await workflow.run()).report
    assert (report.status, report.exit_code) == ("complete", 0)
    assert workflow.collected is not None
    assert workflow.ingested is not None
    assert workflow.collected.totals["verified"] == 13
    totals = workflow.ingested.to_mapping()["totals"]
    assert (totals["archives"], totals["unchanged"], totals["refused"]) == (13, 0, 0)
    assert totals["rows"] == row_count(collection.root)
    with Lake.open(collection.root) as lake:
        archives = lake.sql("SELECT count(*) n, count(DISTINCT archive) d FROM lakehouse.archives")
        assert archives.to_arrow_table().to_pylist() == [{"n": 13, "d": 13}]
        _, files = lake.data_files("spot.klines")
        assert len(files) == 13, "one partition each"
        commits = len(lake.snapshots("spot.klines"))
        assert commits == -(-13 // batch), "as many as batches"


@pytest.mark.parametrize("batch", [1, 20_000])
@pytest.mark.parametrize(("intervals", "count"), [(["1h", "4h"], 2), ([], 0)])
async def test_of_the_collected_archives_those_of_the_lakes_selection_are_ingested(
    collection: Collection, batch: int, intervals: list[str], count: int
) -> None:
    of = WorkflowConfig({**collection.config, **EVERY})
    lake = LakeConfig(output_directory=str(collection.root), intervals=intervals, environ={})
    workflow = CollectAndIngest(of, lake, batch_archives=batch)
    await workflow.run()
    assert workflow.collected is not None
    assert workflow.ingested is not None
    assert workflow.collected.totals["verified"] == 13
    assert workflow.ingested.archives == count


async def test_each_ingestion_is_announced_when_it_begins(collection: Collection) -> None:
    of = WorkflowConfig({**collection.config, **EVERY})
    said: list[str] = []
    workflow = CollectAndIngest(
        of,
        LakeConfig(output_directory=str(collection.root)),
        batch_archives=12,
        on_begin=said.append,
        on_progress=lambda progress: said.append(progress.step),
        on_end=lambda: said.append("end"),
    )
    await workflow.run()
    steps = [step for number, step in enumerate(said) if said[number - 1] != step]
    each = ["checking digests", "reading spot.klines", "committing spot.klines"]
    assert steps == [
        "ingestion of 12 archives begins, while others are collected", *each, "end",
        "the collection has ended, and the ingestion of 13 archives begins", *each,
    ]  # fmt: skip


async def test_a_second_run_changes_nothing(collection: Collection) -> None:
    await both(collection, **EVERY).run()
    rows = row_count(collection.root)
    workflow = both(collection, batch=2, **EVERY)
    await workflow.run()
    assert workflow.ingested is not None
    totals = workflow.ingested.to_mapping()["totals"]
    assert (totals["archives"], totals["unchanged"]) == (0, 13)
    assert row_count(collection.root) == rows


async def test_what_was_collected_before_is_ingested_with_the_rest(collection: Collection) -> None:
    await collection.run()
    await both(collection, **EVERY).run()
    with Lake.open(collection.root) as lake:
        assert lake.scan("spot.klines", interval="1h").polars().collect().height == 24
    assert (await ingested(collection.root)).archives == 0


async def test_what_is_not_verified_is_not_ingested(collection: Collection) -> None:
    collection.server.remove(KEY)
    workflow = both(collection, batch=3, **EVERY)
    report = (await workflow.run()).report
    assert (report.status, report.exit_code) == ("partial", 3)
    assert workflow.ingested is not None
    assert workflow.ingested.archives == 12


async def test_only_the_runs_own_archives_are_ingested(collection: Collection) -> None:
    await collection.run(symbols=["ETHUSDT"])
    await both(collection).run()
    with Lake.open(collection.root) as lake:
        found = lake.sql("SELECT DISTINCT symbol FROM spot.klines").to_arrow_table()
    assert found.to_pylist() == [{"symbol": "BTCUSDT"}]


async def test_a_lake_that_is_written_to_fails_the_run(collection: Collection) -> None:
    folder = LakeConfig(output_directory=str(collection.root)).lake_folder
    folder.mkdir(parents=True)
    with output_lock(folder / "lock"), pytest.raises(LockHeldError):
        await both(collection, batch=1, **EVERY).run()
    with output_lock(folder / "lock"):
        report = (await both(collection).run()).report
    states = {each.name: (each.state, each.exit_code) for each in report.steps}
    assert states == {"collect": ("done", 0), "ingest": ("failed", 11)}
    await both(collection, **EVERY).run()
    assert (await ingested(collection.root)).to_mapping()["totals"]["unchanged"] == 13


class StopsAt:
    """A sink that stops a run with the first archive that is finished."""

    name = "stops"
    required = True
    workflow: CollectAndIngest

    async def handle(self, events: Any) -> None:
        if any(isinstance(event, ArchiveFinished) for event in events):
            self.workflow.stop(143)

    async def flush(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def test_a_stopped_run_keeps_what_it_has(collection: Collection) -> None:
    sink = StopsAt()
    of = WorkflowConfig({**collection.config, **EVERY, "max_parallel_downloads": 1})
    lake = LakeConfig(output_directory=str(collection.root))
    sink.workflow = CollectAndIngest(of, lake, sinks=[sink], batch_archives=1)
    with anyio.fail_after(200):
        report = (await sink.workflow.run()).report
    assert (report.status, report.exit_code) == ("interrupted", 143)
    workflow = both(collection, **EVERY)
    await workflow.run()
    assert (await ingested(collection.root)).to_mapping()["totals"]["unchanged"] == 13


def test_both_are_executed_without_a_loop(collection: Collection) -> None:
    metrics = both(collection, batch=1, **EVERY).execute()
    assert metrics.results["status"] == "complete"


async def test_a_batch_that_is_being_ingested_is_stopped_too(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = both(collection, batch=2, **EVERY)
    began: list[IngestWorkflow] = []

    async def setup(ingestion: IngestWorkflow) -> None:
        began.append(ingestion)
        workflow.stop(130)
        await real(ingestion)

    real = IngestWorkflow.setup
    monkeypatch.setattr(IngestWorkflow, "setup", setup)
    report = (await workflow.run()).report
    assert (report.status, report.exit_code) == ("interrupted", 130)
    assert len(began) == 1, "neither the other batches nor the rest began"
    assert began[0].report().archives == 0
