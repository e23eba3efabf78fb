"""Metrics and traces of runs for OpenTelemetry, by the providers of an application."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from attrs import define, field

from crypto_lakehouse.core.errors import ExtraMissing
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.sinks.otel.spans import RunSpans
from crypto_lakehouse.version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

__all__ = ["OpenTelemetry", "need_otel"]

#: The instrumentation scope.
SCOPE = "crypto_lakehouse"


def need_otel() -> None:
    """Fail at once if the extra is not installed.

    Raises:
        ExtraMissing: A package of the extra `otel` is missing.
    """
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ExtraMissing("otel", "OpenTelemetry needs its SDK and its exporter")


@define(eq=False)
class OpenTelemetry:
    """Gives metrics and spans of runs to the providers of an application.

    Make one for each meter provider: an instrument stays for as long as its provider. It counts all
    runs; each run takes a sink of its own, as spans are those of one run.

    Args:
        meter_provider: Takes the metrics; the global one by default. A histogram is two counters,
            `NAME_count` and `NAME_sum`.
        tracer_provider: Takes the spans; the global one by default.
        counted: Counts the events; a new sink by default.
        splits_histograms: Whether the meter provider gets histograms; as two counters.

    Raises:
        ExtraMissing: The extra `otel` is not installed.

    Examples:
        >>> telemetry = OpenTelemetry()
        >>> await run_collection(config, sinks=[telemetry.sink()])  # doctest: +SKIP
    """

    meter_provider: MeterProvider | None = None
    tracer_provider: TracerProvider | None = None
    counted: CountingSink = field(factory=CountingSink, kw_only=True)
    splits_histograms: bool = field(default=True, kw_only=True)
    tracer: Tracer = field(init=False)

    def __attrs_post_init__(self) -> None:
        need_otel()
        from opentelemetry.metrics import get_meter
        from opentelemetry.trace import get_tracer

        from crypto_lakehouse.sinks.otel.instruments import observe

        meter = get_meter(SCOPE, __version__, self.meter_provider)
        observe(self.counted, meter, splits_histograms=self.splits_histograms)
        self.tracer = get_tracer(SCOPE, __version__, self.tracer_provider)

    def spans(self, parent: Context | None = None) -> RunSpans:
        """Return what makes the spans of a run.

        Args:
            parent: The context of the span above it; the current one by default.
        """
        return RunSpans(self.tracer, parent, self.counted.tenant)

    def sink(self) -> TelemetrySink:
        """Return a sink for one run at a time, which counts its events and makes its spans."""
        return TelemetrySink(self.counted, self.spans())


@define(eq=False)
class TelemetrySink:
    """Counts the events of a run, and makes its spans.

    Args:
        counted: Counts.
        spans: Makes spans.
    """

    counted: CountingSink
    spans: RunSpans
    name: str = field(default="OpenTelemetry", init=False)
    required: bool = field(default=False, init=False)
    takes_unchanged: bool = field(default=True, init=False)

    async def handle(self, events: Sequence[Event]) -> None:
        """Take a batch of events."""
        self.counted.figures.count(events)
        self.spans.take(events)

    async def flush(self) -> None:
        """End the span of a batch that is due."""
        self.spans.take(())

    async def close(self) -> None:
        """End the span of a run that has not come to its end."""
        await self.spans.close()
