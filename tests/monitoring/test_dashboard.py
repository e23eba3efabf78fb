"""The shipped dashboard: as its code makes it, and with data in every panel."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.monitoring.dashboard_source import dashboard_json, expressions
from tests.services.prometheus import prometheus
from tests.services.running import free_port
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import FillFinished, RecordingSeen, RunWarned
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.table_events import TableCommitted
from crypto_lakehouse.sinks.prometheus_metrics import METRICS, meter_values
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows import (
    ArchiveCollectionWorkflow,
    IngestWorkflow,
    LakeConfig,
    Monitoring,
    run_verification,
)
from crypto_lakehouse.workflows.monitoring.shipped import shipped

SEGMENT = Archive.parse("rest/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.jsonl.zst")


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shipped("dashboard"))["panels"]
    return found


def test_it_is_what_its_code_makes() -> None:
    assert shipped("dashboard") == dashboard_json(), (
        "run: python -m tests.monitoring.dashboard_source"
    )


def test_it_asks_for_its_data_source_and_names_metrics_that_there_are() -> None:
    made = json.loads(shipped("dashboard"))
    assert [each["name"] for each in made["__inputs"]] == ["DS_PROMETHEUS"]
    assert (made["uid"], "id" in made) == ("crypto-lakehouse", False)
    sources = re.findall(r'"uid": "([^"]*)"', json.dumps(made["panels"]))
    assert set(sources) == {"${DS_PROMETHEUS}"}
    assert len({panel["id"] for panel in panels()}) == len(panels())
    known = {spec.name for spec in (*METRICS, *(spec for spec, _ in meter_values(ByteMeter())))}
    named = set(re.findall(r"crypto_lakehouse_\w+", json.dumps(expressions(panels()))))
    assert {name.removesuffix("_bucket") for name in named} <= known


async def test_every_expression_finds_what_a_run_has_done(
    collection: Collection, tmp_path: Path
) -> None:
    port, root = free_port(), str(collection.root)
    values = {**collection.config, "serve": port, "freshness": {"*": "36h"}}
    config = WorkflowConfig(values, environ={})
    lake = LakeConfig(output_directory=root, environ={})
    watched = Monitoring.of(config)
    watched.watch([("collect", config)])
    collection.server.inject("*2025-07-14*", faults.Status(503))
    collection.server.inject("*2025-07-16*", faults.Status(404), endless=True)
    async with watched:
        with prometheus(tmp_path, port) as server:
            for number, day in enumerate(("2025-07-15", "2025-07-14", "2025-07-16"), 1):
                await ArchiveCollectionWorkflow(
                    config.replace(default_date=day),
                    retry=collection.retry,
                    monitoring=watched.shared(),
                ).run()
                await IngestWorkflow(lake, monitoring=watched.shared()).run()
                _record_and_fill(watched, number)
                await run_verification(config, monitoring=watched.shared())
                ended = 'sum(crypto_lakehouse_runs_total{workflow="verification"})'
                await server.until(ended, [number])
            for expression in expressions(panels()):
                asked = expression.replace("$__rate_interval", "1m")
                async for found in server.changes(asked):
                    if found and not any(map(math.isnan, found)):
                        break


def _record_and_fill(watched: Monitoring, number: int) -> None:
    """Tell what a recording and a fill would, as there is no exchange."""
    now = datetime.now(UTC)
    watched.tell(
        RunWarned(message="made up"),
        FillFinished(archive=SEGMENT, verdict=FillVerdict.FILLED, rows=24, at=now, weight=4),
        TableCommitted(table="spot.trades", scored_rows=10, recorded_rows=9),
        RecordingSeen(
            streams=2, messages=9 * number, size_bytes=90, duplicates=1, unreadable=0, filled=3,
            holes=number, connections=1, reconnects=number, segments=1, lag_us=2_000, at=now,
        ),
    )  # fmt: skip
