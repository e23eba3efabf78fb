"""Freshness objectives: how old the newest verified day of a market and data type may be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from crypto_lakehouse.core.config.quantities import parse_quantity
from crypto_lakehouse.core.data_types import DataType, Market
from crypto_lakehouse.core.messages import shown

__all__ = [
    "FRESHNESS_KEYS",
    "GROUPS",
    "freshness_age",
    "freshness_group",
    "named_groups",
    "objective_of",
]

_FUTURES = (
    DataType.KLINES, DataType.TRADES, DataType.AGG_TRADES, DataType.INDEX_PRICE_KLINES,
    DataType.MARK_PRICE_KLINES, DataType.PREMIUM_INDEX_KLINES, DataType.FUNDING_RATE,
    DataType.BOOK_DEPTH, DataType.BOOK_TICKER, DataType.METRICS, DataType.LIQUIDATION_SNAPSHOT,
)  # fmt: skip

#: The data types that each market has; those of the shipped matrix.
GROUPS: Mapping[Market, tuple[DataType, ...]] = {
    Market.SPOT: (DataType.KLINES, DataType.TRADES, DataType.AGG_TRADES),
    Market.FUTURES_UM: _FUTURES,
    Market.FUTURES_CM: _FUTURES,
    Market.OPTIONS: (DataType.BVOL_INDEX, DataType.EOH_SUMMARY),
}

_ANY = "*"

#: A hundred years.
_MOST_S = 36_525 * 86_400
_EXACT = {f"{market}/{each}": (market, each) for market, types in GROUPS.items() for each in types}

#: All keys that objectives can have.
FRESHNESS_KEYS = (
    *_EXACT,
    *(f"{market}/{_ANY}" for market in GROUPS),
    *dict.fromkeys(f"{_ANY}/{each}" for _, each in _EXACT.values()),
    _ANY,
)

#: How many keys a message suggests.
_SUGGESTED = 3


def freshness_group(value: object) -> str:
    """Return the key of an objective: `futures_um/klines`, `futures_um/*`, `*/klines` or `*`.

    Raises:
        ValueError: It names no series.

    Examples:
        >>> freshness_group("*/klines")
        '*/klines'
        >>> freshness_group("spot/metrics")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: `spot/metrics` names no series; did you mean futures_um/metrics, ...?
    """
    if isinstance(value, str) and value in FRESHNESS_KEYS:
        return value
    text = shown(value)
    _, _, data_type = text.partition("/")
    if "/" in data_type:
        reason = "has too many parts: an objective is for all intervals of a market and data type"
        raise ValueError(f"`{text}` {reason}, as futures_um/klines")
    near = [key for key, (_, each) in _EXACT.items() if each == data_type]
    near = near or difflib.get_close_matches(text, FRESHNESS_KEYS, n=_SUGGESTED)
    hint = f"did you mean {', '.join(near)}?" if near else "write it as futures_um/klines, or *"
    raise ValueError(f"`{text}` names no series; {hint}")


def freshness_age(value: object) -> float:
    """Return how long ago the newest verified day may have ended, in seconds.

    Raises:
        ValueError: It is no duration above 0.

    Examples:
        >>> freshness_age("36h"), freshness_age(90)
        (129600.0, 90.0)
    """
    seconds = parse_quantity(value, "seconds") if isinstance(value, str) else value
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if is_number and 0 < (number := float(str(seconds))) <= _MOST_S:
        return number
    raise ValueError(f"`{shown(value)}` is not a duration above 0; write `90m`, `36h` or `3d`")


def objective_of(objectives: Mapping[str, float], market: str, data_type: str) -> float | None:
    """Return the objective of a market and data type in seconds; None if there is none.

    That of the group itself comes before that of its market, of its data type, and of all.

    Examples:
        >>> objective_of({"*": 1.0, "*/klines": 2.0, "spot/*": 3.0}, "spot", "klines")
        3.0
    """
    keys = (f"{market}/{data_type}", f"{market}/{_ANY}", f"{_ANY}/{data_type}", _ANY)
    return next((objectives[key] for key in keys if key in objectives), None)


def named_groups(objectives: Mapping[str, float]) -> list[tuple[Market, DataType]]:
    """Return the groups that objectives name without a wildcard: these must have a series."""
    return [group for key, group in _EXACT.items() if key in objectives]
