"""From end to end: a daemon, its metrics, the shipped rules, and a source that goes silent."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.services.prometheus import Prometheus, prometheus
from tests.services.running import free_port, running

from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.monitoring.shipped import shipped

pytest.importorskip("cronsim", reason="the extra `daemon` is not installed")

STALE = "CryptoLakehouseStale"
RUNS = 'sum(crypto_lakehouse_runs_total{{workflow="{}"}})'

#: The rules see the time of the daemon, which the test moves.
NOW = "scalar(max(crypto_lakehouse_daemon_alive_timestamp_seconds))"


def publish(source: ArchiveServer, days: Iterable[date]) -> None:
    """Publish made-up archives, whatever day it is."""
    made_up = ArchiveServer(today=date(2100, 1, 1))
    for day in days:
        key = f"data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-{day}.zip"
        source.publish(key, made_up.read(key))


async def runs_end(server: Prometheus, more_than: float) -> float:
    """Wait until another collection and its ingestion have ended; return how many have."""
    for workflow in ("archive_collection", "ingest"):
        async for found in server.changes(RUNS.format(workflow)):
            if found and found[0] > more_than:
                break
    return found[0]


async def test_an_alert_fires_while_the_source_is_silent(tmp_path: Path) -> None:
    port, hours = free_port(), tmp_path / "hours"

    def put_clock(by: int) -> None:
        new = tmp_path / "new"
        new.write_text(str(by))
        new.rename(hours)  # as a whole: it may be read at any time

    # Days of the past: those that the source does not have should be there, but for the daemon.
    put_clock(-96)
    today = (datetime.now(UTC) - timedelta(hours=96)).date()
    rules = tmp_path / "rules.yaml"
    text = shipped("alerts").replace("time()", NOW)
    rules.write_text(re.sub(r"for: \w+", "for: 1s", text))
    with ArchiveServer(generate=False) as source:
        publish(source, [today - timedelta(days=days) for days in (2, 1)])
        file = tmp_path / "lake.json"
        steps = {"collect": {}, "ingest": {"needs": "collect"}}
        values = {
            "output_directory": str(tmp_path / "out"), "source_url": source.url,
            "listing_url": source.url, "markets": ["spot"], "symbols": ["BTCUSDT"],
            "data_types": ["klines"], "intervals": ["1h"], "partitions": "daily",
            "date_range": {"start": str(today - timedelta(days=2))}, "max_retries": 0,
            "processes": 1,
            "serve": port, "freshness": {"spot/klines": "36h"},
            "pipelines": {"hourly": {"every": "1h", "steps": steps}},
        }  # fmt: skip
        file.write_text(json.dumps(values))
        command = [sys.executable, "-m", "tests.monitoring.hasty_daemon", str(file), str(hours)]
        world = {"PYTHONPATH": str(Path(__file__).parents[2])}
        folder = tmp_path / "prometheus"
        folder.mkdir()
        with (
            running(command, port, tmp_path / "daemon.log", environment=world),
            prometheus(folder, port, rules) as server,
        ):
            put_clock(-95)
            done = await runs_end(server, 0)
            assert await server.evaluated(STALE) == "inactive"
            assert await server.values("sum(crypto_lakehouse_lake_rows_total)") == [48]
            put_clock(-23)  # nothing new is published
            done = await runs_end(server, done)
            await server.until_alert(STALE, "firing")
            assert await server.values("sum(crypto_lakehouse_lake_rows_total)") == [48]
            publish(source, [today + timedelta(days=days) for days in range(3)])
            put_clock(-22)
            await runs_end(server, done)
            await server.until_alert(STALE, "inactive")
            assert await server.values("sum(crypto_lakehouse_lake_rows_total)") == [120]
            assert await server.evaluated("CryptoLakehouseDaemonDown") == "inactive"
