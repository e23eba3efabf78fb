"""Tables in a lake's warehouse that nothing names any more: their catalog or records are gone.

A lake that began in such a place would be a second, empty one, and a sweep of it would delete the
files of the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from crypto_lakehouse.tables.iceberg.local_io import WAREHOUSE

if TYPE_CHECKING:
    from crypto_lakehouse.stores.objects.client import ObjectClient

__all__ = [
    "committed_in_directory",
    "committed_metadata",
    "lost_at_url",
    "lost_in_directory",
    "of_no_table",
]

#: Metadata of a table that had a commit after its creation. Metadata 0 alone may be of a run that
#: was killed before anything named the table.
_COMMITTED = re.compile(r".*/metadata/(?!0+-)\d+-[^/]+\.metadata\.json")

_ADVICE = (
    "if the tables are in another catalog, name it with `--catalog`; to begin a new lake, use "
    "another place"
)


def committed_metadata(client: ObjectClient, folder: str = "") -> str | None:
    """Return the key of a metadata file of a table with commits; None if there is none.

    Args:
        client: The objects below the lake's URL.
        folder: The folder of one table below the warehouse; all tables by default.

    Raises:
        StoreError: The store fails.
    """
    below = f"{WAREHOUSE}/{folder}/metadata/" if folder else f"{WAREHOUSE}/"
    found = (info.key for info in client.objects(below))
    return next(filter(_COMMITTED.fullmatch, found), None)


def lost_at_url(client: ObjectClient) -> str:
    """Say that a lake at a URL without a record has tables; empty if it has none.

    Raises:
        StoreError: The store fails.
    """
    key = committed_metadata(client)
    return "" if key is None else _fault(key, "the objects in `.lakehouse/tables/` are gone")


def lost_in_directory(root: Path) -> str:
    """Say that a directory without a catalog has tables; empty if it has none.

    Raises:
        OSError: The directory cannot be read.
    """
    name = committed_in_directory(root)
    return "" if name is None else _fault(name, "`catalog.db` is gone")


def committed_in_directory(root: Path) -> str | None:
    """Return the path of a metadata file of a table with commits; None if there is none.

    Raises:
        OSError: The directory cannot be read.
    """
    found = (path.relative_to(root).as_posix() for path in _metadata_in(root))
    return next(filter(_COMMITTED.fullmatch, found), None)


def of_no_table(found: str) -> str:
    """Say that a metadata file is of a table that the catalog which is used does not have."""
    return (
        f"has metadata of tables (`{found}`) that the catalog does not have; name the catalog that "
        "has them with `--catalog` (the embedded one: without that option), and the lake as it was "
        "named when they were made; to begin a new lake, use another place"
    )


def _metadata_in(root: Path) -> Iterator[Path]:
    return (root / WAREHOUSE).glob("*/*/metadata/*.metadata.json")


def _fault(found: str, what: str) -> str:
    return (
        f"has metadata of tables (`{found}`), and nothing says which is the current one: {what}; "
        f"restore what was removed; {_ADVICE}"
    )
