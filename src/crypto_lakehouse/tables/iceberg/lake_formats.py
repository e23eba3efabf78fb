"""Which format a lake's directory has: tables of an embedded catalog, or plain Parquet files.

The two would have the same rows, and neither is kept up to date with the other. So a directory has
one of them; earlier versions allowed both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crypto_lakehouse.core.messages import some_of
from crypto_lakehouse.tables.iceberg.local_io import WAREHOUSE
from crypto_lakehouse.tables.iceberg.lost_tables import lost_in_directory
from crypto_lakehouse.tables.iceberg.table_records import RECORDS
from crypto_lakehouse.tables.schema.schemas import load_schemas

__all__ = [
    "CATALOG",
    "JOURNALS",
    "NOT_RELOCATED",
    "NO_LAKE",
    "format_fault",
    "has_records",
    "missing_lake",
    "mixture_note",
]

#: The embedded catalog's file in a lake's directory.
CATALOG = "catalog.db"

#: The folder of journals in a lake's directory.
JOURNALS = "journal"

#: What is wrong with the copy of a lake of the other kind: directory or object store.
NOT_RELOCATED = (
    "is the copy of a lake whose tables are not relocated; run `crypto-lakehouse lake relocate`"
)

#: What is wrong with a place without tables.
NO_LAKE = "has no lake; `crypto-lakehouse ingest` creates one"

#: The folder of what differs between plain Parquet files.
_DIFFERENCES = "lakehouse"

_PLAIN = ("interval=*/symbol=*/*.parquet", "symbol=*/*.parquet")


def format_fault(root: Path, wanted: str) -> str:
    """Say why a directory cannot take rows of a format; empty if it can.

    Args:
        root: The directory.
        wanted: `iceberg` or `parquet`.
    """
    if has_records(root):
        return f"`{root}` {NOT_RELOCATED}"
    plain, has_tables = _plain_folders(root), (root / CATALOG).is_file()
    if plain and has_tables:
        return f"`{root}` {_both(root, plain)}"
    if plain and wanted == "iceberg":
        return (
            f"`{root}` has plain Parquet files (in {_listed(plain)}), and tables are not made "
            "beside them: use `--format parquet`, or another directory"
        )
    if has_tables and wanted == "parquet":
        return (
            f"`{root}` has tables (`{CATALOG}`), and plain Parquet files are not written beside "
            "them: use `--format iceberg`, or another directory"
        )
    return ""


def mixture_note(root: Path) -> str:
    """Return a remark on a lake of tables that has plain Parquet files, too; else empty."""
    plain = _plain_folders(root)
    return f"`{root}` {_both(root, plain)}; only the tables are read" if plain else ""


def missing_lake(root: Path) -> str:
    """Say why a directory cannot be opened as a lake of tables; empty if it can."""
    if (root / CATALOG).is_file():
        return ""
    if not root.is_dir():
        return "is not a directory; name the one that `ingest` wrote to"
    if has_records(root):
        return NOT_RELOCATED
    if plain := _plain_folders(root):
        return (
            f"has plain Parquet files (in {_listed(plain)}), without tables: read them with "
            "another program, or make tables in another directory with "
            "`crypto-lakehouse ingest --lake DIR`"
        )
    return lost_in_directory(root) or NO_LAKE


def has_records(root: Path) -> bool:
    """Whether a directory has records of tables, as a lake at a URL has, and no catalog."""
    folder = root / RECORDS
    return not (root / CATALOG).is_file() and any(folder.glob("*.json"))


def _both(root: Path, plain: Sequence[str]) -> str:
    folders = sorted({each.partition("/")[0] for each in plain})
    files = [*folders, *(name for name in [_DIFFERENCES] if (root / name).is_dir())]
    tables = [name for name in (CATALOG, WAREHOUSE, JOURNALS) if (root / name).exists()]
    return (
        f"has both tables (`{CATALOG}`) and plain Parquet files (in {_listed(plain)}), and nothing "
        f"keeps the two alike: to go on with the tables, move {_listed(files)} elsewhere; to go on "
        f"with the files, move {_listed(tables)} elsewhere"
    )


def _plain_folders(root: Path) -> list[str]:
    """The folders of tables below a directory that have plain Parquet files."""
    names = sorted(schema.name.replace(".", "/") for schema in load_schemas().values())
    folders = ((name, root / name) for name in names)
    return [
        name
        for name, folder in folders
        if folder.is_dir() and any(any(folder.glob(pattern)) for pattern in _PLAIN)
    ]


def _listed(names: Sequence[str]) -> str:
    return some_of(names, 4)
