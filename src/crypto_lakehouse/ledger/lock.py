"""Locks: one run at a time in an output directory, with its worker processes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from crypto_lakehouse.core.errors import LockHeldError, StoreError

__all__ = ["output_lock", "wait_for_workers", "worker_lock"]

#: How many seconds a run waits for the workers of a killed run, which end by themselves.
WORKERS_END_WITHIN_S = 15.0

_NO_LOCKS = "its file system has no locks, as some network file systems: choose a local directory"

_NO_ACCESS = "let this user write there, or choose another output directory"

#: What the user can do if a lock cannot be taken at all.
_HINTS = {
    errno.ENOLCK: _NO_LOCKS,
    errno.ENOTSUP: _NO_LOCKS,
    errno.EOPNOTSUPP: _NO_LOCKS,
    errno.ENOSYS: _NO_LOCKS,
    errno.EROFS: "make it writable, or choose another output directory",
    errno.EACCES: _NO_ACCESS,
    errno.EPERM: _NO_ACCESS,
    errno.ELOOP: "a symbolic link is in its place; move the link away and run again",
    errno.EISDIR: "a folder is in its place; move the folder away and run again",
}


@contextmanager
def output_lock(path: Path) -> Iterator[None]:
    """Hold the lock; the operating system releases it even if the process is killed.

    Raises:
        LockHeldError: Another run holds it.
        StoreError: It cannot be taken: this user may not write there, or there are no locks.
    """
    with _held(path, 0):
        yield


@contextmanager
def worker_lock(folder: Path, number: int) -> Iterator[None]:
    """Hold one worker's lock for as long as that process may write.

    The lock of a killed run is released at once, but its workers may write for a moment longer.

    Raises:
        LockHeldError: An earlier worker with this number has not ended.
        StoreError: As `output_lock`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder / f"{number}.lock", WORKERS_END_WITHIN_S):
        yield


def wait_for_workers(folder: Path, within_s: float = WORKERS_END_WITHIN_S) -> None:
    """Wait until no worker of an earlier run can write any more; blocking.

    Raises:
        LockHeldError: A worker has not ended.
        StoreError: As `output_lock`.
    """
    for path in sorted(folder.glob("*.lock")):
        with _held(path, within_s):
            pass


@contextmanager
def _held(path: Path, timeout_s: float) -> Iterator[None]:
    # Without locks FileLock would fall back to the mere existence of a file, which a killed run
    # leaves behind for ever.
    lock = FileLock(path, timeout=timeout_s, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise LockHeldError(str(path)) from None
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "see whether the directory can be written")
        reason = f"the lock cannot be taken: {error.strerror or error}; {hint}"
        raise StoreError(str(path), reason) from error
    try:
        yield
    finally:
        lock.release()
