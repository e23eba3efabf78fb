"""Read files that a user names: at most so many bytes, and a signal ends the wait for a pipe."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from typing import TypeVar

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus

from crypto_lakehouse.core.messages import plural

__all__ = ["LARGEST_INPUT", "ReadingStopped", "read_in_thread", "read_input"]

#: The size of the largest file that is read whole; a matrix of everything has about 1 MiB.
LARGEST_INPUT = 64 << 20

_STEP = 1 << 20

#: How often a wait for a pipe asks whether it shall end.
_WAIT_S = 0.1

_T = TypeVar("_T")


class ReadingStopped(Exception):
    """A run was stopped while it read a file."""


def _never() -> bool:
    return False


_is_stopped: ContextVar[Callable[[], bool]] = ContextVar("is_stopped", default=_never)


async def read_in_thread(function: Callable[[], _T], is_stopped: Callable[[], bool] = _never) -> _T:
    """Call a function that reads files with `read_input` in a thread.

    Cancelling ends the thread too, also while it waits for a pipe.

    Args:
        function: What to call.
        is_stopped: Whether the run was stopped.

    Raises:
        ReadingStopped: It was, before the function ended.
    """
    is_cancelled = threading.Event()

    def call() -> _T:
        _is_stopped.set(lambda: is_cancelled.is_set() or is_stopped())
        return function()

    outcome: Future[_T] = Future()  # an error is raised outside the group, which would wrap it
    async with anyio.create_task_group() as tasks:
        await tasks.start(_set_when_cancelled, is_cancelled)
        try:
            outcome.set_result(await to_thread.run_sync(call))
        except Exception as error:  # noqa: BLE001 - raised by `result`
            outcome.set_exception(error)
        tasks.cancel_scope.cancel()
    return outcome.result()


async def _set_when_cancelled(
    event: threading.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Wait to be cancelled, and set an event then: a thread is not cancelled itself."""
    try:
        task_status.started()
        await anyio.sleep_forever()
    finally:
        event.set()


def read_input(path: str | os.PathLike[str], limit_bytes: int = LARGEST_INPUT) -> bytes:
    """Read a whole file, pipe or device; blocking.

    Args:
        path: The file.
        limit_bytes: The most bytes that it may have.

    Raises:
        OSError: It cannot be read, or has more bytes.
        ReadingStopped: It is read by `read_in_thread`, and the run was stopped.
    """
    # A pipe is opened without waiting for its writer; the wait is below.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    try:
        may_wait = sys.platform == "linux" and not stat.S_ISREG(os.fstat(descriptor).st_mode)
        if not may_wait and hasattr(os, "set_blocking"):
            os.set_blocking(descriptor, True)
        parts, size = [], 0
        while part := _next(descriptor, may_wait=may_wait):
            parts.append(part)
            size += len(part)
            if size > limit_bytes:
                raise OSError(
                    errno.EFBIG, f"it has more than {plural(limit_bytes, 'byte', form=',')}"
                )
        return b"".join(parts)
    finally:
        os.close(descriptor)


def _next(descriptor: int, *, may_wait: bool) -> bytes:
    while True:
        if _is_stopped.get()():
            raise ReadingStopped
        if may_wait and not select.select([descriptor], [], [], _WAIT_S)[0]:
            continue
        return os.read(descriptor, _STEP)
