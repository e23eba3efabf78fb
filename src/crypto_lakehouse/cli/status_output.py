"""What `crypto-lakehouse status` prints: a table, lines, keys, or one JSON object."""

from __future__ import annotations

from collections import Counter
from math import floor
from typing import TYPE_CHECKING, Protocol

import click

from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.core.messages import agreeing, plural

if TYPE_CHECKING:
    from crypto_lakehouse.core.archive import Archive
    from crypto_lakehouse.coverage.coverage import Hole, HoleCause, SeriesCoverage
    from crypto_lakehouse.workflows.reports import StatusReport
    from crypto_lakehouse.workflows.status import StatusTotals

__all__ = [
    "JsonOutput",
    "KeysOutput",
    "Output",
    "TextOutput",
    "TypeTable",
    "print_holes",
    "print_key",
]

#: More series and holes than this are printed line by line: rich lays out a whole table, at about a
#: millisecond a line, before it shows the first line.
LONGEST_TABLE = 1000

_COLUMNS = ("market", "data type", "symbol", "interval", "first", "last", "days", "%", "size",
            "holes, in days", "newest hole")  # fmt: skip
#: Beside them, if days of any series are filled.
_FILLED_COLUMNS = ("filled from", "filled to")
#: Left out of a table that is wider than the terminal, in this order; symbol and days stay.
_DROPPABLE = (
    "newest hole",
    "size",
    "holes, in days",
    *_FILLED_COLUMNS,
    "days",
    "market",
    "data type",
    "interval",
)
_FOLDABLE = ("holes, in days", "newest hole")
_TYPE_COLUMNS = ("market", "data type", "series", "days", "%", "size", "holes, in days")
_HOLE_COLUMNS = ("market", "data type", "symbol", "interval", "first", "last", "days", "cause",
                 "reason")  # fmt: skip
_LINE = "{:<10} {:<19} {:<16} {:<8} {:<10} {:<10} {:>11} {:>6} {:>9}  {}; newest: {}"
_SHORT_LINE = _LINE.partition(";")[0]
_FILLED_LINE = "    filled from the exchange: {} to {}"
_HOLE_LINE = "    {} to {}, {} {}: {}"


class Output(Protocol):
    """Prints series as they are computed, and then the totals."""

    def take(self, coverage: SeriesCoverage) -> None:
        """Take a series."""

    def finish(self, status: StatusReport) -> None:
        """End with the totals."""


class JsonOutput:
    """Prints one object, series by series: memory does not grow with the ledger."""

    def __init__(self) -> None:
        self._before = '{"series": ['

    def take(self, coverage: SeriesCoverage) -> None:
        """Print a series."""
        from crypto_lakehouse.workflows.status import coverage_mapping

        click.echo(self._before, nl=False)
        click.echo(json_line(coverage_mapping(coverage)), nl=False)
        self._before = ", "

    @property
    def has_begun(self) -> bool:
        """Whether a part of the object is printed."""
        return self._before == ", "

    def fail(self, message: str, code: int) -> None:
        """End the object with an error."""
        click.echo(f"], {json_line(failure_of(message, code))[1:]}")

    def finish(self, status: StatusReport) -> None:
        """Print the totals, and end the object."""
        if not status.totals.series:
            click.echo(self._before, nl=False)
        rest = {
            "today": str(status.today),
            "of": status.of,
            "totals": status.totals.to_mapping(),
            **status.origins_mapping(),
            **status.stale_mapping(),
        }
        click.echo(f"], {json_line(rest)[1:]}")


class KeysOutput:
    """Prints nothing itself: `print_key` is called with each archive."""

    def take(self, coverage: SeriesCoverage) -> None:
        """Do nothing."""

    def finish(self, status: StatusReport) -> None:
        """Do nothing."""


def print_key(archive: Archive) -> None:
    """Print the key of an archive."""
    click.echo(archive.key)


class TextOutput:
    """Prints tables, or lines as soon as the tables would be too long."""

    def __init__(self, *, with_holes: bool) -> None:
        self._with_holes = with_holes
        self._held: list[SeriesCoverage] = []
        self._length = 0

    def take(self, coverage: SeriesCoverage) -> None:
        """Hold a series for a table, or print it as lines."""
        self._held.append(coverage)
        self._length += 1 + (len(coverage.holes) if self._with_holes else 0)
        if self._length > LONGEST_TABLE:
            _print_lines(self._held, with_holes=self._with_holes)
            self._held.clear()

    def finish(self, status: StatusReport) -> None:
        """Print what is held, and a summary."""
        if self._held:
            _print_tables(status, self._held, with_holes=self._with_holes)
        _print_summary(status.totals)


