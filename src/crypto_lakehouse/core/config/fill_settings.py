"""The settings of `fill`: up to which day, which days, and where the exchange answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from crypto_lakehouse.core.config.nested_settings import (
    market_urls,
    nested_settings,
)
from crypto_lakehouse.core.messages import shown

__all__ = ["NOW", "fill_settings", "until_fault"]

#: Up to this moment, the current UTC day included.
NOW = "now"


def fill_settings(value: object) -> dict[str, Any]:
    """Return the settings of `fill` in plain JSON types.

    Raises:
        TypeError: It is no mapping, or a value has another type.
        ValueError: A key is unknown, or a value is not one of its key.
    """
    return nested_settings(value, _READERS, "{until: now}")


def until_fault(text: str) -> str:
    """Return why a text is neither `now` nor a UTC day; empty if it is.

    Examples:
        >>> until_fault("2026-05-07"), until_fault("now")
        ('', '')
        >>> until_fault("today")
        '`today` is neither `now` nor a calendar day, YYYY-MM-DD'
    """
    if text == NOW:
        return ""
    try:
        is_day = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_day = False
    return "" if is_day else f"`{shown(text)}` is neither `now` nor a calendar day, YYYY-MM-DD"


def _until(value: object) -> str:
    is_day = isinstance(value, date) and not isinstance(value, datetime)  # as YAML and TOML read it
    text = value.isoformat() if is_day and isinstance(value, date) else value
    if not isinstance(text, str):
        raise TypeError(f"`until` must be `now` or a day, YYYY-MM-DD, not `{shown(value)}`")
    if fault := until_fault(text):
        raise ValueError(f"`until`: {fault}")
    return text


def _only_holes(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"`only_holes` must be true or false, not `{shown(value)}`")
    return value


_READERS: Mapping[str, Callable[[object], object]] = {
    "until": _until,
    "only_holes": _only_holes,
    "urls": market_urls,
}
