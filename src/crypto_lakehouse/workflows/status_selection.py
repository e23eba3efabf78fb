"""Which series and days a status is of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.config.values import EndDay, StartDay, is_glob, structure_value
from crypto_lakehouse.core.config.workflow_config import config_keys
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.matrix.model import MatrixRow

__all__ = ["StatusSelection", "read_selection"]

#: How the days of a selection are read.
_DAYS = {"start": StartDay, "end": EndDay}


@frozen(kw_only=True)
class StatusSelection:
    """The series and days that the caller selects; None selects everything.

    Attributes:
        start, end: UTC days, both inclusive.
    """

    markets: tuple[Market, ...] | None = None
    data_types: tuple[DataType, ...] | None = None
    symbols: tuple[str, ...] | Mapping[Market, tuple[str, ...]] | None = None
    intervals: tuple[str, ...] | Mapping[DataType, tuple[str, ...]] | None = None
    start: date | None = None
    end: date | None = None

    def holds(self, series: Series, row: MatrixRow | None) -> bool:
        """Whether a series is selected."""
        return (
            (self.markets is None or series.market in self.markets)
            and (self.data_types is None or series.data_type in self.data_types)
            and self._has_symbol(series, row)
            and self._has_interval(series)
        )

    def _has_symbol(self, series: Series, row: MatrixRow | None) -> bool:
        wanted = self.symbols
        if isinstance(wanted, Mapping):
            wanted = wanted.get(series.market, ())
        if wanted is None:
            return True
        named = series.symbol in wanted or any(
            fnmatchcase(series.symbol, symbol) for symbol in filter(is_glob, wanted)
        )
        return named or (row is not None and row.files_under_pair(series.symbol, wanted))

    def _has_interval(self, series: Series) -> bool:
        wanted = self.intervals
        if isinstance(wanted, Mapping):
            wanted = wanted.get(series.data_type)
        return series.interval is None or wanted is None or series.interval in wanted


def read_selection(given: Mapping[str, object]) -> tuple[StatusSelection, list[Problem]]:
    """Read a selection by its keys, and find every fault; with faults it selects everything."""
    keys = config_keys()
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in given.items():
        if value is None:
            continue
        metadata = keys[name].metadata if name in keys else {"kind": _DAYS[name]}
        values[name], faults = structure_value(value, metadata, f"$.{name}")
        problems += faults
    if problems:
        return StatusSelection(), problems
    selection = StatusSelection(**values)
    if selection.start and selection.end and selection.start > selection.end:
        reason = f"{selection.start} is after end {selection.end}; swap them"
        problems.append(Problem("$.start", reason))
    return selection, problems
