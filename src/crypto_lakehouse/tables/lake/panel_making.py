"""Makes a panel: finds its symbols and its grid, then aligns the part of each table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import polars as pl
from attrs import evolve

from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.messages import MOST_NAMED, existing_values, plural, with_nearest
from crypto_lakehouse.tables.lake.alignment import Wanted
from crypto_lakehouse.tables.lake.contents import WantedSeries
from crypto_lakehouse.tables.lake.grid import MICROSECOND, Grid, length_of
from crypto_lakehouse.tables.lake.panel import Panel
from crypto_lakehouse.tables.lake.panel_parts import PanelPart
from crypto_lakehouse.tables.lake.panel_sources import PanelField, PanelSource
from crypto_lakehouse.tables.lake.scanned_lake import ScannedLake
from crypto_lakehouse.tables.lake.time_range import Instant, TimeRange

__all__ = ["Length", "panel_of"]

#: A length of time, as `8h` or a timedelta.
Length = str | timedelta

#: A panel with more values is refused before rows are read: it would take 8 GB.
_MOST_VALUES = 1 << 30


def panel_of(
    lake: ScannedLake,
    columns: Mapping[str, str],
    *,
    every: Length,
    symbols: Iterable[str] | str | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    max_age: Length | Mapping[str, Length] | None = None,
    as_of: Instant | None = None,
    origins: Iterable[str] | str | None = None,
) -> Panel:
    """Make a panel, as `Lake.panel` says."""
    step, times = length_of(every, "every"), TimeRange.of(start, end)
    fields = [
        PanelField.parse(label, text)
        for label, text in (columns.items() if isinstance(columns, Mapping) else ())
    ]
    if not fields:
        raise QueryError("panel", 'no column is named; give some: {"close": "spot.klines.close"}')
    fields = [evolve(each, table=lake.data_schema(each.table).name) for each in fields]
    schemas = {each.table: lake.data_schema(each.table) for each in fields}
    sources = PanelSource.of(schemas, fields, step)
    ages = _ages(sources, max_age, step)
    only = [origins] if isinstance(origins, str) else None if origins is None else [*origins]
    parts = [PanelPart.of(lake, each, as_of=as_of, origins=only) for each in sources]
    names = _symbols(parts, symbols)
    grid = _grid(parts, names, step, times)
    if grid.count * len(names) * len(fields) > _MOST_VALUES:
        times_of = f"{plural(grid.count, 'time', form=',')} of"
        reason = (
            f"it would have {times_of} {plural(len(names), 'symbol', form=',')} in "
            f"{plural(len(fields), 'column')}; choose a longer step, less time or fewer symbols"
        )
        raise QueryError("panel", reason)
    values: dict[str, pl.DataFrame] = {}
    for part in parts:
        wanted = [Wanted(each.label, each.column, ages[each.label]) for each in part.source.fields]
        values |= part.values(names, grid, wanted)
    return Panel(grid.times, {label: values[label] for label in columns})


def _ages(
    sources: Sequence[PanelSource], given: Length | Mapping[str, Length] | None, step: timedelta
) -> dict[str, timedelta]:
    """How long the values of each label stand."""
    ages = {each.label: source.stands(step) for source in sources for each in source.fields}
    said = given if isinstance(given, Mapping) else dict.fromkeys(ages, given)
    for label, value in said.items():
        if label not in ages:
            reason = f"no column {with_nearest(label, ages)} for `max_age`"
            raise QueryError("panel", f"{reason}; {existing_values([*ages], 'columns')}")
        if value is not None:
            ages[label] = length_of(value, "max_age")
    return ages


def _symbols(parts: Sequence[PanelPart], given: Iterable[str] | str | None) -> list[str]:
    """The symbols of the panel, sorted: each has rows in some table.

    Pairs are no symbols of their own if another type has the contracts.
    """
    of_contracts = [each for each in parts if not each.is_of_pairs] or parts
    every = sorted(frozenset[str]().union(*(each.there for each in of_contracts)))
    wanted = WantedSeries.of("panel", given, None)
    if wanted.symbols is None:
        return every
    found = {
        symbol: wanted.matching(every, symbol) if is_glob(symbol)
        else [symbol] * any(each.has(symbol) for each in parts)
        for symbol in wanted.symbols
    }  # fmt: skip
    if not found:
        raise QueryError(
            "panel", "no symbol is selected; name some, or leave `symbols` out for all"
        )
    absent = [symbol for symbol, names in found.items() if not names]
    if absent:
        first = ", ".join(with_nearest(symbol, every) for symbol in absent[:MOST_NAMED])
        rest = len(absent) - MOST_NAMED
        more = f", and {rest:,} more" if rest > 0 else ""
        tables = ", ".join(each.source.name for each in parts)
        has = existing_values(every, "symbols")
        raise QueryError("panel", f"no rows of {first}{more} in {tables}; {has}")
    return sorted({name for names in found.values() for name in names})


def _grid(
    parts: Sequence[PanelPart], names: Sequence[str], step: timedelta, times: TimeRange
) -> Grid:
    """The grid within the times given; by default, within the time that all types have."""
    start, end = times.start, times.end
    if start is None or end is None:
        spans = {each.source.name: each.span(names) for each in parts}
        for name, span in spans.items():
            if span is None:
                raise QueryError(name, "no rows of these symbols; leave the table out")
        known = {name: span for name, span in spans.items() if span is not None}
        start = start or max(first for first, _ in known.values())
        end = end or min(last for _, last in known.values()) + MICROSECOND
        if start >= end:
            has = ", ".join(
                f"rows of {name} are known from {first.isoformat()} to {last.isoformat()}"
                for name, (first, last) in known.items()
            )
            raise QueryError("panel", f"the types have no common time: {has}; leave one of them "
                             "out, or give `start` and `end`")  # fmt: skip
    return Grid.within(start, end, step)
