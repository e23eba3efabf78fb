"""`crypto-lakehouse plan`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.options import config_options, option_overrides, say_proxy

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.planning.calendar_plan import CalendarPlan
    from crypto_lakehouse.planning.listed_plan import ListedPlan
    from crypto_lakehouse.workflows.wiring.plan_sizes import SeriesSize

    AnyPlan = CalendarPlan | ListedPlan

__all__ = ["command"]

#: A table with more series than this shows one line for each market and data type.
LONGEST_SERIES_TABLE = 40


@click.command("plan")
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print the series as one JSON object.")
@click.option("--format", "form", type=click.Choice(["table", "json", "urls", "keys"]),
              default="table", help="urls and keys print one archive per line.")  # fmt: skip
@click.option("--by", type=click.Choice(["series", "type"]), default=None,
              help="What a line of the table is. [default: series, where few]")  # fmt: skip
def command(**given: Any) -> int:
    """Show what `collect` would do with the same options; no archive is fetched or written.

    Where the source has a listing it is read, and the plan knows bytes; else the plan comes from
    the calendar. Exit code 5: the source could not be listed, the plan is incomplete.

    \b
    Examples:
      crypto-lakehouse plan -o data -s BTCUSDT -t klines --start 2024-01-01 --end 2025-06-30
      crypto-lakehouse plan --markets futures_um -t metrics --quote-assets USDT --date 2026-09-01
      crypto-lakehouse plan --config collection.toml --format urls > urls.txt
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_plan, given))


async def _plan(given: dict[str, Any]) -> int:
    from crypto_lakehouse.workflows.wiring.load_config import load_config
    from crypto_lakehouse.workflows.wiring.make_plan import plan_alone

    overrides = {"output_directory": ".", **option_overrides(given)}
    if given["config_file"] and "output_directory" not in option_overrides(given):
        del overrides["output_directory"]
    config = await load_config(given["config_file"], overrides)
    if config.wants_listing:
        say_proxy(config)
    async with plan_alone(config) as (plan, notes):
        for note in notes:
            click.echo(f"warning: {note}", err=True)
        for failure in plan.failures:
            click.echo(f"error: not planned: {failure}", err=True)
        form = "json" if given["as_json"] else given["form"]
        if form == "table":
            _table(plan, config, given["by"])
        else:
            {"json": _json, "urls": _urls, "keys": _keys}[form](plan, config)
        return 5 if plan.failures else 0


def _due_keys(plan: AnyPlan) -> Iterator[str]:
    for planned in plan.each_series():
        for item in planned.archives():
            if not item.not_published and not item.unlisted:
                yield item.archive.key


def _keys(plan: AnyPlan, _config: WorkflowConfig) -> None:
    for key in _due_keys(plan):
        click.echo(key)


def _urls(plan: AnyPlan, config: WorkflowConfig) -> None:
    from yarl import URL

    from crypto_lakehouse.http.transport import object_url

    base = URL(config.source_url)
    for key in _due_keys(plan):
        click.echo(str(object_url(base, key)))


def _sizes(plan: AnyPlan, config: WorkflowConfig) -> Iterator[SeriesSize]:
    from crypto_lakehouse.workflows.wiring.plan_sizes import sizes_of

    return sizes_of(plan.each_series(), config)


def _json(plan: AnyPlan, config: WorkflowConfig) -> None:
    from crypto_lakehouse.workflows.wiring.plan_sizes import SeriesSize

    sizes = list(_sizes(plan, config))
    total = sum(sizes, SeriesSize())
    click.echo(
        json.dumps(
            {
                "today": str(plan.today),
                "complete": not plan.failures,
                "totals": total.to_mapping(),
                "series": [size.to_mapping() for size in sizes],
                **({"unlisted": list(plan.failures)} if plan.failures else {}),
            },
            ensure_ascii=False,
        )
    )


def _table(plan: AnyPlan, config: WorkflowConfig, by: str | None) -> None:
    from crypto_lakehouse.cli.render import bytes_text, duration_text, print_table
    from crypto_lakehouse.workflows.wiring.plan_sizes import SeriesSize

    each: list[SeriesSize] = []
    types: dict[tuple[str, str], SeriesSize] = {}
    symbols: dict[tuple[str, str], set[str]] = {}
    for size in _sizes(plan, config):
        if by == "series" or len(each) <= LONGEST_SERIES_TABLE:
            each.append(size)
        types[size.type_name] = types.get(size.type_name, SeriesSize()) + size
        symbols.setdefault(size.type_name, set()).add(size.symbol)
    total = sum(types.values(), SeriesSize())
    is_by_series = by == "series" or (by is None and len(each) <= LONGEST_SERIES_TABLE)
    named = (
        [((size.market, size.data_type, size.symbol, size.interval or "-"), size) for size in each]
        if is_by_series
        else [((*name, str(len(symbols[name]))), size) for name, size in types.items()]
    )
    names = ("symbol", "interval") if is_by_series else ("symbols",)
    span = f"{total.first} to {total.last}, " if total.first else ""
    print_table(
        f"plan, {span}as of {plan.today}",
        ("market", "data type", *names, "daily", "monthly", "not published", "missing",
         "size", "requests", "about"),
        [
            (*name, size.daily, size.monthly, size.not_published, size.missing,
             bytes_text(size.size_bytes) if size.size_bytes is not None else "?",
             size.requests, duration_text(size.estimate_s))
            for name, size in named
        ],
    )  # fmt: skip
    click.echo(_summary(total, bytes_text, duration_text))


def _summary(total: SeriesSize, bytes_text: Any, duration_text: Any) -> str:
    due = total.daily + total.monthly
    size = bytes_text(total.size_bytes) if total.size_bytes is not None else "size unknown"
    missing = f", {total.missing} missing at the source" if total.missing else ""
    return (
        f"{total.planned} archives planned, {due} to request ({total.requests} requests, {size}, "
        f"about {duration_text(total.estimate_s)}), "
        f"{total.not_published} not published{missing}"
    )
