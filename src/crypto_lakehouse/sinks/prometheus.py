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
from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.sinks.prometheus_metrics import MetricSpec
from crypto_lakehouse.sinks.run_figures import Histogram, Labels

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

__all__ = ["PrometheusSink", "joined_text"]


@define(eq=False)
class PrometheusSink(CountingSink):
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

    Examples:
        >>> sink = PrometheusSink()
        >>> report = await run_collection(config, sinks=[sink])  # doctest: +SKIP
        >>> sink.text()[:6]
        b'# HELP'
    """

    name: str = field(default="prometheus", init=False)
    registry: CollectorRegistry = field(init=False)

    def __attrs_post_init__(self) -> None:
        if find_spec("prometheus_client") is None:
            raise ExtraMissing("metrics", "metrics for Prometheus need prometheus_client")
        from prometheus_client import CollectorRegistry

        super().__attrs_post_init__()
        self.registry = CollectorRegistry()
        self.registry.register(_FiguresCollector(self))

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
        for spec, names, values in self.sink.values():
            if values:
                yield _family(spec, names, values)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: it is the only collector of its registry."""
        return iter(())


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, int]], float]:
    """Return how many values are at most each bound, and the sum of all."""
    bounds = [*map(str, histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total


def _family(spec: MetricSpec, names: Labels, values: Mapping[Labels, Any]) -> Metric:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    if spec.kind == "histogram":
        histogram = HistogramMetricFamily(spec.name, spec.help, labels=names)
        for labels, value in values.items():
            buckets, total = _buckets(value)
            histogram.add_metric(labels, buckets, total)
        return histogram
    kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    family = kind(spec.name, spec.help, labels=names)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
