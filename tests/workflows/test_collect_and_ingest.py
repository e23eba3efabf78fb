"""Collecting and ingesting in one stream: the same tables, and every archive once."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.workflows.conftest import KEY, Collection, make_zip, member_of
from tests.workflows.lakes import ingested, row_count

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.errors import LockHeldError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.lake.verification import verify_tables
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest

EVERY: dict[str, Any] = {"intervals": None, "partitions": ["daily"]}


def zip_text(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return file.read(file.namelist()[0])


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
        "the collection has ended, after the ingestion of 12 archives, and that of 1 more begins",
        *each,
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


@pytest.mark.parametrize("batch", [1, 20_000])
async def test_an_archive_that_a_batch_refused_counts_at_the_end(
    collection: Collection, batch: int
) -> None:
    collection.publish(KEY, make_zip(member_of(KEY), b"what,is,this\n1,2,3\n"))
    workflow = both(collection, batch=batch, intervals=["1h", "4h", "1d"])
    report = (await workflow.run()).report
    assert (report.status, report.exit_code) == ("partial", 4)
    assert workflow.ingested is not None
    found = workflow.ingested
    assert (found.status, found.exit_code, found.problem_count) == ("partial", 4, 1)
    assert [(each["key"], each["state"]) for each in found.problems] == [(KEY, "refused")]
    totals = found.to_mapping()["totals"]
    assert (totals["archives"], totals["unchanged"], totals["refused"]) == (2, 0, 1)


def rows_of(root: Path) -> list[tuple[Any, ...]]:
    with Lake.open(root) as lake:
        order = "ORDER BY interval, open_time"
        found: list[tuple[Any, ...]] = lake.sql(f"FROM spot.klines {order}").fetchall()
    return found


def lake_is_whole(root: Path) -> bool:
    with Lake.open(root) as lake:
        return all(each.is_whole for each in verify_tables(lake.catalog, lake.tables))


@pytest.mark.parametrize("batch", [1, 20_000])
@pytest.mark.parametrize("changes", [False, True])
async def test_data_files_that_are_gone_or_cut_are_mended(
    collection: Collection, batch: int, changes: bool
) -> None:
    """Also of archives that the run does not collect, or that have a new version in it."""
    collected = {**EVERY, "intervals": ["1h", "4h", "6h", "8h", "12h", "1d"]}
    await both(collection, **collected).run()
    right = rows_of(collection.root)
    data = collection.root / ".lakehouse/lake/warehouse/spot/klines/data"
    files = sorted(data.rglob("*.parquet"))
    for path in files[:3]:
        path.unlink()
    for path in files[3:]:
        path.write_bytes(path.read_bytes()[:-1])
    if changes:
        lines = zip_text(collection.path(KEY).read_bytes()).splitlines(keepends=True)
        collection.publish(KEY, make_zip(member_of(KEY), b"".join(lines[:-1])))
        collection.path(KEY).unlink()
    assert not lake_is_whole(collection.root)
    chosen = {**collected, "intervals": ["1h", "4h", "1d"]}
    workflow = both(collection, batch=batch, **chosen)
    report = (await workflow.run()).report
    assert (report.status, report.exit_code) == ("complete", 0)
    assert workflow.ingested is not None
    assert workflow.ingested.mended_files == len(files) == 6
    assert lake_is_whole(collection.root)
    found = rows_of(collection.root)
    assert len(found) == len(right) - changes
    assert set(found) <= set(right)
    second = both(collection, batch=batch, **chosen)
    await second.run()
    assert second.ingested is not None
    assert (second.ingested.mended_files, second.ingested.archives) == (0, 0)


async def test_lost_records_are_mended_by_a_batch_and_told_at_the_end(
    collection: Collection,
) -> None:
    """One of an archive that has no zip any more, and is not collected again."""
    hours = {**EVERY, "intervals": ["1h", "4h", "1d"]}
    await both(collection, **hours).run()
    right = rows_of(collection.root)
    (path,) = (collection.root / ".lakehouse/lake/warehouse/lakehouse").rglob("*.parquet")
    path.unlink()
    collection.path(KEY).unlink()
    workflow = both(collection, batch=1, **{**EVERY, "intervals": ["4h", "6h", "1d"]})
    report = (await workflow.run()).report
    assert report.exit_code == 4
    assert workflow.ingested is not None
    assert [(each["key"], each["state"]) for each in workflow.ingested.problems] == [
        (KEY, "unrecorded")
    ]
    assert [row for row in rows_of(collection.root) if "6h" not in row] == right
    assert lake_is_whole(collection.root)


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
