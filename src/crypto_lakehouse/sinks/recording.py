"""Show what a recording sees: a row on a terminal, or a line from time to time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from attrs import define, field

from crypto_lakehouse.core.events import Event, HoleRecorded, RecordingIngested, RecordingSeen
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.visible import visible
from crypto_lakehouse.sinks.progress_rows import ProgressRow, ProgressRows

__all__ = ["RecordingSink"]

#: How often a line is written if there is no terminal, in seconds.
_LINE_EVERY_S = 60.0


@define
class RecordingSink:
    """Shows messages, holes and connections, and each hole as it is found.

    Args:
        rows: The terminal's rows; None if there is no terminal.
        stream: Where lines go if there is none; standard error by default.
        clock: Returns seconds, monotonic.
    """

    rows: ProgressRows | None = None
    stream: TextIO = field(factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    name: str = "recording"
    required: bool = False
    takes_unchanged = True
    _row: ProgressRow | None = field(init=False, default=None)
    _next_line_at: float = field(init=False, default=0.0)

    async def handle(self, events: Sequence[Event]) -> None:
        """Show each hole, and what was seen last."""
        for event in events:
            if isinstance(event, HoleRecorded):
                self._print(f"hole in {event.market} {event.stream}: {event.cause}")
            elif isinstance(event, RecordingIngested):
                self._tell_of_tables(event)
            elif isinstance(event, RecordingSeen):
                self._show(event)

    def _tell_of_tables(self, done: RecordingIngested) -> None:
        if done.fault:
            self._print(done.fault)
        elif self.rows is None and done.rows:
            self._print(f"{plural(done.rows, 'row', form=',')} ingested")

    def _show(self, seen: RecordingSeen) -> None:
        done, counts = f"{seen.messages:,}", _counts(seen)
        if self.rows is not None:
            self._row = self._row or self.rows.add("messages")
            self._row.update(completed=0, total=None, label="messages", done=done, counts=counts)
        elif self.clock() >= self._next_line_at:
            self._next_line_at = self.clock() + _LINE_EVERY_S
            self._print(f"{plural(seen.messages, 'message', form=',')}, {counts}")

    def _print(self, line: str) -> None:
        if self.rows is not None:
            self.rows.print(line)
        else:
            self.stream.write(visible(line) + "\n")
            self.stream.flush()

    async def flush(self) -> None:
        """Do nothing: what is shown is current."""

    async def close(self) -> None:
        """Remove the row."""
        if self._row is not None:
            self._row.remove()


def _counts(seen: RecordingSeen) -> str:
    parts = [
        f"{seen.size_bytes / 1e6:,.1f} MB of {plural(seen.streams, 'stream')}",
        plural(seen.holes, "hole"),
        plural(seen.reconnects, "reconnect"),
    ]
    if seen.lag_us is not None:
        parts.append(f"{max(0, seen.lag_us) / 1e3:,.0f} ms late")
    return ", ".join(parts)
