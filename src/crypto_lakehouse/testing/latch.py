"""An event that may be set and awaited from any thread and any event loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

__all__ = ["Latch"]


class Latch:
    """A latch that opens once: `asyncio.Event` and `threading.Event` in one.

    A test in one thread can pause a server that runs in another, and vice versa.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._waiters: set[asyncio.Future[None]] = set()

    def open(self) -> None:
        """Release all waiters, now and later; a second call does nothing."""
        with self._lock:
            self._event.set()
            waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            with suppress(RuntimeError):  # its loop has ended, so no task waits there
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)

    @property
    def is_open(self) -> bool:
        """Whether `open` was called."""
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block this thread until the latch is open; return False if `timeout_s` runs out first."""
        return self._event.wait(timeout_s)

    async def passed(self) -> None:
        """Wait in the running event loop until the latch is open."""
        with self._lock:
            if self._event.is_set():
                return
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
        try:
            await waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
