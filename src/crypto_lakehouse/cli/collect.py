"""`crypto-lakehouse collect`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.lock_wait import output_lock_of, wait_for_lock, wait_option
from crypto_lakehouse.cli.options import config_options, named_by_options, option_overrides
from crypto_lakehouse.cli.progress import collection_sink, terminal_rows
from crypto_lakehouse.core.config.profiles import PRODUCTION

if TYPE_CHECKING:
    from crypto_lakehouse.sinks.progress_rows import ProgressRows

__all__ = ["command", "run_to_end"]

NO_LOG = "none"


@click.command("collect", short_help="Fetch archives and verify them.")
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option(
    "--events",
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
    "--ingest", is_flag=True, help="Also ingest verified archives into tables; see `ingest`."
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
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_collect, given))


async def _collect(given: dict[str, Any]) -> int:
    from crypto_lakehouse.core.metrics import ByteMeter
    from crypto_lakehouse.sinks.jsonl import JsonLinesSink
    from crypto_lakehouse.workflows import ArchiveCollectionWorkflow
    from crypto_lakehouse.workflows.wiring.load_config import load_config
    from crypto_lakehouse.workflows.wiring.open_files import make_room_for_connections
    from crypto_lakehouse.workflows.wiring.transport_stack import wanted_parallel

    overrides = option_overrides(given)
    if given["retry_failed"]:
        overrides["only"] = "failed"
    config = await load_config(given["config_file"], overrides)
    if given["dry_run"]:
        from crypto_lakehouse.cli.plan import show_plan

        return await show_plan(config, "json" if given["as_json"] else "table")
    rows = terminal_rows(quiet=given["quiet"])
    _log(given, rows, is_production=config.environment == PRODUCTION)
    await wait_for_lock(output_lock_of(config), given["wait"])
    make_room_for_connections(wanted_parallel(config))
    meter = ByteMeter()
    sinks: list[Any] = [collection_sink(meter, rows, quiet=given["quiet"])]
    if given["events"]:
        sinks.append(JsonLinesSink(given["events"]))
    if given["ingest"]:
        from crypto_lakehouse.cli.collect_ingest import collect_and_ingest

        return await collect_and_ingest(config, sinks, meter, rows, given)
    workflow = ArchiveCollectionWorkflow(config, sinks=sinks, meter=meter)
    return await run_to_end(workflow, as_json=given["as_json"], strict=given["strict"])


def _log(given: dict[str, Any], rows: ProgressRows | None, *, is_production: bool) -> None:
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
    from crypto_lakehouse.core.redaction import redact

    try:
        metrics = await run_until_signal(workflow, "stopping; what is verified is kept")
        report = metrics.report
        code = report.strict_exit_code if strict else report.exit_code
        text = report_text(report, workflow.config.output_directory)
    except LakehouseError as error:
        shown = named_by_options(error)
        report, code = workflow.report(redact(str(shown))), error.exit_code
        text = ""
    if report.error:
        click.echo(f"error: {report.error}", err=True)
    if as_json:
        text = json_line(report.to_mapping())
    return int(code) if not text or print_report(text) else int(code) or 1
