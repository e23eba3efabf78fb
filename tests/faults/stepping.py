"""Cancel what an application awaits at its n-th step, and see what is left of it.

A step is one `send` or `throw` of any task of the call: all that happens between two awaits. To
cancel at every step is to cancel at every await, in every state that the other tasks can be in.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import socket
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from math import inf
from pathlib import Path
from typing import Any

import anyio
from attrs import define

__all__ = [
    "APPLICATIONS",
    "Application",
    "Steps",
    "Traces",
    "complaints",
    "loop_with_steps",
    "sample",
    "start",
]

Call = Callable[[], Awaitable[object]]


@define
class Steps:
    """Counts the steps of a call.

    Attributes:
        at: At which of them the application cancels.
        cancel: How it does that; steps count from when it is known.
        cancelled: How often it did.
    """

    at: tuple[int, ...] = ()
    cancel: Callable[[], object] | None = None
    count: int = 0
    cancelled: int = 0

    def take(self) -> None:
        """Begin the next step."""
        if self.cancel is None:
            return
        self.count += 1
        if self.count in self.at:
            self.cancelled += 1
            self.cancel()


_steps: ContextVar[Steps | None] = ContextVar("_steps", default=None)


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are counted; anyio and asyncio look at the `cr_` attributes."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], steps: Steps) -> None:
        self._coroutine = coroutine
        self._steps = steps

    def send(self, value: Any) -> Any:
        self._steps.take()
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        self._steps.take()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
) -> asyncio.Task[Any]:
    context = options.get("context")
    steps = _steps.get() if context is None else context.get(_steps)
    counted = coroutine if steps is None else _Stepped(coroutine, steps)
    return asyncio.Task(counted, loop=loop, **options)


def loop_with_steps() -> asyncio.AbstractEventLoop:
    """An event loop whose tasks can be counted; for `asyncio.Runner`."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(_make_task)
    return loop


def start(coroutine: Coroutine[Any, Any, Any], steps: Steps) -> asyncio.Task[Any]:
    """Start a task whose steps count, and those of the tasks that it starts."""
    token = _steps.set(steps)
    try:
        return asyncio.create_task(coroutine)
    finally:
        _steps.reset(token)


def sample(steps: int, most: int, chance: random.Random) -> list[int]:
    """Every step where there are few, or one out of each of `most` stretches of equal length."""
    if steps <= most:
        return list(range(1, steps + 1))
    edges = [1 + steps * number // most for number in range(most + 1)]
    return [chance.randrange(*edges[number : number + 2]) for number in range(most)]


# Applications: ways to cancel ---------------------------------------------------------------------

#: Awaits the call, is what `Steps.cancel` cancels, and says whether the call came to its end.
Application = Callable[[Call, Steps], Coroutine[Any, Any, bool]]


async def _cancels_the_task(call: Call, steps: Steps) -> bool:
    task = asyncio.current_task()
    assert task is not None
    steps.cancel = task.cancel
    ended = False
    try:
        await call()
        ended = True
        if steps.cancelled:
            # The call's last step: the cancellation belongs to whatever is awaited next.
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        assert steps.cancelled
    else:
        assert not steps.cancelled, "the application's cancellation was swallowed"
    assert task.cancelling() == steps.cancelled, (task.cancelling(), steps.cancelled)
    return ended


async def _has_a_timeout(call: Call, steps: Steps) -> bool:
    loop, ended = asyncio.get_running_loop(), False
    try:
        async with asyncio.timeout(None) as timeout:
            steps.cancel = lambda: timeout.reschedule(loop.time())
            await call()
            ended = True
    except TimeoutError:
        assert timeout.expired()
        assert steps.cancelled
    return ended


async def _fails_after_a_while(call: Call, steps: Steps) -> bool:
    ended = False
    try:
        with anyio.fail_after(inf) as scope:
            steps.cancel = lambda: setattr(scope, "deadline", anyio.current_time())
            await call()
            ended = True
    except TimeoutError:
        assert scope.cancelled_caught
        assert steps.cancelled
    return ended


async def _cancels_its_task_group(call: Call, steps: Steps) -> bool:
    ended = False

    async def child() -> None:
        nonlocal ended
        try:
            await call()
            ended = True
        except asyncio.CancelledError:
            assert steps.cancelled
            raise

    async with anyio.create_task_group() as tasks:
        steps.cancel = tasks.cancel_scope.cancel
        tasks.start_soon(child)
    return ended


APPLICATIONS: dict[str, Application] = {
    "task": _cancels_the_task,
    "timeout": _has_a_timeout,
    "fail_after": _fails_after_a_while,
    "task group": _cancels_its_task_group,
}

# What is left -------------------------------------------------------------------------------------


@define
class Traces:
    """What this process holds.

    Attributes:
        tasks: Those of the running event loop that are not done.
        files: Descriptors, and what they are; without those of the server on `port`, which
            runs in this process and learns of a closed connection whenever it does.
        busy: Threads that are neither anyio's idle workers nor the event loop's resolver.
        has_children: Whether there are processes that were started and not waited for.
    """

    tasks: set[asyncio.Task[Any]]
    files: set[tuple[int, str]]
    busy: set[threading.Thread]
    has_children: bool

    @classmethod
    def now(cls, port: int) -> Traces:
        """Look around."""
        return cls(
            asyncio.all_tasks(),
            set(_open_files(port)),
            {thread for thread in threading.enumerate() if not _is_idle(thread)},
            _has_children(),
        )

    def beyond(self, before: Traces) -> list[str]:
        """What is here now and was not before, in words."""
        new = [*self.tasks - before.tasks, *self.files - before.files, *self.busy - before.busy]
        return [*map(str, new), *["a child process"] * (self.has_children > before.has_children)]


def _open_files(port: int) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own descriptor, or one that the server closed
            number, target = int(entry.name), str(entry.readlink())
            if not (target.startswith("socket:") and _local_port(number) == port):
                yield number, target


def _local_port(descriptor: int) -> int | None:
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        address = copy.getsockname()
    return address[1] if isinstance(address, tuple) else None


def _is_idle(thread: threading.Thread) -> bool:
    # `asyncio_N` asks for addresses: C's getaddrinfo cannot be interrupted, nor holds anything.
    is_foreign = thread.name.startswith(("asyncio_", "archive-server"))
    return is_foreign or thread in getattr(thread, "idle_workers", ())


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Gather what is complained of: warnings, errors that nobody can catch, and error logs."""
    found: list[str] = []
    listener = logging.Handler(logging.ERROR)
    listener.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda lost: found.append(f"{lost.err_msg} {lost.exc_value!r}")
    threading.excepthook = lambda lost: found.append(f"{lost.thread} {lost.exc_value!r}")
    logging.getLogger().addHandler(listener)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield found
            gc.collect()  # what is dropped in a cycle complains only now
        found += [str(warning.message) for warning in warned]
    finally:
        logging.getLogger().removeHandler(listener)
        sys.unraisablehook, threading.excepthook = hooks
