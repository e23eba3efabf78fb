"""Gives what a sink has counted to a meter of OpenTelemetry, whenever that is asked.

A metric has the name that Prometheus gives it without `_total`: Prometheus adds that again to what
comes by OTLP. Its unit is that of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import evolve
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from crypto_lakehouse.sinks.counting import CountingSink
from crypto_lakehouse.sinks.prometheus_metrics import METER_METRICS, METRICS, MetricSpec

__all__ = ["name_of", "observe", "unit_of"]

_Callback = Callable[[CallbackOptions], Iterable[Observation]]


def observe(sink: CountingSink, meter: Meter, *, splits_histograms: bool) -> None:
    """Make an instrument for each metric.

    Args:
        sink: Has counted.
        meter: That of a provider.
        splits_histograms: Whether a histogram becomes two counters, `NAME_count` and `NAME_sum`, as
            no instrument takes values that are counted; otherwise it is left out.
    """
    for spec in (*METRICS, *METER_METRICS):
        if spec.kind != "histogram":
            _make(meter, spec, _reader(sink, spec))
        elif splits_histograms:
            count = evolve(spec, name=f"{spec.name}_count", kind="counter")
            _make(meter, count, _reader(sink, spec, lambda value: sum(value.counts)), unit="")
            total = evolve(spec, name=f"{spec.name}_sum", kind="counter")
            _make(meter, total, _reader(sink, spec, lambda value: value.total), unit="s")


def name_of(spec: MetricSpec) -> str:
    """Return the name of a metric for OpenTelemetry."""
    return spec.name.removesuffix("_total")


def unit_of(spec: MetricSpec) -> str:
    """Return the unit of a metric as UCUM writes it; empty for a count."""
    name = name_of(spec)
    return "By" if name.endswith("_bytes") else "s" if name.endswith("_seconds") else ""


def _make(meter: Meter, spec: MetricSpec, read: _Callback, unit: str | None = None) -> None:
    make = (
        meter.create_observable_counter if spec.kind == "counter" else meter.create_observable_gauge
    )
    make(name_of(spec), [read], unit_of(spec) if unit is None else unit, spec.help)


def _reader(
    sink: CountingSink, spec: MetricSpec, number: Callable[..., float] = lambda value: value
) -> _Callback:
    def read(_: CallbackOptions) -> Iterable[Observation]:
        names, values = sink.values_of(spec)
        for labels, value in values.items():
            yield Observation(number(value), dict(zip(names, labels, strict=True)))

    return read
