"""`crypto-lakehouse plan`."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.options import config_options, option_overrides

if TYPE_CHECKING:
    from crypto_lakehouse.core.config import WorkflowConfig
    from crypto_lakehouse.core.plan import PlannedSeries
    from crypto_lakehouse.planning.planner import CalendarPlan as Plan

__all__ = ["command"]


@click.command("plan")
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan's series as one JSON object.")
@click.option("--format", "form", type=click.Choice(["table", "json", "urls", "keys"]),
              default="table", help="urls and keys print one archive per line.")  # fmt: skip
def command(**given: Any) -> int:  # noqa: ANN401 - one parameter for each option
    """Show what `collect` would do with the same options; nothing is fetched or written.

    \b
    Examples:
      crypto-lakehouse plan -o data -s BTCUSDT -t klines --start 2024-01-01 --end 2025-06-30
      crypto-lakehouse plan --config collection.toml --format urls > urls.txt
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_plan, given))


async def _plan(given: dict[str, Any]) -> int:
    from crypto_lakehouse.planning.matrix import load_matrix
    from crypto_lakehouse.planning.planner import plan_collection
    from crypto_lakehouse.workflows.config_files import load_config

    overrides = {"output_directory": ".", **option_overrides(given)}
    if given["config_file"] and "output_directory" not in option_overrides(given):
        del overrides["output_directory"]
    config = await load_config(given["config_file"], overrides)
    matrix = load_matrix(config.matrix_path)
    plan = plan_collection(config, matrix)
    notes = [*config.warnings, *matrix.corrections, *plan.selection.notes]
    if empty := plan.why_empty():
        notes.append(f"the plan is empty: {empty}")
    for note in notes:
        click.echo(f"warning: {note}", err=True)
    form = "json" if given["as_json"] else given["form"]
    {"table": _table, "json": _json, "urls": _urls, "keys": _keys}[form](plan, config)
    return 0


def _keys(plan: Plan, _config: WorkflowConfig) -> None:
    for item in plan:
        if not item.not_published:
            click.echo(item.archive.key)


def _urls(plan: Plan, config: WorkflowConfig) -> None:
    from yarl import URL

    from crypto_lakehouse.collection.http import object_url

    base = URL(config.source_url)
    for item in plan:
        if not item.not_published:
            click.echo(str(object_url(base, item.archive.key)))


def _counts(planned: PlannedSeries) -> Counter[str]:
    """Archives of a series by partition; those that cannot exist yet or any more apart."""
    return Counter(
        "not_published" if dated.not_published else str(dated.period.partition)
        for dated in planned.periods
    )


def _json(plan: Plan, _config: WorkflowConfig) -> None:
    series: list[dict[str, Any]] = [
        {
            "market": planned.series.market,
            "data_type": planned.series.data_type,
            "symbol": planned.series.symbol,
            "interval": planned.series.interval,
            "planned": len(planned.periods),
            **{name: _counts(planned)[name] for name in ("daily", "monthly", "not_published")},
            "first": str(planned.periods[0].period),
            "last": str(planned.periods[-1].period),
        }
        for planned in plan.each_series()
    ]
    totals = {
        name: sum(item[name] for item in series)
        for name in ("planned", "daily", "monthly", "not_published")
    }
    click.echo(
        json.dumps({"today": str(plan.today), "totals": totals, "series": series},
                   ensure_ascii=False)
    )  # fmt: skip


def _table(plan: Plan, config: WorkflowConfig) -> None:
    from crypto_lakehouse.cli.render import print_table

    rows: dict[tuple[str, str], Counter[str]] = {}
    symbols: dict[tuple[str, str], set[str]] = {}
    for planned in plan.each_series():
        name = (planned.series.market, planned.series.data_type)
        rows.setdefault(name, Counter()).update(_counts(planned))
        symbols.setdefault(name, set()).add(planned.series.symbol)
    per_archive = 2 if config.download_checksum or config.integrity != "listing" else 1
    total = sum((row for row in rows.values()), Counter[str]())
    columns = ("market", "data type", "symbols", "daily", "monthly", "not published")
    print_table(
        f"plan of {plan.window.start} to {plan.window.end}, as of {plan.today}",
        columns,
        [
            (*name, len(symbols[name]), row["daily"], row["monthly"], row["not_published"])
            for name, row in rows.items()
        ],
    )
    due = total["daily"] + total["monthly"]
    click.echo(
        f"{total.total()} archives planned, {due} to request ({due * per_archive} requests), "
        f"{total['not_published']} not published"
    )
