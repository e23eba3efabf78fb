"""Rows of progress at the bottom of a terminal; each is one line at any width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from crypto_lakehouse.core.visible import visible

__all__ = ["ProgressRow", "ProgressRows", "amount_and_rate"]


class _EtaColumn(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("")
        return Text.assemble("ETA ", super().render(task))


class _MeasuredColumn(ProgressColumn):
    """A text that is measured at each repaint, such as the bytes that have arrived."""

    def __init__(self, place: int) -> None:
        self._place = place
        super().__init__()

    def render(self, task: Task) -> Text:
        return Text(task.fields["measured"](task.elapsed or 0.0)[self._place])


#: The parts of a row, from left to right.
_PARTS: Mapping[str, ProgressColumn] = {
    "label": TextColumn("{task.description}", markup=False),
    "short bar": BarColumn(bar_width=8),
    "bar": BarColumn(bar_width=24),
    "done": TextColumn("{task.fields[done]}", markup=False),
    "amount": _MeasuredColumn(0),
    "rate": _MeasuredColumn(1),
    "eta": _EtaColumn(compact=True),
    "counts": TextColumn("{task.fields[counts]}", markup=False),
}

#: Parts that are shown if there is room for them; the most important one first.
_BY_IMPORTANCE = ("done", "label", "eta", "short bar", "rate", "amount", "counts", "bar")


@define
class _Row:
    """One row, as it is painted."""

    task: Task

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = {name: part(self.task) for name, part in _PARTS.items()}
        widths = {name: _width(cell, console, options) for name, cell in cells.items()}
        # A character in the last column makes some terminals begin a new line.
        shown = _fitting(widths, options.max_width - 1)
        columns = (Column(no_wrap=True, overflow="ellipsis") for _ in shown)
        line = Table.grid(*columns, padding=(0, 1), pad_edge=False)
        line.add_row(*(cells[name] for name in shown))
        yield from console.render(line, options.update_width(max(1, options.max_width - 1)))


def _width(cell: RenderableType, console: Console, options: ConsoleOptions) -> int:
    if isinstance(cell, Text):
        return cell.cell_len
    return Measurement.get(console, options, cell).maximum


def _fitting(widths: Mapping[str, int], room: int) -> list[str]:
    """Return the parts that fit into a line, in their order; the first one may be cut.

    Examples:
        >>> widths = {"label": 8, "short bar": 8, "bar": 24, "done": 7, "eta": 9}
        >>> _fitting(widths, 19), _fitting(widths, 30), _fitting(widths, 51)
        (['label', 'done'], ['label', 'done', 'eta'], ['label', 'bar', 'done', 'eta'])
    """
    chosen: set[str] = set()
    used = -1
    for name in _BY_IMPORTANCE:
        instead = widths["short bar"] + 1 if name == "bar" and "short bar" in chosen else 0
        more = widths.get(name, 0) + 1 - instead
        if widths.get(name) and (not chosen or used + more <= room):
            chosen.add(name)
            used += more
    if "bar" in chosen:
        chosen.discard("short bar")
    return [name for name in widths if name in chosen]


class _Lines(Progress):
    """Progress of rich, with a line for each task instead of a table that wraps."""

    def get_renderables(self) -> Iterable[RenderableType]:
        return [_Row(task) for task in self.tasks]


def _nothing(_elapsed_s: float) -> tuple[str, str]:
    return "", ""


def amount_and_rate(size_bytes: int, elapsed_s: float) -> tuple[str, str]:
    """Return a size, and the rate at which it came, as text.

    The rate of the first second is empty: what was buffered before would make it absurd.

    Examples:
        >>> amount_and_rate(3_000_000, 2.0), amount_and_rate(3_000_000, 0.01)
        (('3.0 MB', '1.5 MB/s'), ('3.0 MB', ''))
    """
    rate = f"{size_bytes / elapsed_s / 1e6:.1f} MB/s" if elapsed_s >= 1 else ""
    return f"{size_bytes / 1e6:.1f} MB", rate


@define
class ProgressRows:
    """The rows of one terminal. They are painted while there is one, 10 times a second.

    Lines that are printed meanwhile, also by others on standard error, scroll above.

    Args:
        console: Where to draw; standard error by default.
    """

    console: Console = field(factory=lambda: Console(stderr=True, highlight=False))
    _lines: _Lines = field(init=False)

    def __attrs_post_init__(self) -> None:
        # What is printed to standard output is a result, and must not go to standard error.
        self._lines = _Lines(console=self.console, transient=True, redirect_stdout=False)

    def add(
        self, label: str, measured: Callable[[float], tuple[str, str]] = _nothing
    ) -> ProgressRow:
        """Add a row below the others.

        Args:
            label: What is being done.
            measured: Called at each repaint with the seconds since the row was added; returns an
                amount and a rate.
        """
        task = self._lines.add_task(
            visible(label), total=None, done="", counts="", measured=measured
        )
        self._lines.start()
        return ProgressRow(self, task)

    def print(self, line: str) -> None:
        """Print a line of any text above the rows."""
        self.console.print(Text(visible(line)))

    def log(self, message: str) -> None:
        """Write a message above the rows, in its own lines and colours, however long they are.

        Args:
            message: Text with escape sequences of colours; others are left out.
        """
        self.console.print(Text.from_ansi(message), soft_wrap=True)

    def update(self, task: TaskID, *, completed: float, total: float | None, **texts: Any) -> None:
        """Change a row."""
        self._lines.update(task, total=total, completed=completed, **texts)

    def remove(self, task: TaskID) -> None:
        """Remove a row, and with the last one the whole display."""
        if len(self._lines.tasks) == 1:
            self._lines.stop()
        self._lines.remove_task(task)


@define
class ProgressRow:
    """One row of a terminal's rows."""

    rows: ProgressRows
    _task: TaskID
    _is_shown: bool = True

    def update(
        self, *, completed: float, total: float | None, label: str, done: str, counts: str = ""
    ) -> None:
        """Show how far the work has come.

        Args:
            completed: What is done, in any unit; it moves the bar and makes the estimate.
            total: All there is to do, in the same unit; None if it is not known.
            label: What is being done.
            done: The same as text.
            counts: Results by kind.
        """
        self.rows.update(
            self._task,
            completed=completed if total is None else min(completed, total),
            total=total,
            description=visible(label),
            done=done,
            counts=counts,
        )

    def remove(self) -> None:
        """Remove the row; once is enough, more does nothing."""
        if self._is_shown:
            self._is_shown = False
            self.rows.remove(self._task)
