"""Reads values out of recorded messages strictly: what is another type is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = [
    "BadMessage",
    "count",
    "decimal",
    "decimal_or_none",
    "flag",
    "is_time_us",
    "levels",
    "time_us",
    "word",
]

#: Decimals that every table holds without loss.
_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,18})?", re.ASCII)

_WORD = re.compile(r"\w{1,40}", re.ASCII)

#: Times in milliseconds and in microseconds: from 1973 to 5138, so that none is both
#: (docs/archive-rows.md#time-units).
_MILLISECONDS, _MICROSECONDS = range(10**11, 10**14), range(10**14, 10**17)

_MOST_LEVELS = 1 << 20


def is_time_us(value: int) -> bool:
    """Whether a number can be a time in microseconds since 1970, which tables hold."""
    return value in _MICROSECONDS


class BadMessage(ValueError):
    """A message is not as it must be; the text says why, without its values, to be counted by."""


def _value(data: Mapping[str, Any], name: str) -> Any:
    try:
        return data[name]
    except KeyError:
        raise BadMessage(f"`{name}` is missing") from None


def _wrong(name: str, wanted: str) -> BadMessage:
    return BadMessage(f"`{name}` is not {wanted}")


def count(data: Mapping[str, Any], name: str) -> int:
    """An id or a count.

    Raises:
        BadMessage: It is missing, or no whole number.
    """
    value = _value(data, name)
    if type(value) is not int or value < 0:
        raise _wrong(name, "a whole number")
    return value


def time_us(data: Mapping[str, Any], name: str) -> int:
    """A time in milliseconds or microseconds since 1970, in microseconds.

    Raises:
        BadMessage: It is missing, or no such time.
    """
    value = _value(data, name)
    if type(value) is int:
        if value in _MICROSECONDS:
            return value
        if value in _MILLISECONDS:
            return value * 1000
    raise _wrong(name, "a time in milliseconds or microseconds")


def decimal(data: Mapping[str, Any], name: str) -> str:
    """A decimal, as the text that came.

    Raises:
        BadMessage: It is missing, a number, or no decimal that tables hold without loss.
    """
    value = _value(data, name)
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise _wrong(name, "a decimal as text")
    return value


def decimal_or_none(data: Mapping[str, Any], name: str) -> str:
    """A decimal, or an empty text if it is missing or empty.

    Raises:
        BadMessage: It is anything else.
    """
    return decimal(data, name) if data.get(name, "") != "" else ""


def flag(data: Mapping[str, Any], name: str) -> bool:
    """A truth value.

    Raises:
        BadMessage: It is missing, or none.
    """
    value = _value(data, name)
    if not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return value


def word(data: Mapping[str, Any], name: str) -> str:
    """A word of letters, digits and underscores.

    Raises:
        BadMessage: It is missing, or none.
    """
    value = _value(data, name)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise _wrong(name, "a word")
    return value


def levels(data: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """Price and quantity of the levels of one side of a book.

    Raises:
        BadMessage: They are missing, or not pairs of decimals as text; a price is there twice.
    """
    pairs = _value(data, name)
    if not isinstance(pairs, list) or len(pairs) > _MOST_LEVELS:
        raise _wrong(name, "a list of levels")
    found: dict[str, str] = {}
    is_decimal = _DECIMAL.fullmatch
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise _wrong(name, "a list of levels")
        price, quantity = pair
        if not (
            isinstance(price, str)
            and isinstance(quantity, str)
            and is_decimal(price)
            and is_decimal(quantity)
        ):
            raise _wrong(name, "a list of decimals as text")
        if price in found:
            raise BadMessage(f"`{name}` has a price twice")
        found[price] = quantity
    return list(found.items())
