"""`crypto-lakehouse validate`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.lake_options import (
    archives_options,
    config_option,
    lake_config,
    selection_options,
)

if TYPE_CHECKING:
    from crypto_lakehouse.tables.quality.findings import ValidationReport

__all__ = ["command"]


@click.command("validate", short_help="Check the rows of verified archives; nothing is changed.")
@config_option
@archives_options
@selection_options
@click.option(
    "--html",
    metavar="FILE",
    callback=file_only,
    help="Write the report as one HTML page, with plots.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option("--strict", is_flag=True, help="Also exit 3 for warnings.")
@click.option("--quiet", "-q", is_flag=True, help="No progress; only the result.")
def command(**given: Any) -> int:
    """Read verified archives and check their content; nothing is changed.

    A correct checksum proves that the bytes are the publisher's, not that the rows are correct.
    Exit code 4: some archive cannot be read as its type; 3: some rows contradict themselves.

    \b
    Examples:
      crypto-lakehouse validate -o data
      crypto-lakehouse validate -o data -t metrics,bookDepth --html report.html
      crypto-lakehouse validate -o data --json | jq .checks
      crypto-lakehouse validate -o s3://bucket/prefix -t klines
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_validate, given))


async def _validate(given: dict[str, Any]) -> int:
    from crypto_lakehouse.cli.progress import step_display
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.workflows.validation import ValidationWorkflow

    config = await lake_config(given)
    with step_display(quiet=given["quiet"]) as display:
        # Archives are counted before they are read only if their number is shown.
        on_progress = None if given["quiet"] else display.show
        workflow = ValidationWorkflow(config, on_progress=on_progress)
        metrics = await run_until_signal(workflow, "stopping; the report covers what was read")
    report: ValidationReport = metrics.report
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    if given["html"]:
        from crypto_lakehouse.charts.validation_html import write_html

        write_html(given["html"], report)
        click.echo(f"written: {given['html']}", err=True)
    from crypto_lakehouse.cli.validate_output import print_json, print_report

    if given["as_json"]:
        print_json(report)
    else:
        from crypto_lakehouse.cli.terminal import console

        print_report(report, console())
    return report.strict_exit_code if given["strict"] else report.exit_code
