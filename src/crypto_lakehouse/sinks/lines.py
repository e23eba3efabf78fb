"""Progress as plain lines, for pipes and logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import define, field

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    Event,
    FillFinished,
    ListingRetried,
    RunNoted,
    RunStarted,
    RunWarned,
)
from crypto_lakehouse.core.messages import agreeing, plural
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector
from crypto_lakehouse.core.visible import visible

__all__ = ["LineStream", "LinesSink"]

#: How often a line about the whole run is written, in seconds.
LINE_EVERY_S = 5.0


class LineStream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object:
        """Write a line, with its end."""

    def flush(self) -> None:
        """Hand over what is written."""


@define
class LinesSink:
    """Writes notes, warnings and problems as they come, and a line about the run every 5 s.

    There is no line if nothing has changed since the last one, or if there is no plan yet. It says
    why nothing arrives if requests wait to be tried again, as after a Retry-After.

    Args:
        meter: The run's byte counter.
        quiet: Write warnings only.
        every_archive: Write a line for each archive.
        is_logged: Write only the line about the whole run, because the rest is logged to the same
            stream.
        stream: Where lines go; standard error by default.
        clock: Returns seconds, monotonic.
    """

    meter: ByteMeter
    quiet: bool = False
    every_archive: bool = False
    is_logged: bool = False
    stream: LineStream = field(factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    name: str = "lines"
    required: bool = False
    takes_unchanged = True
    _counts: MetricsCollector = field(init=False, factory=MetricsCollector)
    _next_line_at: float = field(init=False)
    _last_line: str = field(init=False, default="")
    _waits_until: list[float] = field(init=False, factory=list)
    _why_waiting: str = field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        self._counts.start_workflow("lines")
        self._next_line_at = self.clock() + LINE_EVERY_S

    async def handle(self, events: Sequence[Event]) -> None:
        """Count the events, and write a line for those that need one."""
        for event in events:
            if isinstance(event, RunStarted):  # a fill follows a collection
                self._counts.start_workflow(event.workflow)
            self._counts.record_event(event)
            if isinstance(event, ArchiveRetried | ListingRetried):
                self._waits_until.append(self.clock() + event.wait_s)
                self._why_waiting = event.reason
            if self.is_logged:
                continue
            if isinstance(event, RunWarned):
                self._write(f"warning: {event.message}")
            elif isinstance(event, RunNoted) and not self.quiet:
                self._write(f"note: {event.message}")
            elif isinstance(event, ArchiveFinished | FillFinished) and not self.quiet:
                self._archive(event)
            elif isinstance(event, ArchivesUnchanged) and self.every_archive:
                for archive in event.each():
                    self._archive(archive)
        self._line_if_due()

    def _archive(self, event: ArchiveFinished | FillFinished) -> None:
        if event.is_problem:
            self._write(f"{event.verdict} {event.archive.key}: {event.reason}")
        elif self.every_archive:
            self._write(f"{event.verdict} {event.archive.key}")

    def _line_if_due(self) -> None:
        now = self.clock()
        if self.quiet or now < self._next_line_at:
            return
        line = "; ".join(text for text in (self._done(), self._waiting(now)) if text)
        if line in ("", self._last_line):
            return
        self._next_line_at = now + LINE_EVERY_S
        self._last_line = line
        self._write(line)

    def _done(self) -> str:
        """How far the run has come; empty if there is no plan yet."""
        counts = ", ".join(f"{count} {name}" for name, count in self._counts.counts.items())
        done, planned = self._counts.finished_archives, self._counts.planned
        if not planned:
            return ""
        if self._counts.fills:
            line = f"{done} of {plural(planned, 'day')}"
            return f"{line}: {counts}"
        line = f"{done} of {plural(planned, 'archive')}, {self.meter.received_bytes / 1e6:.1f} MB"
        return f"{line}: {counts}" if counts else line

    def _waiting(self, now: float) -> str:
        """How many requests wait to be tried again, for how long, and why."""
        self._waits_until = [until for until in self._waits_until if until > now]
        if not self._waits_until:
            return ""
        longest = max(self._waits_until) - now
        waiting = "request[s] [waits|wait] up to"
        text = agreeing(len(self._waits_until), f"{len(self._waits_until)} {waiting}")
        return f"{text} {longest:.0f} s to be tried again: {self._why_waiting}"

    def _write(self, line: str) -> None:
        self.stream.write(visible(line) + "\n")
        self.stream.flush()

    async def flush(self) -> None:
        """Write the line about the run if it is due, even if no events come."""
        self._line_if_due()

    async def close(self) -> None:
        """Do nothing: the caller owns the stream."""
