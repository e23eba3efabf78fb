"""The rows of excerpts of recordings in a merge: of a key, the row that was received first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
from attrs import define, field

from crypto_lakehouse.tables.ingest.comparison import RowComparer
from crypto_lakehouse.tables.ingest.row_spool import RowSpool, merged
from crypto_lakehouse.tables.ingest.stored_rows import ARCHIVE
from crypto_lakehouse.tables.schema.received import RECEIVED_AT

__all__ = ["RecordedRows", "first_received"]


def first_received(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Return of each key the row that was received first, in the order of keys.

    The names of excerpts decide if several were received at once.
    """
    ordered = rows.sort(*key, RECEIVED_AT, ARCHIVE, nulls_last=True)
    return ordered.unique(key, keep="first", maintain_order=True)


@define(eq=False)
class RecordedRows:
    """Holds the rows of excerpts that no archive has.

    Attributes:
        key: The columns that identify a row.
        comparer: Compares rows of the table.
        differing: How many rows were left out that another recording has with other values, once
            the rows are read.
    """

    key: list[str]
    comparer: RowComparer
    differing: int = field(init=False, default=0)
    _spools: list[RowSpool] = field(init=False, factory=list)

    def add(self, excerpt: RowSpool) -> None:
        """Add the rows of an excerpt, in order, each key once."""
        self._spools.append(excerpt)

    def close(self) -> None:
        """Free the memory and the files."""
        for spool in self._spools:
            spool.close()

    def rows(self) -> Iterator[pl.DataFrame]:
        """Yield the rows that stand, in order."""
        for rows in merged([spool.frames() for spool in self._spools], self.key):
            yield self._first_received(rows) if len(self._spools) > 1 else rows

    def _first_received(self, rows: pl.DataFrame) -> pl.DataFrame:
        stands = first_received(rows, self.key)
        if stands.height < rows.height:
            rest = rows.join(stands, on=[*self.key, ARCHIVE], how="anti", nulls_equal=True)
            self.differing += self.comparer.compare_known(rest, stands).differing.height
        return stands
