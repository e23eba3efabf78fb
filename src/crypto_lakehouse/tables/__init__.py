"""From verified archives to typed, validated, versioned tables: the extra `tables`.

Nothing below this package imports it, and only it imports Polars, Arrow, Iceberg and DuckDB.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.tables.bars import bars_of
    from crypto_lakehouse.tables.lake import Lake
    from crypto_lakehouse.tables.schemas import load_schemas

__all__ = ["Lake", "bars_of", "load_schemas"]

_MODULES = {"Lake": "lake", "bars_of": "bars", "load_schemas": "schemas"}


def __getattr__(name: str) -> object:
    """Import a public name on first use: schemas need no engine."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.tables.{_MODULES[name]}"), name)
