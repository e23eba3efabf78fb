"""Progress on standard error: rows on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.core.metrics import ByteMeter
    from crypto_lakehouse.core.sink import Sink
    from crypto_lakehouse.sinks.progress_rows import ProgressRows
    from crypto_lakehouse.sinks.steps import StepDisplay

__all__ = ["collection_sink", "step_display", "terminal_rows"]


def terminal_rows(*, quiet: bool) -> ProgressRows | None:
    """Return rows to paint on standard error.

    Returns:
        None if standard error is not a terminal, or one that cannot repaint a line.
    """
    if (
        quiet
        or not sys.stderr.isatty()
        or os.environ.get("TERM", "").lower() in {"dumb", "unknown"}
    ):
        return None
    from crypto_lakehouse.cli.terminal import console
    from crypto_lakehouse.sinks.progress_rows import ProgressRows

    return ProgressRows(console(stderr=True, highlight=False))


def collection_sink(
    meter: ByteMeter, rows: ProgressRows | None, *, quiet: bool, is_logged: bool = False
) -> Sink:
    """Return the sink that shows a collection's progress.

    Args:
        meter: Counts the bytes that arrive.
        rows: The terminal's rows, if there is a terminal.
        quiet: Show warnings only.
        is_logged: Standard error is a log, which has notes, warnings and problems already.
    """
    if rows is not None:
        from crypto_lakehouse.sinks.progress import ProgressSink

        return ProgressSink(meter, rows=rows)
    from crypto_lakehouse.sinks.lines import LinesSink

    return LinesSink(meter, quiet=quiet, is_logged=is_logged)


@contextmanager
def step_display(*, quiet: bool, rows: ProgressRows | None = None) -> Iterator[StepDisplay]:
    """Show the steps of an operation until the block ends.

    Args:
        quiet: Show nothing but the lines that are printed.
        rows: The terminal's rows, if there are some already.
    """
    rows = rows or terminal_rows(quiet=quiet)
    display: StepDisplay
    if rows is None:
        from crypto_lakehouse.sinks.steps import StepLines

        display = StepLines(quiet=quiet)
    else:
        from crypto_lakehouse.sinks.step_row import StepRow

        display = StepRow(rows)
    try:
        yield display
    finally:
        display.close()
