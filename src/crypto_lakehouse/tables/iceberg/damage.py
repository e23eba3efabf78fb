"""Tell whether the files of a lake are damaged, and what the user can do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pyiceberg.exceptions import ValidationError

if TYPE_CHECKING:
    from pyiceberg.table import Table

__all__ = ["BUILD_AGAIN", "is_damage", "metadata_fault", "refuse_foreign_objects", "with_remedy"]

#: What pyiceberg, Arrow, Avro and JSON raise for bytes that they cannot read. SQLite's errors, and
#: those of the operating system, derive from none of these, except for FileNotFoundError.
_OF_BYTES = (
    ValueError, EOFError, LookupError, TypeError, AssertionError, FileNotFoundError,
    ValidationError,
)  # fmt: skip

_OF_SQLITE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

#: What to do if a lake's catalog or metadata is damaged.
BUILD_AGAIN = (
    "move the lake away, and run `crypto-lakehouse ingest`: it builds the tables again from the "
    "archives"
)

_REMEDY = (
    "if data files are gone or cut, run `crypto-lakehouse ingest`: it writes their rows again; if "
    f"that fails, {BUILD_AGAIN}"
)


def is_damage(error: BaseException) -> bool:
    """Whether an error of a catalog or its storage may come from damaged or absent files."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, _OF_BYTES) or code in _OF_SQLITE


def with_remedy(lake: str, reason: str) -> str:
    """Add what to do if files are damaged; a shared catalog, without a directory, has its own."""
    return f"{reason}; {_REMEDY}" if (Path(lake) / "catalog.db").is_file() else reason


def refuse_foreign_objects(catalog: Path) -> None:
    """Refuse an embedded catalog that has views or triggers, which a query would execute.

    Raises:
        ValueError: It has one; no program that writes catalogs makes any.
        sqlite3.Error: It cannot be read.
    """
    if not catalog.is_file():
        return
    query = "SELECT type, name FROM sqlite_schema WHERE type NOT IN ('table', 'index') LIMIT 1"
    with closing(sqlite3.connect(f"{catalog.as_uri()}?mode=ro", uri=True)) as connection:
        for kind, name in connection.execute(query):
            reason = f"`{catalog.name}` has the {kind} `{name}`, which no ingestion makes"
            raise ValueError(reason)


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
