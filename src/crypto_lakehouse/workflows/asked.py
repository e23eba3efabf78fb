"""What the runs of a ledger were asked for, series by series."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date
from typing import Any

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import DataType, Market, Partition, Series
from crypto_lakehouse.core.config.values import AUTO
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.coverage.asked_days import AskedDays
from crypto_lakehouse.ledger.runs import RecordedRun
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.planning.calendar_plan import plan_collection
from crypto_lakehouse.planning.explicit_plan import selects_interval, selects_symbol

__all__ = ["Asked"]

_Span = tuple[date, date]

#: The keys of a selection that say its days.
_DAYS = ("date_range", "default_date")


@define
class _Selection:
    """What runs with equal selections, apart from their days, were asked for.

    Attributes:
        config: The selection.
        by_calendar: Whether the runs planned without a listing.
        spans: The days of each run.
    """

    config: WorkflowConfig
    by_calendar: bool
    spans: set[_Span] = field(factory=set)
    _symbols: dict[tuple[Market, DataType, str], bool] = field(init=False, factory=dict)

    def holds(self, series: Series, matrix: Matrix) -> bool:
        """Whether a series is selected."""
        key = (series.market, series.data_type, series.symbol)
        if key not in self._symbols:  # there may be thousands of names, and a dozen intervals
            self._symbols[key] = selects_symbol(self.config, series, matrix)
        return self._symbols[key] and selects_interval(self.config, series)

    def partitions(self) -> frozenset[Partition]:
        """The partitions that may be collected."""
        chosen = self.config.partitions
        return frozenset(Partition if chosen == AUTO else map(Partition, chosen))

    def planned(self, matrix: Matrix, today: date) -> Iterator[Series]:
        """Yield the series that a plan without a listing has."""
        for first, last in AskedDays.of(self.spans, ()).spans:
            with suppress(ConfigurationError):  # the matrix no longer has what was selected
                days = {"start": first, "end": min(last, max(first, today))}
                config = self.config.replace(only=None, discovery="calendar", date_range=days)
                for planned in plan_collection(config, matrix, today).each_series():
                    yield planned.series


@frozen
class Asked:
    """The union of what runs were asked for.

    Attributes:
        runs: How many runs the ledger has.
        unrecorded: How many of them say nothing of what they were asked for.
    """

    runs: int
    unrecorded: int
    _matrix: Matrix
    _selections: tuple[_Selection, ...]

    @classmethod
    def of(cls, runs: Iterable[RecordedRun], matrix: Matrix) -> Asked:
        """Read the selections of runs; those on archives of the ledger or of a list add nothing."""
        found: dict[str, _Selection] = {}
        count = unrecorded = 0
        for run in runs:
            count += 1
            if run.selection is None or not _add(found, run.selection):
                unrecorded += 1
        return cls(count, unrecorded, matrix, tuple(found.values()))

    @property
    def is_recorded(self) -> bool:
        """Whether every run says what it was asked for."""
        return self.runs > self.unrecorded == 0

    def days(self, series: Series) -> AskedDays:
        """Return the days of a series that any run was asked for."""
        held = [each for each in self._selections if each.holds(series, self._matrix)]
        spans = {span for each in held for span in each.spans}
        return AskedDays.of(spans, {part for each in held for part in each.partitions()})

    def series(self, today: date) -> Iterator[Series]:
        """Yield the series that runs without a listing planned, whether or not any was begun.

        The series of other runs are in the ledger, as they were listed.
        """
        for each in self._selections:
            if each.by_calendar:
                yield from each.planned(self._matrix, today)


def _add(found: dict[str, _Selection], selection: Mapping[str, Any]) -> bool:
    """Add what a run was asked for; return whether it can be read."""
    if "only" in selection:
        return True
    plain = {name: value for name, value in selection.items() if name not in _DAYS}
    key = json.dumps(plain, sort_keys=True)
    try:
        if key not in found:
            found[key] = _read(plain)
        found[key].spans.add(_span(selection))
    except (ConfigurationError, KeyError, TypeError, ValueError):  # a later version wrote it
        return False
    return True


def _read(plain: Mapping[str, Any]) -> _Selection:
    keys = {name: value for name, value in plain.items() if name != "discovery"}
    config = WorkflowConfig({**keys, "output_directory": "-", "only": "failed"}, environ={})
    return _Selection(config, plain["discovery"] == "calendar")


def _span(selection: Mapping[str, Any]) -> _Span:
    if "default_date" in selection:
        day = date.fromisoformat(selection["default_date"])
        return day, day
    if "date_range" not in selection:
        return date.min, date.max
    days = selection["date_range"]
    last = date.fromisoformat(days["end"]) if "end" in days else date.max
    return date.fromisoformat(days["start"]), last
