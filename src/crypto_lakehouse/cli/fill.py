"""`crypto-lakehouse fill`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.lock_wait import LockWait, output_lock_of, wait_option
from crypto_lakehouse.cli.monitoring import MONITORING_KEYS, naming_what_cannot_be_opened, say_where
from crypto_lakehouse.cli.options import config_options_without, option_overrides
from crypto_lakehouse.cli.progress import collection_sink, terminal_rows
from crypto_lakehouse.cli.run_end import run_to_end
from crypto_lakehouse.cli.unused_options import refuse_beside, refuse_unused_keys
from crypto_lakehouse.core.messages import plural

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.workflows.fill_costs import FillEstimate
    from crypto_lakehouse.workflows.fill_report import FillReport

__all__ = ["command", "fill_text"]

_SHOWN_PROBLEMS = 20

#: Keys of a configuration that have no effect on a fill.
_UNUSED = (
    "only", "record", "max_parallel_downloads", "max_bytes",
    "max_requests_per_second", "processes", "executor", "dask_scheduler", "shared_directory",
    "segmented_downloads", "download_checksum", "integrity", "accept_upstream_mismatch",
    "replaced_retention_days", "second_source_url",
)  # fmt: skip


@click.command("fill", short_help="Fill what the archive lacks from the exchange.")
@config_options_without(*_UNUSED)
@click.option("--until", metavar="DAY", help="`now`, or the last UTC day. [default: now]")
@click.option(
    "--only-holes",
    is_flag=True,
    default=None,
    help="Only holes of the archive, not the days after its newest.",
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Ask once more for what the exchange did not have.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only show what would be asked for, its weight and time; nothing is asked or written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option(
    "--events",
    callback=file_only,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write one JSON line for each day.",
)
@wait_option
@click.option("--quiet", "-q", is_flag=True, help="No progress; only warnings and the result.")
def command(**given: Any) -> int:
    """Fill what the archive lacks from the exchange's public API, without a key.

    These are the holes that `status` shows, and the days from the archive's newest up to now: bars,
    aggTrades, funding rates and metrics. Each day of a series is stored below rest/, beside the
    archives, and `ingest` reads it into the same tables. An archive that comes later takes its
    place. The requests stay within the limits of the exchange, also if other programs use them.

    Symbols and days are optional: by default all that runs were asked for is filled.

    \b
    Examples:
      crypto-lakehouse fill -o data
      crypto-lakehouse fill -o data -s BTCUSDT -t klines --dry-run
      crypto-lakehouse fill -o data --only-holes
      crypto-lakehouse fill -o data --markets spot -s BTCUSDT -t klines -i 1m --start 2026-05-01
      crypto-lakehouse collect --config collection.yaml --ingest --fill
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_fill, given))


@naming_what_cannot_be_opened
async def _fill(given: dict[str, Any]) -> int:
    from crypto_lakehouse.workflows.wiring.load_config import load_config, read_config

    if given["dry_run"]:
        refuse_beside("--dry-run", "events", "wait", *MONITORING_KEYS)
    file = given["config_file"]
    values = None if file is None else await read_config(file)
    # What is selected need not be complete: the ledger has the rest.
    config = await load_config(values, {**option_overrides(given), "only": "failed"})
    refuse_unused_keys(config)
    if given["dry_run"]:
        return await _show_estimate(config, given)
    return await _run(config, given)


async def _run(config: WorkflowConfig, given: dict[str, Any]) -> int:
    from crypto_lakehouse.core.metrics import ByteMeter
    from crypto_lakehouse.workflows import RestCollectionWorkflow

    wait = LockWait(given["wait"])
    await wait.before(output_lock_of(config))
    sinks: list[Any] = [
        collection_sink(ByteMeter(), terminal_rows(quiet=given["quiet"]), quiet=given["quiet"])
    ]
    if given["events"]:
        from crypto_lakehouse.sinks.jsonl import JsonLinesSink

        sinks.append(JsonLinesSink(given["events"]))
    workflow = RestCollectionWorkflow(
        config, until=given["until"], only_holes=given["only_holes"],
        retry_failed=given["retry_failed"], sinks=sinks, on_held=wait,
    )  # fmt: skip
    workflow.monitoring.say = say_where(config, quiet=given["quiet"])
    words = "stopping; what is filled is kept"
    return await run_to_end(workflow, words, fill_text, as_json=given["as_json"])


def fill_text(report: FillReport) -> str:
    """The summary that ends a fill."""
    counts = ", ".join(f"{count} {name}" for name, count in report.totals.items() if count)
    if report.acknowledged:
        counts += f"; {report.acknowledged} of these acknowledged"
    lines = [
        f"{report.status}: {counts or '0 planned'}, in days of series",
        f"{plural(report.rows, 'row', form=',')}, {plural(report.requests, 'request', form=',')} "
        f"of weight {report.weight:,}, in {report.duration_seconds:.1f} s",
    ]
    lines += [f"  {problem}" for problem in report.problems[:_SHOWN_PROBLEMS]]
    if len(report.problems) > _SHOWN_PROBLEMS:
        lines.append("  ... and more; --json lists 100, --events FILE every day")
    return "\n".join(lines)


async def _show_estimate(config: WorkflowConfig, given: dict[str, Any]) -> int:
    from crypto_lakehouse.workflows import run_fill_estimate

    found = await run_fill_estimate(
        config, until=given["until"], only_holes=given["only_holes"],
        retry_failed=given["retry_failed"],
    )  # fmt: skip
    for note in found.notes:
        click.echo(f"warning: {note}", err=True)
    if given["as_json"]:
        click.echo(json_line(found.to_mapping()))
    else:
        _print_estimate(found)
    return 0


def _print_estimate(found: FillEstimate) -> None:
    from crypto_lakehouse.cli.render import duration_text, print_table, print_text

    if found.rows:
        print_table(
            "to fill from the exchange",
            ("market", "data type", "days", "requests", "weight", "about"),
            [
                (market, data_type, cost.days, cost.requests,
                 f"{cost.weight}{' or more' if cost.is_least else ''}",
                 duration_text(cost.seconds(market)))
                for (market, data_type), cost in found.rows.items()
            ],
            foldable=(),
        )  # fmt: skip
    total = found.total
    least = "at least " if total.is_least else ""
    print_text(
        f"{plural(total.days, 'day')} to fill, {least}{plural(total.requests, 'request')} of "
        f"weight {total.weight}, {least or 'about '}{duration_text(found.seconds)}"
    )
