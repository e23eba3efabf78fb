"""From verified archives to typed, validated, versioned tables: the extra `tables`.

1. `ingest` compares archives with what the tables have, and plans what is to be read.
2. `reading` inflates, parses and refuses; `quality` checks the rows of each batch.
3. `files` writes sorted rows as Parquet data files, one for a partition.
4. `ingest` commits them to `iceberg` in one snapshot, together with where each row came from.
5. `lake` is how tables are read: scans, SQL, bars, and keeping them in shape.

`schema` says what the columns of each data type are.

Promised: one archive is one unit, ingested once; a new version replaces exactly its rows. Not
promised: an order of rows between partitions. Only this package imports Polars, Arrow, Iceberg and
DuckDB, and nothing below it imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.bars import bars_of
    from crypto_lakehouse.tables.lake.lake import Lake
    from crypto_lakehouse.tables.schema.schemas import load_schemas

__all__ = ["Lake", "bars_of", "load_schemas"]

_MODULES = {"Lake": "lake.lake", "bars_of": "lake.bars", "load_schemas": "schema.schemas"}


def __getattr__(name: str) -> object:
    """Import a public name on first use: schemas need no engine."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.tables.{_MODULES[name]}"), name)
