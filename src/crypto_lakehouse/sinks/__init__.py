"""Event consumers: ledger, metrics, log, JSON lines, terminal output.

Each implements `core.sink.Sink`: it is handed batches of events, flushed when nothing comes
for a while, and closed at the end.

- `ledger` writes to the ledger, 500 rows a transaction, after the files were synced.
- `metrics` feeds a metrics collector, an application's or the run's own.
- `log` writes log records of the standard library, with the run's and the archive's context.
- `jsonl` writes one JSON object for each archive.
- `checked` checks what an application passes as a sink, and makes whole sinks of it.
- `lines` and `progress` show progress: plain lines for pipes, a live display for terminals.

A sink that fails is dropped and named, and the run goes on, unless the sink is required, as the
ledger's is. Events come in order for each archive, in any order between archives. A slow sink
slows the run down once the queue is full; no event is lost for that.
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
    from crypto_lakehouse.sinks.progress import ProgressSink

__all__ = ["JsonLinesSink", "LedgerSink", "LinesSink", "LogSink", "MetricsSink", "ProgressSink"]

_MODULES = {
    "JsonLinesSink": "jsonl",
    "LedgerSink": "ledger",
    "LinesSink": "lines",
    "LogSink": "log",
    "MetricsSink": "metrics",
    "ProgressSink": "progress",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use: a terminal display takes its time."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.sinks.{_MODULES[name]}"), name)
