"""The rows of a merge that wait until the archives of a lower rank are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
from attrs import define, field

from crypto_lakehouse.tables.ingest.comparison import RowComparer
from crypto_lakehouse.tables.ingest.day_scores import DayScores
from crypto_lakehouse.tables.ingest.merge_settings import MergeSettings
from crypto_lakehouse.tables.ingest.recorded_rows import RecordedRows
from crypto_lakehouse.tables.ingest.row_spool import RowSpool, merged

__all__ = ["HeldRows"]


@define(eq=False)
class HeldRows:
    """Holds the rows of the archives of a merge that were read, by rank.

    Attributes:
        key: The columns that identify a row.
        comparer: Compares rows of the table.
        months: The rows of each month; some may have given way to a day's.
        days: The rows of each day that no month has, or of which it has others.
        fills: The rows of each fill that no archive has.
        recorded: The rows of excerpts of recordings that none of these has.
        scores: Compares what was recorded with the rows of archives.
    """

    key: list[str]
    comparer: RowComparer
    scores: DayScores
    months: list[RowSpool] = field(init=False, factory=list)
    days: list[RowSpool] = field(init=False, factory=list)
    fills: list[RowSpool] = field(init=False, factory=list)
    recorded: RecordedRows = field(init=False)
    _gone: list[tuple[Any, Any, pl.DataFrame]] = field(init=False, factory=list)

    @classmethod
    def of(cls, settings: MergeSettings) -> HeldRows:
        """Return one without rows."""
        key = [*settings.schema.key]
        scores = DayScores(settings.folder, key, settings.schema.time)
        return cls(key, settings.comparer, scores)

    @recorded.default
    def _no_excerpts(self) -> RecordedRows:
        return RecordedRows(self.key, self.comparer)

    def close(self) -> None:
        """Free the memory and the files."""
        for spool in (*self.months, *self.days, *self.fills):
            spool.close()
        self.recorded.close()
        self.scores.close()

    def give_way(self, keys: pl.DataFrame) -> None:
        """Leave out the months' rows of some keys, as a day has others."""
        if not keys.is_empty():
            first = keys[self.key[0]]
            self._gone.append((first.min(), first.max(), keys))

    def near(self, rows: pl.DataFrame, *spools: list[RowSpool]) -> pl.DataFrame | None:
        """The rows of the months, and of others, in the range of some rows; None if none was held.

        Args:
            rows: The rows.
            spools: `days`, `fills`, or both.
        """
        if rows.is_empty():
            return None
        first = self.key[0]
        low, high = rows[first].min(), rows[first].max()
        there = [
            self._kept(found, low, high)
            for spool in self.months
            if (found := spool.between(low, high)) is not None
        ]
        # A day's rows are within its own time: most of a month's days have none there.
        near = (spool.between(low, high) for some in spools for spool in some)
        there += [found for found in near if found is not None]
        return pl.concat(there, how="diagonal") if there else None

    def rows(self) -> Iterator[pl.DataFrame]:
        """Yield all rows that stand, in order."""
        days = (frame for spool in self.days for frame in spool.frames())
        fills = (frame for spool in self.fills for frame in spool.frames())
        recorded = self.recorded.rows()
        yield from merged([*map(self._left, self.months), days, fills, recorded], self.key)

    def _left(self, spool: RowSpool) -> Iterator[pl.DataFrame]:
        first = self.key[0]
        for frame in spool.frames():
            kept = self._kept(frame, frame[first].min(), frame[first].max())
            if not kept.is_empty():
                yield kept

    def _kept(self, rows: pl.DataFrame, low: Any, high: Any) -> pl.DataFrame:
        """Rows of the months without those that have given way to a day's."""
        for lowest, highest, keys in self._gone:
            if lowest <= high and low <= highest:
                rows = self.comparer.without_keys(rows, keys)
        return rows
