"""Which decimals, written as text, the decimals of tables hold without loss of a digit."""

from __future__ import annotations

import re
from decimal import Context, Decimal, InvalidOperation

from crypto_lakehouse.tables.schema.schemas import DECIMAL_PRECISION, DECIMAL_SCALE

__all__ = ["plain_digits"]

#: Longer exponents are of no number that a table can hold.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")

_CONTEXT = Context(prec=DECIMAL_PRECISION)

_LAST_PLACE = Decimal(1).scaleb(-DECIMAL_SCALE)


def plain_digits(text: str) -> str | None:
    """Write a number without an exponent, and without zeros that it does not need.

    Returns:
        The number; None if decimal(38, 18) cannot hold it exactly, or if it is not a number.

    Examples:
        >>> plain_digits("1E-8"), plain_digits("2.50000000000000000000"), plain_digits("1E-19")
        ('0.000000010000000000', '2.500000000000000000', None)
    """
    if _NUMBER.fullmatch(text) is None:
        return None
    number = Decimal(text)
    try:
        fitted = number.quantize(_LAST_PLACE, context=_CONTEXT)
    except InvalidOperation:  # it has too many digits before the point
        return None
    return f"{fitted:f}" if fitted == number else None
