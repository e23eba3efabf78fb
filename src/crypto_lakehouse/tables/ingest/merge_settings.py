"""What all merges of archives into one table share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from crypto_lakehouse.tables.ingest.comparison import RowComparer
from crypto_lakehouse.tables.ingest.stored_rows import StoredRows
from crypto_lakehouse.tables.quality.findings import Policy
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["MergeSettings"]


@frozen(kw_only=True)
class MergeSettings:
    """What all merges of a table share.

    Attributes:
        schema: The table.
        exact: Whether numbers are decimals.
        policies: What to do about findings, by check, if not the check's default.
        stored: Reads the rows that the table has.
        folder: Where rows wait that do not fit in memory.
    """

    schema: TableSchema
    exact: bool
    policies: Mapping[str, Policy]
    stored: StoredRows
    folder: Path

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are compared and written."""
        return tuple(column.name for column in self.schema.stored)

    @property
    def comparer(self) -> RowComparer:
        """Compares rows of the table."""
        return RowComparer(self.columns, self.schema.key if self.schema.unique else None)
