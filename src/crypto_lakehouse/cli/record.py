"""`crypto-lakehouse record`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.durations import seconds_of
from crypto_lakehouse.cli.failures import message_of
from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.cli.lock_wait import LockWait, wait_option
from crypto_lakehouse.cli.monitoring import naming_what_cannot_be_opened, say_where
from crypto_lakehouse.cli.options import config_options_without, option_overrides
from crypto_lakehouse.cli.run_end import run_to_end
from crypto_lakehouse.cli.unused_options import refuse_unused_keys
from crypto_lakehouse.core.config.record_settings import (
    RECORD_STREAMS,
    ROTATIONS,
    record_settings,
)
from crypto_lakehouse.core.config.sources import parse_text_value
from crypto_lakehouse.core.messages import plural, shown

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.origins import FileValues
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.workflows.lake_config import LakeConfig
    from crypto_lakehouse.workflows.record_report import RecordReport
    from crypto_lakehouse.workflows.recording import RecordingWorkflow

__all__ = ["command", "record_text"]

_SHOWN_HOLES = 20


def _duration(_: click.Context, option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    seconds = seconds_of(text)
    if not seconds > 0:
        reason = f"`{shown(text)}` is not a duration above zero; write `30s`, `10m`, `8h` or `7d`"
        raise click.BadParameter(reason, param=option)
    return seconds


def _streams(_: click.Context, option: click.Parameter, text: str | None) -> list[str] | None:
    if text is None:
        return None
    try:
        names = parse_text_value(text, tuple[str, ...])
        found: list[str] = record_settings({"streams": list(names)})["streams"]
    except (ValueError, TypeError) as error:
        raise click.BadParameter(str(error), param=option) from None
    return found


@click.command("record", short_help="Record the exchange's streams.")
@config_options_without(
    "only", "data_types", "date_range", "default_date", "partitions", "metrics_by_symbol"
)
@click.option(
    "--streams",
    cls=ListOption,
    callback=_streams,
    metavar="LIST",
    help=f"Kinds of streams: {', '.join(RECORD_STREAMS)}. [default: aggTrade]",
)
@click.option(
    "--rotate",
    type=click.Choice(tuple(ROTATIONS)),
    metavar="LENGTH",
    help=f"How long a segment is: {', '.join(ROTATIONS)}. [default: 1h; 5m with --ingest]",
)
@click.option(
    "--ingest",
    is_flag=True,
    help="Ingest each segment that is finished into tables; see `ingest`, whose keys a file may "
    "have too.",
)
@click.option(
    "--for", "for_s", callback=_duration, metavar="DURATION",
    help="How long to record, such as 10m; until it is stopped by default.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option(
    "--events",
    callback=file_only,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write one JSON line for each hole, and one every 5 s for what was seen.",
)
@wait_option
@click.option("--quiet", "-q", is_flag=True, help="No progress; only warnings and the result.")
def command(**given: Any) -> int:
    """Record the exchange's streams, every message as it came.

    Messages are stored in compressed segments below live/, beside the archives, and are synced once
    a second. Connections are replaced before they end. What is missing by its ids is fetched if the
    exchange has it (aggTrades, bars, recent trades), or is listed as a hole.

    Stop it with Ctrl-C or SIGTERM: the segments are finished first. SIGHUP reads the file of
    --config again: the symbols and streams that it selects are recorded from then on, without a gap
    in those that stay. `ingest` brings recorded messages into tables, and with --ingest the
    recording does so itself, in a process of its own; `query --live` shows what is not there yet.

    \b
    Examples:
      crypto-lakehouse record -o data --markets spot -s BTCUSDT,ETHUSDT
      crypto-lakehouse record -o data --markets futures_um -s '*' --streams markPrice,forceOrder
      crypto-lakehouse record -o data -s BTCUSDT --streams depth,trade --rotate 5m --for 8h
      crypto-lakehouse record -o data --markets spot -s BTCUSDT --ingest
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_record, given))


