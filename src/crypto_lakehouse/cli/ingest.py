"""`crypto-lakehouse ingest`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.lake_options import lake_config, lake_options
from crypto_lakehouse.cli.lock_wait import wait_for_lock, wait_option
from crypto_lakehouse.cli.options import named_by_options
from crypto_lakehouse.core.messages import agreeing, plural

if TYPE_CHECKING:
    from crypto_lakehouse.workflows.ingestion import IngestWorkflow
    from crypto_lakehouse.workflows.lake_report import IngestReport

__all__ = ["command", "ingest_text", "ingest_to_end", "print_result"]


@click.command("ingest")
@lake_options
@click.option("--format", type=click.Choice(["iceberg", "parquet"]),
              help="Iceberg tables, or plain Parquet in folders. [default: iceberg]")  # fmt: skip
@click.option("--compression", type=click.Choice(["lz4", "zstd", "snappy", "none"]),
              help="Compression of data files. [default: lz4]")  # fmt: skip
@click.option("--again", is_flag=True, help="Read archives again that are already in the tables.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@wait_option
@click.option("--quiet", "-q", is_flag=True, help="No progress; only the result.")
def command(**given: Any) -> int:
    """Ingest verified archives into typed, versioned tables.

    One archive is one unit: an archive that is already in its table is skipped, a re-published
    archive replaces its rows. A month and its days are merged: no row is lost, and a day's row
    stands where they differ. If a data file of the lake is gone or cut, the archives whose rows
    were in it are ingested again. Needs the extra `tables`.

    \b
    Examples:
      crypto-lakehouse ingest -o data
      crypto-lakehouse ingest -o data --lake lake -t klines,fundingRate --exact
      crypto-lakehouse ingest -o data --policy doubled_rows=drop --policy order=quarantine
      crypto-lakehouse ingest -o data --lake files --format parquet --compression zstd
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_ingest, given))


#: A folder has the differences of plain Parquet files, a table those of Iceberg tables.
_DIFFER = (
    "row[s] [differs|differ] between archives (see lakehouse.differences, or lakehouse/differences)"
)


async def _ingest(given: dict[str, Any]) -> int:
    from crypto_lakehouse.cli.progress import step_display
    from crypto_lakehouse.workflows.ingestion import IngestWorkflow

    config = await lake_config(given)
    await wait_for_lock(config.lock, given["wait"])
    with step_display(quiet=given["quiet"]) as display:
        workflow = IngestWorkflow(config, on_progress=display.show)
        report, code = await ingest_to_end(workflow)
    print_result(report, as_json=given["as_json"], quiet=given["quiet"])
    return code


async def ingest_to_end(workflow: IngestWorkflow) -> tuple[IngestReport, int]:
    """Run an ingestion until it ends or a signal ends it; return its report and the exit code."""
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.core.errors import LakehouseError
    from crypto_lakehouse.core.redaction import redact

    try:
        report: IngestReport = (
            await run_until_signal(workflow, "stopping; what is committed is kept")
        ).report
    except LakehouseError as error:
        return workflow.report(redact(str(named_by_options(error)))), error.exit_code
    return report, int(report.exit_code)


def print_result(report: IngestReport, *, as_json: bool, quiet: bool) -> None:
    """Print the report to standard output, and what is wrong to standard error."""
    if report.error:
        click.echo(f"error: {report.error}", err=True)
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        click.echo(json_line(report.to_mapping()))
    elif not report.error:
        if not quiet:
            for problem in report.problems:
                click.echo(f"{problem['state']}: {problem['key']}: {problem['reason']}", err=True)
        click.echo(ingest_text(report))


def ingest_text(report: IngestReport) -> str:
    """Print the report for people."""
    lines = []
    for table in report.tables:
        parts = [
            f"{plural(table.archives, 'archive', form=',')}, {plural(table.rows, 'row', form=',')}"
        ]
        parts += [
            f"{getattr(table, name):,} {agreeing(getattr(table, name), word)}"
            for name, word in (
                ("replaced", "replaced"),
                ("unchanged", "unchanged"),
                ("covered", "day[s] covered by [its|their] month"),
                ("refused", "refused"),
                ("rows_added", "row[s] added by new versions"),
                ("rows_changed", "row[s] changed"),
                ("rows_removed", "row[s] removed"),
                ("rows_differing", _DIFFER),
            )
            if getattr(table, name)
        ]
        lines.append(f"{table.table}: {', '.join(parts)}")
    if not report.tables:
        lines.append("nothing to ingest: there is no verified archive")
    checks = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(report.verdicts.items()))
    if checks:
        lines.append(f"checks: {checks}")
    if report.mended_files:
        number = report.mended_files
        files = agreeing(number, f"{number:,} data file[s] [was|were]")
        lines.append(f"mended: {files} damaged or gone; the rows were ingested again")
    if report.arriving:
        count = plural(report.arriving, "archive")
        lines.append(f"left out: {count} that a collection has not settled yet")
    lines.append(f"{report.status} in {report.duration_seconds:.1f} s; tables in {report.lake}")
    return "\n".join(lines)
