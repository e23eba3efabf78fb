"""`crypto-lakehouse plan`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.monitoring import MONITORING_KEYS
from crypto_lakehouse.cli.options import config_options_without, option_overrides, say_proxy
from crypto_lakehouse.cli.unused_options import refuse_beside, refuse_unused_keys
from crypto_lakehouse.core.messages import plural

if TYPE_CHECKING:
    from crypto_lakehouse.core.archive import Archive
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.workflows.reports import PlanReport
    from crypto_lakehouse.workflows.wiring.plan_sizes import SeriesSize

    #: The first cells of a line, and what the others are computed from.
    _Line = tuple[tuple[str, ...], SeriesSize]

__all__ = ["command", "show_plan"]

#: A table with more series than this shows one line for each market and data type.
LONGEST_SERIES_TABLE = 40

#: Left out of a table that is wider than the terminal, in this order.
_DROPPABLE = ("about", "requests", "not published", "missing", "daily", "monthly", "verified",
              "market", "data type", "interval")  # fmt: skip


@click.command("plan", short_help="Show what `collect` would do.")
@config_options_without(*MONITORING_KEYS)
@click.option("--json", "as_json", is_flag=True, help="Print the series as one JSON object.")
@click.option("--format", "form", type=click.Choice(["table", "json", "urls", "keys"]),
              default="table", help="urls and keys print one archive per line: those whose zip "
              "would be fetched.")  # fmt: skip
@click.option("--all", "all_archives", is_flag=True,
              help="urls and keys of all archives that the source should have, also of those that "
              "are verified here.")  # fmt: skip
@click.option("--by", type=click.Choice(["series", "type"]), default=None,
              help="What a line of the table is. [default: series, up to 40]")  # fmt: skip
def command(**given: Any) -> int:
    """Show what `collect` would do with the same options; no archive is fetched or written.

    If the source has a listing, the plan comes from it and knows sizes; otherwise it comes from
    the calendar. What is verified in the output directory (the working directory, if none is
    given) counts as such, and is not fetched. Exit code 5: the source could not be listed, and the
    plan is incomplete; 3: folders of the output cannot be read, so that `collect` would fail there.

    \b
    Examples:
      crypto-lakehouse plan -o data -s BTCUSDT -t klines --start 2024-01-01 --end 2025-06-30
      crypto-lakehouse plan --markets futures_um -t metrics --quote-assets USDT --date 2026-09-01
      crypto-lakehouse plan --config collection.toml --format urls > urls.txt
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_plan, given))


async def _plan(given: dict[str, Any]) -> int:
    from crypto_lakehouse.workflows.wiring.load_config import load_config

    form = "json" if given["as_json"] else given["form"]
    if given["all_archives"] and form not in {"urls", "keys"}:
        raise click.UsageError("--all needs --format urls or --format keys.")
    if given["as_json"] and given["form"] != "json":
        refuse_beside("--json", "form")
    if form != "table":
        refuse_beside("--json" if given["as_json"] else f"--format {form}", "by")
    overrides = {"output_directory": ".", **option_overrides(given)}
    if given["config_file"] and "output_directory" not in option_overrides(given):
        del overrides["output_directory"]
    config = await load_config(given["config_file"], overrides)
    refuse_unused_keys(config)
    return await show_plan(config, form, given["by"], all_archives=given["all_archives"])


async def show_plan(
    config: WorkflowConfig, form: str, by: str | None = None, *, all_archives: bool = False
) -> int:
    """Print the plan of a collection, and return the exit code.

    Args:
        config: Of the collection.
        form: `table`, `json`, `urls` or `keys`.
        by: What a line of the table is: `series` or `type`; None chooses by their number.
        all_archives: Whether `urls` and `keys` also print archives that need not be fetched.
    """
    from crypto_lakehouse.stores.output import output_note
    from crypto_lakehouse.workflows import run_plan

    if config.wants_listing:
        say_proxy(config)
    if note := output_note(config):
        click.echo(f"note: {note}", err=True)
    on_archive = _line_printer(form, config.source_url)
    report = await run_plan(config, on_archive=on_archive, all_archives=all_archives)
    for note in report.notes:
        click.echo(f"warning: {note}", err=True)
    for failure in report.unlisted:
        click.echo(f"error: not planned: {failure}", err=True)
    if form == "json":
        click.echo(json_line(report.to_mapping()))
    elif form == "table":
        _table(report, by)
    if refused := report.totals.refused:
        said = f"{plural(refused, 'archive')} in folders that cannot be read"
        click.echo(f"error: `collect` would fail for {said}", err=True)
    return report.exit_code


