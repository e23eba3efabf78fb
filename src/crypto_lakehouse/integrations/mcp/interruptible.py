"""Run blocking work in a thread so that cancelling the caller ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread

__all__ = ["run_interruptible"]

_Result = TypeVar("_Result")

#: How often work is asked to end: between two of its steps there is nothing to interrupt.
_PAUSE_S = 0.05


async def run_interruptible(work: Callable[[], _Result], interrupt: Callable[[], None]) -> _Result:
    """Return what `work` returns; the thread has ended when this does.

    Args:
        work: What to run.
        interrupt: Makes `work` fail early; it is called in another thread, and again until that
            has happened.
    """
    done = anyio.Event()
    errors: list[Exception] = []
    results: list[_Result] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - it is raised again below
            errors.append(error)

    async def interrupt_if_cancelled() -> None:
        try:
            await done.wait()
        finally:
            with anyio.CancelScope(shield=True):
                while not done.is_set():
                    interrupt()
                    await anyio.sleep(_PAUSE_S)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(interrupt_if_cancelled)
        try:
            await to_thread.run_sync(run)
        finally:
            done.set()
    if errors:
        raise errors[0]
    return results[0]
