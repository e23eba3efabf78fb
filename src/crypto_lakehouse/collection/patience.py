"""How long a source may keep somebody waiting: silence ends it, and what is nearly that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["SILENT", "Patience"]

#: A source that sends less, in bytes a second, while it may be silent, is as good as silent.
_SLOWEST_BYTES_PER_S = 100

SILENT = "the source was silent for too long"
_TOO_SLOW = f"the source sent fewer than {_SLOWEST_BYTES_PER_S} bytes a second for too long"


class Patience:
    """Watches one connection while somebody waits for it; one timer serves many requests.

    Args:
        loop: The event loop that the connection is in.
        limit_s: How long the source may be silent, in seconds.
        is_tried: Whether somebody waits now.
        end: Called with the error once patience is at its end.

    Attributes:
        heard: When something came last, on the loop's clock.
        came: Bytes so far; both are kept up to date by the connection.
    """

    __slots__ = ("_end", "_is_tried", "_limit_s", "_loop", "_since", "_timer", "_waited_s",
                 "came", "heard")  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit_s: float,
        is_tried: Callable[[], bool],
        end: Callable[[TimeoutError], None],
    ) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._is_tried = is_tried
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._waited_s = 0.0
        self.heard = 0.0
        self.came = 0

    @property
    def is_watching(self) -> bool:
        """Whether the timer runs."""
        return self._timer is not None

    def begin(self) -> None:
        """Somebody waits from now on."""
        self.heard = self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self.heard + self._limit_s, self._check)

    def pause(self) -> None:
        """Nobody waits any more; that somebody waited still counts."""
        self._waited_s += self.heard - self._since
        self._since = self.heard

    def stop(self) -> None:
        """Nobody will ever wait again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if not self._is_tried():
            return
        due = self.heard + self._limit_s
        if self._loop.time() >= due:
            self._end(TimeoutError(SILENT))
        elif self._is_too_slow():
            self._end(TimeoutError(_TOO_SLOW))
        else:
            self._timer = self._loop.call_at(due, self._check)

    def _is_too_slow(self) -> bool:
        """Whether hardly anything came in waiting for as long as silence may last."""
        waited_s = self._waited_s + self.heard - self._since
        if waited_s < 0.9 * self._limit_s:
            return False
        came, self.came = self.came, 0
        self._waited_s, self._since = 0.0, self.heard
        return came < _SLOWEST_BYTES_PER_S * waited_s
