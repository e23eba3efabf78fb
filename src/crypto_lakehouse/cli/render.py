"""Values as text for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from crypto_lakehouse.core.report import CollectionReport

__all__ = ["bytes_text", "duration_text", "print_table", "report_text"]


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


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table to standard output, as wide as the terminal, or as it needs in a pipe."""
    from rich.markup import escape
    from rich.table import Table

    from crypto_lakehouse.cli.terminal import console
    from crypto_lakehouse.core.visible import visible

    table = Table(title=escape(visible(title)), title_justify="left", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(visible(str(cell))) for cell in row))
    width = None if sys.stdout.isatty() else 160
    console(width=width, highlight=False).print(table)
