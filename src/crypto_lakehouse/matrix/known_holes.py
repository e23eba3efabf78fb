"""The known holes of the publisher's archive, as data: `matrix/holes.json`.

The archive answers a hole, a delisting and a late upload with the same 404. This file names the
holes, so that a run does not report archives as missing that do not exist. It holds only what was
reported with exact days; each entry names its source.

The file is one object: `format` (1), and `holes`, a list of objects:

| key         | what it is                                                                      |
|-------------|---------------------------------------------------------------------------------|
| `market`    | as configurations name it                                                       |
| `data_type` | as in the archive's path; null for every type of the market                     |
| `symbol`    | the folder symbol; null for every symbol of the type                            |
| `interval`  | the bars' interval, if only this one is missing, optional                       |
| `first`     | first UTC day                                                                   |
| `last`      | last UTC day, inclusive                                                         |
| `kind`      | `missing`: there is no archive of these days; `outage`: the venue was down and  |
|             | recorded nothing, so that rows are absent inside the archives; `truncated`: the |
|             | archives lack rows that the venue has                                           |
| `source`    | where it was reported, as `binance-public-data#499`                             |
| `note`      | what else a reader should know, optional                                        |
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Period, Series, check_symbol
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.core.errors import ArchiveKeyError, Problem
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.matrix.files import parse_facts, read_facts

__all__ = ["KINDS", "KnownHole", "KnownHoles", "load_holes", "parse_holes"]

FORMAT = 1

#: The kinds of holes; only days of kind `missing` have no archive.
KINDS = ("missing", "outage", "truncated")

_SHIPPED = "holes.json"
_DAY = timedelta(days=1)


@frozen(kw_only=True)
class KnownHole:
    """Days whose data is known to be missing or incomplete at the source.

    Attributes:
        data_type: None for every type of the market.
        symbol: None for every symbol.
        interval: None for every interval.
        first, last: UTC days, both inclusive.
        kind: One of `KINDS`.
        source: Where it was reported.
    """

    market: Market
    data_type: DataType | None
    symbol: str | None
    first: date
    last: date
    kind: str
    source: str
    note: str = ""
    interval: str | None = None

    @property
    def reason(self) -> str:
        """Why there is no archive of these days."""
        return f"known upstream hole ({self.source})"


@frozen(kw_only=True)
class _HolesFile:
    """The top level of the file."""

    format: int
    publisher: str = ""
    observed: date | None = None
    notes: tuple[str, ...] = ()
    holes: tuple[KnownHole, ...]


#: The holes of one (market, data type), by symbol; None is any other symbol.
_BySymbol = Mapping[str | None, tuple[KnownHole, ...]]


@frozen
class KnownHoles:
    """All known holes, with a fast lookup: most series have none.

    Attributes:
        entries: All entries, in the order of the file.
        origin: The name of the file.
    """

    entries: tuple[KnownHole, ...] = ()
    origin: str = ""
    _missing: Mapping[tuple[Market, DataType], _BySymbol] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        missing = [entry for entry in self.entries if entry.kind == "missing"]
        object.__setattr__(self, "_missing", _by_type(missing))

    def missing(self, series: Series) -> tuple[KnownHole, ...]:
        """The days of a series that have no archive, by their first day; they may overlap."""
        by_symbol = self._missing.get((series.market, series.data_type))
        if by_symbol is None:
            return ()
        found = by_symbol.get(series.symbol)
        holes = by_symbol[None] if found is None else found
        return tuple(hole for hole in holes if hole.interval in {None, series.interval})

    def reason(self, series: Series, day: date) -> str:
        """Return why there is no archive of a day; empty if there should be one."""
        for hole in self.missing(series):
            if hole.first <= day <= hole.last:
                return hole.reason
        return ""

    def reason_for_period(self, series: Series, period: Period) -> str:
        """Return why there is no archive of a period; for a month, all its days must be missing."""
        reason = self.reason(series, period.first_day)
        day, last = period.first_day, period.last_day
        while reason and day < last:
            day += _DAY
            reason = reason if self.reason(series, day) else ""
        return reason


def _by_type(holes: Iterable[KnownHole]) -> dict[tuple[Market, DataType], _BySymbol]:
    found: dict[tuple[Market, DataType], dict[str | None, list[KnownHole]]] = {}
    for hole in holes:
        for data_type in PUBLISHED_TYPES if hole.data_type is None else (hole.data_type,):
            by_symbol = found.setdefault((hole.market, data_type), {None: []})
            by_symbol.setdefault(hole.symbol, []).append(hole)
    return {key: _with_common(by_symbol) for key, by_symbol in found.items()}


def _with_common(by_symbol: Mapping[str | None, list[KnownHole]]) -> _BySymbol:
    """Merge each symbol's holes with those of all symbols, so that one lookup finds both."""
    common = by_symbol[None]
    return {
        symbol: tuple(sorted(own if symbol is None else own + common, key=lambda hole: hole.first))
        for symbol, own in by_symbol.items()
    }


def load_holes(path: str | os.PathLike[str] | None = None) -> KnownHoles:
    """Read and check a file of known holes; None means the shipped file.

    Raises:
        MatrixError: The file cannot be read, or has faults; every fault is named.
    """
    return _shipped() if path is None else parse_holes(*read_facts(path, _SHIPPED))


@lru_cache(maxsize=1)
def _shipped() -> KnownHoles:
    return parse_holes(*read_facts(None, _SHIPPED))


def parse_holes(text: str | bytes, origin: str) -> KnownHoles:
    """Read a file of known holes.

    Args:
        text: The whole file, JSON in UTF-8.
        origin: Its name, for errors.

    Raises:
        MatrixError: With every fault found, each with its place.
    """
    checks = {_HolesFile: _file_faults, KnownHole: _hole_faults}
    file: _HolesFile = parse_facts(text, origin, "file of known holes", _HolesFile, checks)
    return KnownHoles(file.holes, origin)


def _file_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if good.get("format", FORMAT) != FORMAT:
        yield Problem(f"{path}.format", f"must be {FORMAT}")


def _hole_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    first, last = good.get("first"), good.get("last")
    if first is not None and last is not None and last < first:
        yield Problem(f"{path}.last", f"{last} is before first {first}")
    kind = good.get("kind", KINDS[0])
    if kind not in KINDS:
        hint = allowed_values(kind, KINDS)
        yield Problem(f"{path}.kind", f"unknown value `{shown(kind)}`; {hint}")
    interval = good.get("interval")
    if interval is not None and interval not in INTERVALS:
        hint = allowed_values(interval, INTERVALS)
        yield Problem(f"{path}.interval", f"unknown interval `{shown(interval)}`; {hint}")
    symbol = good.get("symbol")
    if symbol is not None:
        try:
            check_symbol(symbol)
        except ArchiveKeyError as error:
            yield Problem(f"{path}.symbol", f"`{shown(symbol)}`: {error.reason}")
