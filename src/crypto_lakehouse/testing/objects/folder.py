"""A folder of files as a source of objects."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Folder"]


class Folder:
    """The files below a directory, by their relative paths; nothing outside of it is served.

    Names that begin with a dot are hidden, and so are symbolic links that lead out of it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve(strict=True)
        if not self._root.is_dir():
            raise NotADirectoryError(str(root))

    def find(self, key: str) -> Path | None:
        """The file of a key; None if there is none."""
        parts = key.split("/")
        if any(_is_unsafe(part) for part in parts):
            return None
        path = self._inside(self._root.joinpath(*parts))
        return path if path is not None and path.is_file() else None

    def children(self, folder: str) -> list[str]:
        """Names in a folder, sorted; those of folders end with a slash."""
        directory = self._root / folder
        above = self._targets_above(directory)
        names = []
        for entry in _entries(directory):
            target = None if entry.name.startswith(".") else self._inside(entry)
            if target is None or target in above:  # a link to a folder above never ends
                continue
            names.append(entry.name + "/" if target.is_dir() else entry.name)
        return sorted(names)

    def _targets_above(self, directory: Path) -> set[Path]:
        """The parent folders of `directory` and itself, links resolved."""
        relative = directory.relative_to(self._root)
        return {(self._root / part).resolve() for part in (relative, *relative.parents)}

    def _inside(self, path: Path) -> Path | None:
        """The target of a path; None if it does not exist or is outside the root."""
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle
            return None
        return target if target.is_relative_to(self._root) else None


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:  # it has gone since its name was read
        return []


def _is_unsafe(part: str) -> bool:
    """Whether one part of a key could be more than a name in its folder, on any system."""
    return part == "" or part.startswith(".") or any(sign in part for sign in "\\:\0")
