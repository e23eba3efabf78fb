"""A validation on standard output: tables for people, lines for pipes, JSON for programs.

Keys and sentences may be text of unknown origin: invisible characters are escaped, and nothing in
them is interpreted as markup or as a terminal control sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import click

from crypto_lakehouse.charts.validation_html import (
    VERDICTS,
    check_totals,
    headline,
    visible,
    worst_first,
)
from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.tables.quality.findings import ValidationReport

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["MOST_FINDINGS", "print_json", "print_report"]

#: How many findings are printed, the worst first.
MOST_FINDINGS = 20

_STYLES = {"unreadable": "bold red", "quarantined": "magenta", "error": "red",
           "warning": "yellow", "info": "dim", "good": "green"}  # fmt: skip


def print_report(
    report: ValidationReport, console: Console, *, most_findings: int = MOST_FINDINGS
) -> None:
    """Print a sentence, the verdicts, the checks and the worst findings.

    Args:
        report: The report of a validation.
        console: Writes to standard output. On a terminal it gets tables; elsewhere each entry is
            one line, however long, with its fields separated by tabs.
        most_findings: How many findings at most.
    """
    show = _show_table if console.is_terminal else _show_lines
    show(console, "verdicts", ("verdict", "archives"), _verdicts(report))
    show(console, "checks", ("worst", "check", "archives", "rows", "new"), _checks(report))
    findings = _findings(report)
    columns = ("severity", "archive", "check", "rows", "what was found", "policy", "known from")
    show(console, "findings", columns, islice(findings, most_findings))
    more = sum(1 for _ in findings)
    if more:
        _say(console, f"and {plural(more, 'finding', form=',')} more; --json lists them all")
    _say(console, headline(report))


def print_json(report: ValidationReport) -> None:
    """Print the report as one JSON object, on one line."""
    # In ASCII: a key can hold a lone surrogate, which UTF-8 cannot encode.
    click.echo(json_line(report.as_dict()))


_Row = Sequence[str | int]


def _verdicts(report: ValidationReport) -> Iterator[_Row]:
    counts = report.verdicts
    return ((name, counts[name]) for name in VERDICTS if counts[name])


def _checks(report: ValidationReport) -> Iterator[_Row]:
    for of in check_totals(report):
        yield of.severity, of.check, of.archives, of.rows, of.new


def _findings(report: ValidationReport) -> Iterator[_Row]:
    """Findings of the worst archive first; an unreadable archive has one that says why."""
    for archive in worst_first(report):
        if archive.fault:
            yield "unreadable", archive.key, "", "", archive.fault, "", ""
        for of in archive.findings:
            source = of.source or "new"
            yield of.severity, of.key, of.check, of.rows, of.sentence, of.policy, source


def _show_table(console: Console, title: str, columns: Sequence[str], rows: Iterable[_Row]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_edge=False)
    numbers = ("archives", "rows", "new")
    for name in columns:
        table.add_column(name, overflow="fold", justify="right" if name in numbers else "left")
    for row in rows:
        style = _STYLES.get(str(row[0]), "")
        table.add_row(Text(str(row[0]), style), *(Text(_field(value)) for value in row[1:]))
    if table.row_count:
        console.print(table, highlight=False)
        console.print()


def _show_lines(console: Console, title: str, columns: Sequence[str], rows: Iterable[_Row]) -> None:
    for number, row in enumerate(rows):
        if not number:
            _say(console, f"# {title}: {', '.join(columns)}")
        _say(console, "\t".join(visible(str(value)) for value in row))


def _field(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else visible(str(value))


def _say(console: Console, line: str) -> None:
    # Rich expands tabs to spaces, and a pipe needs the tabs.
    console.out(line, highlight=False) if console.is_terminal else console.file.write(f"{line}\n")
