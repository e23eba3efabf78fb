"""Tell whether the files of a lake are damaged, and what the user can do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from pyiceberg.exceptions import ValidationError

if TYPE_CHECKING:
    from pyiceberg.table import Table

__all__ = ["is_damage", "metadata_fault", "with_remedy"]

#: What pyiceberg, Arrow, Avro and JSON raise for bytes that they cannot read. SQLite's errors, and
#: those of the operating system, derive from none of these, except for FileNotFoundError.
_OF_BYTES = (
    ValueError, EOFError, LookupError, TypeError, AssertionError, FileNotFoundError,
    ValidationError,
)  # fmt: skip

_OF_SQLITE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_REMEDY = (
    "if data files are gone or cut, run `crypto-lakehouse ingest`: it writes their rows again; if "
    "that fails, move the lake away, and run `crypto-lakehouse ingest`: it builds the tables again "
    "from the archives"
)


def is_damage(error: BaseException) -> bool:
    """Whether an error of a catalog or its storage may come from damaged or absent files."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, _OF_BYTES) or code in _OF_SQLITE


def with_remedy(lake: str, reason: str) -> str:
    """Add what to do if files are damaged; a shared catalog, without a directory, has its own."""
    return f"{reason}; {_REMEDY}" if (Path(lake) / "catalog.db").is_file() else reason


def metadata_fault(table: Table) -> str:
    """Say what is wrong with the metadata of a table; empty if it is consistent.

    Every field of a metadata file may be absent, so that a single damaged letter in the name of one
    can make a table look empty.
    """
    metadata = table.metadata
    known = {snapshot.snapshot_id for snapshot in metadata.snapshots}
    current, main = metadata.current_snapshot_id, metadata.refs.get("main")
    if (
        not known
        and current is None
        and main is None
        and not getattr(metadata, "last_sequence_number", 0)
    ):
        return ""
    if current not in known or main is None or main.snapshot_id != current:
        return f"the current snapshot is not one of the {len(known)} in its metadata"
    return ""
