"""Whole numbers in text from outside: headers, listings, sidecars."""

from __future__ import annotations

__all__ = ["STORABLE", "whole_number"]

#: Numbers below this fit a signed 64-bit integer, as the ledger stores them.
STORABLE = 1 << 63

#: The number of digits of the largest such number.
_MAX_DIGITS = 19


def whole_number(text: str | None, *, below: int = STORABLE) -> int | None:
    """Return the number that decimal ASCII digits spell; None if the text is anything else.

    `int` also accepts signs, spaces, underscores and the digits of other scripts, and raises
    ValueError for thousands of digits.

    Args:
        text: Text from outside; None if there is none.
        below: A number that is not below this is refused; at most 2**63.

    Examples:
        >>> whole_number("17"), whole_number("-17"), whole_number("9" * 5_000)
        (17, None, None)
    """
    if text is None or len(text) > _MAX_DIGITS or not (text.isascii() and text.isdecimal()):
        return None
    number = int(text)
    return number if number < below else None
