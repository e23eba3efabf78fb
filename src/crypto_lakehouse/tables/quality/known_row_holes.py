"""Rows that are missing upstream for a known reason: `matrix/row_holes.json`, which is data.

Source: docs/archive-faults.md#wrong-content and docs/archive-faults.md#missing-files; each entry
names its source.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.matrix.files import parse_facts, read_facts

__all__ = ["KnownRowHole", "KnownRowHoles", "load_known_row_holes"]

FORMAT = "crypto-lakehouse/row-holes/1"

_SHIPPED = "row_holes.json"


@frozen(kw_only=True)
class KnownRowHole:
    """One known hole.

    Attributes:
        markets, data_types, symbols: What it applies to; empty means all.
        first_day, last_day: The UTC days within which rows are missing.
        reason: Why the rows are missing, in a sentence.
        source: Where the reason was reported.
    """

    markets: tuple[Market, ...] = ()
    data_types: tuple[DataType, ...] = ()
    symbols: tuple[str, ...] = ()
    first_day: date
    last_day: date
    reason: str
    source: str

    def explains(self, archive: Archive, start: datetime, end: datetime) -> bool:
        """Whether this entry explains a hole from `start` to `end`."""
        first = datetime.combine(self.first_day, time(), UTC)
        after = datetime.combine(self.last_day + timedelta(days=1), time(), UTC)
        return (
            (not self.markets or archive.market in self.markets)
            and (not self.data_types or archive.data_type in self.data_types)
            and (not self.symbols or archive.symbol in self.symbols)
            and first <= start + timedelta(days=1)
            and start < after
            and first - timedelta(days=1) < start
            and end <= after + timedelta(days=1)
        )


@frozen
class KnownRowHoles:
    """All known row holes."""

    holes: tuple[KnownRowHole, ...] = ()

    def explaining(self, archive: Archive, start: datetime, end: datetime) -> KnownRowHole | None:
        """The entry that explains a hole; None if the hole is not known.

        Args:
            archive: The archive that lacks rows.
            start: The last instant before the hole.
            end: The first instant after it.
        """
        return next((hole for hole in self.holes if hole.explains(archive, start, end)), None)


@frozen(kw_only=True)
class _RowHolesFile:
    format: str
    observed: str = ""
    holes: tuple[KnownRowHole, ...]


def load_known_row_holes(path: str | os.PathLike[str] | None = None) -> KnownRowHoles:
    """Read a file of known row holes; None means the shipped file.

    Raises:
        MatrixError: The file cannot be read, or has faults; all faults are named.
    """
    return _shipped() if path is None else _load(path)


@functools.cache
def _shipped() -> KnownRowHoles:
    return _load(None)


def _load(path: str | os.PathLike[str] | None) -> KnownRowHoles:
    content, origin = read_facts(path, _SHIPPED)
    checks = {_RowHolesFile: _file_faults, KnownRowHole: _hole_faults}
    file: _RowHolesFile = parse_facts(
        content, origin, "file of known row holes", _RowHolesFile, checks
    )
    return KnownRowHoles(file.holes)


def _file_faults(fields: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if fields.get("format", FORMAT) != FORMAT:
        yield Problem(f"{path}.format", f"must be `{FORMAT}`")


def _hole_faults(fields: Mapping[str, Any], path: str) -> Iterator[Problem]:
    first, last = fields.get("first_day"), fields.get("last_day")
    if first is not None and last is not None and last < first:
        yield Problem(f"{path}.last_day", "comes before first_day")
