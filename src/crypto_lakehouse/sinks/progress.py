"""A live display on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    Event,
    FolderListed,
    ListingRetried,
    RunNoted,
    RunStarted,
    RunWarned,
)
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector
from crypto_lakehouse.core.report import UNREMARKABLE
from crypto_lakehouse.core.visible import visible

__all__ = ["ProgressSink"]


#: The weight of one request in the estimate of the remaining time: 40 ms at 5 MB/s
#: (ARCHITECTURE.md#assumed-line).
REQUEST_WEIGHT_BYTES = 200_000


class _BytesColumn(ProgressColumn):
    """Received bytes, the rate, and the number of parallel requests, read at each repaint."""

    def __init__(self, meter: ByteMeter) -> None:
        self.meter = meter
        super().__init__()

    def render(self, task: Task) -> Text:
        received = self.meter.received_bytes
        rate = received / task.elapsed if task.elapsed else 0.0
        at_once = f"  x{self.meter.parallel}" if self.meter.parallel else ""
        return Text(f"{received / 1e6:.1f} MB  {rate / 1e6:.1f} MB/s{at_once}")


@define
class ProgressSink:
    """Shows archives, bytes, rate, remaining time and verdicts; problems scroll above.

    Args:
        meter: The run's byte counter.
        console: Where to draw; standard error by default.
    """

    meter: ByteMeter
    console: Console = field(factory=lambda: Console(stderr=True, highlight=False))
    name: str = "progress"
    required: bool = False
    takes_unchanged = True
    _counts: MetricsCollector = field(init=False, factory=MetricsCollector)
    _progress: Progress = field(init=False)
    _size_bytes: int | None = field(init=False, default=None)
    _settled_bytes: int = field(init=False, default=0)
    _listed: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self._progress = Progress(
            TextColumn("archives"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]}"),
            _BytesColumn(self.meter),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[counts]}"),
            console=self.console,
            transient=True,
        )
        self._progress.add_task("archives", total=None, counts="", done="")

    async def handle(self, events: Sequence[Event]) -> None:
        """Count the events and update the bar."""
        for event in events:
            self._counts.record_event(event)
            self._weigh(event)
            line = _line(event)
            if line:
                self._progress.console.print(Text(visible(line)))
        self._paint()

    def _weigh(self, event: Event) -> None:
        """Add up the sizes by which progress is measured."""
        match event:
            case RunStarted():
                self._size_bytes = event.size_bytes
                self._progress.start()
            case FolderListed():
                self._progress.start()
                self._listed += event.archives
            case ArchivesUnchanged():
                self._settled_bytes += event.size_bytes
            case ArchiveFinished():
                self._settled_bytes += event.size_bytes or 0
            case _:
                pass

    def _paint(self) -> None:
        done, planned = self._counts.finished_archives, self._counts.planned
        total: float | None = planned or None
        completed: float = done
        if self._size_bytes is not None and done < planned:
            # An archive weighs its bytes, and the bytes that could arrive during its request.
            arriving = max(0, self.meter.received_bytes - self._counts.fetched_bytes)
            total = self._size_bytes + planned * REQUEST_WEIGHT_BYTES
            completed = self._settled_bytes + arriving + done * REQUEST_WEIGHT_BYTES
        counts = "  ".join(f"{name} {count}" for name, count in self._counts.verdicts.items())
        self._progress.update(
            self._progress.task_ids[0],
            total=total,
            completed=completed if total is None else min(completed, total),
            counts=counts or (f"listing: {self._listed} archives" if self._listed else ""),
            done=f"{done}/{planned}" if planned else "",
        )

    async def flush(self) -> None:
        """Update the bar with the bytes of large bodies, for which there are no events."""
        self._paint()

    async def close(self) -> None:
        """Remove the display."""
        self._progress.stop()


def _line(event: Event) -> str:
    """Return the line that an event adds above the bar; empty for most."""
    match event:
        case RunWarned(message=message):
            return f"warning: {message}"
        case RunNoted(message=message):
            return f"note: {message}"
        case ArchiveRetried() | ListingRetried():
            return f"retry {event.attempt} in {event.wait_s:.1f} s: {event.reason}"
        case ArchiveFinished() if event.verdict not in UNREMARKABLE:
            return f"{event.verdict} {event.archive.key}: {event.reason}"
        case _:
            return ""
