"""A disk that remembers what was synced, and can lose the rest as a power loss does.

The model is meaner than file systems are: without a sync, each change of a name may have come to
the disk or not, whatever came before it, and bytes may be old, cut, zeros or whole, under the right
size and time.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterable
from pathlib import Path

from attrs import define, field

from crypto_lakehouse.stores.disk import Disk

__all__ = ["PowerLoss", "RecordingDisk"]


class PowerLoss(OSError):
    """There is no disk any more."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "power loss")


@define(eq=False)
class Inode:
    """A file: its bytes, and those of them that are safe."""

    data: bytearray = field(factory=bytearray)
    safe: bytes = b""
    mtime_ns: int = 0


@define(eq=False)
class Folder:
    """Names in a folder, and those that are safe; a name is a file's or a folder's."""

    names: dict[str, Inode | Folder] = field(factory=dict)
    safe: dict[str, Inode | Folder] = field(factory=dict)

    def sync(self) -> None:
        self.safe = dict(self.names)

    def sync_all(self) -> None:
        self.sync()
        for entry in self.names.values():
            if isinstance(entry, Folder):
                entry.sync_all()
            else:
                entry.safe = bytes(entry.data)


@define
class RecordingDisk(Disk):
    """The real disk below `root`, and a model of what of it is safe.

    Args:
        root: The output directory; what is there is safe.
        operations: After so many the power is lost: everything fails from then on.
        has_syncfs: Whether a whole file system can be synced.
        few_files: So many files are synced one by one.
    """

    root: Path
    operations: int = 1 << 60
    has_syncfs: bool = True
    few_files: int = 4
    syncs: int = 0
    top: Folder = field(factory=Folder)
    _open: dict[int, Inode] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and not path.name.startswith(("ledger", "lock")):
                inode = Inode(bytearray(path.read_bytes()), mtime_ns=path.stat().st_mtime_ns)
                self._folder(str(path.parent)).names[path.name] = inode
        self.top.sync_all()

    def _folder(self, path: str) -> Folder:
        folder = self.top
        for name in Path(path).relative_to(self.root).parts:
            entry = folder.names.setdefault(name, Folder())
            assert isinstance(entry, Folder)
            folder = entry
        return folder

    def _place(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        return self._folder(above), name

    def _inode(self, path: str) -> Inode:
        folder, name = self._place(path)
        inode = folder.names[name]
        assert isinstance(inode, Inode)
        return inode

    def _step(self) -> None:
        self.operations -= 1
        if self.operations < 0:
            raise PowerLoss

    def open(self, path: str, flags: int) -> int:
        self._step()
        descriptor = super().open(path, flags)
        folder, name = self._place(path)
        inode = folder.names.setdefault(name, Inode())
        assert isinstance(inode, Inode)
        if flags & os.O_TRUNC:
            inode.data.clear()
        self._open[descriptor] = inode
        return descriptor

    def append(self, descriptor: int, data: memoryview) -> int:
        self._step()
        taken = super().append(descriptor, data)
        self._open[descriptor].data += data[:taken]
        return taken

    def close(self, descriptor: int) -> None:
        inode = self._open.pop(descriptor)
        inode.mtime_ns = os.fstat(descriptor).st_mtime_ns
        super().close(descriptor)

    def rename(self, source: str, target: str) -> None:
        self._step()
        super().rename(source, target)
        (above, name), (below, new) = self._place(source), self._place(target)
        below.names[new] = above.names.pop(name)

    def link(self, source: str, target: str) -> None:
        self._step()
        super().link(source, target)
        folder, name = self._place(target)
        folder.names[name] = self._inode(source)

    def unlink(self, path: str) -> None:
        self._step()
        super().unlink(path)
        folder, name = self._place(path)
        folder.names.pop(name, None)

    def remove(self, root: str, path: str, *, follow: bool) -> None:
        self._step()
        super().remove(root, path, follow=follow)
        folder, name = self._place(path)
        folder.names.pop(name, None)

    def make_folders(self, path: str) -> None:
        self._step()
        super().make_folders(path)
        self._folder(path)

    def sync_open(self, descriptor: int) -> None:
        self._step()
        self.syncs += 1
        self._open[descriptor].safe = bytes(self._open[descriptor].data)

    def sync_each(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._step()
            self.syncs += 1
            if path == str(self.root):
                self.top.sync()
                continue
            folder, name = self._place(path)
            entry = folder.names.get(name)
            if isinstance(entry, Folder):
                entry.sync()
            elif entry is not None:
                entry.safe = bytes(entry.data)

    def sync_file_systems(self, folders: Iterable[str]) -> bool:
        self._step()
        if self.has_syncfs:
            self.syncs += 1
            self.top.sync_all()
        return self.has_syncfs

    def remains(self, target: Path, seed: int) -> None:
        """Write what a power loss may leave to another directory."""
        _write_remains(self.top, target, random.Random(seed))


def _write_remains(folder: Folder, target: Path, rng: random.Random) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in sorted(folder.names.keys() | folder.safe.keys()):
        entry = rng.choice([folder.names.get(name), folder.safe.get(name)])
        if isinstance(entry, Folder):
            _write_remains(entry, target / name, rng)
        elif entry is not None:
            data = _remaining_bytes(entry, rng)
            (target / name).write_bytes(data)
            os.utime(target / name, ns=(entry.mtime_ns, entry.mtime_ns))


def _remaining_bytes(inode: Inode, rng: random.Random) -> bytes:
    data = bytes(inode.data)
    if inode.safe == data:
        return data
    return rng.choice([inode.safe, data, data[: rng.randrange(len(data) + 1)], bytes(len(data))])
