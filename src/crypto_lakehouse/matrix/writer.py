"""Writes a matrix as a file in the current format, laid out for people and for diffs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from crypto_lakehouse.matrix.current_format import FORMAT
from crypto_lakehouse.matrix.model import (
    HeaderEra,
    Matrix,
    MatrixRow,
    PartitionFacts,
    SymbolLife,
    TimeUnitEra,
)

__all__ = ["matrix_text"]

_WIDTH = 100
_SURROGATE = re.compile("[\ud800-\udfff]")


def matrix_text(matrix: Matrix) -> str:
    """Return the text of a matrix file, with a line feed at its end.

    The file has all of the matrix except its origin and corrections, and reading it gives an equal
    matrix. The text of the shipped matrix is that of the file in the repository.
    """
    head: dict[str, object] = {"format": FORMAT}
    if matrix.publisher:
        head["publisher"] = matrix.publisher
    if matrix.observed is not None:
        head["observed"] = _day(matrix.observed)
    head |= {"source_url": matrix.source_url, "listing_url": matrix.listing_url}
    members = [_member(name, _plain(value), 2) for name, value in head.items()]
    rows = _list((_object(_row_members(row, 6), 4) for row in matrix.rows), 2)
    return _object([*members, _member("availability_matrix", rows, 2)], 0) + "\n"


def _row_members(row: MatrixRow, indent: int) -> Iterator[str]:
    """The members of one row, in the order of the shipped file."""
    deeper = indent + 2

    def member(name: str, text: str) -> str:
        return _member(name, text, indent)

    partitions = [
        _member(name, _object(_fact_members(facts, deeper + 2), deeper), deeper)
        for name, facts in row.partitions.items()
    ]
    lives = [
        _member(symbol, _plain(_life(life)), deeper) for symbol, life in row.symbol_lives.items()
    ]
    yield member("market", _plain(row.market))
    yield member("data_type", _plain(row.data_type))
    yield member("state", _plain(row.state))
    yield member("key_pattern", _plain(row.key_pattern))
    yield member("partitions", _object(partitions, indent))
    yield member("symbol_pattern", _plain(row.symbol_pattern))
    yield member("symbol_form", _plain(row.symbol_form))
    yield member("symbol_lives", _object(lives, indent))
    yield _filled("symbols", row.symbols, indent)
    if row.partition_symbols:
        alone = [_filled(name, symbols, deeper) for name, symbols in row.partition_symbols.items()]
        yield member("partition_symbols", _object(alone, indent))
    yield _line_each("header_eras", map(_header, row.header_eras), indent)
    yield _line_each("time_unit_eras", map(_unit, row.time_unit_eras), indent)
    yield _filled("columns", row.columns, indent)
    yield member("sidecar_newline", _plain(row.sidecar_newline))
    yield _line_each("notes", row.notes, indent)


def _fact_members(facts: PartitionFacts, indent: int) -> Iterator[str]:
    yield _filled("intervals", facts.intervals, indent)
    yield _member("available_from", _plain(_day(facts.available_from)), indent)
    yield _member("available_to", _plain(_day(facts.available_to)), indent)
    yield _member("lag_days", _plain(facts.lag_days), indent)


def _life(life: SymbolLife) -> Mapping[str, object]:
    return {"available_from": _day(life.available_from), "available_to": _day(life.available_to)}


def _header(era: HeaderEra) -> Mapping[str, object]:
    return {"since": _day(era.since), "header": era.header}


def _unit(era: TimeUnitEra) -> Mapping[str, object]:
    return {"since": _day(era.since), "unit": era.unit}


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _plain(value: object) -> str:
    """A value on one line; lone surrogates are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _member(name: str, text: str, indent: int) -> str:
    """A member of an object; `text` is its value, laid out for this indent."""
    return f"{' ' * indent}{_plain(name)}: {text}"


def _object(members: Iterable[str], indent: int) -> str:
    lines = ",\n".join(members)
    return f"{{\n{lines}\n{' ' * indent}}}" if lines else "{}"


def _list(items: Iterable[str], indent: int) -> str:
    lines = ",\n".join(f"{' ' * (indent + 2)}{item}" for item in items)
    return f"[\n{lines}\n{' ' * indent}]" if lines else "[]"


def _line_each(name: str, values: Iterable[object], indent: int) -> str:
    """A list on one line, or with a line for each item where that is too long."""
    items = [_plain(value) for value in values]
    short = _member(name, f"[{', '.join(items)}]", indent)
    return short if _fits(short) else _member(name, _list(items, indent), indent)


def _filled(name: str, values: Sequence[str], indent: int) -> str:
    """A list on one line, or with as many items on each line as fit."""
    items = [_plain(value) for value in values]
    short = _member(name, f"[{', '.join(items)}]", indent)
    if _fits(short):
        return short
    lines: list[str] = []
    for item in items:
        if lines and _fits(f"{' ' * (indent + 2)}{lines[-1]}, {item}"):
            lines[-1] += f", {item}"
        else:
            lines.append(item)
    return _member(name, _list(lines, indent), indent)


def _fits(text: str) -> bool:
    """Whether a line has room for the text and a comma."""
    return len(text) < _WIDTH
