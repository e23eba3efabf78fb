"""Rows that are missing upstream for a known reason: `matrix/row_holes.json`, which is data.

Source: docs/archive-faults.md#wrong-content and docs/archive-faults.md#missing-files; each entry
names its source. An entry holds for the archives of which it was reported, and explains no other:
a month that was published with seven days says nothing about the archives of its days.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import INTERVALS, Archive, DataType, Market, Partition
from crypto_lakehouse.core.errors import Problem
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.matrix.files import parse_facts, read_facts
from crypto_lakehouse.tables.quality.archive_checks import length_of_step

__all__ = ["KnownRowHole", "KnownRowHoles", "RowHole", "load_known_row_holes"]

FORMAT = "crypto-lakehouse/row-holes/2"

_SHIPPED = "row_holes.json"

#: How long a symbol that is rarely traded may be silent before and after its rows are missing.
_SILENCE = timedelta(hours=1)


@frozen(kw_only=True)
class RowHole:
    """Rows that an archive lacks.

    Attributes:
        archive: The archive.
        start: The last instant before the hole: the time of a row, or of one that precedes the
            archive.
        end: The first instant after it.
        rows: How many rows are absent, if the archive has a fixed step.
        of_ids: Whether ids are missing, and not only rows.
    """

    archive: Archive
    start: datetime
    end: datetime
    rows: int
    of_ids: bool = False


@frozen(kw_only=True)
class KnownRowHole:
    """One known hole.

    Attributes:
        markets, partitions, data_types, intervals, symbols: What it applies to; empty means all.
        since, until: The times of the rows that are missing; `until` is the first instant after
            them. All of them lie within.
        entire: Whether every row of this time is missing, so that a hole within it is another one.
        ids: Whether ids are missing, too. An outage of the venue takes none.
        most_minutes: The longest time without rows; None if it is not known.
        reason: Why the rows are missing, in a sentence.
        source: Where the reason was reported.
    """

    markets: tuple[Market, ...]
    partitions: tuple[Partition, ...] = ()
    data_types: tuple[DataType, ...] = ()
    intervals: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    since: datetime
    until: datetime
    entire: bool = False
    ids: bool = False
    most_minutes: int | None = None
    reason: str
    source: str

    def explains(self, hole: RowHole) -> bool:
        """Whether this entry explains a hole."""
        if not self._is_about(hole.archive) or (hole.of_ids and not self.ids):
            return False
        length = length_of_step(hole.archive)
        if length is None:
            return self._is_at(hole)
        first, last = hole.start + length, hole.end - length
        is_within = self.since <= first and last < self.until
        # A report names the last row that is there, or the first that is not.
        is_all = first < self.since + 2 * length and last + length >= self.until
        return is_within and (is_all or not self.entire) and self._may_last(hole.rows * length)

    def _is_about(self, archive: Archive) -> bool:
        return (
            _is_in(archive.market, self.markets)
            and _is_in(archive.partition, self.partitions)
            and _is_in(archive.data_type, self.data_types)
            and _is_in(archive.interval, self.intervals)
            and _is_in(archive.symbol, self.symbols)
        )

    def _is_at(self, hole: RowHole) -> bool:
        """Whether a hole between rows without a fixed step is the known one."""
        is_within = self.since - _SILENCE <= hole.start and hole.end <= self.until + _SILENCE
        is_all = hole.start <= self.since + _SILENCE and hole.end >= self.until - _SILENCE
        return is_within and (is_all or not self.entire) and self._may_last(hole.end - hole.start)

    def _may_last(self, length: timedelta) -> bool:
        return self.most_minutes is None or length <= timedelta(minutes=self.most_minutes)


def _is_in(value: object, given: tuple[object, ...]) -> bool:
    return not given or value in given


@frozen
class KnownRowHoles:
    """All known row holes."""

    holes: tuple[KnownRowHole, ...] = ()

    def explaining(self, hole: RowHole) -> KnownRowHole | None:
        """The entry that explains a hole; None if the hole is not known."""
        return next((known for known in self.holes if known.explains(hole)), None)


@frozen(kw_only=True)
class _RowHolesFile:
    format: str
    observed: str = ""
    notes: tuple[str, ...] = ()
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
    since, until = fields.get("since"), fields.get("until")
    if since is not None and until is not None and until <= since:
        yield Problem(f"{path}.until", "is not after since")
    for name in fields.get("intervals", ()):
        if name not in INTERVALS:
            hint = allowed_values(name, INTERVALS)
            yield Problem(f"{path}.intervals", f"unknown interval `{shown(name)}`; {hint}")
