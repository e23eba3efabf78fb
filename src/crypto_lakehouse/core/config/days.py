"""Days as people write them: `2024-01-31`, `2024-01`, `2024`, `7d`, `yesterday`, `today`; UTC."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from attrs import field, frozen

from crypto_lakehouse.core.messages import shown

__all__ = [
    "DAY_FORMS",
    "DateRange",
    "parse_days",
    "parse_edge",
    "structure_end",
    "structure_period",
    "structure_start",
]

#: The forms of a day in text, for descriptions and errors.
DAY_FORMS = "YYYY-MM-DD, YYYY-MM, YYYY, 7d, yesterday or today"

_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?", re.ASCII)
_AGO = re.compile(r"(\d{1,5})([dw])", re.ASCII)
_WORDS = {"today": 0, "yesterday": 1}
_DAY = timedelta(days=1)


@frozen
class DateRange:
    """UTC days, both inclusive; the end may be open.

    Attributes:
        end: None for the newest day that is listed, or without a listing for yesterday.
    """

    start: date = field(metadata={"help": f"First UTC day: {DAY_FORMS}."})
    end: date | None = field(
        default=None,
        metadata={"help": "Last UTC day, inclusive. [default: the newest that is published]"},
    )


def parse_days(text: str, today: date) -> tuple[date, date]:
    """Return the first and the last day of a text; both are the same for a single day.

    Args:
        text: A day, a month, a year, `today`, `yesterday`, or the last days or weeks up to
            yesterday, as `7d` or `2w`.
        today: The UTC day that the words refer to.

    Raises:
        ValueError: The text is none of these, or not in the calendar.

    Examples:
        >>> [str(day) for day in parse_days("2024-02", date(2025, 7, 15))]
        ['2024-02-01', '2024-02-29']
        >>> [str(day) for day in parse_days("7d", date(2025, 7, 15))]
        ['2025-07-08', '2025-07-14']
    """
    if text in _WORDS:
        day = today - _WORDS[text] * _DAY
        return day, day
    if ago := _AGO.fullmatch(text):
        days = int(ago[1]) * (7 if ago[2] == "w" else 1)
        if days == 0:
            raise ValueError(f"`{text}` must be at least one day")
        return today - days * _DAY, today - _DAY
    if (found := _DATE.fullmatch(text)) is None:
        raise ValueError(f"`{text}` is not {DAY_FORMS}")
    year, month, number = found.groups()
    first = date(int(year), int(month or "1"), int(number or "1"))
    if number:
        return first, first
    end = int(month or "12")
    return first, date(first.year, end, monthrange(first.year, end)[1])


def parse_edge(text: str, today: date, *, is_end: bool) -> date:
    """Return the day that a text names as the start or the end of a range.

    A month or a year is its first or its last day; `7d` is the day seven days ago.

    Raises:
        ValueError: As `parse_days`.
    """
    first, last = parse_days(text, today)
    return last if is_end and not _AGO.fullmatch(text) else first


def structure_start(value: object, _: Any = None) -> date:
    """Read the start of a range; words refer to the UTC day on which it is read.

    Raises:
        ValueError: It is not a day.
    """
    return _read(value, partial(parse_edge, is_end=False))


def structure_end(value: object, _: Any = None) -> date | None:
    """Read the end of a range, None if it is open.

    Raises:
        ValueError: It is not a day.
    """
    return None if value is None else _read(value, partial(parse_edge, is_end=True))


def structure_period(value: object, _: Any = None) -> date | DateRange:
    """Read a day, or the days of a month, a year or a time before today.

    Raises:
        ValueError: It is neither.
    """
    days = _read(value, parse_days)
    if isinstance(days, date):
        return days
    first, last = days
    return first if first == last else DateRange(first, last)


_Parsed = TypeVar("_Parsed")


def _read(value: object, parse: Callable[[str, date], _Parsed]) -> _Parsed | date:
    """Parse text; a year may be a number, as files without quotes have it."""
    if isinstance(value, datetime):
        raise TypeError("must be a day, YYYY-MM-DD, without a time")
    if isinstance(value, date):
        return value
    is_year = isinstance(value, int) and not isinstance(value, bool) and 1000 <= value <= 9999
    text = str(value) if is_year else value
    try:
        if isinstance(text, str):
            return parse(text.strip(), datetime.now(UTC).date())
    except ValueError:
        pass
    raise ValueError(f"`{shown(value)}` is not a day; write {DAY_FORMS}")
