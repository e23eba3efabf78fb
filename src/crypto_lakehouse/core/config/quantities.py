"""Sizes and durations with a unit, as `10MB`, `1GiB`, `30s` or `5m`."""

from __future__ import annotations

import re
from decimal import Decimal

from crypto_lakehouse.core.messages import allowed_values, shown

__all__ = ["UNITS", "parse_quantity", "quantity_pattern"]

_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)", re.ASCII)

#: The units of each kind of quantity, with what one of them is of the key's own unit.
UNITS: dict[str, dict[str, Decimal]] = {
    "bytes": {
        "B": Decimal(1),
        "kB": Decimal(10**3), "MB": Decimal(10**6), "GB": Decimal(10**9), "TB": Decimal(10**12),
        "KiB": Decimal(2**10), "MiB": Decimal(2**20), "GiB": Decimal(2**30), "TiB": Decimal(2**40),
    },
    "seconds": {
        "ms": Decimal("0.001"), "s": Decimal(1), "min": Decimal(60), "m": Decimal(60),
        "h": Decimal(3600), "d": Decimal(86_400),
    },
    "days": {"d": Decimal(1), "w": Decimal(7)},
}  # fmt: skip

#: `Mb` is a megabit elsewhere.
_BITS = re.compile(r"[KMGT]i?b")


def parse_quantity(text: str, kind: str) -> int | float | None:
    """Return a quantity in the unit of its key; None if the text has not the form of one.

    Args:
        text: A number and a unit; the case of bytes' units does not matter.
        kind: A key of `UNITS`.

    Raises:
        ValueError: The unit is unknown, or the number of bytes or days is not whole.

    Examples:
        >>> parse_quantity("10MB", "bytes"), parse_quantity("1.5 KiB", "bytes")
        (10000000, 1536)
        >>> parse_quantity("5m", "seconds"), parse_quantity("2w", "days")
        (300.0, 14)
    """
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        return None
    number, unit = found.groups()
    units = UNITS[kind]
    if kind == "bytes" and not _BITS.fullmatch(unit):
        units = {name.lower(): factor for name, factor in units.items()}
        unit = unit.lower()
    if unit not in units:
        hint = allowed_values(unit, UNITS[kind])
        raise ValueError(f"`{shown(text)}` has an unknown unit; {hint}")
    value = Decimal(number) * units[unit]
    if kind == "seconds":
        return float(value)
    if value != value.to_integral_value():
        raise ValueError(f"`{shown(text)}` must be a whole number of {kind}")
    return int(value)


def quantity_pattern(kind: str) -> str:
    """Return the regular expression of a kind of quantity, for a JSON schema."""
    names = UNITS[kind]
    words = [*names, *(name.lower() for name in names if kind == "bytes")]
    return f"^{_NUMBER}\\s*({'|'.join(dict.fromkeys(words))})$"
