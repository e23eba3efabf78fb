"""A live display on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from attrs import define, field
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
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
    Event,
    ListingRetried,
    RunStarted,
    RunWarned,
)
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector
from crypto_lakehouse.core.report import UNREMARKABLE

__all__ = ["ProgressSink"]


class _BytesColumn(ProgressColumn):
    """Bytes received and the rate, read from the run's meter at each repaint."""

    def __init__(self, meter: ByteMeter) -> None:
        self.meter = meter
        super().__init__()

    def render(self, task: Task) -> Text:
        received = self.meter.received_bytes
        rate = received / task.elapsed if task.elapsed else 0.0
        return Text(f"{received / 1e6:.1f} MB  {rate / 1e6:.1f} MB/s")


@define
class ProgressSink:
    """Archives, bytes, rate, time left, verdict counts; problems scroll above as they come.

    Args:
        meter: The run's byte counter.
        console: Where to paint; standard error by default.
    """

    meter: ByteMeter
    console: Console = field(factory=lambda: Console(stderr=True, highlight=False))
    name: str = "progress"
    required: bool = False
    takes_unchanged: ClassVar[bool] = True
    _counts: MetricsCollector = field(init=False, factory=MetricsCollector)
    _progress: Progress = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._progress = Progress(
            TextColumn("archives"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _BytesColumn(self.meter),
            TextColumn("ETA"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[counts]}"),
            console=self.console,
            transient=True,
        )
        self._progress.add_task("archives", total=None, counts="")

    async def handle(self, events: Sequence[Event]) -> None:
        """Fold the events and move the bar."""
        for event in events:
            self._counts.record_event(event)
            if isinstance(event, RunStarted):
                self._progress.start()
            line = _line(event)
            if line:
                self._progress.console.print(Text(line))
        counts = "  ".join(f"{name} {count}" for name, count in self._counts.verdicts.items())
        self._progress.update(
            self._progress.task_ids[0],
            total=self._counts.planned,
            completed=self._counts.finished_archives,
            counts=counts,
        )

    async def flush(self) -> None:
        """The display repaints itself."""

    async def close(self) -> None:
        """Give the terminal back."""
        self._progress.stop()


def _line(event: Event) -> str:
    """What an event adds above the bar, empty for most."""
    match event:
        case RunWarned(message=message):
            return f"warning: {message}"
        case ArchiveRetried() | ListingRetried():
            return f"retry {event.attempt} in {event.wait_s:.1f} s: {event.reason}"
        case ArchiveFinished() if event.verdict not in UNREMARKABLE:
            return f"{event.verdict} {event.archive.key}: {event.reason}"
        case _:
            return ""
