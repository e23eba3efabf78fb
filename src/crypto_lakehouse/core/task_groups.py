"""Pass errors and cancellations out of task groups as callers expect them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import anyio

from crypto_lakehouse.core.errors import LakehouseError

__all__ = ["first_leaf", "in_own_task", "one_error"]

_Result = TypeVar("_Result")


async def in_own_task(function: Callable[[], Awaitable[_Result]]) -> _Result:
    """Await a coroutine function in a task of its own, which has ended when this returns.

    An application's `Task.cancel()` ignores shields. It would interrupt whatever its task awaits:
    cleaning up, and thread hops, whose work would go on without a task that waits for it and closes
    what it opened. Here it cancels a scope around the function instead, which respects shields.
    However often it is called, the caller gets `CancelledError` in the end.

    A task group cannot be used: anyio's would also call `uncancel()` for the application's own
    `Task.cancel()`, once for each inner group, and an `asyncio.timeout` would miscount.
    """
    scope = anyio.CancelScope()

    async def run() -> _Result | None:
        with scope:
            return await function()
        return None

    task = asyncio.ensure_future(run())
    cancellation: asyncio.CancelledError | None = None
    try:
        while not task.done():
            try:
                with anyio.CancelScope(shield=cancellation is not None):
                    await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancellation = error
                scope.cancel()
        if cancellation is None:
            return cast("_Result", task.result())
        if not task.cancelled() and (failure := task.exception()) is not None:
            cancellation.add_note(f"ending failed as well: {failure!r}")
        raise cancellation
    finally:
        del cancellation  # breaks a reference cycle with this frame


@contextmanager
def one_error() -> Iterator[None]:
    """Raise the first LakehouseError of an exception group, instead of the group.

    A group without a LakehouseError, which is a fault in the program, passes unchanged.
    """
    try:
        yield
    except ExceptionGroup as group:
        ours = group.subgroup(LakehouseError)
        if ours is None:
            raise
        raise first_leaf(ours) from None


def first_leaf(error: Exception) -> Exception:
    """Return the first error of an exception group that is no group; another error as it is."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
