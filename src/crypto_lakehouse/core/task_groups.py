"""Errors and cancellations through task groups, as their callers expect them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import anyio

from crypto_lakehouse.core.errors import LakehouseError

__all__ = ["in_own_task", "one_error"]

_Result = TypeVar("_Result")


async def in_own_task(function: Callable[[], Awaitable[_Result]]) -> _Result:
    """Await a coroutine function in a task of its own, which has ended when this returns.

    An application's `Task.cancel()` knows no shields. It would break into whatever its task
    awaits: into cleaning up, and into thread hops, whose work would go on with no one to wait for
    it or to close what it opened. Here it cancels a scope around the function instead, which is
    kept from what is shielded. However often it comes, the caller sees `CancelledError` at last.

    Not by a task group: anyio's would also take back the application's own `Task.cancel()`, by
    as many `uncancel()` as the groups inside are owed, and an `asyncio.timeout` would miscount.
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
        del cancellation  # it holds this frame, which holds it


@contextmanager
def one_error() -> Iterator[None]:
    """Raise the one error of ours out of a task group, instead of a group that holds it.

    A group without an error of ours, which is a fault in the program, passes unchanged.
    """
    try:
        yield
    except ExceptionGroup as group:
        ours = group.subgroup(LakehouseError)
        if ours is None:
            raise
        raise _first_leaf(ours) from None


def _first_leaf(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
