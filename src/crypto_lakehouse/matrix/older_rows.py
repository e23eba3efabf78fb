"""Reads the rows of the two older matrix formats, and refuses what cannot be corrected.

Source: the formats as recorded in docs/archive-older-formats.md#first-format and
docs/archive-older-formats.md#second-format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.matrix.current_format import pattern_fault, repeated_rows
from crypto_lakehouse.matrix.json_reader import JsonReader

__all__ = ["PATTERNS", "OlderRow", "read_rows"]

#: The keys that only rows of the older formats have: the first format's, then the second's.
PATTERNS = ("path_pattern", "url_pattern", "filename_pattern")

_RENAMED = {"premiumIndex": DataType.PREMIUM_INDEX_KLINES}
_NO_INTERVAL = "raw"
_MONTH = "1M"
_BUCKETS = ("s3://data.binance.vision/", "https://data.binance.vision/")


@frozen(kw_only=True)
class OlderRow:
    """One row of either older format, as its author wrote it.

    Attributes:
        data_type: As written; `type` is what the archive calls it.
        intervals: As written; None and `raw` stand for none.
        path_pattern: The folder, in the first format.
        url_pattern: The folder, in the second format.
        filename_pattern: The file name, in the second format.
    """

    market: Market
    data_type: str
    intervals: tuple[str | None, ...]
    partitions: tuple[Partition, ...]
    available: bool = True
    available_from: date | None = None
    path_pattern: str | None = None
    url_pattern: str | None = None
    filename_pattern: str | None = None

    @property
    def type(self) -> DataType:
        """The data type under the archive's name."""
        return _RENAMED.get(self.data_type) or DataType(self.data_type)

    @property
    def is_renamed(self) -> bool:
        """Whether the archive has another name for the data type."""
        return self.data_type in _RENAMED

    @property
    def is_first_format(self) -> bool:
        """Whether the row is of the first format."""
        return self.path_pattern is not None

    @property
    def named_intervals(self) -> tuple[str, ...]:
        """The intervals, in the archive's spelling."""
        words = (item for item in self.intervals if item is not None and item != _NO_INTERVAL)
        return tuple("1mo" if word == _MONTH else word for word in words)

    @property
    def is_respelled(self) -> bool:
        """Whether the row writes `1M` for `1mo`."""
        return _MONTH in self.intervals

    def folder(self) -> str | None:
        """The folder of the row's archives, as a key pattern has it; None where not given.

        An interval is left out if the type has none; it is reported elsewhere.
        """
        pattern = self.url_pattern if self.path_pattern is None else self.path_pattern
        if pattern is None:
            return None
        folder = _below_bucket(pattern).replace("{data_type}", self.data_type)
        folder = folder.removesuffix("{filename}").rstrip("/")
        return folder if self.type.has_interval else folder.removesuffix("/{interval}")

    def file_name(self) -> str | None:
        """The row's file names, as a key pattern has them; None where not given."""
        if self.filename_pattern is None:
            return None
        name = self.filename_pattern.replace("{date}", "{period}")
        name = name.replace("{data_type}", self.data_type)
        return name if self.type.has_interval else name.replace("{interval}", self.data_type)


def read_rows(rows: Sequence[object]) -> tuple[tuple[OlderRow, ...], list[Problem]]:
    """Read all rows.

    Returns:
        The rows, and every fault found; the rows must not be used if there are faults.
    """
    reader = JsonReader({OlderRow: _row_faults}, open_kinds=frozenset({OlderRow}))
    found = reader.read(rows, tuple[OlderRow, ...], "$.availability_matrix")
    return found, [*reader.problems, *repeated_rows(rows)]


def _row_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if "data_type" in good:
        yield from _type_faults(good, path)
    if good.get("partitions") == ():
        yield Problem(f"{path}.partitions", "must name daily, monthly or both")
    for name in PATTERNS:
        if good.get(name) is not None and (fault := _pattern_fault(name, good)):
            yield Problem(f"{path}.{name}", fault)


def _type_faults(good: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """A data type that is unknown; intervals that are unknown, where the type has intervals."""
    word = good["data_type"]
    if word not in PUBLISHED_TYPES and word not in _RENAMED:
        hint = allowed_values(word, PUBLISHED_TYPES)
        yield Problem(f"{path}.data_type", f"unknown data type `{shown(word)}`; {hint}")
        return
    known = (*INTERVALS, _MONTH, _NO_INTERVAL, None)
    for number, interval in enumerate(good.get("intervals", ())):
        # Types without interval folders were given all kinds of words; those are corrected.
        if interval not in known and DataType(_RENAMED.get(word, word)).has_interval:
            hint = allowed_values(interval, INTERVALS)
            text = f"unknown interval `{shown(interval)}`; {hint}"
            yield Problem(f"{path}.intervals[{number}]", text)


def _pattern_fault(name: str, good: Mapping[str, Any]) -> str:
    """Refuse patterns that lead elsewhere; those that are merely wrong are corrected."""
    pattern = _below_bucket(good[name])
    fault = pattern_fault(pattern)
    if fault or name == "filename_pattern":
        return fault or ("`/` cannot stand in a file name" if "/" in pattern else "")
    market = good.get("market")
    root = None if market is None else f"data/{market.path}/{{partition}}/"
    if "://" in pattern or (root and not pattern.startswith(root)):
        expected = f"`{_BUCKETS[0]}{root or 'data/'}`"
        return f"`{shown(good[name])}` is not the archive's layout, which begins with {expected}"
    return ""


def _below_bucket(pattern: str) -> str:
    for bucket in _BUCKETS:
        pattern = pattern.removeprefix(bucket)
    return pattern
