"""The holes of a source that a user knows, as archive keys and globs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive, Market, Partition, Series
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.core.verdicts import Verdict

__all__ = [
    "ACKNOWLEDGEABLE",
    "NOTHING_ACKNOWLEDGED",
    "Acknowledged",
    "entry_fault",
    "is_key_glob",
]

#: The verdicts that can be acknowledged: what the source lacks or serves damaged. That it could not
#: be reached (`failed`) says nothing about an archive.
ACKNOWLEDGEABLE = frozenset({Verdict.MISSING, Verdict.CORRUPT, Verdict.UPSTREAM_MISMATCH})


def is_key_glob(text: str) -> bool:
    """Whether an entry is a glob and not a key."""
    return any(character in text for character in "*?[")


def entry_fault(text: str) -> str:
    """Return why a text is neither an archive key nor a glob of keys; empty if it is one.

    Examples:
        >>> entry_fault("data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-03-0[56].zip")
        ''
        >>> entry_fault("*.zip")
        '`*.zip` is not a glob of archive keys; it must begin with `data/` and end with `.zip`'
    """
    if is_key_glob(text):
        return _glob_fault(text)
    try:
        Archive.published(text)
    except ArchiveKeyError as error:
        return f"`{shown(text)}` is not an archive key: {error.reason}"
    return ""


def _glob_fault(text: str) -> str:
    reason = ""
    if not (text.startswith("data/") and text.endswith(".zip")):
        reason = "it must begin with `data/` and end with `.zip`"
    elif re.search(r"\[[^\]]*$", text):
        reason = "a `[` is not closed"
    else:
        literal = re.split(r"[*?\[]", text, maxsplit=1)[0]
        if not any(each.startswith(literal) or literal.startswith(each) for each in _folders()):
            reason = f"no archive's key begins with `{shown(literal)}`"
    return f"`{shown(text)}` is not a glob of archive keys; {reason}" if reason else ""


@lru_cache(maxsize=1)
def _folders() -> tuple[str, ...]:
    """The folders of all data types in all markets and partitions."""
    return tuple(
        Series(market, data_type, "X", "1d" if data_type.has_interval else None)
        .folder(partition)
        .partition("X/")[0]
        for market in Market
        for data_type in PUBLISHED_TYPES
        for partition in Partition
    )


@frozen
class Acknowledged:
    """Archives whose absence or damage at the source is known.

    Attributes:
        keys: The archives that are named.
        globs: Patterns of keys, in which `*` also matches slashes.

    Examples:
        >>> known = Acknowledged.of(["data/spot/daily/trades/*/*-trades-2024-03-05.zip"])
        >>> known.holds("data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-03-05.zip")
        True
    """

    keys: frozenset[str] = frozenset()
    globs: tuple[str, ...] = ()
    _pattern: re.Pattern[str] | None = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        pattern = re.compile("|".join(map(translate, self.globs))) if self.globs else None
        object.__setattr__(self, "_pattern", pattern)  # it is frozen, and not in use yet

    @classmethod
    def of(cls, entries: Iterable[str]) -> Acknowledged:
        """Make it of valid entries (`entry_fault`), in any order."""
        every = dict.fromkeys(entries)
        globs = tuple(entry for entry in every if is_key_glob(entry))
        return cls(frozenset(every) - set(globs), globs)

    def holds(self, key: str) -> bool:
        """Whether an archive is acknowledged."""
        if key in self.keys:
            return True
        return self._pattern is not None and self._pattern.match(key) is not None

    def __bool__(self) -> bool:
        """Whether anything is acknowledged."""
        return bool(self.keys or self.globs)


NOTHING_ACKNOWLEDGED = Acknowledged()
