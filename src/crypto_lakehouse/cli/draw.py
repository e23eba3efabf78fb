"""`crypto-lakehouse draw`: pictures of bars and of coverage."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import click

from crypto_lakehouse.cli.command_group import CommandGroup
from crypto_lakehouse.cli.coverage_options import coverage_options
from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.lake_options import open_lake, place_options
from crypto_lakehouse.cli.options import option_overrides
from crypto_lakehouse.cli.output_option import known_output, known_output_options
from crypto_lakehouse.core.data_types import Market

__all__ = ["command"]

_TO = click.option("--to", required=True, metavar="FILE", callback=file_only,
                   help="The picture: .svg or .png. [required]")  # fmt: skip


@click.group("draw", short_help="Draw candles, or coverage, as .svg or .png.", cls=CommandGroup)
def command() -> None:
    """Draw candles, or a calendar of coverage. It needs the extra `plot`, and no display."""


@command.command("candles", short_help="Draw the bars of a symbol as candles.")
@place_options
@_TO
@click.option("--symbol", "-s", required=True, metavar="SYMBOL", help="The symbol. [required]")
@click.option("--interval", "-i", default="1h", metavar="INTERVAL", show_default=True,
              help="The interval of the bars.")  # fmt: skip
@click.option("--market", type=click.Choice([*map(str, Market)]), default="spot",
              show_default=True, help="The market.")  # fmt: skip
@click.option("--start", metavar="TIME", help="The first day or time, in UTC.")
@click.option("--end", metavar="TIME", help="The last day, or the first time after the bars.")
def draw_candles(**given: Any) -> int:
    """Draw the bars of a symbol as candles, with their volume, and gaps where bars are absent.

    Without --start and --end the newest 300 bars are drawn; 5,000 are the most.

    \b
    Examples:
      crypto-lakehouse draw candles -o data -s BTCUSDT -i 1h --to candles.svg
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.charts import candles
    from crypto_lakehouse.charts.coverage_plot import check_picture

    check_picture(given["to"])
    with open_lake(given) as lake:
        chosen = {name: given[name] for name in ("market", "start", "end")}
        picture = candles(lake, given["symbol"], given["interval"], **chosen)
        for path in picture.save(given["to"]):
            click.echo(f"drawn: {path}", err=True)
    return 0


@command.command("coverage", short_help="Draw how complete each series is, by month.")
@known_output_options
@_TO
@coverage_options("as of `status`", "as of `status`")
def draw_coverage(*, to: str, of: str | None, **given: str | None) -> int:
    """Draw a calendar of months, a line for each series: `status --plot` without its table.

    \b
    Examples:
      crypto-lakehouse draw coverage -o data --to coverage.svg
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_draw_coverage, given, to, of))


async def _draw_coverage(given: dict[str, str | None], to: str, of: str | None) -> int:
    from crypto_lakehouse.cli.status import CoveragePicture
    from crypto_lakehouse.workflows import run_status

    picture = CoveragePicture(to)
    overrides = option_overrides(given)
    days = overrides.pop("date_range", {})
    config = await known_output(given["config_file"], overrides)
    status = await run_status(config, **days, of=of, on_series=picture.take)
    for note in status.notes:
        click.echo(f"warning: {note}", err=True)
    picture.draw(status)
    return 0
