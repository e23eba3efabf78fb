"""Event consumers: ledger, metrics, Prometheus, log, JSON lines, terminal output.

Each implements `core.sink.Sink`: it takes batches of events, is flushed when no event has come
for a while, and closed at the end.

- `ledger` writes to the ledger, 500 rows per transaction, after it has synced the files.
- `metrics` passes events to a metrics collector, the application's or the run's.
- `counting` counts events for metrics (`run_figures`, `prometheus_metrics`); `prometheus` gives
  them to Prometheus, and `otel` gives them and spans to OpenTelemetry.
- `log` writes log records of the standard library, with the run's and the archive's context.
- `jsonl` writes one JSON object for each archive.
- `checked` checks what an application passes as a sink, and wraps functions and plain sinks.
- `lines` and `progress` show progress: plain lines for pipes, a live display for terminals.
  `steps` and `step_row` do the same for operations that emit no events; all that is painted on a
  terminal is painted by `progress_rows`.

A sink that fails is dropped with a warning that names it, and the run goes on, unless the sink is
required, as that of the ledger is. Events come in order for each archive, in any order between
archives. A slow sink slows the run down once the queue is full, but loses no event.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.sinks.jsonl import JsonLinesSink
    from crypto_lakehouse.sinks.ledger import LedgerSink
    from crypto_lakehouse.sinks.lines import LinesSink
    from crypto_lakehouse.sinks.log import LogSink
    from crypto_lakehouse.sinks.metrics import MetricsSink
    from crypto_lakehouse.sinks.otel.telemetry import OpenTelemetry
    from crypto_lakehouse.sinks.progress import ProgressSink
    from crypto_lakehouse.sinks.prometheus import PrometheusSink

__all__ = [
    "JsonLinesSink",
    "LedgerSink",
    "LinesSink",
    "LogSink",
    "MetricsSink",
    "OpenTelemetry",
    "ProgressSink",
    "PrometheusSink",
]

_MODULES = {
    "JsonLinesSink": "jsonl",
    "LedgerSink": "ledger",
    "LinesSink": "lines",
    "LogSink": "log",
    "MetricsSink": "metrics",
    "OpenTelemetry": "otel.telemetry",
    "ProgressSink": "progress",
    "PrometheusSink": "prometheus",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use: the terminal display is slow to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.sinks.{_MODULES[name]}"), name)
