"""Walk the folders of a directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from crypto_lakehouse.core.protocols import ignore

__all__ = ["key_folders"]


def key_folders(
    root: Path, on_unreadable: Callable[[str], None] = ignore, top: str = "data"
) -> Iterator[str]:
    """Yield the key prefixes below an output directory, in the order of their text; blocking.

    Symbolic links to folders are not followed: they could lead out of the tree or form a cycle.
    A folder that cannot be read is yielded like any other, as scanning it says why; the folders
    in it are not.

    Args:
        root: The output directory.
        on_unreadable: Called with each folder that cannot be read, before it is yielded.
        top: The folder of the output directory to walk.
    """
    pending = [root / top]
    while pending:
        folder = pending.pop()
        prefix = f"{folder.relative_to(root).as_posix()}/"
        names: list[str] = []
        try:
            names = sorted(_folders_in(folder))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeEncodeError):
            on_unreadable(prefix)
        yield prefix
        pending.extend(folder / name for name in reversed(names))


def _folders_in(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
