"""A directory around the output directory, of which nothing may change."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define, field

__all__ = ["Sandbox", "snapshot"]

#: What one file or folder is: its kind, its time of change, and its bytes or where it leads.
Fact = tuple[str, int, bytes]


def snapshot(root: Path, without: Path) -> dict[str, Fact]:
    """Everything below `root`, and not below `without`: names, contents and times."""
    found: dict[str, Fact] = {}
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = [name for name in folders if here / name != without]
        found[folder] = _fact(here)
        for name in (*files, *(name for name in folders if (here / name).is_symlink())):
            found[str(here / name)] = _fact(here / name)
    return found


def _fact(path: Path) -> Fact:
    moment = path.lstat().st_mtime_ns
    if path.is_symlink():
        return "link", moment, os.fsencode(path.readlink())
    return ("folder", moment, b"") if path.is_dir() else ("file", moment, path.read_bytes())


@define
class Sandbox:
    """Precious files and folders beside an output directory.

    Attributes:
        root: Holds everything; also the working directory and the user's home.
        output: What may be written to.
    """

    root: Path
    output: Path
    _before: dict[str, Fact] = field(init=False)

    @classmethod
    def at(cls, root: Path, output: Path) -> Sandbox:
        """Fill a sandbox, and remember it."""
        for folder in ("outside", "outside/data", "home", "data", "etc"):
            (root / folder).mkdir()
            (root / folder / "precious").write_bytes(b"precious")
        output.mkdir()
        sandbox = cls(root, output)
        sandbox.remember()
        return sandbox

    @property
    def outside(self) -> Path:
        """A folder that is not the run's."""
        return self.root / "outside"

    def remember(self) -> None:
        """Take what is there now for what must stay."""
        self._before = snapshot(self.root, self.output)

    def check(self) -> None:
        """Say what has changed outside the output directory; nothing may have."""
        after = snapshot(self.root, self.output)
        changed = {path for path in {*self._before, *after}
                   if self._before.get(path) != after.get(path)}  # fmt: skip
        assert not changed, sorted(changed)
