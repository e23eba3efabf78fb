"""Locks: one run at a time in an output directory, with its worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from crypto_lakehouse.core.errors import LockHeldError

__all__ = ["output_lock", "wait_for_workers", "worker_lock"]

#: How many seconds a run waits for the workers of a killed run, which end by themselves.
WORKERS_END_WITHIN_S = 15.0


@contextmanager
def output_lock(path: Path) -> Iterator[None]:
    """Hold the lock; the operating system releases it even if the process is killed.

    Raises:
        LockHeldError: Another run holds it.
    """
    with _held(path, 0):
        yield


@contextmanager
def worker_lock(folder: Path, number: int) -> Iterator[None]:
    """Hold one worker's lock for as long as that process may write.

    The lock of a killed run is released at once, but its workers may write for a moment longer.

    Raises:
        LockHeldError: An earlier worker with this number has not ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder / f"{number}.lock", WORKERS_END_WITHIN_S):
        yield


def wait_for_workers(folder: Path, within_s: float = WORKERS_END_WITHIN_S) -> None:
    """Wait until no worker of an earlier run can write any more; blocking.

    Raises:
        LockHeldError: A worker has not ended.
    """
    for path in sorted(folder.glob("*.lock")):
        with _held(path, within_s):
            pass


@contextmanager
def _held(path: Path, timeout_s: float) -> Iterator[None]:
    lock = FileLock(path, timeout=timeout_s, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise LockHeldError(str(path)) from None
    try:
        yield
    finally:
        lock.release()
