"""Directories for the temporary files of queries that need more memory than there is.

    <lake>/spill/<process>/<connection>/

Each process holds a lock in its directory while it runs. The next process that queries the lake
removes directories whose lock is free: their processes were killed. The last session that is
closed, or process that ends, removes `spill` itself, so that a query leaves no file.
"""

from __future__ import annotations

import atexit
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from attrs import define
from filelock import FileLock, Timeout

__all__ = ["SPILL", "release_spill_folder", "spill_folder", "temporary_folder"]

#: The directory of temporary files in a lake's directory.
SPILL = "spill"

_LOCK = "lock"

#: For so many seconds a process waits until another one has cleared the directory.
_CLEARED_WITHIN_S = 10.0

#: How often a process makes its directory again that another one, which ends, has removed. Each
#: time another process has ended: many in a row are possible if many start and end.
_TRIES = 50


@define
class _ProcessFolder:
    """The directory of this process in one lake.

    Attributes:
        pid: The process that made it; a forked child makes its own.
        path: Its absolute path.
        lock: Held while the process runs; None outside a lake.
        connections: How many connections have got a directory in it.
        used: How many of them have not released theirs.
    """

    pid: int
    path: Path
    lock: FileLock | None = None
    connections: int = 0
    used: int = 0


_FOLDERS: dict[Path | None, _ProcessFolder] = {}
_GUARD = threading.Lock()


def spill_folder(lake: Path | None) -> str:
    """Return an absolute path for the temporary files of one connection.

    DuckDB creates the directory at the first file, and removes it when the connection is closed.

    Args:
        lake: The lake's directory. If it is None, missing or read-only, the path is in the system's
            directory for temporary files.
    """
    with _GUARD:
        root = lake.resolve() if lake is not None else None
        folder = _FOLDERS.get(root)
        if folder is None or folder.pid != os.getpid() or not folder.path.is_dir():
            folder = _FOLDERS[root] = _made(root)
        folder.connections += 1
        folder.used += 1
        return str(folder.path / str(folder.connections))


def release_spill_folder(path: str) -> None:
    """Remove the directory of this process if no other connection uses it.

    Args:
        path: What `spill_folder` returned; its connection is closed. Paths that are not released
            are removed when the process ends.
    """
    with _GUARD:
        for root, folder in _FOLDERS.items():
            if folder.path == Path(path).parent and folder.pid == os.getpid():
                folder.used -= 1
                if not folder.used:
                    del _FOLDERS[root]
                    _remove(folder)
                return


@contextmanager
def temporary_folder(lake: Path | None) -> Iterator[Path]:
    """Make a folder for files of the length of a context.

    That of a killed process is removed by the next one that makes one, or queries the lake.

    Args:
        lake: As of `spill_folder`.

    Raises:
        OSError: It cannot be made.
    """
    path = spill_folder(lake)
    try:
        folder = Path(path)
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(path, ignore_errors=True)
        release_spill_folder(path)


def _made(root: Path | None) -> _ProcessFolder:
    if root is not None and root.is_dir():
        with suppress(OSError):  # read-only, or it has no locks
            return _kept_in_lake(root / SPILL)
    return _ProcessFolder(os.getpid(), Path(mkdtemp(prefix="crypto-lakehouse-")))


def _kept_in_lake(home: Path) -> _ProcessFolder:
    """Make the directory of this process, although another process may remove `home` meanwhile."""
    for _ in range(_TRIES - 1):
        # `mkdir` says that a directory exists if it is removed before `mkdir` has looked at it.
        with suppress(FileNotFoundError, FileExistsError):
            return _in_lake(home)
    return _in_lake(home)


def _in_lake(home: Path) -> _ProcessFolder:
    home.mkdir(mode=0o700, exist_ok=True)
    if home.is_symlink():
        raise NotADirectoryError(str(home))
    with _lock(home, timeout=_CLEARED_WITHIN_S):
        _clear(home)
        path = Path(mkdtemp(prefix="", dir=home))
        lock = _lock(path)
        lock.acquire()
    return _ProcessFolder(os.getpid(), path, lock)


def _lock(folder: Path, timeout: float = 0) -> FileLock:
    """Return a folder's lock, which raises OSError if the file system has none."""
    return FileLock(folder / _LOCK, timeout=timeout, thread_local=False, fallback_to_soft=False)


def _clear(home: Path) -> None:
    """Remove the directories of processes that have ended."""
    with os.scandir(home) as entries:
        folders = [Path(each) for each in entries if each.is_dir(follow_symlinks=False)]
    for folder in folders:
        try:
            with _lock(folder):
                pass
        except Timeout:
            continue
        # No process takes this lock any more: it would need the lock that the caller holds.
        shutil.rmtree(folder, ignore_errors=True)


@atexit.register
def _remove_own() -> None:
    for folder in _FOLDERS.values():
        if folder.pid == os.getpid():
            _remove(folder)


def _remove(folder: _ProcessFolder) -> None:
    if folder.lock is not None:
        folder.lock.release()
    shutil.rmtree(folder.path, ignore_errors=True)
    if folder.lock is not None:
        with suppress(OSError):
            _remove_if_unused(folder.path.parent)


def _remove_if_unused(home: Path) -> None:
    """Remove `home` if it holds its lock only.

    Raises:
        Timeout: Another process holds the lock: it starts, and removes `home` when it ends.
        OSError: Another process made a file between the two removals, and keeps it.
    """
    if home.is_symlink() or not home.is_dir():
        return
    with _lock(home):
        if list(home.iterdir()) == [home / _LOCK]:
            # A process that waits for this lock finds that the file is gone, and makes a new one.
            (home / _LOCK).unlink()
            home.rmdir()
