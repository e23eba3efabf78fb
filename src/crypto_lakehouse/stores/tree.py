"""Walk the folders of a collected tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["key_folders"]


def key_folders(root: Path) -> Iterator[str]:
    """Key prefixes below an output directory, in the order of their text; blocking.

    Links to folders are not followed: they lead out of the tree, or in circles.
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
