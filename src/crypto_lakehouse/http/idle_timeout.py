"""Limits how long a source may be silent, or nearly silent, while a request waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["SILENT", "IdleTimeout"]

#: A source that sends fewer bytes a second over the time limit counts as silent.
_SLOWEST_BYTES_PER_S = 100

SILENT = "the source was silent for too long"
_TOO_SLOW = f"the source sent fewer than {_SLOWEST_BYTES_PER_S} bytes a second for too long"


class IdleTimeout:
    """Watches one connection while a request waits for it; one timer serves many requests.

    Args:
        loop: The event loop of the connection.
        limit_s: How long the source may be silent, in seconds.
        is_waiting: Returns whether a request waits now.
        expire: Called with the error once the limit is exceeded.

    Attributes:
        last_received_at: When bytes were last received, on the loop's clock.
        received_bytes: Bytes received so far. The connection updates both.
    """

    __slots__ = ("_expire", "_is_waiting", "_limit_s", "_loop", "_since", "_timer", "_waited_s",
                 "last_received_at", "received_bytes")  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit_s: float,
        is_waiting: Callable[[], bool],
        expire: Callable[[TimeoutError], None],
    ) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._is_waiting = is_waiting
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._waited_s = 0.0
        self.last_received_at = 0.0
        self.received_bytes = 0

    def begin(self) -> None:
        """Start to measure: a request waits."""
        self.last_received_at = self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._since + self._limit_s, self._check)

    def pause(self) -> None:
        """Stop to measure: no request waits. The time measured so far still counts."""
        self._waited_s += self.last_received_at - self._since
        self._since = self.last_received_at

    def stop(self) -> None:
        """Cancel the timer for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if not self._is_waiting():
            return
        due = self.last_received_at + self._limit_s
        if self._loop.time() >= due:
            self._expire(TimeoutError(SILENT))
        elif self._is_too_slow():
            self._expire(TimeoutError(_TOO_SLOW))
        else:
            self._timer = self._loop.call_at(due, self._check)

    def _is_too_slow(self) -> bool:
        """Whether too few bytes came in as much waiting time as silence may last."""
        waited_s = self._waited_s + self.last_received_at - self._since
        if waited_s < 0.9 * self._limit_s:
            return False
        received, self.received_bytes = self.received_bytes, 0
        self._waited_s, self._since = 0.0, self.last_received_at
        return received < _SLOWEST_BYTES_PER_S * waited_s
