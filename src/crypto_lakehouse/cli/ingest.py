"""`crypto-lakehouse ingest`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.failures import message_of
from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.cli.lake_options import lake_config, lake_options
from crypto_lakehouse.cli.lock_wait import LockWait, wait_option
from crypto_lakehouse.cli.monitoring import (
    monitoring_options,
    naming_what_cannot_be_opened,
    say_where,
)
from crypto_lakehouse.core.messages import agreeing, plural
from crypto_lakehouse.core.visible import visible

if TYPE_CHECKING:
    from crypto_lakehouse.workflows.ingestion import IngestWorkflow
    from crypto_lakehouse.workflows.lake_report import IngestReport, TableTotals

__all__ = ["command", "ingest_text", "ingest_to_end", "print_result"]


@click.command("ingest")
@lake_options
@click.option("--format", type=click.Choice(["iceberg", "parquet"]),
              help="Iceberg tables, or plain Parquet in folders. [default: iceberg]")  # fmt: skip
@click.option("--compression", type=click.Choice(["lz4", "zstd", "snappy", "none"]),
              help="Compression of data files. [default: lz4]")  # fmt: skip
@click.option("--again", is_flag=True,
              help="Read archives again that are in the tables, or were refused.")  # fmt: skip
@click.option("--only-recordings", is_flag=True,
              help="Only what `record` has stored; no archive is looked at.")  # fmt: skip
@click.option("--processes", metavar="N",
              help="Worker processes that write, or auto. [default: 1: threads]")  # fmt: skip
@click.option("--executor", type=click.Choice(["processes", "dask"]),
              help="Processes here, or Dask workers elsewhere. [default: processes]")  # fmt: skip
@click.option("--dask-scheduler", metavar="ADDRESS",
              help="The cluster's scheduler. [default: a cluster on this machine]")  # fmt: skip
@click.option("--shared-directory", is_flag=True,
              help="The cluster's workers mount the same directories.")  # fmt: skip
@monitoring_options
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@wait_option
@click.option("--quiet", "-q", is_flag=True, help="No progress; only the result.")
def command(**given: Any) -> int:
    """Ingest verified archives into typed, versioned tables.

    One archive is one unit: an archive that is already in its table is skipped, a re-published
    archive replaces its rows. A month and its days are merged: no row is lost, and a day's row
    stands where they differ. If a data file of the lake is gone or cut, the archives whose rows
    were in it are ingested again. Segments that `record` has stored are ingested, too; archives
    replace their rows. Needs the extra `tables`.

    \b
    Examples:
      crypto-lakehouse ingest -o data
      crypto-lakehouse ingest -o data --lake lake -t klines,fundingRate --exact
      crypto-lakehouse ingest -o data --policy doubled_rows=drop --policy order=quarantine
      crypto-lakehouse ingest -o data --lake files --format parquet --compression zstd
      crypto-lakehouse ingest -o s3://bucket/prefix --lake lake
      crypto-lakehouse ingest -o data --only-recordings
      crypto-lakehouse ingest -o data --processes 2
      crypto-lakehouse ingest -o data --lake s3://bucket/lake
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_ingest, given))


#: The names of what has the values that differ, by format: a table, or a folder.
_DIFFERENCES = {"iceberg": "lakehouse.differences", "parquet": "lakehouse/differences"}

#: The counts of a table that are printed unless they are zero, in this order.
_COUNTED = (
    ("replaced", "replaced"),
    ("unchanged", "unchanged"),
    ("covered", "covered by others"),
    ("refused", "refused"),
    ("rows_added", "row[s] added by new versions"),
    ("rows_changed", "row[s] changed"),
    ("rows_removed", "row[s] removed"),
    ("rows_differing", "row[s] [differs|differ] between archives (see {differences})"),
)


@naming_what_cannot_be_opened
async def _ingest(given: dict[str, Any]) -> int:
    from crypto_lakehouse.cli.progress import step_display
    from crypto_lakehouse.workflows.ingestion import IngestWorkflow
    from crypto_lakehouse.workflows.wiring.lake_at import lake_at

    config = await lake_config(given)
    wait = LockWait(given["wait"])
    await wait.before(lake_at(config).lock)
    with step_display(quiet=given["quiet"]) as display:
        workflow = IngestWorkflow(
            config, on_progress=display.show, on_held=wait, archives=not given["only_recordings"]
        )
        workflow.monitoring.say = say_where(config, quiet=given["quiet"])
        report, code = await ingest_to_end(workflow)
    print_result(report, code, as_json=given["as_json"], quiet=given["quiet"])
    return code


async def ingest_to_end(workflow: IngestWorkflow) -> tuple[IngestReport, int]:
    """Run an ingestion until it ends or a signal ends it; return its report and the exit code."""
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.core.errors import LakehouseError

    try:
        report: IngestReport = (
            await run_until_signal(workflow, "stopping; what is committed is kept")
        ).report
    except LakehouseError as error:
        return workflow.report(message_of(error)), error.exit_code
    return report, int(report.exit_code)


def print_result(report: IngestReport, code: int, *, as_json: bool, quiet: bool) -> None:
    """Print the report to standard output, and what is wrong to standard error."""
    if report.error:
        click.echo(f"error: {report.error}", err=True)
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        failure = failure_of(report.error, code) if report.error else {}
        click.echo(json_line({**failure, **report.to_mapping()}))
    elif not report.error:
        if not quiet:
            for problem in report.problems:
                line = f"{problem['state']}: {problem['key']}: {problem['reason']}"
                click.echo(visible(line), err=True)
            for each in report.reviewed:
                line = f"{each['verdict']} now: {each['key']}: {each['reason']}"
                click.echo(visible(line), err=True)
        click.echo(ingest_text(report))


def ingest_text(report: IngestReport) -> str:
    """Return the report as sentences for people, a line each."""
    differences = _DIFFERENCES[report.format]
    lines = [_table_text(table, differences) for table in report.tables]
    if not report.tables:
        lines.append("nothing to ingest: there is no new recording, and no verified archive")
    checks = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(report.verdicts.items()))
    if checks:
        is_good = report.verdicts.keys() <= {"good"}
        more = "" if is_good else "; `crypto-lakehouse validate` names the archives and the checks"
        lines.append(f"checks: {checks}{more}")
    if report.reviewed_count:
        number = report.reviewed_count
        text = f"{number:,} archive[s] of earlier runs [has|have] other findings now"
        lines.append(f"seams: {agreeing(number, text)}")
    if report.mended_files:
        number = report.mended_files
        files = agreeing(number, f"{number:,} data file[s] [was|were]")
        lines.append(f"mended: {files} damaged or gone; the rows were ingested again")
    if report.arriving:
        count = plural(report.arriving, "archive")
        lines.append(f"left out: {count} that a collection has not settled yet")
    how = "" if report.format == "iceberg" else "; pandas and Arrow need `partitioning=None`"
    end = f"{report.status} in {report.duration_seconds:.1f} s"
    lines.append(f"{end}; tables in {report.lake}{how}")
    return "\n".join(lines)


def _table_text(table: TableTotals, differences: str) -> str:
    counts = [
        f"{plural(table.archives, 'archive', form=',')}, {plural(table.rows, 'row', form=',')}"
    ]
    for name, word in _COUNTED:
        if count := getattr(table, name):
            counts.append(f"{count:,} {agreeing(count, word.format(differences=differences))}")
    return f"{table.table}: {', '.join(counts)}"
