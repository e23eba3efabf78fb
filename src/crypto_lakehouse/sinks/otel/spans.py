"""The spans of a run: one for the run, and below it one for each batch of what it has settled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from attrs import define, field

from crypto_lakehouse.core.events import Event, RecordingSeen, RunFinished, RunStarted, RunWarned
from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.core.table_events import TableEvent
from crypto_lakehouse.sinks.otel.tally import PREFIX, TALLIED, Tally

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

__all__ = ["RunSpans"]

#: A batch ends with this many archives, days or files, or after this time.
BATCH_SETTLED = 512
BATCH_NS = 5_000_000_000

#: How many warnings of a run are events of its span; all are counted.
MOST_WARNINGS = 10


@define(eq=False)
class RunSpans:
    """A sink that makes the spans of one run at a time.

    Args:
        tracer: That of a provider.
        parent: The context of the span above that of the run; None for the current one.
        tenant: An attribute of the run; empty for none.
        clock: Returns nanoseconds since 1970.
    """

    tracer: Tracer
    parent: Context | None = None
    tenant: str = ""
    clock: Callable[[], int] = time.time_ns
    name: str = field(default="spans", init=False)
    required: bool = field(default=False, init=False)
    takes_unchanged: bool = field(default=True, init=False)
    _run: Span | None = field(init=False, default=None)
    _workflow: str = field(init=False, default="run")
    _began_ns: int = field(init=False, default=0)
    _batch: Tally = field(init=False, factory=Tally)
    _total: Tally = field(init=False, factory=Tally)
    _warnings: int = field(init=False, default=0)
    _seen: RecordingSeen | None = field(init=False, default=None)
    _lock: threading.RLock = field(init=False, factory=threading.RLock)

    def begin(self, workflow: str, run_id: str) -> Span:
        """Begin the span of a run, unless it has begun; return it."""
        with self._lock:
            if self._run is None:
                self._workflow, self._began_ns = workflow, self.clock()
                attributes = {PREFIX + "run_id": run_id, PREFIX + "tenant": self.tenant}
                self._run = self.tracer.start_span(
                    workflow,
                    self.parent,
                    attributes={name: text for name, text in attributes.items() if text},
                    start_time=self._began_ns,
                )
            return self._run

    async def handle(self, events: Sequence[Event]) -> None:
        """Take a batch of events."""
        self.take(events)

    async def flush(self) -> None:
        """End the span of a batch that is due."""
        self.take(())

    async def close(self) -> None:
        """End the span of a run that has not come to its end."""
        with self._lock:
            if self._run is not None:
                self._end("failed", "the run has ended early")

    def take(self, events: Iterable[Event | TableEvent]) -> None:
        """Take events of the run; in any thread."""
        with self._lock:
            for event in events:
                tally = TALLIED.get(type(event))
                if tally is not None:
                    tally(self._batch, event)
                else:
                    self._of_run(event)
            is_due = self.clock() >= self._began_ns + BATCH_NS
            if self._run is not None and (is_due or self._batch.settled >= BATCH_SETTLED):
                self._end_batch()

    def _of_run(self, event: Event | TableEvent) -> None:
        if isinstance(event, RunStarted):
            self.begin(event.workflow, event.run_id).set_attribute(
                PREFIX + "planned", event.planned
            )
        elif isinstance(event, RunWarned):
            self._warnings += 1
            if self._run is not None and self._warnings <= MOST_WARNINGS:
                self._run.add_event("warning", {PREFIX + "reason": event.message})
        elif isinstance(event, RecordingSeen):
            self._seen = event
        elif isinstance(event, RunFinished):
            self._end(event.status, event.reason)

    def _end_batch(self) -> None:
        """Make the span of what was settled since the last one, if anything was."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        tally, self._batch = self._batch, Tally()
        began_ns, self._began_ns = self._began_ns, self.clock()
        if not tally.counts or self._run is None:
            return
        self._total.add(tally)
        span = self.tracer.start_span(
            f"{self._workflow} batch",
            set_span_in_context(self._run, self.parent),
            attributes=tally.attributes(),
            start_time=began_ns,
        )
        for each in tally.named:
            span.add_event("problem", each, self._began_ns)
        if tally.problems:
            span.set_status(Status(StatusCode.ERROR, _attention(tally.problems)))
        span.end(self._began_ns)

    def _end(self, status: str, reason: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        run = self.begin(self._workflow, "")  # one that fails before it has a plan
        self._end_batch()
        totals = {**self._total.attributes(), **_recorded(self._seen)}
        run.set_attributes({PREFIX + "status": status, **totals})
        if self._warnings:
            run.set_attribute(PREFIX + "warnings", self._warnings)
        if status in {"failed", "partial"}:
            run.set_attribute("error.type", status)
            found = reason or _attention(self._total.problems)
            run.set_status(Status(StatusCode.ERROR, found))
        run.end(self.clock())
        self._run, self._total, self._warnings, self._seen = None, Tally(), 0, None


def _attention(number: int) -> str:
    return agreeing(number, f"{number} [needs|need] attention")


def _recorded(seen: RecordingSeen | None) -> dict[str, int]:
    """What a recording has counted, as attributes."""
    names = ("streams", "messages", "size_bytes", "duplicates", "filled", "holes", "reconnects")
    return {} if seen is None else {f"{PREFIX}live.{name}": getattr(seen, name) for name in names}
