"""The tool `plan`: what a collection would fetch, and how much that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyio import from_thread

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.integrations.mcp.answers import BoundedList, some_notes
from crypto_lakehouse.integrations.mcp.arguments import selection_of
from crypto_lakehouse.integrations.mcp.served import Served
from crypto_lakehouse.workflows.questions import run_plan
from crypto_lakehouse.workflows.reports import PlanReport

__all__ = ["plan"]


async def plan(served: Served, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what a collection would fetch; no archive is fetched."""
    days = {edge: arguments[edge] for edge in ("start", "end") if edge in arguments}
    selection = selection_of(arguments) | ({"date_range": days} if days else {})

    def on_archive(_: Archive) -> None:
        from_thread.check_cancelled()

    async def ask() -> PlanReport:
        return await run_plan(await served.of_plan(selection), on_archive=on_archive)

    report = await served.in_time(ask)
    series = BoundedList(min(arguments["limit"], served.most_rows))
    for size in report.series:
        series.add(size.to_mapping())
    notes = some_notes(report.notes)
    unlisted = some_notes(report.unlisted)
    return {
        "today": str(report.today),
        "complete": not report.unlisted,
        "totals": report.totals.to_mapping(),
        "series": series.items,
        "series_left_out": series.left_out,
        **({"unlisted": unlisted} if unlisted else {}),
        **({"notes": notes} if notes else {}),
    }
