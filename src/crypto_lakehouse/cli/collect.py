"""`crypto-lakehouse collect`."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.failures import message_of
from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.cli.late_warnings import say_late_warnings
from crypto_lakehouse.cli.lock_wait import LockWait, output_lock_of, wait_option
from crypto_lakehouse.cli.monitoring import MONITORING_KEYS, naming_what_cannot_be_opened, say_where
from crypto_lakehouse.cli.options import config_options, option_overrides
from crypto_lakehouse.cli.progress import collection_sink, terminal_rows
from crypto_lakehouse.cli.streams import LoggedStream
from crypto_lakehouse.cli.unused_options import refuse_beside, refuse_unused_keys, refuse_without
from crypto_lakehouse.core.config.profiles import PRODUCTION

if TYPE_CHECKING:
    from crypto_lakehouse.core.metrics import ByteMeter
    from crypto_lakehouse.sinks.progress_rows import ProgressRows

__all__ = ["command", "run_to_end"]

NO_LOG = "none"


@click.command("collect", short_help="Fetch archives and verify them.")
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option(
    "--events",
    callback=file_only,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write one JSON line for each archive.",
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Only what the ledger lists as failed, missing or corrupt; same as --only failed.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only show what would be fetched, as `plan` does; nothing is fetched or written.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Exit 3 unless every planned archive is verified or acknowledged.",
)
@click.option(
    "--ingest",
    is_flag=True,
    help="Also ingest verified archives into tables; see `ingest`, whose keys a file may have too.",
)
@click.option(
    "--fill",
    "with_fill",
    is_flag=True,
    help="With --ingest: also fill from the exchange what the archive lacks; see `fill`.",
)
@wait_option
@click.option("--quiet", "-q", is_flag=True, help="No progress; only warnings and the result.")
@click.option("--log-format", type=click.Choice(["text", "json", NO_LOG]), default=None,
              help="Log every step to standard error. [default: json in the environment "
              "production, else none]")  # fmt: skip
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]),
              help="Log only messages of this level or above; logs text if nothing else is chosen. "
              "[default: debug]")  # fmt: skip
def command(**given: Any) -> int:
    """Fetch archives, verify them, and file them under their published keys.

    If the file of --config has tenants, the collections of all of them run at once, or that of
    --tenant; the exit code is the worst one.

    \b
    Examples:
      crypto-lakehouse collect -o data -s BTCUSDT -t klines -i 1h --date 2025-07-15
      crypto-lakehouse collect --config collection.yaml --max-parallel-downloads 32
      crypto-lakehouse collect -o data --markets futures_um -s BTCUSDT,ETHUSDT \\
          -t fundingRate,metrics --start 2024-01-01 --end 2024-12-31 --json
      crypto-lakehouse collect -o data --discovery listing --markets futures_um -t metrics \\
          --quote-assets USDT --contracts perpetual --date 2026-09-01
      crypto-lakehouse collect -o data --retry-failed
      crypto-lakehouse collect --config collection.yaml --dry-run
      crypto-lakehouse collect --config collection.yaml --ingest --fill
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_collect, given))


