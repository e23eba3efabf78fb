"""Exporters of the SDK that know how many exports have failed, and add histograms.

No instrument of OpenTelemetry takes values that were counted elsewhere, and to give it each value
would cost 15 us an archive. The histograms are therefore added to what is exported.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import requests
from attrs import define, field
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.sinks.otel.instruments import name_of, unit_of
from crypto_lakehouse.sinks.prometheus_metrics import METRICS
from crypto_lakehouse.sinks.run_figures import Histogram, Labels

__all__ = ["Exports", "MetricsExporter", "SpansExporter"]


@define
class Exports:
    """Counts exports; in any thread.

    Attributes:
        made: How many have ended.
        failed: How many of them have failed.
    """

    made: int = 0
    failed: int = 0
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def count(self, *, is_success: bool) -> None:
        """Count one."""
        with self._lock:
            self.made += 1
            self.failed += not is_success


def _session() -> requests.Session:
    """Return a session that sends no login of `~/.netrc`, and takes no redirect for a success."""
    session = requests.Session()
    session.auth = lambda request: request
    session.hooks["response"].append(_refuse_redirect)
    return session


def _refuse_redirect(response: requests.Response, **_: object) -> None:
    if 300 <= response.status_code < 400:
        response.close()
        raise requests.TooManyRedirects("the receiver redirects")


class SpansExporter(OTLPSpanExporter):
    """Sends spans to a receiver."""

    def __init__(self, url: str, exports: Exports) -> None:
        super().__init__(url, session=_session())
        self._exports = exports

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; blocking."""
        result = super().export(spans)
        self._exports.count(is_success=result is SpanExportResult.SUCCESS)
        return result


class MetricsExporter(OTLPMetricExporter):
    """Sends metrics to a receiver, with the histograms of a sink."""

    def __init__(self, url: str, exports: Exports, sink: CountingSink) -> None:
        super().__init__(url, session=_session())
        self._exports, self._sink = exports, sink
        self._sent: dict[tuple[str, Labels], Histogram] = {}
        self._since_ns = time.time_ns()

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Send metrics; blocking."""
        result = super().export(self._completed(metrics_data), timeout_millis, **kwargs)
        self._exports.count(is_success=result is MetricExportResult.SUCCESS)
        return result

    def _completed(self, data: MetricsData) -> MetricsData:
        of_resource = data.resource_metrics[0]
        scope = of_resource.scope_metrics[0]
        scope = replace(scope, metrics=[*scope.metrics, *self._histograms()])
        return replace(data, resource_metrics=[replace(of_resource, scope_metrics=[scope])])

    def _histograms(self) -> Iterator[Metric]:
        now_ns = time.time_ns()
        preferred: Mapping[type, Any] = self._preferred_temporality or {}
        kind = preferred.get(HistogramInstrument, AggregationTemporality.CUMULATIVE)
        is_delta = kind is AggregationTemporality.DELTA
        for spec in METRICS:
            names, values = self._sink.values_of(spec)
            if spec.kind == "histogram" and values:
                points = [
                    self._point(
                        dict(zip(names, labels, strict=True)),
                        self._newest((spec.name, labels), value) if is_delta else value,
                        now_ns,
                    )
                    for labels, value in values.items()
                ]
                data = HistogramData(points, kind)
                yield Metric(name_of(spec), spec.help, unit_of(spec), data)
        if is_delta:
            self._since_ns = now_ns

    def _newest(self, key: tuple[str, Labels], value: Histogram) -> Histogram:
        """Return what has been added since the last export."""
        before, self._sent[key] = self._sent.get(key), value
        return value if before is None else value.without(before)

    def _point(self, labels: dict[str, str], value: Histogram, now_ns: int) -> HistogramDataPoint:
        unknown: Any = None
        return HistogramDataPoint(
            attributes=labels,
            start_time_unix_nano=self._since_ns,
            time_unix_nano=now_ns,
            count=sum(value.counts),
            sum=value.total,
            bucket_counts=value.counts,
            explicit_bounds=[*value.bounds],
            min=unknown,
            max=unknown,
        )
