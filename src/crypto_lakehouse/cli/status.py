"""`crypto-lakehouse status`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.coverage_options import coverage_options
from crypto_lakehouse.cli.durations import seconds_of
from crypto_lakehouse.cli.failures import say_failure
from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.options import option_overrides
from crypto_lakehouse.cli.origins_output import OriginsTable
from crypto_lakehouse.cli.output_option import known_output, known_output_options
from crypto_lakehouse.cli.status_output import (
    JsonOutput,
    KeysOutput,
    Output,
    TextOutput,
    TypeTable,
    print_key,
)
from crypto_lakehouse.cli.unused_options import refuse_beside
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.messages import agreeing, shown

if TYPE_CHECKING:
    from crypto_lakehouse.coverage.coverage import SeriesCoverage
    from crypto_lakehouse.workflows.reports import StatusReport

__all__ = ["CoveragePicture", "command"]


def _duration(_: click.Context, option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    seconds = seconds_of(text)
    if not seconds >= 0:
        reason = f"`{shown(text)}` is not a duration; write `90m`, `36h` or `3d`"
        raise click.BadParameter(reason, param=option)
    return seconds


@click.command("status")
@known_output_options
@coverage_options(
    "each series' first day that was asked for",
    "the last day that was asked for and should be there",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--format", "form", type=click.Choice(["table", "json", "keys"]), default="table",
              help="keys prints the archives that the source lacks or serves damaged, one in a "
              "line, as --holes-path reads them.")  # fmt: skip
@click.option("--holes", "with_holes", is_flag=True, help="List every hole with its reason.")
@click.option("--origins", "with_origins", is_flag=True,
              help="Show where archive, fill and live begin and end for each series, and how much "
              "of the archive was recorded.")  # fmt: skip
@click.option("--by", type=click.Choice(["series", "type"]), default="series",
              help="What a line of the table is. [default: series]")  # fmt: skip
@click.option(
    "--max-lag",
    "max_lag_s",
    callback=_duration,
    metavar="DURATION",
    help="Name each market and data type whose newest verified day ended longer ago, such as 36h.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Exit with 4, 3 or 7: days are quarantined, missing or failed, or older than --max-lag "
    "or `freshness` says.",
)
@click.option(
    "--plot",
    metavar="FILE",
    callback=file_only,
    help="Draw a calendar of the months as .svg or .png.",
)
def command(
    *,
    as_json: bool,
    form: str,
    with_holes: bool,
    with_origins: bool,
    by: str,
    of: str | None,
    plot: str | None,
    max_lag_s: float | None,
    strict: bool,
    **given: str | None,
) -> int:
    """Show how complete each series is, and the cause of each hole.

    Only the ledger is read; `verify` hashes the files. A collection may run at the same time. An
    output without a ledger, which has recordings or filled days alone, is shown as by --origins.
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
      crypto-lakehouse status -o data --origins
      crypto-lakehouse status -o data --of published
      crypto-lakehouse status -o data --max-lag 36h
      crypto-lakehouse status --config collection.yaml --strict
      crypto-lakehouse status -o data -s 'BTC*' -t klines --holes
      crypto-lakehouse status -o data --format keys > holes.txt
      crypto-lakehouse status -o data --start 2024-01-01 --end 2024-12-31 --plot coverage.svg
    """  # noqa: D301 - click reads \b
    if as_json and form != "json":
        refuse_beside("--json", "form")
    if form == "keys":
        refuse_beside("--format keys", "with_holes")
    form = "json" if as_json else form
    outputs: dict[str, Output] = {"json": JsonOutput(), "keys": KeysOutput()}
    output = outputs.get(form, TextOutput(with_holes=with_holes))
    if by == "type":
        if form != "table" or with_holes:
            reason = "--by type prints a table; leave out --json, --format and --holes"
            raise click.UsageError(reason)
        output = TypeTable()
    if with_origins:
        if by == "type" or form == "keys" or with_holes:
            reason = "--origins has a table of its own; leave out --by, --format keys and --holes"
            raise click.UsageError(reason)
        output = output if form == "json" else OriginsTable()
    if max_lag_s is not None and given["end"] is not None:
        raise click.UsageError("--max-lag is about the newest day of all; leave out --end")
    asked = {"of": of, "origins": with_origins, "max_lag_s": max_lag_s}
    return anyio.run(partial(_status, given, output, plot, asked, strict=strict))


async def _status(
    given: dict[str, str | None],
    output: Output,
    plot: str | None,
    asked: Mapping[str, Any],
    *,
    strict: bool,
) -> int:
    from crypto_lakehouse.core.config.storage import is_url
    from crypto_lakehouse.stores.output import output_note
    from crypto_lakehouse.workflows import run_status

    picture = CoveragePicture(plot) if plot else None
    overrides = option_overrides(given)
    days = overrides.pop("date_range", {})
    config = await known_output(given["config_file"], overrides)
    if strict and "end" in days and config.freshness:
        raise click.UsageError("`freshness` is about the newest day of all; leave out --end")

    take = output.take if picture is None else partial(_take_both, output, picture)
    on_hole = print_key if isinstance(output, KeysOutput) else None
    if is_url(config.output_directory) or config.ledger is not None:
        click.echo(f"note: {output_note(config)}", err=True)
    try:
        status = await run_status(config, **days, **asked, on_series=take, on_hole=on_hole)
    except LakehouseError as error:
        if not (isinstance(output, JsonOutput) and output.has_begun):
            raise
        code, message = say_failure(error)
        output.fail(message, code)
        return code
    for note in status.notes:
        click.echo(f"warning: {note}", err=True)
    for group in status.stale or ():
        click.echo(f"stale: {group}", err=True)
    if status.origins is not None and isinstance(output, TextOutput | TypeTable):
        output = OriginsTable()  # there is no ledger
    output.finish(status)
    if picture is not None:
        picture.draw(status)
    return status.strict_exit_code if strict else 0


def _take_both(output: Output, picture: CoveragePicture, coverage: SeriesCoverage) -> None:
    output.take(coverage)
    picture.take(coverage)


class CoveragePicture:
    """Collects the series to draw, up to the most that a picture takes."""

    def __init__(self, path: str) -> None:
        from crypto_lakehouse.charts.coverage_plot import MOST_SERIES, check_picture

        check_picture(path)
        self._path = path
        self._most = MOST_SERIES
        self._kept: list[SeriesCoverage] = []
        self._left_out = 0

    def take(self, coverage: SeriesCoverage) -> None:
        """Keep a series to be drawn, or count it if there are too many."""
        if len(self._kept) < self._most:
            self._kept.append(coverage)
        else:
            self._left_out += 1

    def draw(self, status: StatusReport) -> None:
        """Write the picture, and say so."""
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
