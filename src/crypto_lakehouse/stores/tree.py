"""Walk the folders of a collected tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["key_folders"]


def key_folders(root: Path) -> Iterator[str]:
    """Yield the key prefixes below an output directory, in the order of their text; blocking.

    Symbolic links to folders are not followed: they could lead out of the tree or form a cycle.
    """
    pending = [root / "data"]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            continue
        names = sorted(entry.name for entry in folders)
        yield f"{folder.relative_to(root).as_posix()}/"
        pending.extend(folder / name for name in reversed(names))
