"""The steps of an operation that emits no events, as a row of a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field

from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.progress import StepProgress
from crypto_lakehouse.sinks.progress_rows import ProgressRow, ProgressRows, amount_and_rate

__all__ = ["StepRow"]

#: How often a row is updated, in seconds: it is not painted more often.
_ROW_EVERY_S = 0.1


@define
class StepRow:
    """Shows the newest progress in a row of a terminal.

    Args:
        rows: The terminal's rows.
        clock: Returns seconds, monotonic.
    """

    rows: ProgressRows
    clock: Callable[[], float] = time.monotonic
    _row: ProgressRow | None = field(init=False, default=None)
    _step: str = field(init=False, default="")
    _next_at: float = field(init=False, default=0.0)
    _size_bytes: int | None = field(init=False, default=None)

    def show(self, progress: StepProgress) -> None:
        """Update the row, if a new step begins or the last update was a while ago."""
        now = self.clock()
        if progress.step == self._step and now < self._next_at and progress.done != progress.total:
            return
        self._step, self._next_at = progress.step, now + _ROW_EVERY_S
        self._size_bytes = progress.size_bytes
        if self._row is None:
            self._row = self.rows.add(progress.step, self._measured)
        done, total = progress.done, progress.total
        counted = plural(done, progress.unit) if total is None else f"{done}/{total}"
        self._row.update(completed=done, total=total, label=progress.step, done=counted)

    def _measured(self, elapsed_s: float) -> tuple[str, str]:
        if self._size_bytes is None:
            return "", ""
        return amount_and_rate(self._size_bytes, elapsed_s)

    def print(self, line: str) -> None:
        """Print a line above the rows."""
        self.rows.print(line)

    def close(self) -> None:
        """Remove the row."""
        row, self._row, self._step = self._row, None, ""
        if row is not None:
            row.remove()
