"""Limits the number of parallel requests.

Requests get slots in the order of arrival. The number of slots is fixed, or adapts to the measured
throughput (`adaptive_limit`).
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


#: The statuses by which a source reports too many requests.
REFUSALS = frozenset({429, 503})


class ConcurrencyLimit(Protocol):
    """Limits the number of parallel requests."""

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""

    @property
    def workers(self) -> int:
        """The largest value that `limit` can take; more workers than this would only wait."""

    @property
    def free(self) -> int:
        """The number of free slots; negative after the limit was lowered."""

    async def acquire(self) -> float:
        """Wait for a slot, in the order of arrival; return the time in s by its clock.

        A caller that is cancelled here has no slot, and must not call `release`.
        """

    def resize(self, workers: int) -> None:
        """Change the largest value of `limit`; requests in flight above it are not aborted."""

    def received(self, size_bytes: int) -> None:
        """Record that a part of a large body has arrived."""

    def release(self, acquired_at: float, size_bytes: int, error: BaseException | None) -> None:
        """Return a slot, with the result of the request.

        Args:
            acquired_at: The value that `acquire` returned.
            size_bytes: The size of the body, without the bytes counted by `received`.
            error: The error of the request; None if it succeeded.
        """


@define
class ResizableSemaphore:
    """A semaphore whose size may change; first come, first served.

    No request waits while a slot is free.

    Args:
        limit: At least 1.
        clock: Monotonic time in seconds; a parameter for tests.
    """

    limit: int
    clock: Callable[[], float] = time.monotonic
    _taken: int = field(init=False, default=0)
    _busy_since: float = field(init=False, default=-math.inf)
    _waiting: deque[asyncio.Future[None]] = field(init=False, factory=deque, repr=False)

    @property
    def free(self) -> int:
        """The number of free slots; see `ConcurrencyLimit`."""
        return self.limit - self._taken

    async def acquire(self) -> float:
        """Wait for a slot; see `ConcurrencyLimit`."""
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
            if turn.done() and not turn.cancelled():  # It got its slot before the cancellation.
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
    """A constant number of slots."""

    @property
    def workers(self) -> int:
        """The limit, which never changes."""
        return self.limit

    def resize(self, workers: int) -> None:
        """Change the limit; see `ConcurrencyLimit`."""
        self.limit = workers
        self._admit()

    def received(self, size_bytes: int) -> None:
        """Do nothing: the limit is constant."""

    def release(self, acquired_at: float, size_bytes: int, error: BaseException | None) -> None:  # noqa: ARG002
        """Return a slot; the result is ignored."""
        self._give_back()
