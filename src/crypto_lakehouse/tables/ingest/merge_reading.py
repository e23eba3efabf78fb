"""An archive of a merge while it is read."""

from __future__ import annotations

import polars as pl
from attrs import define, field

from crypto_lakehouse.tables.ingest.differences import Difference
from crypto_lakehouse.tables.ingest.row_spool import RowSpool

__all__ = ["Reading"]


@define(eq=False)
class Reading:
    """What an archive adds to those read before it, until all of it is read.

    Attributes:
        rows: Its rows that stand under its name.
        read: How many rows it has.
        gone: The keys of rows that give way to its own.
        differences: The values in which it differs from the archives before it.
        differing: How many of its rows differ from theirs.
    """

    rows: RowSpool
    read: int = 0
    gone: list[pl.DataFrame] = field(factory=list)
    differences: list[Difference] = field(factory=list)
    differing: int = 0
