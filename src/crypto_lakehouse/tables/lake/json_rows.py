"""Rows of a query's result as values that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["LARGE_INTEGERS", "json_rows", "unique_names"]

#: Integers that Arrow holds as decimals.
LARGE_INTEGERS = frozenset({"HUGEINT", "UHUGEINT"})


def json_rows(batch: Any, names: Sequence[str], kinds: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a batch, each as an object of plain values.

    Times are ISO texts and decimals are texts, so that no digit is lost; what is not finite is
    `NaN`, `Infinity` or `-Infinity`.

    Args:
        batch: An Arrow batch of a result that `as_form` has made for JSON.
        names: The names of its columns; a repeated one is numbered.
        kinds: DuckDB's types of the columns, before `as_form`.
    """
    unique = unique_names(names)
    whole = [name for name, kind in zip(unique, kinds, strict=True) if kind in LARGE_INTEGERS]
    for row in batch.rename_columns(unique).to_pylist(maps_as_pydicts="strict"):
        numbers = {name: int(row[name]) for name in whole if row[name] is not None}
        yield _plain(row) | numbers


def unique_names(names: Sequence[str]) -> list[str]:
    """Number what has the name of an earlier column, which would take its place."""
    unique: list[str] = []
    for name in names:
        number, free = 1, name
        while free in unique or (number > 1 and free in names):
            number += 1
            free = f"{name}_{number}"
        unique.append(free)
    return unique


def _plain(value: Any) -> Any:
    from datetime import date, datetime
    from decimal import Decimal

    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such numbers
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
