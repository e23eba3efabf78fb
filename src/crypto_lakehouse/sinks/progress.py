"""A live display on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import Factory, define, field
from rich.console import Console

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    Event,
    FillFinished,
    FolderListed,
    ListingRetried,
    RunNoted,
    RunStarted,
    RunWarned,
)
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector
from crypto_lakehouse.sinks.progress_rows import ProgressRow, ProgressRows, amount_and_rate

__all__ = ["ProgressSink"]


#: The weight of one request in the estimate of the remaining time: 40 ms at 5 MB/s
#: (ARCHITECTURE.md#assumed-line).
REQUEST_WEIGHT_BYTES = 200_000


@define
class ProgressSink:
    """Shows archives, bytes, rate, remaining time and verdicts; problems scroll above.

    Args:
        meter: The run's byte counter.
        console: Where to draw; standard error by default.
        rows: The terminal's rows, if other progress is shown beside it.
    """

    meter: ByteMeter
    console: Console = field(factory=lambda: Console(stderr=True, highlight=False))
    rows: ProgressRows = field(
        default=Factory(lambda self: ProgressRows(self.console), takes_self=True), kw_only=True
    )
    name: str = "progress"
    required: bool = False
    takes_unchanged = True
    _counts: MetricsCollector = field(init=False, factory=MetricsCollector)
    _row: ProgressRow | None = field(init=False, default=None)
    _size_bytes: int | None = field(init=False, default=None)
    _settled_bytes: int = field(init=False, default=0)
    _listed: int = field(init=False, default=0)

    async def handle(self, events: Sequence[Event]) -> None:
        """Count the events and update the bar."""
        for event in events:
            if isinstance(event, RunStarted):  # a fill follows a collection
                self._counts.start_workflow(event.workflow)
            self._counts.record_event(event)
            self._weigh(event)
            line = _line(event)
            if line:
                self.rows.print(line)
        self._paint()

    def _weigh(self, event: Event) -> None:
        """Add up the sizes by which progress is measured."""
        match event:
            case RunStarted():
                self._size_bytes = event.size_bytes
                self._start()
            case FolderListed():
                self._start()
                self._listed += event.archives
            case ArchivesUnchanged():
                self._settled_bytes += event.size_bytes
            case ArchiveFinished():
                self._settled_bytes += event.size_bytes or 0
            case _:
                pass

    def _start(self) -> None:
        if self._row is None:
            self._row = self.rows.add("archives", self._measured)

    def _measured(self, elapsed_s: float) -> tuple[str, str]:
        """Received bytes; the rate, and the number of parallel requests."""
        amount, rate = amount_and_rate(self.meter.received_bytes, elapsed_s)
        return amount, f"{rate}  x{self.meter.parallel}" if self.meter.parallel else rate

    def _paint(self) -> None:
        if self._row is None:
            return
        done, planned = self._counts.finished_archives, self._counts.planned
        total: float | None = planned or None
        completed: float = done
        if self._size_bytes is not None and done < planned:
            # An archive weighs its bytes, and the bytes that could arrive during its request.
            arriving = max(0, self.meter.received_bytes - self._counts.fetched_bytes)
            total = self._size_bytes + planned * REQUEST_WEIGHT_BYTES
            completed = self._settled_bytes + arriving + done * REQUEST_WEIGHT_BYTES
        counts = "  ".join(f"{name} {count}" for name, count in self._counts.counts.items())
        self._row.update(
            completed=completed,
            total=total,
            label="days" if self._counts.fills else "archives",
            done=f"{done}/{planned}" if planned else "",
            counts=counts
            or (f"listing: {plural(self._listed, 'archive')}" if self._listed else ""),
        )

    async def flush(self) -> None:
        """Update the bar with the bytes of large bodies, for which there are no events."""
        self._paint()

    async def close(self) -> None:
        """Remove the display."""
        if self._row is not None:
            self._row.remove()


def _line(event: Event) -> str:
    """Return the line that an event adds above the bar; empty for most."""
    match event:
        case RunWarned(message=message):
            return f"warning: {message}"
        case RunNoted(message=message):
            return f"note: {message}"
        case ArchiveRetried() | ListingRetried():
            return f"retry {event.attempt} in {event.wait_s:.1f} s: {event.reason}"
        case ArchiveFinished() | FillFinished() if event.is_problem:
            return f"{event.verdict} {event.archive.key}: {event.reason}"
        case _:
            return ""
