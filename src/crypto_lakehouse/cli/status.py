"""`crypto-lakehouse status`."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import floor
from typing import TYPE_CHECKING, Protocol

import anyio
import click

from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.cli.options import option_overrides, stored_config
from crypto_lakehouse.cli.output_option import output_option
from crypto_lakehouse.core.config.days import DAY_FORMS
from crypto_lakehouse.core.messages import agreeing, plural

if TYPE_CHECKING:
    from crypto_lakehouse.core.archive import Archive
    from crypto_lakehouse.coverage.coverage import Hole, HoleCause, SeriesCoverage
    from crypto_lakehouse.workflows.reports import StatusReport
    from crypto_lakehouse.workflows.status import StatusTotals

__all__ = ["command"]

#: More series and holes than this are printed line by line: rich lays out a whole table, at about a
#: millisecond a line, before it shows the first line.
LONGEST_TABLE = 1000

_COLUMNS = ("market", "data type", "symbol", "interval", "first", "last", "days", "%", "size",
            "holes, in days", "newest hole")  # fmt: skip
#: Left out of a table that is wider than the terminal, in this order; symbol and days stay.
_DROPPABLE = ("newest hole", "size", "holes, in days", "days", "market", "data type", "interval")
_FOLDABLE = ("holes, in days", "newest hole")
_TYPE_COLUMNS = ("market", "data type", "series", "days", "%", "size", "holes, in days")
_HOLE_COLUMNS = ("market", "data type", "symbol", "interval", "first", "last", "days", "cause",
                 "reason")  # fmt: skip
_LINE = "{:<10} {:<19} {:<16} {:<8} {:<10} {:<10} {:>11} {:>6} {:>9}  {}; newest: {}"
_SHORT_LINE = _LINE.partition(";")[0]
_HOLE_LINE = "    {} to {}, {} {}: {}"


@click.command("status")
@output_option("output_directory")
@click.option(
    "--markets",
    cls=ListOption,
    metavar="LIST",
    help="spot, futures_um, futures_cm, options. [default: all]",
)
@click.option("-s", "--symbols", cls=ListOption, metavar="LIST",
              help="As BTCUSDT,ETH*. [default: all]")  # fmt: skip
@click.option("-t", "--data-types", cls=ListOption, metavar="LIST",
              help="As klines,trades. [default: all]")  # fmt: skip
@click.option("-i", "--intervals", cls=ListOption, metavar="LIST",
              help="As 1m,1h,1d. [default: all]")  # fmt: skip
@click.option(
    "--start",
    metavar="DAY",
    help=f"First UTC day: {DAY_FORMS}. [default: each series' first day that was asked for]",
)
@click.option(
    "--end",
    metavar="DAY",
    help="Last UTC day, inclusive. [default: the last day that was asked for and should be there]",
)
@click.option("--of", type=click.Choice(["asked", "published"]),
              help="Complete is what runs were asked for, or what the publisher has. [default:"
              " asked; with --start or --end: published]")  # fmt: skip
@click.option(
    "--matrix", "matrix_path", metavar="FILE", help="The matrix. [default: the shipped one]"
)
@click.option("--acknowledge", cls=ListOption, metavar="LIST",
              help="Archives, as keys or globs, that you know the source to lack.")  # fmt: skip
@click.option("--holes-path", metavar="FILE", help="A file of such archives, one in a line.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--format", "form", type=click.Choice(["table", "json", "keys"]), default="table",
              help="keys prints the archives that the source lacks or serves damaged, one in a "
              "line, as --holes-path reads them.")  # fmt: skip
@click.option("--holes", "with_holes", is_flag=True, help="List every hole with its reason.")
@click.option("--by", type=click.Choice(["series", "type"]), default="series",
              help="What a line of the table is. [default: series]")  # fmt: skip
@click.option("--plot", metavar="FILE", help="Draw a calendar of the months as .svg or .png.")
def command(
    *,
    as_json: bool,
    form: str,
    with_holes: bool,
    by: str,
    of: str | None,
    plot: str | None,
    **given: str | None,
) -> int:
    """Show how complete each series is, and the cause of each hole.

    Only the ledger is read; `verify` hashes the files. A collection may run at the same time.
    Complete is what runs were asked for: the union of the days of all their selections, up to the
    last day that should be published by now. With --of published, and in a directory with runs of a
    version that did not record their selections, complete is what the publisher has from the first
    settled day on. With --start or --end all days of the window count. A table leaves out columns
    that the terminal is too narrow for, and names them.

    \b
    Holes that a further run can fill:
      failed             a network or server error; run `collect` again
      not_collected      no run has settled these days
    Holes of the source:
      quarantined        damaged, or disagrees with its sidecar
      missing            absent, although it should be there
      unproven           stored, but no published checksum confirms it
      upstream_hole      known to be missing (matrix/holes.json)
      acknowledged       missing or quarantined, and named by --acknowledge or --holes-path
    Days that are not_published_yet, retired, outside_life or not_asked need nothing. These four,
    upstream_hole and acknowledged do not count against coverage.

    \b
    Examples:
      crypto-lakehouse status -o data
      crypto-lakehouse status -o data --by type
      crypto-lakehouse status -o data --of published
      crypto-lakehouse status -o data -s 'BTC*' -t klines --holes
      crypto-lakehouse status -o data --format keys > holes.txt
      crypto-lakehouse status -o data --start 2024-01-01 --end 2024-12-31 --plot coverage.svg
    """  # noqa: D301 - click reads \b
    form = "json" if as_json else form
    outputs: dict[str, _Output] = {"json": _Json(), "keys": _Keys()}
    output = outputs.get(form, _StatusText(with_holes=with_holes))
    if by == "type":
        if form != "table" or with_holes:
            reason = "--by type prints a table; leave out --json, --format and --holes"
            raise click.UsageError(reason)
        output = _TypeTable()
    return anyio.run(partial(_status, given, output, plot, of))


async def _status(
    given: dict[str, str | None], output: _Output, plot: str | None, of: str | None
) -> int:
    from crypto_lakehouse.workflows import run_status

    picture = _Picture(plot) if plot else None
    overrides = option_overrides(given)
    days = overrides.pop("date_range", {})
    config = stored_config(overrides.pop("output_directory"), **overrides)

    def take(coverage: SeriesCoverage) -> None:
        output.take(coverage)
        if picture is not None:
            picture.take(coverage)

    on_hole = _print_key if isinstance(output, _Keys) else None
    status = await run_status(config, **days, of=of, on_series=take, on_hole=on_hole)
    for note in status.notes:
        click.echo(f"warning: {note}", err=True)
    output.finish(status)
    if picture is not None:
        picture.draw(status)
    return 0


class _Output(Protocol):
    """Prints series as they are computed, and then the totals."""

    def take(self, coverage: SeriesCoverage) -> None: ...

    def finish(self, status: StatusReport) -> None: ...


class _Json:
    """Prints one object, series by series: memory does not grow with the ledger."""

    def __init__(self) -> None:
        self._before = '{"series": ['

    def take(self, coverage: SeriesCoverage) -> None:
        from crypto_lakehouse.workflows.status import coverage_mapping

        click.echo(self._before, nl=False)
        click.echo(json_line(coverage_mapping(coverage)), nl=False)
        self._before = ", "

    def finish(self, status: StatusReport) -> None:
        if not status.totals.series:
            click.echo(self._before, nl=False)
        totals = json_line(status.totals.to_mapping())
        click.echo(f'], "today": "{status.today}", "of": "{status.of}", "totals": {totals}}}')


class _Keys:
    """Prints nothing itself: `_print_key` is called with each archive."""

    def take(self, coverage: SeriesCoverage) -> None: ...

    def finish(self, status: StatusReport) -> None: ...


def _print_key(archive: Archive) -> None:
    click.echo(archive.key)


class _StatusText:
    """Prints tables, or lines as soon as the tables would be too long."""

    def __init__(self, *, with_holes: bool) -> None:
        self._with_holes = with_holes
        self._held: list[SeriesCoverage] = []
        self._length = 0

    def take(self, coverage: SeriesCoverage) -> None:
        self._held.append(coverage)
        self._length += 1 + (len(coverage.holes) if self._with_holes else 0)
        if self._length > LONGEST_TABLE:
            _print_lines(self._held, with_holes=self._with_holes)
            self._held.clear()

    def finish(self, status: StatusReport) -> None:
        if self._held:
            _print_tables(status, self._held, with_holes=self._with_holes)
        _print_summary(status.totals)


class _TypeTable:
    """Prints a line for each market and data type; memory does not grow with the series."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], StatusTotals] = {}

    def take(self, coverage: SeriesCoverage) -> None:
        from crypto_lakehouse.workflows.status import StatusTotals

        name = (coverage.series.market, coverage.series.data_type)
        self._types.setdefault(name, StatusTotals()).add(coverage)

    def finish(self, status: StatusReport) -> None:
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

    print_table(
        _title(status),
        _COLUMNS,
        map(_cells, coverages),
        droppable=_DROPPABLE,
        foldable=_FOLDABLE,
    )
    holes = [
        (*_name(coverage), hole.first_day, hole.last_day, hole.days, hole.cause, hole.reason)
        for coverage in coverages
        for hole in coverage.holes
    ]
    if with_holes and holes:
        print_table(
            "holes",
            _HOLE_COLUMNS,
            holes,
            droppable=("days", "market", "data type", "interval", "reason"),
            foldable=("reason",),
        )


