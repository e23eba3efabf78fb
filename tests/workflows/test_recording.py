"""Recordings as an application and the command line make them."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.live.recording import MARKETS, ExchangeTime
from tests.services.bucket import Bucket

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, LockHeldError, SelectionError
from crypto_lakehouse.core.events import (
    Event,
    HoleRecorded,
    RecordingSeen,
    RunFinished,
    RunStarted,
)
from crypto_lakehouse.core.metrics import MetricsCollector
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.live_segment import LiveMessage, read_live_from
from crypto_lakehouse.sinks.recording import RecordingSink
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.testing import ExchangeServer, faults
from crypto_lakehouse.workflows import RecordingWorkflow, RecordReport


@pytest.fixture
async def exchange() -> AsyncIterator[ExchangeServer]:
    async with ExchangeServer() as server:
        yield server


def config(exchange: ExchangeServer, output: object, **values: Any) -> WorkflowConfig:
    record = {
        "urls": {market: exchange.ws_url(market) for market in MARKETS},
        **values.pop("record", {}),
    }
    return WorkflowConfig(
        {
            "output_directory": str(output),
            "markets": ["spot"],
            "symbols": ["BTCUSDT"],
            "only": "failed",
            "fill": {"urls": {market: exchange.url(market) for market in MARKETS}},
            "record": record,
            **values,
        },
        environ={},
    )


async def record(exchange: ExchangeServer, settings: WorkflowConfig, for_s: int) -> RecordReport:
    """Record for some seconds of the exchange's time."""
    workflow = RecordingWorkflow(settings, for_s=for_s, times=ExchangeTime(exchange).times)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(move, exchange)
        report = await workflow.run()
        tasks.cancel_scope.cancel()
    return report


async def move(exchange: ExchangeServer) -> None:
    """Move the exchange's time as soon as something is recorded."""
    await exchange.connected()
    while True:
        for _ in range(20):
            await asyncio.sleep(0)
        exchange.clock.advance(1)
        await exchange.settled()


def stored(settings: WorkflowConfig) -> list[tuple[str, list[LiveMessage]]]:
    """The segments of an output, with their messages."""
    store: Any = output_of(settings).store
    return [
        (key, [line for line in read_live_from(store, key)[1] if isinstance(line, LiveMessage)])
        for key, _ in store.segments(lambda *_: None, Origin.LIVE)
    ]


async def test_segments_of_each_kind_are_stored_and_counted(
    exchange: ExchangeServer, tmp_path: Path
) -> None:
    exchange.script_connection("spot/*", faults.SkipMessages(at=20))
    settings = config(
        exchange, tmp_path, symbols=["BTC*", "ETHUSDT"],
        record={"streams": ["aggTrade", "trade"], "rotate": "5m"},
    )  # fmt: skip
    report = await record(exchange, settings, 330)
    segments = stored(settings)
    assert len(segments) == report.segments >= 4
    assert {key.split("/")[2] for key, _ in segments} == {"aggTrade", "trade"}
    assert report.streams == 4
    assert report.messages == {
        f"spot {kind}": sum(
            len([each for each in lines if each.connection]) for key, lines in segments
            if f"/{kind}/" in key
        )
        for kind in ("aggTrade", "trade")
    }  # fmt: skip
    assert report.filled + report.hole_count == 1
    assert report.exit_code == (3 if report.hole_count else 0)
    assert json.loads(json.dumps(report.to_mapping()))["recording"] == report.run_id


