"""Progress as plain lines, for pipes and logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from attrs import define, field

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchivesUnchanged,
    Event,
    RunNoted,
    RunWarned,
)
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector

__all__ = ["LinesSink"]

#: How often a line about the whole run is written, in seconds.
LINE_EVERY_S = 5.0


@define
class LinesSink:
    """Writes notes, warnings and problems as they come, and a line about the run every 5 s.

    Args:
        meter: The run's byte counter.
        quiet: Write warnings only.
        every_archive: Write a line for each archive.
        stream: Where lines go; standard error by default.
        clock: Returns seconds, monotonic.
    """

    meter: ByteMeter
    quiet: bool = False
    every_archive: bool = False
    stream: TextIO = field(factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    name: str = "lines"
    required: bool = False
    takes_unchanged = True
    _counts: MetricsCollector = field(init=False, factory=MetricsCollector)
    _next_line_at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._counts.start_workflow("lines")
        self._next_line_at = self.clock() + LINE_EVERY_S

    async def handle(self, events: Sequence[Event]) -> None:
        """Count the events, and write a line for those that need one."""
        for event in events:
            self._counts.record_event(event)
            if isinstance(event, RunWarned):
                self._write(f"warning: {event.message}")
            elif isinstance(event, RunNoted) and not self.quiet:
                self._write(f"note: {event.message}")
            elif isinstance(event, ArchiveFinished) and not self.quiet:
                self._archive(event)
            elif isinstance(event, ArchivesUnchanged) and self.every_archive:
                for archive in event.each():
                    self._archive(archive)
        self._line_if_due()

    def _archive(self, event: ArchiveFinished) -> None:
        if event.is_problem:
            self._write(f"{event.verdict} {event.archive.key}: {event.reason}")
        elif self.every_archive:
            self._write(f"{event.verdict} {event.archive.key}")

    def _line_if_due(self) -> None:
        now = self.clock()
        if self.quiet or now < self._next_line_at:
            return
        self._next_line_at = now + LINE_EVERY_S
        counts = ", ".join(f"{count} {name}" for name, count in self._counts.verdicts.items())
        done, planned = self._counts.finished_archives, self._counts.planned
        megabytes = self.meter.received_bytes / 1e6
        self._write(f"{done} of {plural(planned, 'archive')}, {megabytes:.1f} MB: {counts}")

    def _write(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()

    async def flush(self) -> None:
        """Write the line about the run if it is due, even if no events come."""
        self._line_if_due()

    async def close(self) -> None:
        """Do nothing: the caller owns the stream."""
