"""`crypto-lakehouse bench`."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import click
from attrs import evolve

from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.cli.options import config_options, option_overrides, say_proxy
from crypto_lakehouse.core.config.quantities import parse_quantity

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.workflows.bench.bench_report import BenchReport

__all__ = ["command"]

#: What a user may select; without any of it, bench selects by itself.
_SELECTION = (
    *("markets", "symbols", "data_types", "intervals", "partitions", "default_date"),
    *("date_range", "quote_assets", "contracts", "leveraged_tokens", "stable_pairs"),
)

#: Configuration options that matter to a command that keeps nothing and never tries again.
_CONFIGURATION = {
    *("config_file", *_SELECTION, "start", "end", "matrix_path", "discovery", "listing_url"),
    *("source_url", "redirect_hosts", "allow_http", "proxy", "ca_bundle"),
    *("timeout_seconds", "max_bytes_per_second"),
}


_STOPPED = {
    "plateau": "the last two settings brought less than 5 % more; larger ones were not tried",
    "refused": "the source refuses requests; larger settings were not tried",
    "nothing_came": "nothing came with the last setting; larger ones were not tried",
    "byte_cap": "the byte cap was reached; see --max-bytes",
}


def _bytes(_ctx: click.Context, _parameter: click.Parameter, text: str) -> int:
    """Read a number of bytes, as 200MB or 1GiB."""
    try:
        size = parse_quantity(text if text.strip()[-1:].isalpha() else f"{text}B", "bytes")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not isinstance(size, int) or size < 1:
        raise click.BadParameter(f"`{text}` is no size; write it as 500MB or 1GB")
    return size


def _settings(
    _ctx: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    """Read numbers of requests at once."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,3}", part) and 1 <= int(part) <= 256 for part in parts):
        raise click.BadParameter(f"`{text}`: write numbers from 1 to 256, as 1,8,32")
    return tuple(map(int, parts))


