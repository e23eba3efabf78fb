"""Values as text for people."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from crypto_lakehouse.core.amounts import bytes_text, duration_text
from crypto_lakehouse.core.report import CollectionReport

if TYPE_CHECKING:
    from rich.console import OverflowMethod

__all__ = [
    "bytes_text",
    "columns_to_drop",
    "duration_text",
    "fits",
    "print_columns",
    "print_table",
    "print_text",
    "report_text",
]

#: The width of a table that is not printed to a terminal.
_PIPE_WIDTH = 160

#: How many characters of a long word must fit into a line of a cell that may be split.
_FOLDED_WORD = 16


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
    stackable: bool = False,
    least_widths: Mapping[str, int] | None = None,
) -> None:
    """Print a table to standard output, as wide as the terminal, or 160 columns in a pipe.

    Args:
        title: The line above the table.
        columns: The names of the columns.
        rows: A cell for each column.
        droppable: The columns that are left out if the table is too wide, in this order; their
            names are printed below the table.
        foldable: The columns whose cells may be split into lines; None for all.
        stackable: Whether the cells of a row are printed one below the other, each with its
            column's name and in one line, if a row does not fit into a line.
        least_widths: How many characters a column must have, so that no word of it is split.
    """
    from rich.markup import escape
    from rich.table import Table

    from crypto_lakehouse.cli.terminal import console, shown_in, stdout_encoding
    from crypto_lakehouse.core.visible import visible

    screen = console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    encoding = stdout_encoding()
    cells = [[shown_in(encoding, visible(str(cell))) for cell in row] for row in rows]
    if stackable and columns_to_drop(columns, cells, screen.width, columns, ()):
        screen.print(_stacked(visible(title), columns, cells), markup=False, soft_wrap=True)
        return
    foldable = columns if foldable is None else foldable
    dropped = columns_to_drop(columns, cells, screen.width, droppable, foldable)
    kept = [index for index, column in enumerate(columns) if column not in dropped]
    table = Table(title=escape(visible(title)), title_justify="left", show_edge=False)
    for index in kept:
        folds = columns[index] in foldable
        # What still does not fit is cut with a mark, or goes on in the next line.
        overflow: OverflowMethod = "fold" if folds else "ellipsis"
        least = (least_widths or {}).get(columns[index])
        table.add_column(columns[index], overflow=overflow, no_wrap=not folds, min_width=least)
    for row in cells:
        table.add_row(*(escape(row[index]) for index in kept))
    screen.print(table)
    if dropped:
        screen.print(f"columns left out at this width: {'; '.join(dropped)}")


def print_text(text: str) -> None:
    """Print lines to standard output; on a terminal they are split between words at its width."""
    width = _screen_width()
    for line in text.splitlines():
        click.echo(line if width is None else "\n".join(_wrapped(line, width)))


def print_columns(rows: Sequence[tuple[str, str, str]], widths: tuple[int, int]) -> None:
    """Print a name, a type and a description in a line each.

    Args:
        rows: The three texts of each line.
        widths: How wide the first two columns are. On a terminal they are no wider than needed, and
            the description is split between words, or goes on below them if there is no room.
    """
    width = _screen_width()
    if width is not None:
        first, second = (max((len(row[index]) for row in rows), default=0) + 2 for index in (0, 1))
        widths = min(widths[0], first), min(widths[1], second)
    for name, kind, description in rows:
        line = f"{name:<{widths[0]}}{kind:<{widths[1]}}"
        if width is None or not description or len(line) + len(description) <= width:
            click.echo((line + description).rstrip())
            continue
        indent = len(line) if width - len(line) >= _FOLDED_WORD else 4
        if indent == 4:
            click.echo(line.rstrip())
            line = " " * indent
        lines = _wrapped(description, max(width - indent, 1))
        click.echo(f"\n{' ' * indent}".join([line + lines[0], *lines[1:]]))


def _wrapped(text: str, width: int) -> list[str]:
    """Split a text into lines; words stay whole, so that names and numbers can be copied."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _screen_width() -> int | None:
    """The width of the terminal that standard output is; None if it is none."""
    from crypto_lakehouse.cli.terminal import console

    return console().width if sys.stdout.isatty() else None


def fits(columns: Sequence[str], rows: Iterable[Sequence[object]], foldable: Sequence[str]) -> bool:
    """Whether a table of these columns is no wider than what `print_table` prints to.

    Args:
        columns: The names of the columns.
        rows: A cell for each column.
        foldable: The columns whose cells may be split into lines.
    """
    from crypto_lakehouse.cli.terminal import console

    width = console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).width
    cells = [[str(cell) for cell in row] for row in rows]
    return not columns_to_drop(columns, cells, width, columns, foldable)


def _stacked(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    width = max(map(len, columns)) + 2
    blocks = [
        "\n".join(f"{name:<{width}}{cell}" for name, cell in zip(columns, row, strict=True))
        for row in rows
    ]
    return "\n\n".join([title, *blocks])


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
        droppable: The columns that may be left out, in this order; some may not be in the table.
        foldable: The columns that need room for their longest word only, or for 16 characters of
            a longer one, as a URL.

    Columns that fit after all, because later ones are left out, are kept; the latest first.

    Examples:
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
            texts = [word[:_FOLDED_WORD] for text in texts for word in text.split()]
        needs[column] = max(map(cell_len, texts)) + 3  # a blank on each side, and a line
    room = width + 1 - sum(needs.values())
    dropped: list[str] = []
    for column in droppable:
        if room >= 0:
            break
        if column in needs:
            room += needs[column]
            dropped.append(column)
    for column in reversed(dropped.copy()):
        if needs[column] <= room:
            room -= needs[column]
            dropped.remove(column)
    return dropped
