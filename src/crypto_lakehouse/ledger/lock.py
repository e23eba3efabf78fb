"""One run per output directory, with its worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from crypto_lakehouse.core.errors import LockHeldError

__all__ = ["output_lock", "wait_for_workers", "worker_lock"]

#: How long a run waits for the workers of one that was killed, in seconds; they end by themselves.
WORKERS_END_WITHIN_S = 15.0


@contextmanager
def output_lock(path: Path) -> Iterator[None]:
    """Hold the lock; the operating system gives it back even where the process is killed.

    Raises:
        LockHeldError: Another run holds it.
    """
    with _held(path, 0):
        yield


@contextmanager
def worker_lock(folder: Path, number: int) -> Iterator[None]:
    """Hold one worker's lock, for as long as that process may write.

    A run that is killed gives back its own lock at once; its workers may write for a moment more.

    Raises:
        LockHeldError: The worker before this one has not ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder / f"{number}.lock", WORKERS_END_WITHIN_S):
        yield


def wait_for_workers(folder: Path, within_s: float = WORKERS_END_WITHIN_S) -> None:
    """Wait until no worker of an earlier run can write any more; blocking.

    Raises:
        LockHeldError: One has not ended.
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