def _title(status: StatusReport) -> str:
    of = "what was asked for" if status.of == "asked" else "what the publisher has"
    return f"coverage of {of}, as of {status.today}"


def _print_lines(coverages: list[SeriesCoverage], *, with_holes: bool) -> None:
    for coverage in coverages:
        cells = _cells(coverage)
        click.echo((_LINE if coverage.holes else _SHORT_LINE).format(*cells).rstrip())
        for hole in coverage.holes if with_holes else ():
            click.echo(
                _HOLE_LINE.format(
                    hole.first_day, hole.last_day, plural(hole.days, "day"), hole.cause, hole.reason
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


def _percent(ratio: float) -> str:
    """Rounded down, so that 100 % means complete."""
    return f"{floor(ratio * 1000) / 10:.1f}"


def _causes(days: Counter[HoleCause]) -> str:
    from crypto_lakehouse.coverage.coverage import HoleCause

    return ", ".join(f"{days[cause]} {cause}" for cause in HoleCause if days[cause]) or "-"


def _newest(holes: tuple[Hole, ...]) -> str:
    return f"{holes[-1].cause} {holes[-1].last_day}" if holes else "-"


def _print_summary(totals: StatusTotals) -> None:
    click.echo(_summary(totals) if totals.series else "the ledger has no such series")


def _summary(totals: StatusTotals) -> str:
    from crypto_lakehouse.cli.render import bytes_text

    lines = [
        f"{totals.series} series, {totals.verified_days} of "
        f"{plural(totals.expected_days, 'day')} verified ({_percent(totals.ratio)} %), "
        f"{bytes_text(totals.size_bytes)}",
        f"days in holes: {_causes(totals.holes)}",
    ]
    if totals.refused_newer:
        lines.append(
            agreeing(
                totals.refused_newer,
                f"{totals.refused_newer} verified archive[s] [has|have] a newer version at the "
                "source that was not good enough to take [its|their] place",
            )
        )
    return "\n".join(lines)


class _Picture:
    """Collects the series to draw, up to the most that a picture takes."""

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

    def draw(self, status: StatusReport) -> None:
        from crypto_lakehouse.charts.coverage_plot import plot_coverage

        for path in plot_coverage(self._kept, self._path, today=status.today):
            click.echo(f"drawn: {path}", err=True)
        if self._left_out:
            click.echo(
                agreeing(self._left_out, f"warning: {self._left_out} series [is|are] ")
                + f"not in the picture, which takes {self._most}; choose with --symbols, "
                "--data-types or --intervals",
                err=True,
            )