@naming_what_cannot_be_opened
async def _collect(given: dict[str, Any]) -> int:
    from crypto_lakehouse.core.metrics import ByteMeter
    from crypto_lakehouse.workflows import ArchiveCollectionWorkflow
    from crypto_lakehouse.workflows.tenants.loading import runs_all_tenants
    from crypto_lakehouse.workflows.wiring.load_config import (
        load_config,
        load_lake_of,
        read_config,
    )
    from crypto_lakehouse.workflows.wiring.open_files import make_room_for_connections
    from crypto_lakehouse.workflows.wiring.transport_stack import wanted_parallel

    _check_usage(given)
    overrides = option_overrides(given)
    if given["retry_failed"]:
        overrides["only"] = "failed"
    rows = terminal_rows(quiet=given["quiet"])
    if given["log_format"]:  # before anything can be wrong with the configuration
        _log(given, rows)
    file = given["config_file"]
    values = None if file is None else await read_config(file)
    if runs_all_tenants(values, overrides):
        from crypto_lakehouse.cli.collect_tenants import collect_tenants

        return await collect_tenants(values or {}, overrides, given, partial(_log, given, None))
    config = await load_config(values, overrides)
    if not given["log_format"]:
        _log(given, rows, is_production=config.environment == PRODUCTION)
    lake = await load_lake_of(values, config) if given["ingest"] else None
    refuse_unused_keys(config, lake.lake if lake else None)
    if given["dry_run"]:
        from crypto_lakehouse.cli.plan import show_plan

        return await show_plan(config, "json" if given["as_json"] else "table")
    wait = LockWait(given["wait"])
    await wait.before(output_lock_of(config))
    make_room_for_connections(wanted_parallel(config))
    meter = ByteMeter()
    sinks = _sinks(given, meter, rows)
    if lake is not None:
        from crypto_lakehouse.cli.collect_ingest import collect_and_ingest

        return await collect_and_ingest(config, lake, sinks, meter, rows, wait, given)
    workflow = ArchiveCollectionWorkflow(config, sinks=sinks, meter=meter, on_held=wait)
    workflow.monitoring.say = say_where(config, quiet=given["quiet"])
    return await run_to_end(workflow, as_json=given["as_json"], strict=given["strict"])


def _check_usage(given: dict[str, Any]) -> None:
    if given["retry_failed"]:
        refuse_beside("--retry-failed", "only")
    if given["dry_run"]:
        unused = ("events", "ingest", "with_fill", "wait", "strict", *MONITORING_KEYS)
        refuse_beside("--dry-run", *unused)
    if not given["ingest"]:
        refuse_without("--ingest", "with_fill")
    if given["log_format"] == NO_LOG:
        refuse_beside(f"--log-format {NO_LOG}", "log_level")


def _sinks(given: dict[str, Any], meter: ByteMeter, rows: ProgressRows | None) -> list[Any]:
    """Return the sinks that show the progress, and write the events to a file."""
    is_logged = isinstance(sys.stderr, LoggedStream)
    sinks: list[Any] = [collection_sink(meter, rows, quiet=given["quiet"], is_logged=is_logged)]
    if given["events"]:
        from crypto_lakehouse.sinks.jsonl import JsonLinesSink

        sinks.append(JsonLinesSink(given["events"]))
    return sinks


def _log(given: dict[str, Any], rows: ProgressRows | None, *, is_production: bool = False) -> None:
    """Log if it is asked for by the form or the level, or by the environment."""
    form, level = given["log_format"], given["log_level"]
    if form is None:
        form = "json" if is_production else "text" if level else NO_LOG
    if form != NO_LOG:
        from crypto_lakehouse.cli.logs import configure_logging

        configure_logging(form, level or "debug", rows)


async def run_to_end(workflow: Any, *, as_json: bool, strict: bool = False) -> int:
    """Run a collection until it ends or a signal ends it; print its result.

    Returns:
        The process's exit code.
    """
    from crypto_lakehouse.cli.render import report_text
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.cli.streams import print_report
    from crypto_lakehouse.core.errors import LakehouseError

    try:
        metrics = await run_until_signal(workflow, "stopping; what is verified is kept")
        report = metrics.report
        code = report.strict_exit_code if strict else report.exit_code
        text = report_text(report, workflow.config.output_directory)
    except LakehouseError as error:
        report, code = workflow.report(message_of(error)), error.exit_code
        text = ""
    say_late_warnings(report)
    if report.error:
        click.echo(f"error: {report.error}", err=True)
    if as_json:
        failure = failure_of(report.error, int(code)) if report.error else {}
        text = json_line({**failure, **report.to_mapping()})
    return int(code) if not text or print_report(text) else int(code) or 1
