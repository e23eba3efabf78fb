"""How many requests may be under way at once.

Places are taken in the order of arrival. Their number is fixed, or found by measuring
(`adaptive_limit`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from attrs import define, field

__all__ = ["ConcurrencyLimit", "FixedLimit"]


#: The statuses by which a source says "too much".
REFUSALS = frozenset({429, 503})


class ConcurrencyLimit(Protocol):
    """Lets requests through, so many at once."""

    @property
    def limit(self) -> int:
        """How many may be under way now."""

    @property
    def workers(self) -> int:
        """How many may ever be under way: more workers than this would only wait."""

    @property
    def free(self) -> int:
        """How many places are not taken or waited for; below 0 once the limit fell."""

    async def acquire(self) -> float:
        """Wait for a place, in the order of arrival; return the moment, by the limit's clock.

        A caller that is cancelled here has no place, and must not `release`.
        """

    def received(self, size_bytes: int) -> None:
        """Hear that a part of a large body has arrived."""

    def release(self, acquired_at: float, size_bytes: int, error: BaseException | None) -> None:
        """Give a place back, and tell how it went.

        Args:
            acquired_at: What `acquire` returned.
            size_bytes: The body's bytes, without those counted by `received`.
            error: Why the request failed, if it did.
        """


@define
class ResizableSemaphore:
    """A semaphore whose size may change; first come, first served.

    No request waits while a place is free.

    Args:
        limit: At least 1.
        clock: In seconds, monotonic; a parameter for tests.
    """

    limit: int
    clock: Callable[[], float] = time.monotonic
    _taken: int = field(init=False, default=0)
    _busy_since: float = field(init=False, default=-math.inf)
    _waiting: deque[asyncio.Future[None]] = field(init=False, factory=deque, repr=False)

    @property
    def free(self) -> int:
        """Places to be had at once; see `ConcurrencyLimit`."""
        return self.limit - self._taken

    async def acquire(self) -> float:
        """Wait for a place; see `ConcurrencyLimit`."""
        if self._taken >= self.limit:
            await self._wait()
            return self.clock()
        now = self.clock()
        if not self._taken:
            self._busy_since = now
        self._taken += 1
        return now

    async def _wait(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # It was handed over before the cancellation.
                self._give_back()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def _give_back(self) -> None:
        self._taken -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._taken < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


@define
class FixedLimit(ResizableSemaphore):
    """The same number of places all the time."""

    @property
    def workers(self) -> int:
        """As many as there are places."""
        return self.limit

    def received(self, size_bytes: int) -> None:
        """Nothing depends on it."""

    def release(self, acquired_at: float, size_bytes: int, error: BaseException | None) -> None:  # noqa: ARG002
        """Give a place back; how it went does not matter."""
        self._give_back()