@naming_what_cannot_be_opened
async def _record(given: dict[str, Any]) -> int:
    from crypto_lakehouse.workflows.record_selection import fills_tables
    from crypto_lakehouse.workflows.wiring.load_config import load_lake_of

    values = await _values(given)
    config = await _configuration(values, given)
    lake = await load_lake_of(values, config) if fills_tables(config) else None
    refuse_unused_keys(config, lake.lake if lake else None)
    return await _run(config, lake, given)


async def _values(given: dict[str, Any]) -> FileValues | None:
    from crypto_lakehouse.workflows.wiring.load_config import read_config

    file = given["config_file"]
    return None if file is None else await read_config(file)


async def _configuration(values: FileValues | None, given: dict[str, Any]) -> WorkflowConfig:
    from crypto_lakehouse.workflows.wiring.load_config import load_config

    config = await load_config(values, {**option_overrides(given), "only": "failed"})
    settings = {name: given[name] for name in ("streams", "rotate") if given[name] is not None}
    settings |= {"ingest": True} if given["ingest"] else {}
    return config.replace(record={**(config.record or {}), **settings}) if settings else config


async def _run(config: WorkflowConfig, lake: LakeConfig | None, given: dict[str, Any]) -> int:
    from crypto_lakehouse.workflows.recording import RecordingWorkflow

    workflow = RecordingWorkflow(
        config, for_s=given["for_s"], sinks=_sinks(given), on_held=LockWait(given["wait"]),
        lake=lake,
    )  # fmt: skip

    workflow.monitoring.say = say_where(config, quiet=given["quiet"])

    async def read_again() -> None:
        await _change(workflow, given)

    return await run_to_end(
        workflow,
        f"stopping; the segments are finished {'and ingested ' if lake else ''}first",
        record_text,
        as_json=given["as_json"],
        has_warnings=True,
        on_hangup=read_again if given["config_file"] is not None else None,
    )


def _sinks(given: dict[str, Any]) -> list[Any]:
    from crypto_lakehouse.cli.progress import terminal_rows
    from crypto_lakehouse.sinks.recording import RecordingSink

    sinks: list[Any] = []
    if not given["quiet"]:
        sinks.append(RecordingSink(terminal_rows(quiet=False)))
    if given["events"]:
        from crypto_lakehouse.sinks.jsonl import JsonLinesSink

        sinks.append(JsonLinesSink(given["events"]))
    return sinks


async def _change(workflow: RecordingWorkflow, given: dict[str, Any]) -> None:
    """Read the configuration again, and record what it selects; a fault changes nothing."""
    from crypto_lakehouse.core.errors import LakehouseError

    try:
        change = await workflow.change(await _configuration(await _values(given), given))
    except (LakehouseError, RuntimeError) as error:
        text = message_of(error) if isinstance(error, LakehouseError) else str(error)
        click.echo(f"error: {text}\nthe recording goes on as it was", err=True)
        return
    streams = plural(change.streams, "stream")
    click.echo(f"{streams}: {change.added} added, {change.removed} removed", err=True)


def record_text(report: RecordReport) -> str:
    """The summary that ends a recording."""
    messages = sum(report.messages.values())
    lines = [
        f"{report.status}: {plural(messages, 'message', form=',')} of "
        f"{plural(report.streams, 'stream')}, {report.duplicates:,} duplicate, "
        f"{report.unreadable:,} unreadable",
        f"{report.filled:,} filled, {plural(report.hole_count, 'hole')}; "
        f"{plural(report.connections, 'connection')}, {plural(report.segments, 'segment')}, in "
        f"{report.duration_seconds:.1f} s",
    ]
    if report.undelivered:
        segments = plural(report.undelivered, "finished segment")
        lines.append(f"{segments} in the state folder; the next recording stores what it can")
    if (tables := report.ingested) is not None:
        runs = f"{plural(tables.runs, 'run')}, {tables.failed:,} of them incomplete"
        lines.append(f"tables: {plural(tables.rows, 'row', form=',')} ingested in {runs}")
    lines += [f"  {hole}" for hole in report.holes[:_SHOWN_HOLES]]
    if report.hole_count > _SHOWN_HOLES:
        lines.append("  ... and more; --json lists 100, and the segments have all")
    return "\n".join(lines)
