"""Converts the interval of bars, and suggests the one that was probably meant."""

from __future__ import annotations

import re
from typing import Any

from crypto_lakehouse.core.archive import INTERVALS
from crypto_lakehouse.core.messages import did_you_mean, shown

__all__ = ["structure_interval"]

#: The length of an interval, as text; months have no fixed one.
_LENGTH = re.compile(r"(\d{1,9})([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def structure_interval(value: object, _: Any) -> str:
    """Return an interval; `1M`, as the exchange writes it, becomes the archive's `1mo`."""
    if value == "1M":
        return "1mo"
    if value not in INTERVALS:
        same = _same_length(value)
        near = f"; did you mean `{same}`?" if same else did_you_mean(value, INTERVALS)
        hint = f"allowed: {', '.join(INTERVALS)}{near}"
        raise ValueError(f"unknown interval `{shown(value)}`; {hint}")
    return str(value)


def _same_length(value: object) -> str | None:
    """Return the interval that is as long as a text says, as `1h` for `60m`; None if none is."""
    found = _LENGTH.fullmatch(value) if isinstance(value, str) else None
    wanted = int(found[1]) * _SECONDS[found[2].lower()] if found else None
    lengths = ((each, _LENGTH.fullmatch(each)) for each in INTERVALS)
    return next(
        (
            each
            for each, length in lengths
            if length and int(length[1]) * _SECONDS[length[2]] == wanted
        ),
        None,
    )
