"""Paths as users type them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["absolute_path"]


def absolute_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of what a user typed, which need not exist.

    `~` and `~user` at its beginning are a home directory; `./~` is a directory with that name, if
    it comes as text. A path with `..` is resolved as the system does it, through links; every other
    path keeps its links, as users know them.
    """
    absolute = Path(os.path.expanduser(os.fspath(path))).absolute()  # noqa: PTH111 - keeps `./~`
    return Path(os.path.realpath(absolute)) if ".." in absolute.parts else absolute
