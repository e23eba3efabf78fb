"""`crypto-lakehouse status`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from math import floor
from typing import TYPE_CHECKING

import click

from crypto_lakehouse.cli.options import option_overrides
from crypto_lakehouse.cli.output_option import output_option

if TYPE_CHECKING:
    from crypto_lakehouse.coverage.coverage import Hole, HoleCause, SeriesCoverage
    from crypto_lakehouse.workflows.status import CoverageStatus, StatusTotals

__all__ = ["command"]

#: More series and holes than this are printed line by line: rich lays a table out whole, at about a
#: millisecond a line, before the first one shows.
LONGEST_TABLE = 1000

_COLUMNS = ("market", "data type", "symbol", "interval", "first", "last", "days", "%", "size",
            "holes, in days", "newest hole")  # fmt: skip
_HOLE_COLUMNS = ("market", "data type", "symbol", "interval", "first", "last", "days", "cause",
                 "reason")  # fmt: skip
_LINE = "{:<10} {:<19} {:<16} {:<8} {:<10} {:<10} {:>11} {:>6} {:>9}  {}; newest: {}"
_SHORT_LINE = _LINE.partition(";")[0]
_HOLE_LINE = "    {} to {}, {} days {}: {}"


@click.command("status")
@output_option("output_directory")
@click.option(
    "--markets", metavar="LIST", help="spot, futures_um, futures_cm, options. [default: all]"
)
@click.option("-s", "--symbols", metavar="LIST", help="As BTCUSDT,ETH*. [default: all]")
@click.option("-t", "--data-types", metavar="LIST", help="As klines,trades. [default: all]")
@click.option("-i", "--intervals", metavar="LIST", help="As 1m,1h,1d. [default: all]")
@click.option(
    "--start",
    metavar="DAY",
    help="First UTC day, YYYY-MM-DD. [default: each series' first settled day]",
)
@click.option(
    "--end",
    metavar="DAY",
    help="Last UTC day, inclusive. [default: the last day that should be there by now]",
)
@click.option(
    "--matrix", "matrix_path", metavar="FILE", help="The matrix. [default: the shipped one]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--holes", "with_holes", is_flag=True, help="List every hole with its reason.")
@click.option("--plot", metavar="FILE", help="Draw a calendar of the months as .svg or .png.")
def command(*, as_json: bool, with_holes: bool, plot: str | None, **given: str | None) -> int:
    """Show how complete each series is, and whose fault each hole is.

    The ledger is read, not the files (`verify` hashes those); a collection may run meanwhile.
    Without --start and --end a series is judged from the first day that any run settled to the
    last one that should be there by now.

    \b
    Holes are the collector's to fill where they are:
      failed             a network or server error; run `collect` again
      not_collected      no run has settled these days
    the source's where they are:
      quarantined        damaged, or not what the sidecar says
      missing            absent, although it should be there
      unproven           here, but nothing published proves it
      upstream_hole      known to be missing (matrix/holes.json)
    and nobody's where they are not_published_yet, retired or outside_life; those three and
    upstream_hole do not count against coverage.

    \b
    Examples:
      crypto-lakehouse status -o data
      crypto-lakehouse status -o data -s 'BTC*' -t klines --holes
      crypto-lakehouse status -o data --start 2024-01-01 --end 2024-12-31 --plot coverage.svg
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.workflows.status import StatusTotals, status_of

    picture = _Picture(plot) if plot else None
    overrides = option_overrides(given)
    status = status_of(**{**overrides.pop("date_range", {}), **overrides})
    for note in status.notes:
        click.echo(f"warning: {note}", err=True)
    totals = StatusTotals()
    coverages = _counted(status, totals, picture)
    if as_json:
        _print_json(status, coverages, totals)
    else:
        _print_text(status, coverages, totals, with_holes=with_holes)
    if picture is not None:
        picture.draw(status)
    return 0


def _counted(
    status: CoverageStatus, totals: StatusTotals, picture: _Picture | None
) -> Iterator[SeriesCoverage]:
    for coverage in status:
        totals.add(coverage)
        if picture is not None:
            picture.take(coverage)
        yield coverage


