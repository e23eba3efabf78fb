"""One run per output directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from crypto_lakehouse.core.errors import LockHeldError

__all__ = ["output_lock"]


@contextmanager
def output_lock(path: Path) -> Iterator[None]:
    """Hold the lock; the operating system gives it back even where the process is killed.

    Raises:
        LockHeldError: Another run holds it.
    """
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise LockHeldError(str(path)) from None
    try:
        yield
    finally:
        lock.release()
