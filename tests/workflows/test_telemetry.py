"""Metrics and traces of runs, as a receiver of OpenTelemetry gets them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from prometheus_client.parser import text_string_to_metric_families
from tests.services.otlp import Receiver, attributes, otlp_receiver
from tests.workflows.conftest import Collection
from tests.workflows.lakes import tree

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.sinks import OpenTelemetry
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows import (
    ArchiveCollectionWorkflow,
    CollectAndIngest,
    IngestWorkflow,
    LakeConfig,
    Monitoring,
    run_pipeline,
    run_verification,
)

OWN = "crypto_lakehouse."


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with otlp_receiver() as found:
        yield found


def samples(path: Path) -> dict[str, float]:
    """What a file for Prometheus has, named as `Receiver.values` does."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = ",".join(f"{name}={sample.labels[name]}" for name in sorted(sample.labels))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def told(span: Any) -> dict[str, Any]:
    """The attributes of a span that are ours, without their prefix."""
    found = {name.removeprefix(OWN): value for name, value in attributes(span).items()}
    return {name: value for name, value in found.items() if name != "run_id"}


async def test_metrics_are_those_of_prometheus_and_spans_nest(
    collection: Collection, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=mine,team=a")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    collection.server.inject("*2025-07-17*", faults.Status(404), endless=True)
    path, days = tmp_path / "lake.prom", {"start": "2025-07-15", "end": "2025-07-17"}
    values = {**collection.config, "default_date": None, "date_range": days, "max_retries": 0}
    values |= {"metrics_textfile": str(path), "otlp_endpoint": receiver.url}
    values["source_url"] = collection.server.url.replace("://", "://user:pa55word@")
    report = await collection.run(**values)
    assert report.warnings == ()
    assert "s3cret" not in path.read_text()
    assert {each["Authorization"] for each in receiver.headers} == {"Bearer s3cret"}
    assert receiver.values() == samples(path)
    resource = attributes(receiver.metrics[-1].resource_metrics[0].resource)
    assert (resource["service.name"], resource["service.instance.id"]) == (
        "crypto-lakehouse", "mine",
    )  # fmt: skip
    assert "pa55word" not in f"{receiver.traces}{receiver.metrics}"
    run, batch = receiver.spans
    totals = {"archives.verified": 2, "archives.missing": 1}
    assert (run.name, batch.name) == ("archive_collection", "archive_collection batch")
    assert batch.parent_span_id == run.span_id
    assert run.parent_span_id == b""
    assert told(batch).items() >= totals.items()
    assert told(run).items() >= {"planned": 3, "status": "partial", **totals}.items()
    assert [run.status.code, batch.status.code] == [2, 2]
    (event,) = batch.events
    assert attributes(event)[OWN + "problem"] == "missing"
    assert attributes(event)[OWN + "key"].endswith("BTCUSDT-1h-2025-07-17.zip")


@pytest.mark.parametrize("fault", ["absent", "refusing", "redirecting", "hanging"])
async def test_a_receiver_that_fails_changes_nothing_but_a_warning(
    collection: Collection, receiver: Receiver, fault: str
) -> None:
    endpoint = receiver.url
    if fault == "absent":
        with socket.create_server(("127.0.0.1", 0)) as taken:
            endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
    elif fault in {"refusing", "redirecting"}:
        receiver.status = 403 if fault == "refusing" else 307
    else:
        receiver.held = anyio.Event()
    values = {**collection.config, "otlp_endpoint": endpoint}
    workflow = ArchiveCollectionWorkflow(WorkflowConfig(values, environ={}))
    assert workflow.monitoring.traces is not None
    workflow.monitoring.traces.last_send_s = 0.05
    report = await workflow.run()
    assert report.exit_code == 0
    assert report.success_rate == 100.0
    (warning,) = report.warnings
    said = "has not taken all telemetry within 0.05 s" if fault == "hanging" else "exports"
    assert said in warning or "has not taken" in warning
    assert receiver.metrics == receiver.traces == []


async def test_workflows_of_one_run_are_below_one_span(
    collection: Collection, receiver: Receiver
) -> None:
    values = {**collection.config, "otlp_endpoint": receiver.url}
    lake = LakeConfig(output_directory=str(collection.root), environ={})
    await CollectAndIngest(WorkflowConfig(values, environ={}), lake).run()
    whole, collected, _, ingestion, batch = receiver.spans
    assert [whole.name, collected.name, ingestion.name] == [
        "collect_and_ingest", "archive_collection", "ingest",
    ]  # fmt: skip
    assert collected.parent_span_id == ingestion.parent_span_id == whole.span_id
    assert batch.parent_span_id == ingestion.span_id
    assert told(batch) == {"ingested.ingested": 1, "rows": 24, "commits": 1}
    assert len({span.trace_id for span in receiver.spans}) == 1
    assert receiver.values()["crypto_lakehouse_lake_rows_total{table=spot.klines}"] == 24


async def test_a_verification_and_steps_of_a_pipeline_have_spans_too(
    receiver: Receiver, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    archives = tree(root)
    steps = {"load": {"run": "ingest"}, "check": {"run": "verify", "needs": ["load"]}}
    values = {"output_directory": str(root), "otlp_endpoint": receiver.url}
    await run_pipeline({**values, "pipelines": {"all": {"steps": steps}}})
    assert [span.name for span in receiver.spans] == [
        "pipeline", "ingest", "ingest batch", "verification", "verification batch",
    ]  # fmt: skip
    assert told(receiver.spans[-1]) == {"files.ok": 3}
    receiver.traces.clear()
    (root / archives[0].key).write_bytes(b"damaged")
    config = WorkflowConfig(values, only="failed", environ={})
    assert (await run_verification(config)).exit_code == 4
    run, batch = receiver.spans
    assert told(batch) == {"files.ok": 2, "files.damaged": 1}
    assert [run.status.code, batch.status.code] == [2, 2]


async def test_faults_of_the_environment_are_said_with_all_others_before_anything(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "s3cret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    file = str(tmp_path / "none" / "lake.prom")
    with pytest.raises(ConfigurationError) as raised:
        await collection.run(otlp_endpoint="http://127.0.0.1:4318", metrics_textfile=file)
    assert [problem.path for problem in raised.value.problems] == [
        "$.metrics_textfile", "$.otlp_endpoint", "$.otlp_endpoint",
    ]  # fmt: skip
    assert "s3cret" not in str(raised.value)
    monkeypatch.undo()
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "-1")
    with pytest.raises(ConfigurationError, match="a variable of OpenTelemetry is not valid"):
        await collection.run(otlp_endpoint="http://127.0.0.1:4318")
    assert not collection.root.exists()


async def test_a_provider_that_raises_ends_no_run(
    collection: Collection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(SpanProcessor):
        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            raise OSError("https://me:s3cret@receiver.example is away")

    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(Raising())
    watched = Monitoring.of_application(OpenTelemetry(MeterProvider(), tracers))
    tree(tmp_path / "data")
    lake = LakeConfig(output_directory=str(tmp_path / "data"), environ={})
    assert (await IngestWorkflow(lake, monitoring=watched).run()).report.exit_code == 0
    config = WorkflowConfig(collection.config, environ={})
    workflow = ArchiveCollectionWorkflow(config, monitoring=watched.of_several("all"))
    assert (await workflow.run()).exit_code == 0
    assert "spans are given up" in caplog.text
    assert "s3cret" not in caplog.text