async def test_sinks_get_what_was_seen_and_each_hole(
    exchange: ExchangeServer, tmp_path: Path
) -> None:
    exchange.script_connection("spot/*", faults.SkipMessages(at=4))
    exchange.inject("spot/api/v3/trades", *[faults.Status(400)] * 9)
    events: list[Event] = []
    shown = io.StringIO()
    metrics = MetricsCollector()
    workflow = RecordingWorkflow(
        config(exchange, tmp_path, record={"streams": ["trade"]}),
        sinks=[events.extend, RecordingSink(stream=shown)],
        metrics_collector=metrics,
        for_s=60,
        times=ExchangeTime(exchange).times,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(move, exchange)
        report = await workflow.run()
        tasks.cancel_scope.cancel()
    assert [type(each) for each in (events[0], events[-1])] == [RunStarted, RunFinished]
    [hole] = [each for each in events if isinstance(each, HoleRecorded)]
    assert (hole.stream, hole.first) == ("btcusdt@trade", hole.last)
    seen = [each for each in events if isinstance(each, RecordingSeen)]
    assert len(seen) > 5
    assert seen[-1] == metrics.recorded
    assert (seen[-1].messages, seen[-1].holes) == (report.messages["spot trade"], 1)
    assert seen[-1].lag_us is not None
    assert seen[-1].skew_us is not None
    assert metrics.get_metrics()["recorded"]["segments"] == report.segments == 1
    lines = shown.getvalue().splitlines()
    assert lines[0].endswith(" of 1 stream, 0 holes, 0 reconnects") or "ms late" in lines[0]
    assert f"hole in spot btcusdt@trade: {hole.cause}" in lines


async def test_a_recording_is_stopped_in_order(exchange: ExchangeServer, tmp_path: Path) -> None:
    settings = config(exchange, tmp_path)
    workflow = RecordingWorkflow(settings, times=ExchangeTime(exchange).times)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(workflow.run)
        await exchange.connected()
        with pytest.raises(LockHeldError):
            await RecordingWorkflow(settings).run()
        tasks.start_soon(move, exchange)
        while not workflow.report().size_bytes:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        workflow.stop(143)
        while not workflow.report().segments:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        tasks.cancel_scope.cancel()
    report = workflow.report()
    assert (report.exit_code, report.status) == (143, "interrupted")
    [(_, lines)] = stored(settings)
    assert len(lines) == sum(report.messages.values()) > 0


async def test_other_streams_can_be_chosen_while_it_runs(
    exchange: ExchangeServer, tmp_path: Path
) -> None:
    settings = config(exchange, tmp_path)
    workflow = RecordingWorkflow(settings, times=ExchangeTime(exchange).times)
    with pytest.raises(RuntimeError, match="only while they are recorded"):
        await workflow.change(settings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(workflow.run)
        tasks.start_soon(move, exchange)
        await exchange.connected()
        with pytest.raises(SelectionError, match=r"`ETHUSTD`.*did you mean `ETHUSDT`"):
            await workflow.change(settings.replace(symbols=["BTCUSDT", "ETHUSTD"]))
        with pytest.raises(ConfigurationError, match="markets: it cannot change while"):
            await workflow.change(settings.replace(markets=["futures_um"]))
        with pytest.raises(ConfigurationError, match="record: it cannot change while"):
            await workflow.change(settings.replace(record={"rotate": "5m"}))
        assert len(exchange.connections) == 1
        change = await workflow.change(settings.replace(symbols=["ETHUSDT", "BTC*"]))
        assert (change.added, change.removed, change.streams) == (1, 0, 2)
        change = await workflow.change(settings.replace(symbols=["ETHUSDT"]))
        assert (change.added, change.removed, change.streams) == (0, 1, 1)
        workflow.stop()
        while not workflow.report().segments:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        tasks.cancel_scope.cancel()
    report = workflow.report()
    assert (report.streams, report.hole_count) == (1, 0)
    [(_, lines)] = stored(settings)
    assert len(lines) == report.messages["spot aggTrade"] > 0


async def test_a_place_that_is_refused_is_said_once(
    exchange: ExchangeServer, tmp_path: Path
) -> None:
    exchange.refuse(Market.SPOT, 451)
    report = await RecordingWorkflow(config(exchange, tmp_path)).run()
    assert report.exit_code == 5
    assert "does not serve the place" in report.error
    assert exchange.connections == []


async def test_an_unknown_symbol_is_named_with_the_nearest_one(
    exchange: ExchangeServer, tmp_path: Path
) -> None:
    settings = config(exchange, tmp_path, symbols=["BTCUSDT", "ETHUSTD"])
    with pytest.raises(SelectionError, match=r"`ETHUSTD`.*did you mean `ETHUSDT`"):
        await RecordingWorkflow(settings).run()
    with pytest.raises(SelectionError, match="no stream of the exchange fits"):
        await RecordingWorkflow(config(exchange, tmp_path, symbols=["NO*"])).run()
    assert exchange.connections == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="markets: no streams"):
        RecordingWorkflow(config(exchange, tmp_path, markets=["options"]))


async def test_segments_go_to_the_object_store_beside_one_that_is_damaged(
    exchange: ExchangeServer,
    tmp_path: Path,
    rclone_bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is of an earlier recording, which could not store it; the report says so."""
    rclone_bucket.give_credentials(monkeypatch)
    settings = config(
        exchange, rclone_bucket.fresh_prefix(), storage=rclone_bucket.storage,
        state_directory=str(tmp_path / "state"),
        record={"streams": [StreamKind.TRADE], "rotate": "5m"},
    )  # fmt: skip
    output_of(settings).state.make()
    left = output_of(settings).stage.root / "live/spot/trade/2026-05-08"
    left.mkdir(parents=True)
    (left / "trade-2026-05-08T11-0000-0123abcd.jsonl.zst").write_bytes(b"damaged")
    report = await record(exchange, settings, 330)
    segments = stored(settings)
    assert len(segments) == report.segments == 2
    assert sum(len(lines) for _, lines in segments) == sum(report.messages.values())
    assert [path.name for path in (tmp_path / "state").rglob("*.zst*")] == [
        "trade-2026-05-08T11-0000-0123abcd.jsonl.zst"
    ]
    assert (report.status, report.undelivered, report.exit_code) == ("partial", 1, 3)
    [note] = [each for each in report.warnings if "is not stored" in each]
    assert "trade-2026-05-08T11-0000-0123abcd" in note
