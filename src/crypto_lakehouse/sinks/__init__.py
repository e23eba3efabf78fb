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
