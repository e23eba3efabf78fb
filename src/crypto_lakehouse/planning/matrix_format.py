"""Read and check a matrix in the current format (`"format": 3`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import cattrs
from attrs import frozen
from cattrs.v import transform_error

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, check_symbol
from crypto_lakehouse.core.config_values import strict_converter
from crypto_lakehouse.core.errors import ArchiveKeyError, MatrixError, Problem
from crypto_lakehouse.core.suggestions import allowed_values
from crypto_lakehouse.planning.matrix import Matrix, MatrixRow, PartitionFacts

__all__ = ["FORMAT", "key_pattern_of", "pattern_fault", "read_current"]

FORMAT = 3

_Kind = TypeVar("_Kind")

_STATES = ("live", "retired", "removed")
_FORMS = ("symbol", "pair")
_UNITS = ("ms", "us")


@frozen(kw_only=True)
class _File:
    """The top level of a matrix file, without its rows."""

    format: int
    publisher: str = ""
    observed: str = ""
    source_url: str
    listing_url: str | None = None


def read_current(data: Mapping[str, Any], origin: str) -> Matrix:
    """Read a parsed matrix file.

    Raises:
        MatrixError: With every fault found, each with its place.
    """
    if data.get("format") != FORMAT:
        reason = f"must be {FORMAT}; rows of the older formats have a path_pattern or url_pattern"
        raise MatrixError(origin, [Problem("$.format", reason)])
    problems: list[Problem] = []
    top = {name: value for name, value in data.items() if name != "availability_matrix"}
    file = _structured(top, _File, "$", problems)
    rows: dict[str, MatrixRow] = {}
    for number, value in enumerate(data["availability_matrix"]):
        path = f"$.availability_matrix[{number}]"
        row = _structured(value, MatrixRow, path, problems)
        if row is not None:
            rows[path] = row
            problems += _row_problems(row, path)
    problems += _duplicates(rows)
    if problems or file is None:
        raise MatrixError(origin, problems)
    markets, types = list(Market), list(DataType)
    in_order = sorted(
        rows.values(), key=lambda row: (markets.index(row.market), types.index(row.data_type))
    )
    return Matrix(
        origin=origin,
        rows=tuple(in_order),
        source_url=file.source_url,
        listing_url=file.listing_url,
    )


def _structured(
    value: object, kind: type[_Kind], path: str, problems: list[Problem]
) -> _Kind | None:
    """Read one object; None, and its problems added, where it has faults of form."""
    if not isinstance(value, Mapping):
        problems.append(Problem(path, "must be an object"))
        return None
    try:
        return _CONVERTER.structure(value, kind)
    except cattrs.BaseValidationError as error:
        lines = transform_error(error, path, _describe)
        parts = (line.rpartition(" @ ") for line in lines)
        problems += [Problem(place, text) for text, _, place in parts]
        return None


def _describe(error: BaseException, _type: type | None) -> str:
    if isinstance(error, KeyError):
        return "required, and missing"
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = [field.name for field in getattr(error.cl, "__attrs_attrs__", ())]
        names = sorted(error.extra_fields)
        hint = allowed_values(names[0], known)
        return f"unknown key {', '.join(f'`{name}`' for name in names)}; {hint}"
    return str(error)


def _row_problems(row: MatrixRow, path: str) -> Iterator[Problem]:
    yield from _word_problems(row, path)
    yield from _pattern_problems(row, path)
    yield from _symbol_problems(row, path)
    yield from _era_problems(row, path)
    if not row.partitions:
        yield Problem(f"{path}.partitions", "must name daily, monthly or both")
    for partition, facts in row.partitions.items():
        yield from _partition_problems(row, facts, f"{path}.partitions.{partition}")


def _word_problems(row: MatrixRow, path: str) -> Iterator[Problem]:
    words = [("state", row.state, _STATES), ("symbol_form", row.symbol_form, _FORMS)]
    words += [
        (f"time_unit_eras[{number}].unit", era.unit, _UNITS)
        for number, era in enumerate(row.time_unit_eras)
    ]
    for name, word, allowed in words:
        if word not in allowed:
            hint = allowed_values(word, allowed)
            yield Problem(f"{path}.{name}", f"unknown value `{word}`; {hint}")


def _pattern_problems(row: MatrixRow, path: str) -> Iterator[Problem]:
    fault = pattern_fault(row.key_pattern)
    expected = key_pattern_of(row.market, row.data_type)
    if fault:
        yield Problem(f"{path}.key_pattern", fault)
    elif row.key_pattern != expected:
        yield Problem(f"{path}.key_pattern", f"is not the archive's layout, `{expected}`")
    try:
        re.compile(row.symbol_pattern)
    except re.error as error:
        yield Problem(f"{path}.symbol_pattern", f"not a regular expression: {error}")


def _symbol_problems(row: MatrixRow, path: str) -> Iterator[Problem]:
    for name, symbols in (("symbols", row.symbols), ("symbol_lives", row.symbol_lives)):
        for symbol in symbols:
            try:
                check_symbol(symbol)
            except ArchiveKeyError as error:
                yield Problem(f"{path}.{name}", str(error))


def _era_problems(row: MatrixRow, path: str) -> Iterator[Problem]:
    for name, eras in (("header_eras", row.header_eras), ("time_unit_eras", row.time_unit_eras)):
        since = [era.since for era in eras]
        later = [day for day in since[1:] if day is not None]
        if since[:1] != [None] or later != sorted(set(since[1:]) - {None}, key=str):
            yield Problem(
                f"{path}.{name}", "must begin with `since: null` and go on with later days"
            )


def _partition_problems(row: MatrixRow, facts: PartitionFacts, path: str) -> Iterator[Problem]:
    if bool(facts.intervals) != row.data_type.has_interval:
        wanted = "must name the interval folders" if row.data_type.has_interval else "must be empty"
        yield Problem(f"{path}.intervals", f"{wanted} of `{row.data_type}`")
    for number, interval in enumerate(facts.intervals):
        if interval not in INTERVALS:
            hint = allowed_values(interval, INTERVALS)
            yield Problem(f"{path}.intervals[{number}]", f"unknown interval `{interval}`; {hint}")
    if facts.available_to is not None and facts.available_to < facts.available_from:
        yield Problem(f"{path}.available_to", f"is before available_from {facts.available_from}")
    if facts.lag_days < 0:
        yield Problem(f"{path}.lag_days", f"must be at least 0, not {facts.lag_days}")


def _duplicates(rows: Mapping[str, MatrixRow]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for path, row in rows.items():
        if row.name in first:
            yield Problem(path, f"`{row.name}` stands at {first[row.name]} already")
        first.setdefault(row.name, path)


def key_pattern_of(market: Market, data_type: DataType) -> str:
    """Return the archive's layout for one row (archive-facts 2.4)."""
    name = "{interval}" if data_type.has_interval else str(data_type)
    folder = "{interval}/" if data_type.has_interval else ""
    prefix = f"data/{market.path}/{{partition}}/{data_type}/{{symbol}}/"
    return f"{prefix}{folder}{{symbol}}-{name}-{{period}}.zip"


def pattern_fault(pattern: str) -> str:
    """Say why a pattern could lead out of a directory; empty where it could not."""
    if any(ord(character) < 32 or ord(character) == 127 for character in pattern):
        return f"{pattern!r} holds a control character"
    if pattern.startswith("/") or "\\" in pattern or re.match(r"[A-Za-z]:", pattern):
        return f"`{pattern}` is an absolute path, or holds a backslash"
    if ".." in pattern.split("/"):
        return f"`{pattern}` holds `..`"
    return ""


def _converter() -> cattrs.Converter:
    converter = strict_converter()
    # Lists may be empty here, unlike in a configuration, where that would be a slip.
    converter.register_structure_hook_func(
        lambda kind: getattr(kind, "__origin__", None) is tuple,
        lambda value, kind: tuple(_list(value, kind.__args__[0])),
    )
    return converter


def _list(value: object, item: Any) -> list[Any]:  # noqa: ANN401 - any item
    if not isinstance(value, list):
        raise TypeError(f"must be a list, not `{value}`")
    result: list[Any] = _CONVERTER.structure(value, list[item])
    return result


_CONVERTER = _converter()
