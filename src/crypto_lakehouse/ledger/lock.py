"""Locks: one run at a time in an output directory, with its worker processes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from crypto_lakehouse.core.errors import ConfigurationError, LockHeldError, Problem, StoreError
from crypto_lakehouse.core.hard_links import link_fault
from crypto_lakehouse.core.os_error_hints import hint_for

__all__ = [
    "NO_LOCKS_CODES",
    "OnHeld",
    "configured_lock",
    "do_not_wait",
    "has_no_locks",
    "holder_of",
    "keep_lock",
    "output_lock",
    "take_when_free",
    "wait_for_workers",
    "worker_lock",
]

#: Called if another run holds a lock; returns, perhaps after a pause, whether to try again.
OnHeld = Callable[[LockHeldError], Awaitable[bool]]

#: How many seconds a run waits for the workers of a killed run, which end by themselves.
WORKERS_END_WITHIN_S = 15.0

#: Locks that were waited for and are held, until `output_lock` takes them, by their real paths.
_KEPT: dict[str, BaseFileLock] = {}

#: What a lock says about the process that holds it.
_SIGNATURE = re.compile(r"(\d{1,10}) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n")

_NO_LOCKS = "its file system has no locks, as some network file systems"

_INSTEAD = "choose another output directory"

#: Codes of the operating system for a file system without locks.
NO_LOCKS_CODES = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


@contextmanager
def output_lock(path: Path, instead: str = _INSTEAD) -> Iterator[None]:
    """Hold the lock; the operating system releases it even if the process is killed.

    Args:
        path: The lock.
        instead: What the user can do if it cannot be taken there; empty if nothing else.

    Raises:
        LockHeldError: Another run holds it.
        StoreError: It cannot be taken: this user may not write there, or there are no locks.
    """
    with _held(path, 0, instead):
        _sign(path)
        yield


def keep_lock(path: Path) -> bool:
    """Take a lock, if its folder exists, for the next `output_lock` of this process.

    The lock passes to that run without a moment in which another process could take it. A folder
    that does not exist is not created, as the run may find a fault before it writes anything.

    Returns:
        Whether there is nothing to wait for. If the lock cannot be taken at all, `output_lock` says
        why.
    """
    lock = _file_lock(path, 0)
    try:
        if not _may_be_created(path):
            return True
        lock.acquire()
    except Timeout:
        return False
    except OSError:
        return True
    _KEPT[os.path.realpath(path)] = lock
    return True


def _may_be_created(path: Path) -> bool:
    """Whether a lock is there, or would be created in its own folder."""
    if path.is_symlink() or link_fault(path):
        return False
    is_own = path.parent.is_dir() and not path.parent.is_symlink()
    return path.is_file() or (is_own and not path.exists())


async def do_not_wait(_error: LockHeldError) -> bool:
    """Let a run be refused at once."""
    return False


async def take_when_free(
    take: Callable[[], Awaitable[object]], on_held: OnHeld, is_stopped: Callable[[], bool]
) -> bool:
    """Take a lock; while another run holds it, try again as long as `on_held` says so.

    Args:
        take: Tries once to take the lock.
        on_held: Called after each attempt that failed.
        is_stopped: Whether the run was stopped, and no longer needs the lock.

    Returns:
        Whether the lock is taken; False if the run was stopped before.

    Raises:
        LockHeldError: Another run holds it, and `on_held` returned False.
    """
    while True:
        try:
            await take()
        except LockHeldError as error:
            if is_stopped():
                return False
            if not await on_held(error):
                raise
        else:
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
def configured_lock(path: Path, setting: str, *, instead: str = "") -> Iterator[None]:
    """Hold the lock of a directory that a setting or an option names.

    Args:
        path: The lock.
        setting: The key or option that names the directory, as `$.lake`.
        instead: As `output_lock` takes it.

    Raises:
        ConfigurationError: The lock cannot be taken: this user may not write there, for example.
        LockHeldError: Another run holds it.
    """
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(output_lock(path, instead))
        except StoreError as error:
            raise ConfigurationError([Problem(setting, str(error))]) from error
        except OSError as error:
            reason = f"`{path.parent}` cannot be created: {_what_to_do(error, instead)}"
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
def _held(path: Path, timeout_s: float, instead: str = _INSTEAD) -> Iterator[None]:
    if fault := link_fault(path):
        raise StoreError(str(path), f"the lock cannot be taken: {fault}")
    lock = _KEPT.pop(os.path.realpath(path), None) or _file_lock(path, timeout_s)
    try:
        if not lock.is_locked:
            _acquire(lock, path.parent)
    except Timeout:
        raise LockHeldError(str(path), instead=instead) from None
    except OSError as error:
        reason = f"the lock cannot be taken: {_what_to_do(error, instead)}"
        raise StoreError(str(path), reason, exit_code=2) from error
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


def has_no_locks(error: StoreError) -> bool:
    """Whether a lock cannot be taken because its file system has none: then no run can take it."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_LOCKS_CODES


def _what_to_do(error: OSError, instead: str) -> str:
    if error.errno in NO_LOCKS_CODES:
        hint = f"{_NO_LOCKS}: {instead or 'copy it to a local one'}"
    else:
        hint = hint_for(error, instead) or "see whether the directory can be written"
    return f"{error.strerror or error}; {hint}"
