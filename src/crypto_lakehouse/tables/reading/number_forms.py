"""Refuses numbers in forms that the archive does not have, although the parser accepts them.

These are a blank, a tab or a plus sign before a number, and an exponent so small that a float
would be zero. The rule is one for all types of numbers, and for floats and decimals. Text that may
have such a number is found by a search for bytes, which costs nearly nothing; only then is it
parsed again.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from crypto_lakehouse.tables.schema.schemas import Column

__all__ = ["has_odd_numbers", "is_lost"]

_BEFORE = (b" ", b"\t", b"+")

_NUMBERS = frozenset({"time", "id", "count", "number"})

#: A digit that is not zero, before an exponent.
_NOT_ZERO = "^[^eE]*[1-9].*[eE]"


def has_odd_numbers(text: bytes, columns: Sequence[Column]) -> bool:
    """Whether a number has a form that the archive does not have.

    Args:
        text: Whole lines without a header, which Polars can parse.
        columns: The file's columns, in its order.
    """
    if not _may_have(text, columns):
        return False
    places = [place for place, column in enumerate(columns) if column.kind in _NUMBERS]
    frame = pl.read_csv(
        text,
        has_header=False,
        quote_char=None,
        schema={column.name: pl.String for column in columns},
        columns=places,
        low_memory=False,
    )
    odd = pl.all().str.contains("^[ \t+]") | (
        pl.all().str.contains(_NOT_ZERO)
        & (pl.all().cast(pl.Float64, strict=False) == 0).fill_null(value=False)
    )
    return any(frame.select(odd.any()).row(0))


def is_lost(text: str) -> bool:
    """Whether a number is not zero, and a float would be.

    Examples:
        >>> is_lost("1e-400"), is_lost("0e-400"), is_lost("1e-8"), is_lost("e-400")
        (True, False, False, False)
    """
    try:
        return float(text) == 0 and any(
            digit in "123456789" for digit in text.lower().split("e")[0]
        )
    except ValueError:
        return False


def _may_have(text: bytes, columns: Sequence[Column]) -> bool:
    """Whether some field begins with a blank or sign, or has a negative exponent."""
    # One byte is found many times faster than two. A time as text has one blank, and is refused
    # without it.
    times = sum(column.kind == "datetime" for column in columns)
    blanks = times * text.count(b"\n") if times else 0
    for mark in _BEFORE:
        is_usual = text.count(b" ") == blanks if mark == b" " and blanks else mark not in text
        if not is_usual and (text.startswith(mark) or b"," + mark in text or b"\n" + mark in text):
            return True
    return b"-" in text and any(
        exponent[:1] in text and exponent in text for exponent in (b"e-", b"E-")
    )
