"""Globs of contract names, for archives that are stored under the pair of the contracts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from string import digits

__all__ = ["fits_contract"]

#: One wildcard or character of a glob, as `fnmatch` reads it.
_PART = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)

#: What follows the pair in a contract's name: the characters possible in each place.
_SUFFIXES = (tuple("_PERP"), ("_", *[digits] * 6))


@lru_cache(maxsize=4096)
def fits_contract(pair: str, glob: str) -> bool:
    """Whether a contract of a pair may have a name that fits a glob.

    Examples:
        >>> [fits_contract("BTCUSD", glob) for glob in ("*_PERP", "BTC*_2[45]*", "ETHUSD_*")]
        [True, True, False]
    """
    parts = _PART.findall(glob)
    return any(_may_fit(parts, (*pair, *suffix)) for suffix in _SUFFIXES)


def _may_fit(parts: Sequence[str], places: Sequence[str]) -> bool:
    """Whether a glob fits any text that has one of the given characters in each place."""
    ends = {0}  # how many places the parts so far may take
    for part in parts:
        if part == "*":
            ends = set(range(min(ends), len(places) + 1))
        else:
            ends = {
                end + 1
                for end in ends
                if end < len(places) and any(fnmatchcase(each, part) for each in places[end])
            }
        if not ends:
            return False
    return len(places) in ends
