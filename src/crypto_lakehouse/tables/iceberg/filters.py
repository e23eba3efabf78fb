"""Iceberg expressions, with types that a type checker understands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyiceberg import expressions

__all__ = ["ALWAYS", "all_of", "among", "equals"]

ALWAYS: expressions.BooleanExpression = expressions.AlwaysTrue()

# pydantic's generated signatures hide the positional form that is documented.
_EQUAL: Any = expressions.EqualTo
_IN: Any = expressions.In


def equals(column: str, value: str) -> expressions.BooleanExpression:
    """The column has this value."""
    made: expressions.BooleanExpression = _EQUAL(column, value)
    return made


def among(column: str, values: Iterable[str]) -> expressions.BooleanExpression:
    """The column has one of these values."""
    made: expressions.BooleanExpression = _IN(column, tuple(values))
    return made


def all_of(*parts: expressions.BooleanExpression) -> expressions.BooleanExpression:
    """All of the parts are true."""
    joined = ALWAYS
    for part in parts:
        joined = expressions.And(joined, part)
    return joined
