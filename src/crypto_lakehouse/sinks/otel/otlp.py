"""Sends metrics and spans to a receiver that the user has named, by OTLP over HTTP.

The SDK sends from threads of its own, and drops spans when its queue is full, so a receiver that is
slow or away holds up no run. At the end it gets a few seconds for the rest.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from attrs import define, field
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter, ObservableGauge
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.sinks.otel.endpoints import endpoints
from crypto_lakehouse.sinks.otel.exporters import Exports, MetricsExporter, SpansExporter
from crypto_lakehouse.sinks.otel.telemetry import OpenTelemetry
from crypto_lakehouse.version import __version__

__all__ = ["OtlpSender", "open_sender"]

#: More series than a metric has; beyond 2,000 the SDK would add them up.
_MOST_SERIES = 10_000_000


@define(eq=False)
class OtlpSender:
    """What sends the telemetry of runs.

    Attributes:
        telemetry: What the runs use.
        exports: How many exports were made, and have failed.
    """

    telemetry: OpenTelemetry
    exports: Exports
    _ends: list[Callable[[], object]] = field(factory=list)

    def close(self, within_s: float) -> str:
        """Send the rest and end, at the latest after `within_s` seconds; blocking.

        Returns:
            What was not received, in a sentence; empty if all was.
        """
        if not _ended(self._ends, within_s):
            return f"the OTLP receiver has not taken all telemetry within {within_s:g} s"
        if self.exports.failed:
            share = f"{self.exports.failed} of {self.exports.made}"
            return f"exports of telemetry that the OTLP receiver refused or did not get: {share}"
        return ""


def open_sender(
    endpoint: str, counted: CountingSink, environ: Mapping[str, str] = os.environ
) -> OtlpSender:
    """Begin to send what a sink counts, and spans.

    Args:
        endpoint: As the key `otlp_endpoint`, without faults (`endpoint_faults`).
        counted: Counts.
        environ: Has the endpoints; all else the SDK reads in the environment of the process.

    Raises:
        ValueError: The SDK refuses a variable.
    """
    # Without any handler, logging would write the SDK's warnings to standard error.
    logging.getLogger("opentelemetry").addHandler(_SILENT)
    urls, exports, ends = endpoints(endpoint, environ), Exports(), list[Callable[[], object]]()
    resource = _resource()
    try:
        spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        if url := urls.get("traces"):
            spans.add_span_processor(BatchSpanProcessor(SpansExporter(url, exports)))
            ends.append(spans.shutdown)
        readers = []
        if url := urls.get("metrics"):
            readers = [_reader(MetricsExporter(url, exports, counted))]
        metrics = MeterProvider(readers, resource, shutdown_on_exit=False)
        if readers:
            ends.append(metrics.shutdown)
    except BaseException:
        _ended(ends, 0)
        raise
    telemetry = OpenTelemetry(metrics, spans, counted=counted, splits_histograms=False)
    return OtlpSender(telemetry, exports, ends)


_SILENT = logging.NullHandler()


def _reader(exporter: MetricsExporter) -> PeriodicExportingMetricReader:
    limits: Any = dict.fromkeys((ObservableCounter, ObservableGauge), _MOST_SERIES)
    return PeriodicExportingMetricReader(exporter, cardinality_limits=limits)


def _resource() -> Resource:
    """What the telemetry is of; the variables of OpenTelemetry have the last word."""
    own = {
        "service.name": "crypto-lakehouse",
        "service.version": __version__,
        "service.instance.id": str(uuid4()),
    }
    return Resource(own).merge(OTELResourceDetector().detect())


def _ended(ends: Sequence[Callable[[], object]], within_s: float) -> bool:
    """Call functions, each in a thread; return whether all have ended in time."""
    until = time.monotonic() + within_s
    threads = [
        threading.Thread(target=_quietly, args=(end,), daemon=True, name="last telemetry")
        for end in ends
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def _quietly(end: Callable[[], object]) -> None:
    with suppress(Exception):  # the receiver may do anything
        end()
