"""Metrics and spans for OpenTelemetry: where they go, and what batches and runs become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from anyio import to_thread
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.services.otlp import otlp_receiver
from tests.sinks.conftest import (
    ARCHIVE,
    FINISHED,
    NOON,
    RETRIED,
    STARTED,
    WARNED,
    finished,
)

from crypto_lakehouse.core.events import (
    ArchivesUnchanged,
    FillFinished,
    HoleRecorded,
    RecordingIngested,
    RecordingSeen,
    RunFinished,
    RunNoted,
)
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.table_events import ArchiveIngested
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks import OpenTelemetry
from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.sinks.otel.endpoints import endpoint_faults, endpoints
from crypto_lakehouse.sinks.otel.otlp import open_sender
from crypto_lakehouse.sinks.otel.spans import BATCH_NS, RunSpans

URL = "https://receiver.example"
BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{URL}/otlp/"}
OWN = "crypto_lakehouse."


@pytest.mark.parametrize(
    ("endpoint", "environ", "wanted"),
    [
        (f"{URL}/", {}, {"metrics": f"{URL}/v1/metrics", "traces": f"{URL}/v1/traces"}),
        (URL, BASE | {"OTEL_TRACES_EXPORTER": "none"}, {"metrics": f"{URL}/v1/metrics"}),
        (URL, {"OTEL_SDK_DISABLED": "true"}, {}),
        ("environment", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": URL}, {"traces": URL}),
        (
            "environment",
            {**BASE, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://other.example/m"},
            {"metrics": "https://other.example/m", "traces": f"{URL}/otlp/v1/traces"},
        ),
    ],
)
def test_only_a_receiver_that_is_named_gets_anything(
    endpoint: str, environ: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    assert endpoints(endpoint, environ) == wanted
    assert [*endpoint_faults(endpoint, environ)] == []


@pytest.mark.parametrize(
    ("endpoint", "environ", "fault"),
    [
        ("environment", {}, "`OTEL_EXPORTER_OTLP_ENDPOINT` is not set"),
        ("environment", {"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, "absolute http://"),
        ("environment", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[s3cret"}, "not a URL"),
        (
            "environment",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:s3cret@receiver.example"},
            "must not have credentials",
        ),
        (URL, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "only `http/protobuf` is spoken"),
        (URL, {"OTEL_EXPORTER_OTLP_HEADERS": "s3cret"}, "is not NAME=VALUE"),
        (URL, {"OTEL_EXPORTER_OTLP_HEADERS": "a=b, key=s3cret%0a"}, "is not NAME=VALUE"),
        (URL, {"OTEL_EXPORTER_OTLP_HEADERS": 'key="s3cret"'}, "is not NAME=VALUE"),
        (
            "http://receiver.example",
            {"OTEL_EXPORTER_OTLP_METRICS_HEADERS": "key=s3cret"},
            "would be sent without encryption; write https:// for metrics",
        ),
        (URL, {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/none.pem"}, "does not exist: `/none.pem`"),
    ],
)
def test_what_cannot_be_sent_or_would_show_a_secret_is_refused(
    endpoint: str, environ: Mapping[str, str], fault: str
) -> None:
    found = [*endpoint_faults(endpoint, environ)]
    assert found
    assert all(fault in each for each in found)
    assert "s3cret" not in str(found)


class Spans:
    """The spans of a run, and a clock."""

    def __init__(self) -> None:
        self.now_ns = 10**18
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.sink = RunSpans(provider.get_tracer("test"), clock=lambda: self.now_ns)

    def ended(self) -> list[tuple[str, dict[str, Any], bool]]:
        """The name, the attributes without their prefix, and whether it is an error."""
        found = [
            (span.name, plain(span.attributes), not span.status.is_unset)
            for span in self.exporter.get_finished_spans()
        ]
        self.exporter.clear()
        return found


def plain(attributes: Any) -> dict[str, Any]:
    return {name.removeprefix(OWN): value for name, value in attributes.items()}


async def test_a_batch_ends_with_its_size_or_after_five_seconds() -> None:
    spans = Spans()
    await spans.sink.handle([RETRIED, STARTED, RunNoted(message="quiet"), finished()])
    await spans.sink.flush()
    assert spans.ended() == []
    await spans.sink.handle([ArchivesUnchanged(ARCHIVE.folder, 511, lambda: iter(()))])
    counts = {"archives.verified": 1, "archives.unchanged": 511, "retries": 1}
    assert spans.ended() == [("test batch", counts, False)]
    spans.now_ns += BATCH_NS
    await spans.sink.flush()
    assert spans.ended() == []  # nothing was settled
    await spans.sink.handle([finished(requests=2, fetched_bytes=50)])
    spans.now_ns += BATCH_NS
    await spans.sink.flush()
    fetched = {"archives.verified": 1, "requests": 2, "received_bytes": 50}
    assert spans.ended() == [("test batch", fetched, False)]
    await spans.sink.handle([FINISHED])
    ((name, told, _),) = spans.ended()
    assert name == "test"
    assert told.items() >= {"archives.verified": 2, "archives.unchanged": 511}.items()
    await spans.sink.close()
    assert spans.ended() == []


async def test_errors_are_named_up_to_a_number_and_counted_beyond() -> None:
    spans = Spans()
    await spans.sink.handle([STARTED, *[finished(Verdict.CORRUPT, reason="why")] * 12])
    await spans.sink.handle([WARNED] * 12)
    await spans.sink.close()
    batch, run = spans.exporter.get_finished_spans()
    assert len(batch.events) == 10
    named = {"problem": "corrupt", "key": ARCHIVE.key, "reason": "why"}
    assert plain(batch.events[0].attributes) == named
    assert batch.status.description == "12 need attention"
    assert len(run.events) == 10
    assert plain(run.attributes).items() >= {"warnings": 12, "status": "failed"}.items()
    assert run.status.description == "the run has ended early"


async def test_a_run_that_fails_before_it_has_a_plan_is_a_span() -> None:
    spans = Spans()
    failed = RunFinished(run_id="r", status="failed", at=NOON, reason="the source is away")
    await spans.sink.handle([failed])
    assert spans.ended() == [("run", {"status": "failed", "error.type": "failed"}, True)]


def test_fills_recordings_and_tables_are_counted() -> None:
    spans = Spans()
    day = FillFinished(archive=ARCHIVE, verdict=FillVerdict.FAILED, requests=3, at=NOON)
    seen = RecordingSeen(
        streams=2, messages=90, size_bytes=900, duplicates=0, unreadable=0, filled=0, holes=1,
        connections=1, reconnects=0, segments=1, at=NOON,
    )  # fmt: skip
    spans.sink.take([
        STARTED, day, seen, RecordingIngested(rows=5, fault="full", at=NOON),
        HoleRecorded(market="spot", stream="btcusdt@trade", cause="away"),
        ArchiveIngested(archive=ARCHIVE, table="spot.trades", state="refused"),
        RunFinished(run_id="r", status="interrupted", at=NOON),
    ])  # fmt: skip
    (_, batch, is_error), (_, run, _) = spans.ended()
    assert is_error
    assert batch == {
        "fills.failed": 1, "requests": 3, "live.ingestions": 1, "rows": 5, "live.holes": 1,
        "ingested.refused": 1,
    }  # fmt: skip
    assert run.items() >= {"live.messages": 90, "live.holes": 1}.items()


async def test_an_application_gets_metrics_and_spans_by_its_own_providers() -> None:
    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([reader], shutdown_on_exit=False)
    counted = CountingSink(ByteMeter(received_bytes=70, parallel=16))
    telemetry = OpenTelemetry(meters, tracers, counted=counted)
    answers = ((200, 0.02), (503, 0.3))
    with tracers.get_tracer("application").start_as_current_span("theirs") as theirs:
        sink = telemetry.sink()
        await sink.handle([STARTED, finished(requests=2, elapsed_s=0.7, answers=answers), FINISHED])
        await sink.flush()
        await sink.close()
    batch, run, _ = exporter.get_finished_spans()
    assert run.parent == theirs.get_span_context()
    assert batch.parent == run.context
    found = dict(_points(reader.get_metrics_data()))
    name = "crypto_lakehouse_"
    group = (("data_type", "trades"), ("market", "spot"), ("verdict", "verified"))
    assert found[f"{name}archives", group] == 1
    assert found[f"{name}request_seconds_count", ()] == 2
    assert found[f"{name}request_seconds_sum", ()] == pytest.approx(0.32)
    assert found[f"{name}received_bytes", ()] == 70
    assert (f"{name}holes", ()) not in found


def _points(data: Any) -> Iterable[tuple[tuple[str, Any], float]]:
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            yield (metric.name, tuple(sorted(point.attributes.items()))), point.value


async def test_histograms_are_those_since_the_last_export_if_that_is_preferred(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    event, name = finished(requests=1, answers=((200, 0.02),)), "crypto_lakehouse_request_seconds"
    async with otlp_receiver() as receiver:
        counted = CountingSink()
        sender = open_sender(receiver.url, counted)
        counted.figures.count([event])
        meters = sender.telemetry.meter_provider
        assert isinstance(meters, MeterProvider)
        await to_thread.run_sync(meters.force_flush)
        first = receiver.values()
        counted.figures.count([event, event])
        assert await to_thread.run_sync(sender.close, 60) == ""
        second = receiver.values()
    assert [each[f"{name}_count"] for each in (first, second)] == [1, 2]
    assert second[f"{name}_sum"] == pytest.approx(0.04)
    assert second[f"{name}_bucket{{le=0.025}}"] == 2
