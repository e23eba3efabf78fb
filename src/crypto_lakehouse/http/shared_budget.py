"""One budget for a host, which several runs of a process share: requests at once, and rates.

The limits of each run stay; a request needs a slot of both, and is paid for by both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

import anyio
from attrs import field, frozen

from crypto_lakehouse.http.concurrency_limit import ConcurrencyLimit
from crypto_lakehouse.http.fair_slots import FairSlots
from crypto_lakehouse.http.rate_limit import BytePace, ByteRate, RequestPace, RequestRate

__all__ = ["BudgetShare", "SharedBudget", "SharedSemaphore"]


@frozen(eq=False)
class SharedBudget:
    """What all runs together may send to a host.

    Attributes:
        slots: How many requests may be in flight.
        byte_rate, request_rate: None for no limit.
    """

    slots: FairSlots
    byte_rate: ByteRate | None = None
    request_rate: RequestRate | None = None
    _byte_turns: FairSlots = field(init=False, factory=lambda: FairSlots(1))
    _request_turns: FairSlots = field(init=False, factory=lambda: FairSlots(1))

    def share(self, party: str) -> BudgetShare:
        """Return the share of a run; parties with something to send get equal parts."""
        return BudgetShare(self, party)

    async def pay_bytes(self, size: int, party: str) -> None:
        """Return when bytes are within the rate; parties take turns."""
        if self.byte_rate is not None:
            await self._byte_turns.acquire(party)
            try:
                await self.byte_rate.pay(size)
            finally:
                self._byte_turns.release(party)

    async def pay_request(self, party: str) -> None:
        """Return when a request is within the rate; parties take turns."""
        if self.request_rate is not None:
            await self._request_turns.acquire(party)
            try:
                await self.request_rate.pay()
            finally:
                self._request_turns.release(party)


@frozen(eq=False)
class BudgetShare:
    """The part of one run in a budget; it wraps the run's own limits."""

    budget: SharedBudget
    party: str

    def requests(self, own: ConcurrencyLimit) -> ConcurrencyLimit:
        """Return a limit of the requests in flight that is within both."""
        return _SharedLimit(own, self.budget.slots, self.party)

    def listings(self, own: anyio.Semaphore) -> SharedSemaphore:
        """Return a limit of requests for listings that is within both."""
        return SharedSemaphore(own, self.budget.slots, self.party)

    def byte_pace(self, own: BytePace | None) -> BytePace | None:
        """Return a rate of bytes that is within both; None for no limit."""
        return own if self.budget.byte_rate is None else _SharedBytes(own, self)

    def request_pace(self, own: RequestPace | None) -> RequestPace | None:
        """Return a rate of requests that is within both; None for no limit."""
        return own if self.budget.request_rate is None else _SharedRequests(own, self)


@frozen(eq=False)
class _SharedLimit:
    """The limit of a run whose requests also need a slot of the budget; see `ConcurrencyLimit`."""

    own: ConcurrencyLimit
    slots: FairSlots
    party: str
    clock: Callable[[], float] = time.monotonic

    @property
    def limit(self) -> int:
        return self.own.limit

    @property
    def workers(self) -> int:
        return self.own.workers

    @property
    def free(self) -> int:
        return min(self.own.free, self.slots.free)

    async def acquire(self) -> float:
        acquired_at = await self.own.acquire()
        try:
            await self.slots.acquire(self.party)
        except BaseException as error:
            self.own.release(acquired_at, 0, error)
            raise
        return self.clock()

    def resize(self, workers: int) -> None:
        self.own.resize(workers)

    def received(self, size_bytes: int) -> None:
        self.own.received(size_bytes)

    def release(self, acquired_at: float, size_bytes: int, error: BaseException | None) -> None:
        self.slots.release(self.party)
        self.own.release(acquired_at, size_bytes, error)


@frozen(eq=False)
class SharedSemaphore:
    """The semaphore of a run whose requests also need a slot of the budget."""

    own: anyio.Semaphore
    slots: FairSlots
    party: str

    @property
    def value(self) -> int:
        """How many slots are free."""
        return min(self.own.value, self.slots.free)

    async def __aenter__(self) -> Self:
        """Wait for a slot of both."""
        await self.own.acquire()
        try:
            await self.slots.acquire(self.party)
        except BaseException:
            self.own.release()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Return both slots."""
        self.slots.release(self.party)
        self.own.release()


@frozen(eq=False)
class _SharedBytes:
    own: BytePace | None
    share: BudgetShare

    async def pay(self, size: int) -> None:
        if self.own is not None:
            await self.own.pay(size)
        await self.share.budget.pay_bytes(size, self.share.party)


@frozen(eq=False)
class _SharedRequests:
    own: RequestPace | None
    share: BudgetShare

    async def pay(self) -> None:
        if self.own is not None:
            await self.own.pay()
        await self.share.budget.pay_request(self.share.party)
