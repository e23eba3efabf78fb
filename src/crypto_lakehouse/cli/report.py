"""`crypto-lakehouse report`."""

from __future__ import annotations

from functools import partial

import anyio
import click

from crypto_lakehouse.cli.coverage_options import coverage_options
from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.options import option_overrides
from crypto_lakehouse.cli.output_option import known_output, known_output_options
from crypto_lakehouse.core.messages import agreeing

__all__ = ["command"]


@click.command("report", short_help="Write the state of an output into one HTML page.")
@known_output_options
@click.option("--html", required=True, metavar="FILE", callback=file_only,
              help="The file to write.")  # fmt: skip
@coverage_options("as of `status`", "as of `status`")
def command(*, html: str, of: str | None, **given: str | None) -> int:
    """Write the state of an output into one HTML page, which loads nothing and has no script.

    It shows a calendar of coverage for each data type and, opened, for each of its series, holes by
    cause, verdicts, how fresh the data is, the last runs, where rows come from, and what checks
    have found in the tables of the output. The figures are those of `status`. The 1,200 least
    complete series have a line of their own, and the others are counted.

    Ledger and lake are read, and a collection may run at the same time; with `collect --serve` the
    same page is live while it runs.

    \b
    Examples:
      crypto-lakehouse report -o data --html report.html
      crypto-lakehouse report --config collection.yaml --html report.html
      crypto-lakehouse report -o s3://bucket/prefix -t klines --html klines.html
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_report, given, html, of))


async def _report(given: dict[str, str | None], html: str, of: str | None) -> int:
    from crypto_lakehouse.cli.render import bytes_text
    from crypto_lakehouse.core.config.storage import is_url
    from crypto_lakehouse.stores.output import output_note
    from crypto_lakehouse.workflows import run_page_report

    overrides = option_overrides(given)
    days = overrides.pop("date_range", {})
    config = await known_output(given["config_file"], overrides)
    if is_url(config.output_directory) or config.ledger is not None:
        click.echo(f"note: {output_note(config)}", err=True)
    report = await run_page_report(config, html, **days, of=of)
    for note in report.notes:
        click.echo(f"warning: {note}", err=True)
    if report.left_out:
        text = f"note: {report.left_out:,} series [has|have] no line of [its|their] own on the page"
        click.echo(agreeing(report.left_out, text), err=True)
    click.echo(f"written: {html}, {bytes_text(report.size_bytes)}", err=True)
    return 0
