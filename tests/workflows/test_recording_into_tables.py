"""A recording that brings its segments into tables, by processes of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from tests.live.recording import ExchangeTime
from tests.services.bucket import Bucket
from tests.workflows.test_ingested_recordings import header, store, trade
from tests.workflows.test_recording import config, move, stored

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, LakeError
from crypto_lakehouse.core.events import Event, RecordingIngested
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.testing import ExchangeServer
from crypto_lakehouse.workflows import LakeConfig, RecordingWorkflow, RecordReport, run_recording
from crypto_lakehouse.workflows.micro_batches import MicroBatches
from crypto_lakehouse.workflows.wiring.lake_at import lake_at

TRADES = {"streams": ["trade"], "ingest": True}


@pytest.fixture
async def exchange() -> AsyncIterator[ExchangeServer]:
    async with ExchangeServer() as server:
        yield server


async def record(
    exchange: ExchangeServer, settings: WorkflowConfig, for_s: int, **more: Any
) -> RecordReport:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(move, exchange)
        report = await run_recording(
            settings, for_s=for_s, times=ExchangeTime(exchange).times, **more
        )
        tasks.cancel_scope.cancel()
    return report


def sent(settings: WorkflowConfig) -> set[int]:
    """The ids of the trades in all segments."""
    return {json.loads(line.body)["data"]["t"] for _, lines in stored(settings) for line in lines}


def in_table(lake: Lake, *, live: bool = False) -> list[int]:
    return sorted(lake.scan("spot.trades", live=live).polars().collect()["id"])


async def test_segments_are_in_the_tables_when_it_ends(
    exchange: ExchangeServer, tmp_path: Path
) -> None:
    settings = config(exchange, tmp_path, record=TRADES)
    events: list[Event] = []
    report = await record(exchange, settings, 330, sinks=[events.extend])
    assert report.segments == 2
    assert report.ingested is not None
    assert (report.exit_code, report.warnings, report.ingested.fault) == (0, (), "")
    ids = sorted(sent(settings))
    with Lake.open(tmp_path) as lake:
        assert in_table(lake) == in_table(lake, live=True) == ids
    assert report.to_mapping()["ingested"]["rows"] == len(ids) > 0
    told = [each for each in events if isinstance(each, RecordingIngested)]
    assert sum(each.rows for each in told) == len(ids)
    assert len(told) == report.ingested.runs


async def test_tables_and_segments_may_be_in_an_object_store(
    exchange: ExchangeServer,
    tmp_path: Path,
    rclone_bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rclone_bucket.give_credentials(monkeypatch)
    place, state = rclone_bucket.fresh_prefix(), str(tmp_path / "state")
    settings = config(
        exchange, place, storage=rclone_bucket.storage, state_directory=state, record=TRADES
    )
    report = await record(exchange, settings, 330)
    assert report.ingested is not None
    assert (report.exit_code, report.ingested.failed) == (0, 0)
    lake = Lake.open(place, storage=rclone_bucket.storage, state_directory=state)
    with lake:
        assert in_table(lake) == sorted(sent(settings)) != []


@pytest.mark.parametrize(
    ("values", "error", "reason"),
    [
        ({"lake": "file/lake"}, ConfigurationError, "file/lake` cannot be made|not a directory"),
        ({"catalog": "postgresql://localhost:9/none"}, LakeError, "cannot be reached|refused"),
        ({"format": "parquet"}, ConfigurationError, "plain Parquet files have no recordings"),
    ],
)
async def test_tables_that_cannot_be_filled_are_refused_before_anything_is_recorded(
    exchange: ExchangeServer, tmp_path: Path, values: dict[str, str], error: Any, reason: str
) -> None:
    (tmp_path / "file").touch()
    if "lake" in values:
        values = {"lake": str(tmp_path / values["lake"])}
    settings = config(exchange, tmp_path / "out", record=TRADES)
    lake = LakeConfig({"output_directory": str(tmp_path / "out"), **values}, environ={})
    with pytest.raises(error, match=reason):
        await run_recording(settings, lake=lake)
    assert exchange.connections == []
    assert not (tmp_path / "out/live").exists()


async def test_the_last_ingestion_is_not_waited_for_if_it_is_stopped_again(
    exchange: ExchangeServer, tmp_path: Path
) -> None:
    """Here it waits for another run, which holds the lake; the next recording ingests all."""
    settings = config(exchange, tmp_path, record=TRADES)
    times = ExchangeTime(exchange).times
    lock = lake_at(LakeConfig({"output_directory": str(tmp_path)}, environ={})).lock
    workflow = RecordingWorkflow(settings, times=times)
    moving = asyncio.ensure_future(move(exchange))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(workflow.run)
        await exchange.connected()
        with output_lock(lock):
            while not workflow.report().size_bytes:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
            workflow.stop(143)
            while not workflow.report().segments:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
            workflow.stop(143)
    moving.cancel()
    report = workflow.report()
    assert (report.exit_code, report.segments) == (143, 1)
    assert report.ingested is not None
    assert "their ingestion was ended" in report.ingested.fault
    assert report.warnings == (report.ingested.fault,)

    second = await record(exchange, settings, 30)
    assert second.exit_code == 0
    with Lake.open(tmp_path) as lake:
        assert in_table(lake) == sorted(sent(settings))


async def test_a_slow_ingestion_and_its_faults_are_said_once(
    exchange: ExchangeServer, tmp_path: Path
) -> None:
    """Segments are stored while an ingestion runs; it finds one that is damaged."""
    lake = LakeConfig({"output_directory": str(tmp_path)}, environ={})
    key = store(tmp_path, header("aaaaaaaa"), [trade(1, "10")])
    (tmp_path / key).write_bytes(b"damaged")
    events: list[RecordingIngested] = []
    notes: list[str] = []
    times = LiveTimes(sleep=lambda _: checkpoint())
    settings = config(exchange, tmp_path, record=TRADES)
    batches = MicroBatches(lake, settings, -1, times, events.append, notes.append)
    async with batches.running():
        batches.stored([])
        while not events:
            await checkpoint()
            batches.stored([key])
    slow, damaged = notes
    assert slow == "an ingestion takes longer than a segment of -1 s"
    assert damaged.startswith(f"1 file is not in the tables, the first `{key}: ")
    assert batches.counts.fault == damaged
    assert {each.fault for each in events} == {slow, damaged}
