"""Let a signal stop work in order inside a scheduler that has signal handlers of its own."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["stopping_in_order"]

_Result = TypeVar("_Result")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def stopping_in_order(work: Awaitable[_Result]) -> _Result:
    """Await work that SIGTERM and SIGINT cancel, so that it ends in order.

    The handlers of a scheduler raise an error wherever the event loop is just then. Meanwhile they
    are replaced; once the work has ended they are there again, and get the signal. In a thread that
    is not the main one, signals stay as they are.

    Args:
        work: What `run_collection` and the like return, or `run()` of a workflow.

    Raises:
        asyncio.CancelledError: It was stopped, and the handler of the signal has raised nothing.

    Examples:
        >>> report = asyncio.run(stopping_in_order(run_collection(config)))  # doctest: +SKIP
    """
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        task.cancel()

    try:
        with _handled_by(asyncio.get_running_loop(), stop):
            return await task
    finally:
        if received:
            signal.raise_signal(received[0])


@contextmanager
def _handled_by(loop: asyncio.AbstractEventLoop, stop: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if handler is not None:  # None is one that was not set by Python
                signal.signal(number, handler)
