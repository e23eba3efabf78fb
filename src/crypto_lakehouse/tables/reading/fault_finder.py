"""Finds the line and column of a fault in text that the columnar parser has refused.

This is slow, and only runs on text that is known to be faulty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.reading.sniff import UNIT_BOUNDS
from crypto_lakehouse.tables.schema.schemas import DECIMAL_SCALE, Column

__all__ = ["Fault", "first_fault"]

_WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)

#: Line within the text, counted from 0, the column's published name, and what is wrong.
Fault = tuple[int, str, str]


def first_fault(
    text: bytes, columns: Iterable[Column], unit: str, archive: Archive, *, exact: bool
) -> Fault | None:
    """Find the first field that is not valid in its column.

    Args:
        text: Whole lines.
        columns: The file's columns, in its order.
        unit: The file's time unit.
        archive: The archive of the text.
        exact: Whether numbers must fit decimal(38, 18) without loss.

    Returns:
        The fault; None if every field is valid.
    """
    readers = [_reader(column, unit, archive, exact=exact) for column in columns]
    names = [column.published for column in columns]
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n")):
        try:
            fields = line.decode().split(",")
        except UnicodeDecodeError:
            return number, "", "the line is not UTF-8"
        if len(fields) != len(readers):
            return number, "", f"{len(fields)} fields instead of {len(readers)}"
        for name, read, field in zip(names, readers, fields, strict=True):
            wrong = read(field)
            if wrong:
                return number, name, wrong
    return None


def _reader(column: Column, unit: str, archive: Archive, *, exact: bool) -> Callable[[str], str]:
    """Return a function that describes the fault of a field; empty for a valid field."""
    if column.constant:
        wanted = str(getattr(archive, column.constant))
        return lambda text: "" if text == wanted else f"{_shown(text)} instead of `{wanted}`"
    if not column.stored and column.kind == "text":
        return lambda _text: ""
    check = _CHECKS.get(column.kind)
    if column.kind == "time":
        check = _time_check(unit)
    elif column.kind == "number":
        check = _exact if exact else _number
    assert check is not None  # noqa: S101 - every kind has one
    return lambda text: "" if not text and column.nullable else check(text)


def _shown(text: str) -> str:
    return f"`{text[:40]}`" if text else "a blank"


def _whole(text: str) -> str:
    if not _WHOLE.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        return f"{_shown(text)} is not a whole number of 64 bits"
    return ""


def _number(text: str) -> str:
    try:
        fine = math.isfinite(float(text))
    except ValueError:
        fine = False
    return "" if fine else f"{_shown(text)} is not a number"


def _exact(text: str) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return f"{_shown(text)} is not a number"
    if not number.is_finite():
        return f"{_shown(text)} is not a number"
    if "e" in text.lower():
        return f"{_shown(text)} has an exponent, so its exact digits are not known"
    _, digits, exponent = number.as_tuple()
    behind = max(0, -exponent) if isinstance(exponent, int) else 0
    fits = behind <= DECIMAL_SCALE and len(digits) - behind <= 38 - DECIMAL_SCALE
    return "" if fits else f"{_shown(text)} does not fit decimal(38, {DECIMAL_SCALE})"


def _flag(text: str) -> str:
    return "" if text.lower() in {"true", "false"} else f"{_shown(text)} is not true or false"


def _text(text: str) -> str:
    return "" if text else "a blank where a text must be"


def _datetime(text: str) -> str:
    try:
        datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - only tried
    except ValueError:
        return f"{_shown(text)} is not a time as YYYY-MM-DD HH:MM:SS"
    return ""


def _date(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        return f"{_shown(text)} is not a day as YYYY-MM-DD"
    return ""


def _time_check(unit: str) -> Callable[[str], str]:
    low, high = UNIT_BOUNDS.get(unit, (0, 0))

    def check(text: str) -> str:
        wrong = _whole(text)
        if wrong or low <= int(text) < high:
            return wrong
        return f"{_shown(text)} is not in the unit of the file's first time, `{unit}`"

    return check


_CHECKS: dict[str, Callable[[str], str]] = {
    "id": _whole,
    "count": _whole,
    "flag": _flag,
    "text": _text,
    "datetime": _datetime,
    "date": _date,
}