@click.command("bench", short_help="Measure the best max_parallel_downloads.")
@config_options
@click.option(
    "--settings",
    cls=ListOption,
    callback=_settings,
    metavar="LIST",
    help="Measure all of these. [default: 1,2,4,8,16,32,64,128, until more is no faster]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 600, min_open=True),
    default=5.0,
    metavar="SECONDS",
    help="How long each setting is measured. [default: 5]",
)
@click.option(
    "--max-bytes",
    callback=_bytes,
    default="200MB",
    metavar="SIZE",
    show_default=True,
    help="A cap for all settings together, as 500MB or 1GB.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(**given: Any) -> int:
    """Measure the best max_parallel_downloads for your connection and your source.

    Fetches archives with 1, 2, 4 ... 128 parallel requests until throughput stops rising, and
    recommends the smallest setting that is within 5 % of the fastest and has less than 1 % errors.
    The best setting differs between small and large archives: select what you will collect. Without
    a selection it fetches 60 days of spot 1m klines of BTCUSDT and ETHUSDT.

    Archives are discarded as they arrive: nothing is written, hashed or verified. Requests are not
    retried. A 429 or 503 ends that setting, and the next one begins after the Retry-After of the
    source. If more than 5 % of the requests are refused, or the source asks for a wait of more than
    5 minutes, the benchmark ends. An archive that is fetched a second time may come from a nearer
    cache, so select many.

    Exit code 5: no archive arrived. 6: --max-bytes was reached before two settings were measured.

    \b
    Examples:
      crypto-lakehouse bench
      crypto-lakehouse bench --settings 1,8,32 --seconds 10 --max-bytes 1GB
      crypto-lakehouse bench -s BTCUSDT --markets spot -t trades --start 2025-07-01 --end 2025-07-31
      crypto-lakehouse bench --config collection.yaml --json
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_bench, given))


command.params = [
    parameter
    for parameter in command.params
    if parameter.name in _CONFIGURATION | {"settings", "seconds", "as_json"}
    # Of the two options `--max-bytes` the command's own remains; the other is a collection's.
    or (parameter.name == "max_bytes" and parameter.callback is _bytes)
]


async def _bench(given: dict[str, Any]) -> int:
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.workflows import run_bench

    config = await _config(given, datetime.now(UTC).date())
    say_proxy(config)
    code = 0
    reports: list[BenchReport] = []
    scope = anyio.CancelScope()

    def take(report: BenchReport) -> None:
        if not reports:
            _show_notes(report)
        reports.append(report)

    async def run() -> None:
        options = {key: given[key] for key in ("settings", "seconds", "max_bytes")}
        with scope:
            await run_bench(
                config, **options, on_note=partial(click.echo, err=True), on_report=take
            )

    def stop(exit_code: int) -> None:
        nonlocal code
        code = exit_code
        scope.cancel()

    await run_until_signal(SimpleNamespace(run=run, stop=stop), "stopping")
    if not reports:
        if given["as_json"]:
            click.echo(json_line(failure_of("interrupted", code)))
        return code
    report = evolve(reports[-1], is_interrupted=bool(code))
    if given["as_json"]:
        click.echo(json_line(report.to_mapping()))
    else:
        _print(report)
    if not code and report.exit_code:
        click.echo(f"error: {_STOPPED['byte_cap']}; it left {report.measured} measured", err=True)
    return code or report.exit_code


def _show_notes(report: BenchReport) -> None:
    for note in report.notes:
        click.echo(f"warning: {note}", err=True)
    for failure in report.unlisted:
        click.echo(f"error: not planned: {failure}", err=True)


async def _config(given: dict[str, Any], today: date) -> WorkflowConfig:
    from crypto_lakehouse.core.config.sources import ENVIRONMENT_PREFIX
    from crypto_lakehouse.workflows.wiring.load_config import load_config

    overrides = option_overrides({**given, "max_bytes": None})
    selects = (
        key in overrides or ENVIRONMENT_PREFIX + key.upper() in os.environ for key in _SELECTION
    )
    source = given["config_file"] or ({} if any(selects) else _default_selection(today))
    # Neither matters here, but a configuration may name them.
    return await load_config(source, {**overrides, "output_directory": ".", "only": None})


def _default_selection(today: date) -> dict[str, Any]:
    end = today - timedelta(days=35)
    return {
        "markets": ["spot"],
        "symbols": ["BTCUSDT", "ETHUSDT"],
        "data_types": ["klines"],
        "intervals": ["1m"],
        "partitions": ["daily"],
        "date_range": {"start": end - timedelta(days=59), "end": end},
        "discovery": "calendar",
    }


def _print(report: BenchReport) -> None:
    """Print a table, a plot and what follows from them."""
    from crypto_lakehouse.cli.render import print_table

    rows = [result.to_mapping() for result in report.results]
    columns = ("at once", "MB/s", "archives/s", "first byte", "whole", "requests", "missing")
    title = "bench; first byte and whole are ms, p50 / p95"
    print_table(
        title,
        (*columns, "errors"),
        map(_cells, rows),
        droppable=("missing", "requests", "archives/s", "whole"),
        foldable=("errors",),
    )
    fastest = max((row["mb_per_second"] for row in rows), default=0) or 1
    click.echo()
    for row in rows:
        bar = "█" * round(40 * row["mb_per_second"] / fastest)
        click.echo(f"{row['max_parallel_downloads']:>4} {bar} {row['mb_per_second']:.2f} MB/s")
    click.echo("\n" + "\n".join(_conclusion(report)))


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    durations = [
        f"{found['p50']:.0f} / {found['p95']:.0f}" if found else "-"
        for found in (row["first_byte_ms"], row["whole_ms"])
    ]
    return (
        row["max_parallel_downloads"],
        f"{row['mb_per_second']:.2f}" + ("" if row["measured"] else " (too few)"),
        f"{row['archives_per_second']:.1f}",
        *durations,
        row["requests"],
        row["missing"],
        ", ".join(f"{count} {kind}" for kind, count in sorted(row["errors"].items())) or "-",
    )


def _conclusion(report: BenchReport) -> list[str]:
    from crypto_lakehouse.cli.render import bytes_text

    best, mean = report.recommendation, report.mean_archive_bytes
    lines = [f"{bytes_text(report.received_bytes)} received"]
    if mean is not None:
        lines[0] += f", archives were {bytes_text(mean)} each on average; "
        lines[0] += "larger ones need fewer at once, smaller ones more"
    if report.stopped:
        lines.append(_STOPPED[report.stopped])
    if best is None:
        why = "it takes two that were measured, and one with less than 1 % errors"
        return [*lines, f"no setting is recommended: {why}"]
    if not report.stopped and best == report.results[-1].setting < 256:
        lines.append("the largest setting measured is the best; a larger one may be better still")
    return [
        *lines,
        f"recommended: {best} at once",
        f"  max_parallel_downloads: {best}    in the configuration",
        f"  --max-parallel-downloads {best}   as an option",
    ]
