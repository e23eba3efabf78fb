"""Compares what was recorded of a day with the archive's rows of it.

The keys of the recorded rows are held while the excerpts are read. As the rows of the merge are
written in order, each is looked for among them: a row of the archive without one is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Archive, Origin
from crypto_lakehouse.tables.ingest.row_spool import RowSpool
from crypto_lakehouse.tables.ingest.stored_rows import ARCHIVE
from crypto_lakehouse.tables.schema.received import RECEIVED_AT

__all__ = ["DayScore", "DayScores", "MissingRows"]

#: The ranges of missing rows that are kept of a day.
_MOST_RANGES = 100

_DIFFERS = "_differs"
_DAY = "_day"
_OF_ARCHIVE = "_of_archive"
_RECORDED = "_recorded"


@frozen
class MissingRows:
    """Rows of the archive, one after another, that were not recorded.

    Attributes:
        first, last: The first column of the key of the first and the last of them.
        rows: How many there are.
    """

    first: int | datetime
    last: int | datetime
    rows: int


@frozen(kw_only=True)
class DayScore:
    """How much of the archive's rows of a day was recorded.

    Attributes:
        day: The day.
        archive_rows: The archive's rows of the day.
        recorded: Those of them that were recorded.
        differing: Those of them that were recorded with other values.
        not_in_archive: Recorded rows whose keys the archive does not have.
        missing: The first of the archive's rows that were not recorded.
    """

    day: date
    archive_rows: int = 0
    recorded: int = 0
    differing: int = 0
    not_in_archive: int = 0
    missing: tuple[MissingRows, ...] = ()

    @property
    def score(self) -> float | None:
        """The share of the archive's rows that were recorded as they are; None without any."""
        equal = self.recorded - self.differing
        return equal / self.archive_rows if self.archive_rows else None


@define
class _Day:
    """The counts of a day, as far as its rows were seen."""

    counts: list[int] = field(factory=lambda: [0, 0, 0, 0])
    missing: list[MissingRows] = field(factory=list)
    is_open: bool = False

    def add(self, rows: pl.DataFrame, first: str) -> None:
        """Count the next rows of the day, in order."""
        of_archive, recorded = rows[_OF_ARCHIVE], rows[_RECORDED]
        differs = of_archive & rows[_DIFFERS].fill_null(value=False)
        both, extra = of_archive & recorded, recorded & ~of_archive
        found = [int(each.sum()) for each in (of_archive, both, differs, extra)]
        self.counts = [before + count for before, count in zip(self.counts, found, strict=True)]
        archived = rows.filter(of_archive)
        for is_recorded, low, high, count in _runs(archived, first):
            if not is_recorded:
                self._miss(MissingRows(low, high, count))
            self.is_open = not is_recorded

    def _miss(self, rows: MissingRows) -> None:
        if self.is_open and self.missing:  # it goes on from the rows before
            before = self.missing[-1]
            self.missing[-1] = MissingRows(before.first, rows.last, before.rows + rows.rows)
        elif len(self.missing) <= _MOST_RANGES:
            self.missing.append(rows)


def _runs(rows: pl.DataFrame, first: str) -> Iterator[tuple[bool, Any, Any, int]]:
    """The runs of rows that were recorded, and of those that were not."""
    runs = rows.group_by(pl.col(_RECORDED).rle_id().alias("_run"), maintain_order=True).agg(
        pl.col(_RECORDED).first(),
        pl.col(first).first().alias("_low"),
        pl.col(first).last().alias("_high"),
        pl.len().alias("_rows"),
    )
    yield from runs.select(_RECORDED, "_low", "_high", "_rows").iter_rows()


@define(eq=False)
class DayScores:
    """Compares recorded rows of several days with those of archives.

    Attributes:
        folder: Where keys wait that do not fit in memory.
        key: The columns that identify a row.
        time: The column of times, by which days are found.
    """

    folder: Path
    key: list[str]
    time: str
    _spool: RowSpool = field(init=False)
    _days: dict[date, _Day] = field(init=False, factory=dict)
    _expected: set[date] = field(init=False, factory=set)
    _left_out: set[date] = field(init=False, factory=set)

    @_spool.default
    def _new_spool(self) -> RowSpool:
        return RowSpool(self.folder, self.key[0])

    def close(self) -> None:
        """Free the memory and the file."""
        self._spool.close()

    def expect(self, archive: Archive) -> None:
        """Make a score of the day of an excerpt, of which archives have rows."""
        self._expected.add(archive.period.first_day)

    def leave_out(self, archive: Archive) -> None:
        """Make no score of the day of an archive: not what it had is known, but what it has."""
        self._left_out.add(archive.period.first_day)

    def take(self, rows: pl.DataFrame, differing: pl.DataFrame) -> None:
        """Hold the keys of rows of an excerpt.

        Args:
            rows: The rows.
            differing: The keys of those whose values differ from rows of other origins.
        """
        keys = differing.select(self.key).unique()
        differs = keys.with_columns(pl.lit(value=True).alias(_DIFFERS))
        held = rows.select(*self.key, RECEIVED_AT, ARCHIVE)
        self._spool.add(held.join(differs, on=self.key, how="left", nulls_equal=True))

    def see(self, rows: pl.DataFrame) -> None:
        """Compare the next rows of the merge, which follow those before."""
        first = self.key[0]
        if not self._spool.rows or rows.is_empty():
            return
        near = self._spool.between(rows[first].min(), rows[first].max())
        assert near is not None  # noqa: S101 - there are rows
        recorded = (
            near.sort(*self.key, RECEIVED_AT, ARCHIVE)
            .unique(self.key, keep="first")
            .select(*self.key, _DIFFERS, pl.lit(value=True).alias(_RECORDED))
        )
        is_of_archive = pl.col(ARCHIVE).str.starts_with(f"{Origin.ARCHIVE.folder}/")
        found = rows.select(
            *self.key, pl.col(self.time).dt.date().alias(_DAY), is_of_archive.alias(_OF_ARCHIVE)
        ).join(recorded, on=self.key, how="left", nulls_equal=True, maintain_order="left")
        found = found.with_columns(pl.col(_RECORDED).fill_null(value=False))
        for (day,), some in found.group_by([_DAY], maintain_order=True):
            self._days.setdefault(day, _Day()).add(some, first)

    def results(self) -> Iterator[DayScore]:
        """The scores, once all rows were seen."""
        for day in sorted(self._expected - self._left_out):
            found = self._days.get(day, _Day())
            archive_rows, recorded, differing, extra = found.counts
            yield DayScore(
                day=day, archive_rows=archive_rows, recorded=recorded, differing=differing,
                not_in_archive=extra, missing=tuple(found.missing[:_MOST_RANGES]),
            )  # fmt: skip
