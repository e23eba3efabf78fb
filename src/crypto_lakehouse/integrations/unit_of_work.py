"""What one run of an orchestrator collects: some groups of series, and some days."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from os import PathLike
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.config.days import parse_days
from crypto_lakehouse.core.config.layers import lay_sources
from crypto_lakehouse.core.config.origins import FileValues
from crypto_lakehouse.core.config.pipelines import PIPELINES
from crypto_lakehouse.core.config.rules import LAKE_KEYS
from crypto_lakehouse.core.config.tenants import TENANT
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig, config_keys, plain_value
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.integrations.series_groups import GroupKey
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.planning.selection import SelectedRow, select, select_rows
from crypto_lakehouse.workflows.composition import StepReport
from crypto_lakehouse.workflows.wiring.load_config import read_config, read_config_file

__all__ = ["AnyFile", "UnitOfWork", "is_unfinished", "one_step", "read_unit"]

#: The exit codes of a step that came to the end of its plan, whatever it found there.
_ENDED = frozenset({0, 3, 4})

#: A mapping of keys, or the path of a JSON, TOML or YAML file.
AnyFile = Mapping[str, Any] | str | PathLike[str]

#: A day of which no text such as `7d` is meant.
_LONG_AGO = date(1990, 1, 1)


@frozen
class UnitOfWork:
    """What a configuration selects, by market and data type.

    Attributes:
        values: The keys of the configuration, without its pipelines.
        config: The configuration.
        rows: What is selected of each group, in the order of the matrix.
        first_day: The first day that may be asked for; None if days do not matter.
    """

    values: FileValues
    config: WorkflowConfig
    rows: Mapping[GroupKey, SelectedRow]
    first_day: date | None

    def path(self, group: GroupKey) -> list[str]:
        """Return what names a group among those of all tenants; plain text."""
        return [each for each in (self.config.tenant, *map(str, group)) if each is not None]

    @property
    def has_overlaps(self) -> bool:
        """Whether a day may be in two archives of a series."""
        partitions = self.config.partitions
        return not isinstance(partitions, str) and len(partitions) > 1

    def runs(self, selected: Iterable[GroupKey]) -> list[list[GroupKey]]:
        """Divide groups among runs, as a run takes the same data types of all its markets."""
        chosen = [*selected]
        markets, types = {each for each, _ in chosen}, {each for _, each in chosen}
        if {*chosen} == {each for each in self.rows if each[0] in markets and each[1] in types}:
            return [chosen] if chosen else []
        types_of: defaultdict[str, list[str]] = defaultdict(list)
        for market, data_type in chosen:
            types_of[market].append(data_type)
        found: defaultdict[tuple[str, ...], list[GroupKey]] = defaultdict(list)
        for market, data_type in chosen:
            found[tuple(types_of[market])].append((market, data_type))
        return [*found.values()]

    def pipeline(self, steps: Mapping[str, Any]) -> FileValues:
        """Return a configuration with one pipeline, of these steps."""
        return _with_pipeline(self.values, steps)

    def selection(self, groups: Iterable[GroupKey]) -> dict[str, Any]:
        """Return the keys that select exactly these groups."""
        chosen = [*groups]
        keys: dict[str, Any] = {
            "markets": [*dict.fromkeys(str(market) for market, _ in chosen)],
            "data_types": [*dict.fromkeys(str(data_type) for _, data_type in chosen)],
        }
        if self.config.symbols is not None:
            keys["symbols"] = self._symbols(chosen)
        if isinstance(self.config.intervals, Mapping):
            intervals = plain_value(self.config.intervals)
            of_types = {name: intervals[name] for name in keys["data_types"] if name in intervals}
            keys["intervals"] = of_types or None
        return keys

    def _symbols(self, groups: Iterable[GroupKey]) -> dict[str, list[str]]:
        """The symbols of each market that fit one of its groups, as they are configured."""
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for group in groups:
            symbols = self.config.symbols or ()
            of_market = symbols.get(group[0], ()) if isinstance(symbols, Mapping) else symbols
            fitting = (each for each in of_market if self._fits(self.rows[group], each))
            found[str(group[0])].update(dict.fromkeys(fitting))
        return {market: [*symbols] for market, symbols in found.items()}

    def _fits(self, selected: SelectedRow, symbol: str) -> bool:
        if not is_glob(symbol):
            return selected.row.folder_symbol(symbol) in selected.symbols
        names = selected.symbols
        return symbol in names or any(selected.row.fits(name, symbol) for name in names)


async def one_step(
    kind: str, source: AnyFile, options: Mapping[str, Any], tenant: str | None = None
) -> FileValues:
    """Read a configuration; return it with one pipeline, of one step.

    Args:
        kind: What the step runs, and its name.
        source: The configuration.
        options: Its `with`.
        tenant: That of the step; None for that of the configuration.

    Raises:
        ConfigurationError: The file cannot be read, or has no mapping.
    """
    values = source if isinstance(source, Mapping) else await read_config(source)
    values = values if tenant is None else {**values, TENANT: tenant}
    return _with_pipeline(values, {kind: {"with": dict(options)}})


def is_unfinished(step: StepReport) -> bool:
    """Whether a step did not come to the end of its plan, so that its results are not complete."""
    return step.state != "done" or step.exit_code not in _ENDED


def read_unit(
    source: AnyFile,
    start: date | None = None,
    *,
    tenant: str | None = None,
    needs_days: bool = True,
) -> UnitOfWork:
    """Read a configuration, and what it selects; blocking.

    Args:
        source: The configuration.
        start: The first day; None for that of `date_range`.
        tenant: Whose keys apply; None for that of the configuration.
        needs_days: Whether there must be a first day that stays the same.

    Raises:
        ConfigurationError: It has faults, selects nothing, or names no fixed first day.
    """
    values = FileValues(source) if isinstance(source, Mapping) else read_config_file(source)
    values.pop(PIPELINES, None)
    if tenant is not None:
        values[TENANT] = tenant
    days = {} if start is None else {"date_range": {"start": str(start)}, "default_date": None}
    config = WorkflowConfig(values, overrides=days)
    matrix = load_matrix(config.matrix_path)
    found = (select_rows if config.wants_listing else select)(config, matrix)
    rows = {(each.row.market, each.row.data_type): each for each in found.rows}
    if not rows:
        raise ConfigurationError([Problem("$.symbols", "the configuration selects no series")])
    if start is None and needs_days:
        start = _first_day(values, config)
    return UnitOfWork(values, config, rows, start)


def _with_pipeline(values: Mapping[str, Any], steps: Mapping[str, Any]) -> FileValues:
    return FileValues({**values, PIPELINES: {"orchestrated": {"steps": steps}}})


def _first_day(values: Mapping[str, Any], config: WorkflowConfig) -> date:
    """The first day of the configuration, if it is the same one tomorrow."""
    days = config.date_range
    given = lay_sources(values, os.environ, None, {}, keys=config_keys(), others=LAKE_KEYS).values
    written = given.get("date_range")
    text = written.get("start") if isinstance(written, Mapping) else given.get("default_date")
    first = days.start if days is not None else config.default_date
    try:
        is_fixed = first is not None and parse_days(str(text), _LONG_AGO)[0] == first
    except ValueError:
        is_fixed = False
    if first is None or not is_fixed:
        reason = "partitions need a first day that stays the same; name one, as 2024-01-01"
        raise ConfigurationError([Problem("$.date_range.start", reason)])
    return first
