"""Counts the rows that are added, changed and removed if rows of a table are written again."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import polars as pl
from attrs import define, evolve, field, frozen

from crypto_lakehouse.tables.ingest.comparison import RowComparer
from crypto_lakehouse.tables.ingest.row_spool import RowSpool
from crypto_lakehouse.tables.ingest.stored_rows import ARCHIVE

__all__ = ["NO_CHANGES", "ChangeCounter", "RowChanges"]


@frozen
class RowChanges:
    """How many rows a new version changes in the table.

    Attributes:
        added: Rows whose key the table did not have.
        changed: Rows whose key the table had, with other values.
        removed: Rows whose key the table no longer has.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0

    def plus(self, other: RowChanges) -> RowChanges:
        """The sum of both."""
        return RowChanges(
            self.added + other.added,
            self.changed + other.changed,
            self.removed + other.removed,
        )


NO_CHANGES = RowChanges()


@define(eq=False)
class ChangeCounter:
    """Compares the old rows of some archives with the new ones, which must come in order.

    Attributes:
        comparer: Compares rows of the table.
        old: Holds the old rows.
        changes: The counts, by the key of the archive.
    """

    comparer: RowComparer
    old: RowSpool
    changes: dict[str, RowChanges] = field(init=False, factory=lambda: defaultdict(RowChanges))
    _until: Any = field(init=False, default=None)
    _lowest: Any = field(init=False, default=None)
    _highest: Any = field(init=False, default=None)

    def add_old(self, rows: pl.DataFrame) -> None:
        """Hold old rows; all of them come before the first new ones."""
        low, high = rows[self.old.column].min(), rows[self.old.column].max()
        self._lowest = low if self._lowest is None else min(self._lowest, low)
        self._highest = high if self._highest is None else max(self._highest, high)
        self.old.add(rows)

    def add_new(self, rows: pl.DataFrame) -> None:
        """Compare new rows, which follow the earlier ones."""
        if not self.old.rows:
            return  # nothing was replaced: everything is new
        high: Any = rows[self.old.column].max()
        low: Any = min(rows[self.old.column].min(), self._lowest)
        before = self._old_rows(low if self._until is None else self._until, high)
        self._until = high if self._until is None else max(self._until, high)
        found = self.comparer.compare(rows, before)
        self._count(found.missing, "added")
        self._count(found.differing, "changed")
        self._count(self.comparer.absent(before, rows), "removed")

    def finish(self) -> None:
        """Count the old rows after the last new ones."""
        if not self.old.rows:
            return
        if self._until is None:
            self._count(self._old_rows(self._lowest, self._highest), "removed")
        elif self._until < self._highest:
            self._count(self._old_rows(self._until, self._highest), "removed")
        self.old.close()

    def _old_rows(self, low: Any, high: Any) -> pl.DataFrame:
        found = self.old.between(low, high)
        assert found is not None  # noqa: S101 - there are old rows
        if self._until is None:
            return found
        return found.filter(pl.col(self.old.column) > self._until)

    def _count(self, rows: pl.DataFrame, name: str) -> None:
        for key, count in rows.group_by(ARCHIVE).len().iter_rows():
            before = self.changes[key]
            self.changes[key] = evolve(before, **{name: getattr(before, name) + count})
