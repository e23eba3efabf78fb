"""Read and check a matrix in the current format (`"format": 3`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition, check_symbol
from crypto_lakehouse.core.config.rules import url_fault
from crypto_lakehouse.core.errors import ArchiveKeyError, MatrixError, Problem
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.matrix.json_reader import JsonReader, member_path
from crypto_lakehouse.matrix.model import (
    Matrix,
    MatrixRow,
    PartitionFacts,
    SymbolLife,
    TimeUnitEra,
)

__all__ = ["FORMAT", "key_pattern_of", "pattern_fault", "read_current", "repeated_rows"]

FORMAT = 3

_STATES = ("live", "retired", "removed")
_FORMS = ("symbol", "pair")
_UNITS = ("ms", "us")

#: An upper bound, because dates have one too; no archive was ever published later.
_MOST_LAG_DAYS = 3660


@frozen(kw_only=True)
class _MatrixFile:
    """The top level of a matrix file."""

    format: int
    publisher: str = ""
    observed: date | None = None
    source_url: str
    listing_url: str | None = None
    availability_matrix: tuple[MatrixRow, ...]


def read_current(data: Mapping[str, Any], origin: str) -> Matrix:
    """Read a parsed matrix file.

    Raises:
        MatrixError: With every fault found, each with its place.
    """
    if data.get("format") != FORMAT:
        reason = f"must be {FORMAT}; rows of the older formats have a path_pattern or url_pattern"
        raise MatrixError(origin, [Problem("$.format", reason)])
    reader = JsonReader(_CHECKS)
    file = reader.read(data, _MatrixFile, "$")
    problems = [*reader.problems, *repeated_rows(data["availability_matrix"])]
    if problems:
        raise MatrixError(origin, problems)
    markets, types = list(Market), list(DataType)
    rows = sorted(
        file.availability_matrix,
        key=lambda row: (markets.index(row.market), types.index(row.data_type)),
    )
    return Matrix(
        origin=origin,
        rows=tuple(rows),
        source_url=file.source_url,
        listing_url=file.listing_url,
        publisher=file.publisher,
        observed=file.observed,
    )


def repeated_rows(rows: Iterable[object]) -> Iterator[Problem]:
    """Find rows whose market and data type an earlier row of the file has already."""
    first: dict[tuple[str, str], str] = {}
    for number, row in enumerate(rows):
        words = (row.get("market"), row.get("data_type")) if isinstance(row, Mapping) else ()
        match words:
            case (str(market), str(data_type)):
                path = f"$.availability_matrix[{number}]"
                earlier = first.setdefault((market, data_type), path)
                if earlier != path:
                    name = shown(f"{market} {data_type}")
                    yield Problem(path, f"`{name}` stands at {earlier} already")


def key_pattern_of(market: Market, data_type: DataType) -> str:
    """Return the archive's layout for one row (docs/archive.md#keys)."""
    name = "{interval}" if data_type.has_interval else str(data_type)
    folder = "{interval}/" if data_type.has_interval else ""
    prefix = f"data/{market.path}/{{partition}}/{data_type}/{{symbol}}/"
    return f"{prefix}{folder}{{symbol}}-{name}-{{period}}.zip"


def pattern_fault(pattern: str) -> str:
    """Return why a pattern could lead out of a directory; empty if it could not.

    Control characters are not checked here, because no text of a matrix file may have any.
    """
    if "\\" in pattern:
        return f"`{shown(pattern)}` holds a backslash"
    if pattern.startswith("/") or re.match(r"[A-Za-z]:", pattern):
        return f"`{shown(pattern)}` is an absolute path"
    if ".." in pattern.split("/"):
        return f"`{shown(pattern)}` holds `..`"
    return ""


def _file_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for name in ("source_url", "listing_url"):
        if good.get(name) is not None and not _is_url(good[name]):
            yield Problem(f"{path}.{name}", "must be an absolute http:// or https:// URL")


def _is_url(text: str) -> bool:
    return url_fault(text) is None and urlsplit(text).port != 0


def _row_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _word_faults("state", good, _STATES, path)
    yield from _word_faults("symbol_form", good, _FORMS, path)
    yield from _pattern_faults(good, path)
    yield from _symbol_faults(good, path)
    yield from _partition_symbol_faults(good, f"{path}.partition_symbols")
    for name in ("header_eras", "time_unit_eras"):
        if name in good and not _in_order([era.since for era in good[name]]):
            rule = "must begin with `since: null` and go on with ever later days"
            yield Problem(f"{path}.{name}", rule)
    yield from _partition_faults(good, f"{path}.partitions")


