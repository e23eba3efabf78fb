"""The metrics of runs for Prometheus; needs the extra `metrics`.

Events are counted in batches, in plain counters (`run_figures`); what Prometheus reads is made of
them when it asks. Each sink has a registry of its own, so that two runs in a process never meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

from attrs import define, field

from crypto_lakehouse.core.errors import ExtraMissing
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.sinks.prometheus_metrics import METRICS, MetricSpec, meter_values
from crypto_lakehouse.sinks.run_figures import Histogram, Labels, RunFigures

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

__all__ = ["PrometheusSink", "joined_text"]


@define(eq=False)
class _Meters:
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
class PrometheusSink:
    """Counts the events of runs for Prometheus.

    Args:
        meter: The byte counter of a collection, for what arrives between its events.
        by_symbol: Whether symbol and interval are labels of what is known of series. Each series
            then is a time series of Prometheus.
        tenant: The value of the label `tenant` of every series; empty for no such label.

    Attributes:
        registry: A registry of its own, for `prometheus_client` in any thread.

    Raises:
        ExtraMissing: The extra `metrics` is not installed.

    Example:
        >>> sink = PrometheusSink()
        >>> report = await run_collection(config, sinks=[sink])  # doctest: +SKIP
        >>> sink.text()[:6]
        b'# HELP'
    """

    meter: ByteMeter | None = None
    by_symbol: bool = field(default=False, kw_only=True)
    tenant: str = field(default="", kw_only=True)
    name: str = field(default="prometheus", init=False)
    required: bool = field(default=False, init=False)
    takes_unchanged: bool = field(default=True, init=False)
    registry: CollectorRegistry = field(init=False)
    figures: RunFigures = field(init=False)
    meters: _Meters = field(init=False)

    def __attrs_post_init__(self) -> None:
        if find_spec("prometheus_client") is None:
            raise ExtraMissing("metrics", "metrics for Prometheus need prometheus_client")
        from prometheus_client import CollectorRegistry

        self.figures = RunFigures(self.by_symbol)
        self.meters = _Meters([] if self.meter is None else [self.meter])
        self.registry = CollectorRegistry()
        self.registry.register(_FiguresCollector(self))

    async def handle(self, events: Sequence[Event]) -> None:
        """Count a batch of events."""
        self.figures.count(events)

    async def flush(self) -> None:
        """Do nothing: what is counted can be read."""

    async def close(self) -> None:
        """Do nothing: what was counted can still be read."""

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus; takes milliseconds."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


def joined_text(sinks: Sequence[PrometheusSink]) -> bytes:
    """Return the metrics of several tenants' sinks in one text; takes milliseconds for each.

    Args:
        sinks: Each with another `tenant`, so that no series of one is that of another.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_JoinedCollector(sinks))
    return generate_latest(registry)


@define(eq=False)
class _JoinedCollector:
    """Makes one family of metrics of those of several sinks that have its name."""

    sinks: Sequence[PrometheusSink]

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that has a value."""
        families: dict[str, Metric] = {}
        for family in chain.from_iterable(sink.registry.collect() for sink in self.sinks):
            first = families.setdefault(family.name, family)
            if first is not family:
                first.samples.extend(family.samples)
        yield from families.values()

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: it is the only collector of its registry."""
        return iter(())


@define(eq=False)
class _FiguresCollector:
    """Makes metrics of what a sink has counted, whenever its registry is read."""

    sink: PrometheusSink

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that has a value."""
        figures = self.sink.figures
        with figures.lock:
            taken = [
                (spec, spec.labels_of(figures), _copied(spec.read(figures))) for spec in METRICS
            ]
        if (meter := self.sink.meters.sum()) is not None:
            taken += [(spec, (), dict(values)) for spec, values in meter_values(meter)]
        tenant = (self.sink.tenant,) if self.sink.tenant else ()
        for spec, names, values in taken:
            if values:
                yield _family(spec, names, values, tenant)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: it is the only collector of its registry."""
        return iter(())


def _copied(values: Mapping[Labels, Any]) -> dict[Labels, Any]:
    """Copy values, so that others can be counted while they are written."""
    return {
        labels: _buckets(value) if isinstance(value, Histogram) else value
        for labels, value in values.items()
    }


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, int]], float]:
    """Return how many values are at most each bound, and the sum of all."""
    bounds = [*map(str, histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total


def _family(
    spec: MetricSpec, names: Labels, values: Mapping[Labels, Any], tenant: Labels
) -> Metric:
    """Make a metric; `tenant` has the value of the first label, if there is one."""
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    names = (*(["tenant"] if tenant else []), *names)
    if spec.kind == "histogram":
        histogram = HistogramMetricFamily(spec.name, spec.help, labels=names)
        for labels, (buckets, total) in values.items():
            histogram.add_metric((*tenant, *labels), buckets, total)
        return histogram
    kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    family = kind(spec.name, spec.help, labels=names)
    for labels, value in values.items():
        family.add_metric((*tenant, *labels), value)
    return family
