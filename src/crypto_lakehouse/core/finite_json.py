"""Read JSON that may be damaged, without numbers that cannot be calculated with.

Python's reader accepts `NaN` and `Infinity`, which are no JSON, makes infinity of `1e999`, and
reads whole numbers that no float can hold.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

__all__ = ["parse_finite"]

_LARGEST = 1 << 63


def parse_finite(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: It is none, is nested too deeply, or has a number that is not finite or that
            needs more than 64 bits.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_float, parse_int=_int)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"`{text[:40]}` is not a finite number of 64 bits")


def _float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _int(text: str) -> int:
    number = int(text)
    return number if -_LARGEST <= number < _LARGEST else _refuse(text)