def _word_faults(
    name: str, good: Mapping[str, Any], allowed: tuple[str, ...], path: str
) -> Iterator[Problem]:
    word = good.get(name, allowed[0])
    if word not in allowed:
        hint = allowed_values(word, allowed)
        yield Problem(f"{path}.{name}", f"unknown value `{shown(word)}`; {hint}")


def _pattern_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if "key_pattern" in good and (fault := _layout_fault(good)):
        yield Problem(f"{path}.key_pattern", fault)
    try:
        re.compile(good.get("symbol_pattern", ""))
    except (re.error, OverflowError, RecursionError) as error:
        yield Problem(f"{path}.symbol_pattern", f"not a regular expression: {error}")


def _layout_fault(good: Mapping[str, Any]) -> str:
    pattern = good["key_pattern"]
    fault = pattern_fault(pattern)
    if fault or not {"market", "data_type"} <= good.keys():
        return fault
    expected = key_pattern_of(good["market"], good["data_type"])
    return "" if pattern == expected else f"is not the archive's layout, `{expected}`"


def _symbol_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    lives = f"{path}.symbol_lives"
    places = [(f"{path}.symbols[{i}]", symbol) for i, symbol in enumerate(good.get("symbols", ()))]
    places += [(member_path(lives, symbol), symbol) for symbol in good.get("symbol_lives", ())]
    for place, symbol in places:
        try:
            check_symbol(symbol)
        except ArchiveKeyError as error:
            yield Problem(place, f"`{shown(symbol)}`: {error.reason}")


def _partition_symbol_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Check that the symbols of a partition are the row's, and in no other partition."""
    seen: dict[str, Partition] = {}
    symbols = frozenset(good.get("symbols", ()))
    for partition, names in good.get("partition_symbols", {}).items():
        place = f"{path}.{partition}"
        if partition not in good.get("partitions", {partition}):
            yield Problem(place, f"the row has no `{partition}` partition")
        if foreign := [name for name in names if name not in symbols]:
            yield Problem(place, f"{shown(foreign)}: not among the row's `symbols`")
        if twice := [name for name in names if seen.setdefault(name, partition) is not partition]:
            yield Problem(place, f"{shown(twice)}: in another partition as well")


def _in_order(since: list[date | None]) -> bool:
    """Whether eras are sorted: the first has no `since`, each later one has a later day."""
    later = [day for day in since[1:] if day is not None]
    begins_open = since[:1] == [None] and len(later) == len(since) - 1
    return begins_open and all(earlier < day for earlier, day in pairwise(later))


def _partition_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Check the partitions of a row against its data type and state."""
    if good.get("partitions") == {}:
        yield Problem(path, "must name daily, monthly or both")
    data_type, state = good.get("data_type"), good.get("state", "live")
    for partition, facts in good.get("partitions", {}).items():
        if data_type is not None and bool(facts.intervals) != data_type.has_interval:
            wanted = "must name the interval folders" if data_type.has_interval else "must be empty"
            yield Problem(f"{path}.{partition}.intervals", f"{wanted}: the type is `{data_type}`")
        # Without an end, the archives of an ended feed would be reported as missing for ever.
        if facts.available_to is None and state in {"retired", "removed"}:
            place = f"{path}.{partition}.available_to"
            yield Problem(place, f"must be a day where the state is `{state}`")


def _facts_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for number, interval in enumerate(good.get("intervals", ())):
        if interval not in INTERVALS:
            hint = allowed_values(interval, INTERVALS)
            text = f"unknown interval `{shown(interval)}`; {hint}"
            yield Problem(f"{path}.intervals[{number}]", text)
    lag_days = good.get("lag_days", 0)
    if lag_days < 0:
        yield Problem(f"{path}.lag_days", f"must be at least 0, not {shown(lag_days)}")
    if lag_days > _MOST_LAG_DAYS:
        fault = f"must be at most {_MOST_LAG_DAYS}, not {shown(lag_days)}"
        yield Problem(f"{path}.lag_days", fault)
    yield from _life_faults(good, path)


def _life_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    first, last = good.get("available_from"), good.get("available_to")
    if first is not None and last is not None and last < first:
        yield Problem(f"{path}.available_to", f"{last} is before available_from {first}")


def _unit_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _word_faults("unit", good, _UNITS, path)


_CHECKS = {
    _MatrixFile: _file_faults,
    MatrixRow: _row_faults,
    PartitionFacts: _facts_faults,
    SymbolLife: _life_faults,
    TimeUnitEra: _unit_faults,
}
