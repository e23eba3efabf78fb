"""Say what is allowed, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["allowed_values"]


def allowed_values(given: object, allowed: Iterable[str]) -> str:
    """Name the allowed values, and the one nearest to what was given.

    Example:
        >>> allowed_values("kline", ["klines", "trades"])
        'allowed: klines, trades; did you mean `klines`?'
    """
    options = [str(value) for value in allowed]
    by_folded = {option.casefold(): option for option in options}
    near = difflib.get_close_matches(str(given).casefold(), by_folded, n=1, cutoff=0.6)
    hint = f"; did you mean `{by_folded[near[0]]}`?" if near else ""
    return f"allowed: {', '.join(options)}{hint}"
