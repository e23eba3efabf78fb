"""Locks: one run at a time in an output directory, with its worker processes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from crypto_lakehouse.core.errors import ConfigurationError, LockHeldError, Problem, StoreError

__all__ = [
    "configured_lock",
    "holder_of",
    "keep_lock",
    "output_lock",
    "wait_for_workers",
    "worker_lock",
]

#: How many seconds a run waits for the workers of a killed run, which end by themselves.
WORKERS_END_WITHIN_S = 15.0

#: Locks that were waited for and are held, until `output_lock` takes them, by their real paths.
_KEPT: dict[str, BaseFileLock] = {}

#: What a lock says about the process that holds it.
_SIGNATURE = re.compile(r"(\d{1,10}) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n")

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
    errno.EEXIST: "something else is in its place; move that away and run again",
    errno.EISDIR: "a folder is in its place; move the folder away and run again",
    errno.ENOTDIR: "a file is in the place of a folder; move the file away and run again",
}


@contextmanager
def output_lock(path: Path) -> Iterator[None]:
    """Hold the lock; the operating system releases it even if the process is killed.

    Raises:
        LockHeldError: Another run holds it.
        StoreError: It cannot be taken: this user may not write there, or there are no locks.
    """
    with _held(path, 0):
        _sign(path)
        yield


def keep_lock(path: Path) -> bool:
    """Take a lock, if there is one, for the next `output_lock` of this process.

    The lock passes to that run without a moment in which another process could take it.

    Returns:
        Whether there is nothing to wait for. If the lock cannot be taken at all, `output_lock` says
        why.
    """
    if path.is_symlink() or not path.is_file():
        return True
    lock = _file_lock(path, 0)
    try:
        lock.acquire()
    except Timeout:
        return False
    except OSError:
        return True
    _KEPT[os.path.realpath(path)] = lock
    return True


def holder_of(path: Path) -> str | None:
    """Return which process holds a lock, and since when; None if the lock does not say so."""
    try:
        with path.open(encoding="ascii") as file:
            found = _SIGNATURE.fullmatch(file.read(80))
    except (OSError, ValueError):
        return None
    return f"process {found[1]} (since {found[2]})" if found else None


def _sign(path: Path) -> None:
    """Write into a lock that is held who holds it; the lock is as good without."""
    text = f"{os.getpid()} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n"
    with suppress(OSError):
        number = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.truncate()
            file.write(text)


@contextmanager
def configured_lock(path: Path, setting: str) -> Iterator[None]:
    """Hold the lock of a directory that a setting or an option names.

    Args:
        path: The lock.
        setting: The key or option that names the directory, as `$.lake`.

    Raises:
        ConfigurationError: The lock cannot be taken: this user may not write there, for example.
        LockHeldError: Another run holds it.
    """
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(output_lock(path))
        except StoreError as error:
            raise ConfigurationError([Problem(setting, str(error))]) from error
        except OSError as error:
            reason = f"`{path.parent}` cannot be created: {_what_to_do(error)}"
            raise ConfigurationError([Problem(setting, reason)]) from error
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
    lock = _KEPT.pop(os.path.realpath(path), None) or _file_lock(path, timeout_s)
    try:
        if not lock.is_locked:
            _acquire(lock, path.parent)
    except Timeout:
        raise LockHeldError(str(path)) from None
    except OSError as error:
        raise StoreError(str(path), f"the lock cannot be taken: {_what_to_do(error)}") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, folder: Path) -> None:
    try:
        lock.acquire()
    except FileNotFoundError:
        # Another run made the folder, and failed: it has removed the folder since it was seen here.
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()


def _file_lock(path: Path, timeout_s: float) -> BaseFileLock:
    # Without locks FileLock would fall back to the mere existence of a file, which a killed run
    # leaves behind for ever.
    return FileLock(path, timeout=timeout_s, thread_local=False, fallback_to_soft=False)


def _what_to_do(error: OSError) -> str:
    hint = _HINTS.get(error.errno or 0, "see whether the directory can be written")
    return f"{error.strerror or error}; {hint}"
