"""Durations of options: as those of the configuration, such as `30s`, `1.5h`, or a plain number."""

from __future__ import annotations

import math

from crypto_lakehouse.core.config.quantities import parse_quantity

__all__ = ["seconds_of"]


def seconds_of(text: str) -> float:
    """Return the seconds of a duration, at least 0; NaN if the text is not one.

    Examples:
        >>> seconds_of("1.5h"), seconds_of("30"), seconds_of("-1"), seconds_of("soon")
        (5400.0, 30.0, nan, nan)
    """
    try:
        quantity = parse_quantity(text, "seconds")
        seconds = float(text) if quantity is None else float(quantity)
    except ValueError:  # an unknown unit, or no number
        return math.nan
    return seconds if 0 <= seconds < math.inf else math.nan
