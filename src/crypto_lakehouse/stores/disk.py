"""Every system call that changes what is on disk, in one place.

A test can record them and discard what was not synced, as a power loss does. Bytes and names are
synced separately: bytes survive once their file is synced, a name once its folder is.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.whole_numbers import STORABLE
from crypto_lakehouse.stores.confined import remove_file

__all__ = ["NO_LINK", "WRITE", "Disk", "file_stat", "fsync", "mark_of"]

#: A symbolic link in place of a file is never followed, neither to write nor to resume, and a pipe
#: in place of a file does not block.
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | NO_LINK

#: The suffix of a copy until it has the name of the original.
_COPY = ".copy"

#: The errors of file systems that cannot sync.
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})

#: 2116 AD, in ns.
_LATE = STORABLE // 2

#: Up to this many files are synced one by one; for more, syncing the file system is cheaper
#: (ARCHITECTURE.md#fsync).
FEW_FILES = 16


class Disk:
    """The machine's disk. Every method blocks, and raises OSError on failure.

    Attributes:
        few_files: So many files are synced one by one, more of them with their file system.
    """

    few_files: int = FEW_FILES

    def write(self, path: str, data: bytes, via: str, *, sync: bool = False) -> FileStat:
        """Write a file at `via` and rename it to `path`; a failure leaves nothing behind.

        Args:
            path: The final path.
            data: The bytes.
            via: The path to write to first, on the same file system.
            sync: Whether the bytes are synced before the rename.
        """
        descriptor = self.open(via, WRITE | os.O_TRUNC)
        try:
            try:
                view = memoryview(data)
                while view:
                    view = view[self.append(descriptor, view) :]
                if sync:
                    self.sync_open(descriptor)
                stat = os.fstat(descriptor)
            finally:
                self.close(descriptor)
            self.rename(via, path)
        except OSError:
            with suppress(OSError):
                self.unlink(via)
            raise
        return file_stat(stat)

    def open(self, path: str, flags: int) -> int:
        """Open a file for writing; one with several names is replaced by a copy of its own."""
        descriptor = os.open(path, flags & ~os.O_TRUNC, 0o666)
        try:
            stat = os.fstat(descriptor)
            has_names = stat.st_nlink > 1
            if has_names:
                self._replace_by_copy(path, is_empty=bool(flags & os.O_TRUNC))
            elif flags & os.O_TRUNC and stat.st_size:
                os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
        if not has_names:
            return descriptor
        os.close(descriptor)
        return os.open(path, flags, 0o666)

    def _replace_by_copy(self, path: str, *, is_empty: bool) -> None:
        """Give a name a file of its own: hard links, as `cp -al` makes them, keep their bytes."""
        if is_empty:
            self.unlink(path)
            return
        copy = f"{path}{_COPY}"
        try:
            self.unlink(copy)
            self.copy(path, copy)
            self.rename(copy, path)
        except OSError:
            self.unlink(copy)
            raise

    def append(self, descriptor: int, data: memoryview) -> int:
        """Append bytes; return how many were written."""
        return os.write(descriptor, data)

    def cut(self, path: str, size_bytes: int) -> None:
        """Cut what follows the first bytes off a file."""
        descriptor = self.open(path, WRITE & ~os.O_CREAT)
        try:
            os.ftruncate(descriptor, size_bytes)
        finally:
            self.close(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a file that was opened for writing."""
        os.close(descriptor)

    def rename(self, source: str, target: str) -> None:
        """Rename a file; a file at the target is replaced."""
        os.rename(source, target)  # noqa: PTH104

    def link(self, source: str, target: str) -> None:
        """Give a file a second name."""
        os.link(source, target, follow_symlinks=False)

    def copy(self, source: str, target: str) -> None:
        """Copy a file's bytes and times."""
        shutil.copy2(source, target)

    def unlink(self, path: str) -> None:
        """Remove a name, if it exists; the caller has checked its folder."""
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108

    def remove(self, root: str, path: str, *, follow: bool) -> None:
        """Remove a name below `root`, if it exists; see `confined.remove_file`."""
        remove_file(root, path, follow=follow)

    def make_folders(self, path: str) -> None:
        """Create a folder and its parents."""
        os.makedirs(path, exist_ok=True)  # noqa: PTH103

    def sync_open(self, descriptor: int) -> None:
        """Sync the bytes of an open file, so that they survive a power loss."""
        fsync(descriptor)

    def sync(self, root: str, paths: Collection[str]) -> None:
        """Sync files below `root`, bytes and names, so that they survive a power loss.

        Missing files are skipped.
        """
        folders = {path.rpartition("/")[0] for path in paths}
        if len(paths) > self.few_files and self.sync_file_systems(folders):
            return
        self.sync_each(paths)
        self.sync_each(_with_those_above(folders, root))

    def sync_each(self, paths: Iterable[str]) -> None:
        """Sync files, or the names in folders, one by one."""
        for path in paths:
            with suppress(FileNotFoundError):
                _sync_one(path)

    def sync_file_systems(self, folders: Iterable[str]) -> bool:
        """Sync the file systems of folders; return False if the system has no such call."""
        syncfs = _syncfs()
        if syncfs is None:
            return False
        devices: set[int] = set()
        for folder in folders:
            with suppress(FileNotFoundError):
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    device = os.fstat(descriptor).st_dev
                    if device not in devices and syncfs(descriptor) != 0:
                        code = ctypes.get_errno()
                        raise OSError(code, os.strerror(code), folder)
                    devices.add(device)
                finally:
                    os.close(descriptor)
        return True


def fsync(descriptor: int) -> None:
    """Sync an open file or folder, on a file system that can.

    Some network and FUSE file systems have no such operation. Nothing can be stored durably there,
    and a file is not worse for that.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def file_stat(result: os.stat_result) -> FileStat:
    """Return the facts by which the inventory recognizes a file."""
    return FileStat(result.st_size, mark_of(result))


def mark_of(result: os.stat_result) -> int:
    """Return a file's modification time in ns, as a number that the ledger can store.

    A time after the year 2262, which file systems allow, is mapped to one after 2116.
    """
    time_ns = result.st_mtime_ns
    return time_ns if -STORABLE <= time_ns < STORABLE else _LATE + time_ns % _LATE


def _with_those_above(folders: Iterable[str], root: str) -> list[str]:
    """Return folders with their parents, up to and with the root."""
    found = {root}
    for folder in folders:
        path = folder
        while path not in found and path.startswith(root):
            found.add(path)
            path = path.rpartition("/")[0]
    return sorted(found)


def _sync_one(path: str) -> None:
    """Sync one file or folder, even if another process wrote it."""
    is_windows = os.name == "nt"  # it syncs only files that are open for writing, and no folders
    # The output directory may be a link, and a folder in it that leads elsewhere inside.
    no_link = 0 if os.path.isdir(path) else NO_LINK  # noqa: PTH112
    try:
        descriptor = os.open(path, (os.O_RDWR if is_windows else os.O_RDONLY) | no_link)
    except PermissionError:
        if is_windows:
            return
        raise
    try:
        fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _syncfs() -> Any:
    """Return Linux's `syncfs(2)`, which Python does not offer; None on other systems."""
    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError, TypeError):
        return None
    function.argtypes = [ctypes.c_int]
    return function
