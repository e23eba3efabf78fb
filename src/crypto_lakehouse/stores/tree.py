"""Walk the folders of a collected tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from crypto_lakehouse.stores.os_errors import as_store_errors

__all__ = ["key_folders"]


def key_folders(root: Path) -> Iterator[str]:
    """Yield the key prefixes below an output directory, in the order of their text; blocking.

    Symbolic links to folders are not followed: they could lead out of the tree or form a cycle.

    Raises:
        StoreError: A folder cannot be read.
    """
    pending = [root / "data"]
    while pending:
        folder = pending.pop()
        folders = _folders_in(folder)
        if folders is None:
            continue
        names = sorted(entry.name for entry in folders)
        yield f"{folder.relative_to(root).as_posix()}/"
        pending.extend(folder / name for name in reversed(names))


def _folders_in(folder: Path) -> list[os.DirEntry[str]] | None:
    """Return the folders in a folder; None if it does not exist."""
    with as_store_errors(str(folder)):
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return None
