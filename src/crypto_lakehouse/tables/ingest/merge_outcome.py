"""What a merge of archives came to, for the commit."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from crypto_lakehouse.tables.ingest.day_scores import DayScore
from crypto_lakehouse.tables.ingest.differences import Difference
from crypto_lakehouse.tables.ingest.ingest_plan import Rebuild
from crypto_lakehouse.tables.ingest.row_changes import RowChanges

__all__ = ["MergeOutcome"]


@frozen(kw_only=True)
class MergeOutcome:
    """What a merge came to, once its rows are written.

    Attributes:
        rebuild: The archives.
        is_done: Whether rows were written; not if every new version was refused.
        differences: The values that differ between archives.
        differing: How many rows differ between archives.
        changes: What the merge changes in the table, by the key of the archive.
        scores: How much of the archives' rows was recorded, of days that have both.
    """

    rebuild: Rebuild
    is_done: bool
    differences: tuple[Difference, ...]
    differing: int
    changes: Mapping[str, RowChanges]
    scores: tuple[DayScore, ...] = ()
