"""From verified archives to typed, validated, versioned tables: the extra `tables`.

1. `ingest` compares archives with the tables, and plans what to read.
2. `reading` inflates and parses archives, or refuses them; `quality` checks the rows of each batch.
3. `files` writes sorted rows as Parquet data files, one file per partition.
4. `ingest` commits the files to `iceberg` in one snapshot, with the provenance of each row.
5. `lake` reads the tables (scans, SQL, bars) and maintains them.
6. `export` writes files for other programs.

`schema` defines the columns of each data type.

Promised: an archive is ingested once, as a whole, and a new version replaces exactly its rows. Not
promised: an order of rows between partitions. Only this package imports Polars, Arrow, Iceberg and
DuckDB, and nothing below it imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.tables.export.export import ExportReport, export_lake
    from crypto_lakehouse.tables.export.record import ExportedFile
    from crypto_lakehouse.tables.export.units import ExportSelection
    from crypto_lakehouse.tables.lake.bars import bars_of
    from crypto_lakehouse.tables.lake.lake import Lake
    from crypto_lakehouse.tables.schema.schemas import load_schemas

__all__ = [
    "ExportReport",
    "ExportSelection",
    "ExportedFile",
    "Lake",
    "bars_of",
    "export_lake",
    "load_schemas",
]

_MODULES = {
    "ExportReport": "export.export",
    "ExportSelection": "export.units",
    "ExportedFile": "export.record",
    "Lake": "lake.lake",
    "bars_of": "lake.bars",
    "export_lake": "export.export",
    "load_schemas": "schema.schemas",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use, because schemas do not need the table engines."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"crypto_lakehouse.tables.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("crypto_lakehouse"):
            raise
        reason = f"{error}; install it with `pip install 'crypto-lakehouse[tables]'`"
        raise ModuleNotFoundError(reason, name=error.name) from error
