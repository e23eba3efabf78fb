"""The part of a lake that panels and universes are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from crypto_lakehouse.tables.lake.scan import Scan
from crypto_lakehouse.tables.lake.time_range import Instant
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["ScannedLake"]


class ScannedLake(Protocol):
    """Tables that can be scanned; each method is that of `Lake`."""

    @property
    def tables(self) -> list[str]:
        """Full names of the tables."""
        ...

    def schema(self, name: str) -> TableSchema | None:
        """The schema of a table, None if it is not of a data type."""
        ...

    def data_schema(self, name: str) -> TableSchema:
        """The schema of a table that has rows of archives."""
        ...

    def series(
        self, name: str, *, as_of: Instant | None = None
    ) -> frozenset[tuple[str, str | None]]:
        """Each symbol that a table has rows of, with the interval."""
        ...

    def scan(
        self,
        name: str,
        *,
        symbols: Iterable[str] | str | None = None,
        interval: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        columns: Sequence[str] | None = None,
        as_of: Instant | None = None,
        origins: Iterable[str] | str | None = None,
    ) -> Scan:
        """Select rows of one table."""
        ...
