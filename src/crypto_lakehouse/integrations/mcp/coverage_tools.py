"""The tools `status` and `holes`: how complete an output is, by its ledger alone."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from anyio import from_thread
from attrs import define, field

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.coverage.coverage import HoleCause, SeriesCoverage
from crypto_lakehouse.integrations.mcp.answers import BoundedList, some_notes
from crypto_lakehouse.integrations.mcp.arguments import selection_of
from crypto_lakehouse.integrations.mcp.served import Served
from crypto_lakehouse.workflows.questions import run_status
from crypto_lakehouse.workflows.reports import StatusReport
from crypto_lakehouse.workflows.status import StatusTotals, coverage_mapping

__all__ = ["holes", "status"]


async def status(served: Served, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer how complete the selected series are: totals, types, and the least complete series."""
    worst = _LeastComplete(most=min(arguments["limit"], served.most_rows))
    report = await _report(served, arguments, worst.add)
    series = worst.bounded()
    return {
        **_head(report),
        "totals": report.totals.to_mapping(),
        "types": [_type_entry(name, totals) for name, totals in sorted(worst.types.items())],
        "least_complete": series.items,
        "series_left_out": report.totals.series - len(series.items),
        **report.stale_mapping(),
    }


async def holes(served: Served, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer which days of the selected series are missing, and why."""
    found = BoundedList(min(arguments["limit"], served.most_rows))
    days: Counter[str] = Counter()
    cause = arguments.get("cause")

    def add(coverage: SeriesCoverage) -> None:
        mapping = coverage_mapping(coverage)
        name = {part: mapping[part] for part in ("market", "data_type", "symbol", "interval")}
        for hole in mapping["holes"]:
            if cause is None or hole["cause"] == HoleCause(cause):
                days[str(hole["cause"])] += hole["days"]
                found.add({**name, **hole})

    report = await _report(served, arguments, add)
    return {
        **_head(report),
        "days_by_cause": dict(days),
        "holes": found.items,
        "holes_left_out": found.left_out,
    }


async def _report(
    served: Served, arguments: Mapping[str, Any], take: Callable[[SeriesCoverage], None]
) -> StatusReport:
    def on_series(coverage: SeriesCoverage) -> None:
        from_thread.check_cancelled()
        take(coverage)

    async def ask() -> StatusReport:
        config = await served.of_output(selection_of(arguments))
        return await run_status(
            config,
            start=arguments.get("start"),
            end=arguments.get("end"),
            of=arguments.get("of"),
            on_series=on_series,
        )

    return await served.in_time(ask)


def _head(report: StatusReport) -> dict[str, Any]:
    notes = some_notes(report.notes)
    return {"today": str(report.today), "of": report.of, **({"notes": notes} if notes else {})}


@define
class _LeastComplete:
    """Keeps the series with the most days that are not verified, and adds up all of them.

    Attributes:
        most: How many series are kept.
        types: The totals of each market and data type.
    """

    most: int
    types: dict[tuple[Market, DataType], StatusTotals] = field(factory=dict)
    _kept: list[tuple[int, int, dict[str, Any]]] = field(factory=list)
    _number: count[int] = field(factory=count)

    def add(self, coverage: SeriesCoverage) -> None:
        group = (coverage.series.market, coverage.series.data_type)
        self.types.setdefault(group, StatusTotals()).add(coverage)
        lacking = coverage.expected_days - coverage.verified_days
        # Of series that lack as much, the first stay: a later one has a smaller second number.
        entry = (lacking, -next(self._number), _series_entry(coverage))
        if len(self._kept) < self.most:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heappushpop(self._kept, entry)

    def bounded(self) -> BoundedList:
        """Return the series as a list of an answer, the least complete first."""
        found = BoundedList(self.most)
        for _, _, entry in sorted(self._kept, key=lambda kept: kept[:2], reverse=True):
            found.add(entry)
        return found


def _series_entry(coverage: SeriesCoverage) -> dict[str, Any]:
    mapping = coverage_mapping(coverage)
    del mapping["holes"]
    days = {str(cause): number for cause, number in coverage.days_by_cause().items()}
    plain = {name: value for name, value in mapping.items() if value is not None}
    return {**plain, "days_by_cause": days}


def _type_entry(name: tuple[Market, DataType], totals: StatusTotals) -> dict[str, Any]:
    newest = totals.newest[name]
    counts = totals.to_mapping()
    del counts["holes"]
    return {
        "market": str(name[0]),
        "data_type": str(name[1]),
        **counts,
        "newest_verified": str(newest) if newest else None,
    }
