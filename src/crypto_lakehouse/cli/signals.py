"""Run a workflow until it ends, or a signal ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    import anyio.abc

__all__ = ["ended_by_sigterm", "run_until_signal"]


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise SystemExit(143), so that files are closed and unfinished ones removed."""
    if threading.current_thread() is not threading.main_thread():  # it may not set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


async def run_until_signal(
    workflow: Any,
    words: str,
    on_hangup: Callable[[], Awaitable[None]] | None = None,
    *,
    say: Callable[[str], None] = lambda text: click.echo(text, err=True),
) -> Any:
    """Run a workflow; the first SIGINT or SIGTERM stops it in order, the second at once.

    Args:
        workflow: It has `run()` and `stop(exit_code)`.
        words: The message when it is stopped.
        on_hangup: Is called for each SIGHUP; without it, that ends the process.
        say: Writes the message.

    Returns:
        Its metrics.
    """
    import anyio

    from crypto_lakehouse.core.task_groups import one_error

    with one_error(), ended_by_sigterm():
        async with anyio.create_task_group() as tasks:
            await tasks.start(_stop_on_signal, workflow, words, say)
            if on_hangup is not None:
                await tasks.start(_act_on_hangup, on_hangup)
            metrics = await workflow.run()
            tasks.cancel_scope.cancel()
    return metrics


async def _stop_on_signal(
    workflow: Any,
    words: str,
    say: Callable[[str], None],
    *,
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    import anyio

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        stopping = False
        async for number in signals:
            if stopping:
                os._exit(128 + number)
            stopping = True
            say(f"{words} (again to stop at once)")
            workflow.stop(128 + number)


async def _act_on_hangup(
    act: Callable[[], Awaitable[None]], *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    import anyio

    with anyio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            await act()
