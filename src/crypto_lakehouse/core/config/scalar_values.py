"""Converts single values strictly: cattrs hooks that reject ambiguous text, numbers and words."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import cattrs

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.core.symbols import ContractType

__all__ = ["kind_of", "strict_converter", "structure_integer", "structure_text"]


def strict_converter(data_types: Iterable[DataType] = PUBLISHED_TYPES) -> cattrs.Converter:
    """Return a converter that rejects ambiguous values; also used for matrix files.

    Args:
        data_types: Those that it knows.
    """
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, hook in (
        (str, _path_or_text),
        (bool, _boolean),
        (int, structure_integer),
        (float, _number),
        (date, _day),
        (datetime, _instant),
        (Market, _member(Market, "market")),
        (DataType, _member(data_types, "data type")),
        (Partition, _member(Partition, "partition")),
        (ContractType, _member(ContractType, "kind of contract")),
    ):
        converter.register_structure_hook(kind, hook)
    return converter


def structure_text(value: object, _: Any) -> str:
    """Return text that is not blank, and has no control characters."""
    if not isinstance(value, str):
        raise TypeError(f"must be text, not {kind_of(value)}")
    if not value.strip():
        raise ValueError("must not be empty")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("must not contain control characters")
    return value


def _path_or_text(value: object, kind: Any) -> str:
    return structure_text(value.__fspath__() if hasattr(value, "__fspath__") else value, kind)


def _boolean(value: object, _: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"must be true or false, not {kind_of(value)}")
    return value


def structure_integer(value: object, _: Any) -> int:
    """Return a whole number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"must be a whole number, not {kind_of(value)}")
    return value


def _number(value: object, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"must be a number, not {kind_of(value)}")
    if not abs(value) <= sys.float_info.max:
        raise ValueError("must be a finite number")
    return float(value)


def _day(value: object, _: Any) -> date:
    if isinstance(value, datetime):
        raise TypeError("must be a day, YYYY-MM-DD, without a time")
    if isinstance(value, date):
        return value
    try:
        text = structure_text(value, str)
        day = date.fromisoformat(text)
        if text != day.isoformat():  # other forms of ISO 8601: 20250715, 2025-W29-2
            raise ValueError(text)
        return day
    except (TypeError, ValueError):
        raise ValueError(f"`{shown(value)}` is not a calendar day, YYYY-MM-DD") from None


def _instant(value: object, _: Any) -> datetime:
    try:
        text = structure_text(value, str)
        instant = datetime.fromisoformat(text)
        if instant.strftime("%Y-%m-%dT%H:%M:%SZ") != text:
            raise ValueError(text)
        return instant
    except (TypeError, ValueError):
        reason = "is not an instant in UTC, YYYY-MM-DDTHH:MM:SSZ"
        raise ValueError(f"`{shown(value)}` {reason}") from None


def _member(allowed: Iterable[StrEnum], noun: str) -> Callable[[object, Any], StrEnum]:
    members = {str(each): each for each in allowed}

    def structure(value: object, _: Any) -> StrEnum:
        try:
            return members[structure_text(value, str)]
        except (TypeError, ValueError, KeyError):
            hint = allowed_values(value, members)
            raise ValueError(f"unknown {noun} `{shown(value)}`; {hint}") from None

    return structure


def kind_of(value: object) -> str:
    """Return what a value is, and the value, for messages."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
    return f"{names.get(type(value), type(value).__name__)} (`{shown(value)}`)"