class TypeTable:
    """Prints a line for each market and data type; memory does not grow with the series."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], StatusTotals] = {}

    def take(self, coverage: SeriesCoverage) -> None:
        """Add a series to the line of its type."""
        from crypto_lakehouse.workflows.status import StatusTotals

        name = (coverage.series.market, coverage.series.data_type)
        self._types.setdefault(name, StatusTotals()).add(coverage)

    def finish(self, status: StatusReport) -> None:
        """Print the table, and a summary."""
        from crypto_lakehouse.cli.render import bytes_text, print_table

        rows = [
            (*name, totals.series, f"{totals.verified_days}/{totals.expected_days}",
             _percent(totals.ratio), bytes_text(totals.size_bytes), _causes(totals.holes))
            for name, totals in self._types.items()
        ]  # fmt: skip
        if rows:
            print_table(
                _title(status),
                _TYPE_COLUMNS,
                rows,
                droppable=("size", "holes, in days"),
                foldable=_FOLDABLE,
            )
        _print_summary(status.totals)


def _print_tables(
    status: StatusReport, coverages: list[SeriesCoverage], *, with_holes: bool
) -> None:
    from crypto_lakehouse.cli.render import print_table

    is_filled = any(coverage.first_filled for coverage in coverages)
    print_table(
        _title(status),
        (*_COLUMNS, *(_FILLED_COLUMNS if is_filled else ())),
        [(*_cells(each), *(_filled(each) if is_filled else ())) for each in coverages],
        droppable=_DROPPABLE,
        foldable=_FOLDABLE,
    )
    holes = [(_name(coverage), hole) for coverage in coverages for hole in coverage.holes]
    if with_holes and holes:
        print_holes(holes)


def print_holes(holes: list[tuple[tuple[str, str, str, str], Hole]]) -> None:
    """Print a table of holes, each with the name of its series."""
    from crypto_lakehouse.cli.render import fits, print_table

    rows = [
        (*name, hole.first_day, hole.last_day, hole.days, _cause(hole), hole.reason)
        for name, hole in holes
    ]
    if fits(_HOLE_COLUMNS, rows, ("reason",)):
        print_table("holes", _HOLE_COLUMNS, rows, foldable=("reason",))
        return
    # The name of a series may be split into lines, so that there is room for the reason.
    columns = ("series", "first", "last", "cause", "reason")
    rest = [(hole.first_day, hole.last_day, _cause(hole), hole.reason) for _, hole in holes]
    longest = [max(name, key=len) for name, _ in holes]
    is_whole = fits(
        columns, [(word, *cells) for word, cells in zip(longest, rest, strict=True)], ("reason",)
    )
    print_table(
        "holes",
        columns,
        [(" ".join(name), *cells) for (name, _), cells in zip(holes, rest, strict=True)],
        droppable=("reason",),
        foldable=("series", "reason"),
        least_widths={"series": max(map(len, longest))} if is_whole else {},
    )


def _cause(hole: Hole) -> str:
    """The cause, and whether its days are filled from the exchange."""
    if not hole.filled:
        return str(hole.cause)
    return f"{hole.cause}, {'filled' if hole.filled == hole.days else f'{hole.filled} filled'}"


def _title(status: StatusReport) -> str:
    of = "what was asked for" if status.of == "asked" else "what the publisher has"
    return f"coverage of {of}, as of {status.today}"


def _print_lines(coverages: list[SeriesCoverage], *, with_holes: bool) -> None:
    for coverage in coverages:
        cells = _cells(coverage)
        click.echo((_LINE if coverage.holes else _SHORT_LINE).format(*cells).rstrip())
        if coverage.first_filled:
            click.echo(_FILLED_LINE.format(*_filled(coverage)))
        for hole in coverage.holes if with_holes else ():
            click.echo(
                _HOLE_LINE.format(
                    hole.first_day,
                    hole.last_day,
                    plural(hole.days, "day"),
                    _cause(hole),
                    hole.reason,
                )
            )


def _name(coverage: SeriesCoverage) -> tuple[str, str, str, str]:
    series = coverage.series
    return series.market, series.data_type, series.symbol, series.interval or "-"


def _cells(coverage: SeriesCoverage) -> tuple[str, ...]:
    from crypto_lakehouse.cli.render import bytes_text

    return (
        *_name(coverage),
        str(coverage.first_day or "-"),
        str(coverage.last_day or "-"),
        f"{coverage.verified_days}/{coverage.expected_days}",
        _percent(coverage.ratio),
        bytes_text(coverage.size_bytes),
        _causes(coverage.days_by_cause()),
        _newest(coverage.holes),
    )


def _filled(coverage: SeriesCoverage) -> tuple[str, str]:
    return str(coverage.first_filled or "-"), str(coverage.last_filled or "-")


def _percent(ratio: float) -> str:
    """Rounded down, so that 100 % means complete."""
    return f"{floor(ratio * 1000) / 10:.1f}"


def _causes(days: Counter[HoleCause]) -> str:
    from crypto_lakehouse.coverage.coverage import HoleCause

    return ", ".join(f"{days[cause]} {cause}" for cause in HoleCause if days[cause]) or "-"


def _newest(holes: tuple[Hole, ...]) -> str:
    return f"{holes[-1].cause} {holes[-1].last_day}" if holes else "-"


def _print_summary(totals: StatusTotals) -> None:
    from crypto_lakehouse.cli.render import print_text

    print_text(_summary(totals) if totals.series else "the ledger has no such series")


def _summary(totals: StatusTotals) -> str:
    from crypto_lakehouse.cli.render import bytes_text

    lines = [
        f"{totals.series} series, {totals.verified_days} of "
        f"{plural(totals.expected_days, 'day')} verified ({_percent(totals.ratio)} %), "
        f"{bytes_text(totals.size_bytes)}",
        f"days in holes: {_causes(totals.holes)}",
    ]
    if totals.filled_days:
        lines.append(
            f"{plural(totals.filled_days, 'day')} of these filled from the exchange (`fill`)"
        )
    if totals.refused_newer:
        lines.append(
            agreeing(
                totals.refused_newer,
                f"{totals.refused_newer} verified archive[s] [has|have] a newer version at the "
                "source that was not good enough to take [its|their] place",
            )
        )
    return "\n".join(lines)