def _line_printer(form: str, source_url: str) -> Callable[[Archive], None] | None:
    """Return the function that prints a line for each archive, if the format has such lines."""
    if form == "keys":
        return lambda archive: click.echo(archive.key)
    if form != "urls":
        return None
    from yarl import URL

    from crypto_lakehouse.http.transport import object_url

    base = URL(source_url)
    return lambda archive: click.echo(str(object_url(base, archive.key)))


def _table(report: PlanReport, by: str | None) -> None:
    from crypto_lakehouse.cli.render import bytes_text, duration_text, print_table, print_text

    total = report.totals
    if by == "series" or (by is None and len(report.series) <= LONGEST_SERIES_TABLE):
        names: tuple[str, ...] = ("symbol", "interval")
        lines: list[_Line] = [
            ((size.market, size.data_type, size.symbol, size.interval or "-"), size)
            for size in report.series
        ]
    else:
        names, lines = ("symbols",), _lines_by_type(report.series)
    # A tree without a verified archive needs no columns for what is there.
    here = ("verified", "to fetch") if total.verified else ()
    span = f"{total.first} to {total.last}, " if total.first else ""
    print_table(
        f"plan, {span}as of {report.today}",
        ("market", "data type", *names, "daily", "monthly", "not published", "missing",
         *here, "size", "requests", "about"),
        [
            (*name, size.daily, size.monthly, size.not_published, size.missing,
             *((size.verified, size.to_fetch) if here else ()),
             bytes_text(size.size_bytes) if size.size_bytes is not None else "?",
             size.requests, duration_text(size.estimate_s) if size.requests else "-")
            for name, size in lines
        ],
        droppable=_DROPPABLE,
        foldable=(),
    )  # fmt: skip
    print_text(_summary(total, bytes_text, duration_text))


def _lines_by_type(series: Iterable[SeriesSize]) -> list[_Line]:
    """A line for each market and data type, with the number of its symbols."""
    from crypto_lakehouse.workflows.wiring.plan_sizes import SeriesSize

    types: dict[tuple[str, str], SeriesSize] = {}
    symbols: dict[tuple[str, str], set[str]] = {}
    for size in series:
        types[size.type_name] = types.get(size.type_name, SeriesSize()) + size
        symbols.setdefault(size.type_name, set()).add(size.symbol)
    return [((*name, str(len(symbols[name]))), size) for name, size in types.items()]


def _summary(total: SeriesSize, bytes_text: Any, duration_text: Any) -> str:
    size = bytes_text(total.size_bytes) if total.size_bytes is not None else "size unknown"
    others = [
        (total.to_check, "to check first"),
        (total.sidecars, "without the present sidecar"),
        (total.quarantined, "in quarantine, unchanged at the source"),
        (total.refused, "in folders that cannot be read"),
        (total.missing, "missing at the source"),
    ]
    kinds = f" ({total.monthly} monthly, {total.daily} daily)"
    both = kinds if total.monthly and total.daily else ""
    verified = f"{total.verified} already verified, " if total.verified else ""
    about = f", about {duration_text(total.estimate_s)}" if total.requests else ""
    return (
        f"{plural(total.planned, 'archive')} planned{both}, {verified}{total.to_fetch} to fetch "
        f"({plural(total.requests, 'request')}, {size}{about}), "
        f"{total.not_published} not published"
        + "".join(f", {count} {what}" for count, what in others if count)
    )
