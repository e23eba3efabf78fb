"""Counts the events of runs; what metrics are made of, for Prometheus and for OpenTelemetry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.sinks.prometheus_metrics import (
    METER_METRICS,
    METRICS,
    MetricSpec,
    meter_values,
)
from crypto_lakehouse.sinks.run_figures import Histogram, Labels, RunFigures

__all__ = ["CountingSink", "Meters"]


@define(eq=False)
class Meters:
    """The byte counters of collections that go on, and the bytes of those that have ended."""

    live: list[ByteMeter]
    ended_bytes: int | None = None

    def add(self, meter: ByteMeter) -> None:
        """Count what a meter shows, too."""
        if not any(each is meter for each in self.live):
            self.live = [*self.live, meter]

    def end(self, meter: ByteMeter) -> None:
        """Keep the bytes of a collection that has ended, and forget its meter."""
        self.ended_bytes = (self.ended_bytes or 0) + meter.received_bytes
        self.live = [each for each in self.live if each is not meter]

    def sum(self) -> ByteMeter | None:
        """Return a meter that shows all; None without any."""
        if not self.live and self.ended_bytes is None:
            return None
        received = sum(each.received_bytes for each in self.live)
        parallel = sum(each.parallel for each in self.live)
        return ByteMeter(received_bytes=received + (self.ended_bytes or 0), parallel=parallel)


@define(eq=False)
class CountingSink:
    """Counts the events of runs, in batches.

    Args:
        meter: The byte counter of a collection, for what arrives between its events.
        by_symbol: Whether symbol and interval are labels of what is known of series.
        tenant: The value of the label `tenant` of every series; empty for no such label.

    Attributes:
        figures: What it has counted.
        meters: The byte counters of collections that go on.
    """

    meter: ByteMeter | None = None
    by_symbol: bool = field(default=False, kw_only=True)
    tenant: str = field(default="", kw_only=True)
    name: str = field(default="metrics", init=False)
    required: bool = field(default=False, init=False)
    takes_unchanged: bool = field(default=True, init=False)
    figures: RunFigures = field(init=False)
    meters: Meters = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.figures = RunFigures(self.by_symbol)
        self.meters = Meters([] if self.meter is None else [self.meter])

    async def handle(self, events: Sequence[Event]) -> None:
        """Count a batch of events."""
        self.figures.count(events)

    async def flush(self) -> None:
        """Do nothing: what is counted can be read."""

    async def close(self) -> None:
        """Do nothing: what was counted can still be read."""

    def values(self) -> list[tuple[MetricSpec, Labels, dict[Labels, Any]]]:
        """Return each metric, the names of its labels, and its values at one moment.

        A value is a number, or a copy of a `Histogram`.
        """
        with self.figures.lock:
            taken = [(spec, *self.values_of(spec)) for spec in METRICS]
        return taken + [(spec, *self.values_of(spec)) for spec in METER_METRICS]

    def values_of(self, spec: MetricSpec) -> tuple[Labels, dict[Labels, Any]]:
        """Return the names of the labels of one metric, and its values, as of `values`."""
        figures, meter = self.figures, self.meters.sum()
        own, named = ((self.tenant,), ("tenant",)) if self.tenant else ((), ())
        if spec not in METER_METRICS:
            with figures.lock:
                names, values = spec.labels_of(figures), _copied(spec.read(figures))
        else:
            names, values = (), {} if meter is None else dict(dict(meter_values(meter))[spec])
        if own:
            values = {(*own, *labels): value for labels, value in values.items()}
        return (*named, *names), values


def _copied(values: Any) -> dict[Labels, Any]:
    """Copy values, so that others can be counted while they are written."""
    return {
        labels: value.copy() if isinstance(value, Histogram) else value
        for labels, value in values.items()
    }
