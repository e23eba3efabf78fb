"""Values as text for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from crypto_lakehouse.core.report import CollectionReport

__all__ = ["bytes_text", "columns_to_drop", "duration_text", "print_table", "report_text"]


def bytes_text(size: float) -> str:
    """A size in decimal units.

    Example:
        >>> bytes_text(999), bytes_text(69_497), bytes_text(2.5e9)
        ('999 B', '69.5 kB', '2.5 GB')
    """
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def duration_text(seconds: float) -> str:
    """A duration in one or two units, rounded.

    Example:
        >>> duration_text(0.2), duration_text(59.6), duration_text(3700), duration_text(200_000)
        ('1 s', '1 min', '1 h 2 min', '2 d 7 h')
    """
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def report_text(report: CollectionReport, output_directory: str) -> str:
    """The summary that ends a run."""
    counts = ", ".join(f"{count} {name}" for name, count in report.totals.items() if count)
    if known := sum(report.acknowledged.values()):
        counts += f"; {known} of these acknowledged"
    lines = [
        f"{report.status}: {counts or '0 planned'}",
        f"success rate {report.success_rate:.1f} %, {bytes_text(report.bytes)} received "
        f"in {report.duration_seconds:.1f} s",
        f"archives are in {output_directory}",
    ]
    lines += [f"  {problem}" for problem in report.problems[:20]]
    if len(report.problems) > 20:
        lines.append("  ... and more; --json lists 100, --events FILE every archive")
    return "\n".join(lines)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    droppable: Sequence[str] = (),
    foldable: Sequence[str] | None = None,
) -> None:
    """Print a table to standard output, as wide as the terminal, or 160 columns in a pipe.

    Args:
        title: The line above the table.
        columns: The names of the columns.
        rows: A cell for each column.
        droppable: The columns that are left out if the table is too wide, in this order; their
            names are printed below the table.
        foldable: The columns whose cells may be split into lines; None for all.
    """
    from rich.markup import escape
    from rich.table import Table

    from crypto_lakehouse.cli.terminal import console
    from crypto_lakehouse.core.visible import visible

    screen = console(width=None if sys.stdout.isatty() else 160, highlight=False)
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    foldable = columns if foldable is None else foldable
    dropped = columns_to_drop(columns, cells, screen.width, droppable, foldable)
    kept = [index for index, column in enumerate(columns) if column not in dropped]
    table = Table(title=escape(visible(title)), title_justify="left", show_edge=False)
    for index in kept:
        folds = columns[index] in foldable
        table.add_column(columns[index], overflow="fold", no_wrap=not folds)
    for row in cells:
        table.add_row(*(escape(row[index]) for index in kept))
    screen.print(table)
    if dropped:
        screen.print(f"columns left out at this width: {'; '.join(dropped)}")


def columns_to_drop(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    droppable: Sequence[str],
    foldable: Sequence[str],
) -> list[str]:
    """Return which columns to leave out so that the rest of a table fits into a width.

    Args:
        columns: The names of the columns.
        rows: A cell for each column.
        width: How many characters a line has.
        droppable: The columns that may be left out, in this order.
        foldable: The columns that need room for their longest word only.

    Example:
        >>> columns_to_drop(("a", "b"), [("123", "4 5")], 8, ["b"], [])
        ['b']
        >>> columns_to_drop(("a", "b"), [("123", "4 5")], 8, ["b"], ["b"])
        []
    """
    from rich.cells import cell_len

    needs = {}
    for index, column in enumerate(columns):
        texts = [column, *(row[index] for row in rows)]
        if column in foldable:
            texts = [word for text in texts for word in text.split()]
        needs[column] = max(map(cell_len, texts)) + 3  # a blank on each side, and a line
    dropped: list[str] = []
    for column in droppable:
        if sum(needs.values()) - 1 <= width:
            break
        del needs[column]
        dropped.append(column)
    return dropped
