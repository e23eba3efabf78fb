"""The steps of an operation that emits no events, as lines for pipes and logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from attrs import define, field

from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.progress import StepProgress
from crypto_lakehouse.core.visible import visible
from crypto_lakehouse.sinks.lines import LINE_EVERY_S

__all__ = ["StepDisplay", "StepLines"]


class StepDisplay(Protocol):
    """Shows progress; every method may be called in any thread."""

    def show(self, progress: StepProgress) -> None:
        """Show how far a step has come."""
        ...

    def print(self, line: str) -> None:
        """Print a line."""
        ...

    def close(self) -> None:
        """Remove the display; the next progress shows it again."""
        ...


@define
class StepLines:
    """Writes a line about the newest progress every 5 s if it has changed, for pipes and logs.

    Args:
        quiet: Write no line about progress.
        stream: Where lines go; standard error by default.
        clock: Returns seconds, monotonic.
    """

    quiet: bool = False
    stream: TextIO = field(factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _next_at: float = field(init=False)
    _last_line: str = field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        self._next_at = self.clock() + LINE_EVERY_S

    def show(self, progress: StepProgress) -> None:
        """Write a line if it is due."""
        now = self.clock()
        if self.quiet or now < self._next_at:
            return
        many = plural(progress.done if progress.total is None else progress.total, progress.unit)
        counted = many if progress.total is None else f"{progress.done} of {many}"
        size = "" if progress.size_bytes is None else f", {progress.size_bytes / 1e6:.1f} MB"
        line = f"{progress.step}: {counted}{size}"
        if line == self._last_line:
            return
        self._next_at = now + LINE_EVERY_S
        self._last_line = line
        self.print(line)

    def print(self, line: str) -> None:
        """Write a line."""
        self.stream.write(visible(line) + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Do nothing: the caller owns the stream."""