def _print_json(
    status: CoverageStatus, coverages: Iterator[SeriesCoverage], totals: StatusTotals
) -> None:
    """One object, written as it comes: nothing of it waits for the last series."""
    from crypto_lakehouse.workflows.status import coverage_mapping

    click.echo(f'{{"today": "{status.today}", "series": [', nl=False)
    comma = ""
    for coverage in coverages:
        text = json.dumps(coverage_mapping(coverage), ensure_ascii=False)
        click.echo(comma + text, nl=False)
        comma = ", "
    click.echo(f'], "totals": {json.dumps(totals.to_mapping())}}}')


def _print_text(
    status: CoverageStatus,
    coverages: Iterator[SeriesCoverage],
    totals: StatusTotals,
    *,
    with_holes: bool,
) -> None:
    first = list(islice(coverages, LONGEST_TABLE + 1))
    holes = sum(len(coverage.holes) for coverage in first) if with_holes else 0
    if len(first) + holes > LONGEST_TABLE:
        _print_lines(chain(first, coverages), with_holes=with_holes)
    elif first:
        _print_tables(status, first, with_holes=with_holes)
    click.echo(_summary(totals) if totals.series else "the ledger has no series that fits")


def _print_tables(
    status: CoverageStatus, coverages: list[SeriesCoverage], *, with_holes: bool
) -> None:
    from crypto_lakehouse.cli.render import print_table

    print_table(f"coverage as of {status.today}", _COLUMNS, map(_cells, coverages))
    holes = [
        (*_name(coverage), hole.first_day, hole.last_day, hole.days, hole.cause, hole.reason)
        for coverage in coverages
        for hole in coverage.holes
    ]
    if with_holes and holes:
        print_table("holes", _HOLE_COLUMNS, holes)


def _print_lines(coverages: Iterator[SeriesCoverage], *, with_holes: bool) -> None:
    for coverage in coverages:
        cells = _cells(coverage)
        click.echo((_LINE if coverage.holes else _SHORT_LINE).format(*cells).rstrip())
        for hole in coverage.holes if with_holes else ():
            click.echo(
                _HOLE_LINE.format(hole.first_day, hole.last_day, hole.days, hole.cause, hole.reason)
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


def _percent(ratio: float) -> str:
    """Rounded down, so that only what is complete is called 100 %."""
    return f"{floor(ratio * 1000) / 10:.1f}"


def _causes(days: Counter[HoleCause]) -> str:
    from crypto_lakehouse.coverage.coverage import HoleCause

    return ", ".join(f"{days[cause]} {cause}" for cause in HoleCause if days[cause]) or "-"


def _newest(holes: tuple[Hole, ...]) -> str:
    return f"{holes[-1].cause} {holes[-1].last_day}" if holes else "-"


def _summary(totals: StatusTotals) -> str:
    from crypto_lakehouse.cli.render import bytes_text

    lines = [
        f"{totals.series} series, {totals.verified_days} of {totals.expected_days} days verified "
        f"({_percent(totals.ratio)} %), {bytes_text(totals.size_bytes)}",
        f"days in holes: {_causes(totals.holes)}",
    ]
    if totals.refused_newer:
        lines.append(
            f"{totals.refused_newer} verified archives have a newer version at the source that "
            "was not good enough to take their place"
        )
    return "\n".join(lines)


class _Picture:
    """Collects what is to be drawn, as far as it can be."""

    def __init__(self, path: str) -> None:
        from crypto_lakehouse.charts.coverage_plot import MOST_SERIES, check_picture

        check_picture(path)
        self._path = path
        self._most = MOST_SERIES
        self._kept: list[SeriesCoverage] = []
        self._left_out = 0

    def take(self, coverage: SeriesCoverage) -> None:
        if len(self._kept) < self._most:
            self._kept.append(coverage)
        else:
            self._left_out += 1

    def draw(self, status: CoverageStatus) -> None:
        from crypto_lakehouse.charts.coverage_plot import plot_coverage

        for path in plot_coverage(self._kept, self._path, today=status.today):
            click.echo(f"drawn: {path}", err=True)
        if self._left_out:
            click.echo(
                f"warning: {self._left_out} series are not in the picture, it takes "
                f"{self._most}; choose with --symbols, --data-types or --intervals",
                err=True,
            )
