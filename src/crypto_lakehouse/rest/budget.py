"""One budget of weight and requests for each host, shared by everything that is sent to it.

The exchange counts the weight of each IP address in clock minutes of its own time, over all
programs, and says in each response how much is used. The budget follows that, and not its own
counting: it lets a request go only if it fits into what is left after all that is under way.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from attrs import define, field

from crypto_lakehouse.core.errors import HostRefusedError, PlaceRefusedError
from crypto_lakehouse.rest.endpoints import Bucket
from crypto_lakehouse.rest.server_clock import ServerClock

__all__ = ["HostBudget", "Ticket"]

_MINUTE_S = 60

#: Left unused of what others leave of the limit, for a program that begins in the same moment.
_RESERVED = 0.02

#: The same of limits on requests, whose use by others no header says.
_RESERVED_REQUESTS = 0.05

#: Few requests are under way at once, so that a burst of another program refuses few of them: an
#: address whose requests are refused repeatedly is banned. There are more only if it takes more to
#: use the limit at the latency of the host, and not when less than a tenth of the limit is left.
_FEWEST_UNDER_WAY = 4
_MOST_UNDER_WAY = 32
_SPARE = 1.5
_NEAR = 0.1

#: The weight of the newest latency in their average.
_NEWEST = 0.1

#: However often the exchange refuses, the limit is not taken to be less than this part of it.
_LEAST_LIMIT = 0.1

#: How long a host is left alone that does not say how long it refuses this machine, in seconds.
_UNKNOWN_BAN_S = 3600.0


@define(eq=False)
class Ticket:
    """A request that may be sent.

    Attributes:
        weight: What it is expected to use.
        minute: The server's clock minute when it was let go.
        begun: The moment, by the local clock.
    """

    weight: int
    bucket: Bucket | None
    minute: int
    begun: float


@define(eq=False)
class HostBudget:
    """Lets requests to one host go, in order, as its limits allow.

    Args:
        host: For errors.
        weight_per_minute: What each IP address may use in a clock minute; less once the exchange
            refuses earlier.
        clock: The server's time.
        sleep: Sleeps for seconds of `clock.local`.
        asks_again: Whether it is asked again after a ban (418) or a block (403) of this machine.
    """

    host: str
    weight_per_minute: int
    clock: ServerClock = field(repr=False)
    sleep: Callable[[float], Awaitable[None]] = field(repr=False)
    asks_again: bool = field(default=False, kw_only=True)
    _limit: int = field(init=False)
    _minute: int = field(init=False, default=-1)
    _used: int = field(init=False, default=0)
    _own: int = field(init=False, default=0)
    _others: int = field(init=False, default=0)
    _others_before: int = field(init=False, default=0)
    _is_heard: bool = field(init=False, default=False)
    _latency_s: float = field(init=False, default=0.0)
    _under_way: set[Ticket] = field(init=False, factory=set)
    _counted: dict[Bucket, deque[float]] = field(init=False, factory=dict)
    _stopped_until: float = field(init=False, default=-math.inf)
    _refusal: HostRefusedError | None = field(init=False, default=None)
    _refused_until: float = field(init=False, default=-math.inf)
    _changed: anyio.Event = field(init=False, factory=anyio.Event)
    _bucket_turns: dict[Bucket, anyio.Lock] = field(init=False, factory=dict)
    _turn: anyio.Lock = field(init=False, factory=anyio.Lock)

    def __attrs_post_init__(self) -> None:
        self._limit = self.weight_per_minute

    @property
    def under_way(self) -> int:
        """How many requests were let go and have no response yet."""
        return len(self._under_way)

    async def take(self, weight: int, bucket: Bucket | None = None) -> Ticket:
        """Wait until a request of this weight fits, and count it as sent.

        The caller must call `settle`, whatever comes of the request.

        Raises:
            HostRefusedError: The host has refused this machine; nothing more may be sent.
        """
        if bucket is None:
            return await self._take(weight, None)
        async with self._bucket_turns.setdefault(bucket, anyio.Lock()):
            # Apart from the turn of all requests: what waits here holds up no others.
            while (wait_s := self._bucket_wait_s(bucket)) > 0:
                await self._changed_or(wait_s)
            return await self._take(weight, bucket)

    async def _take(self, weight: int, bucket: Bucket | None) -> Ticket:
        async with self._turn:
            while (wait_s := self._wait_s(weight, bucket)) > 0:
                await self._changed_or(wait_s)
            ticket = Ticket(weight, bucket, self._minute, self.clock.local())
            self._under_way.add(ticket)
            return ticket

    def settle(
        self, ticket: Ticket, used: int | None = None, moment_s: float | None = None
    ) -> None:
        """Take what the response says; without any, the request is assumed to be counted.

        Args:
            ticket: Of the request; later calls with it change nothing.
            used: The header: what the address has used in the minute of the response.
            moment_s: The server's time in the response, in seconds since the epoch.
        """
        if ticket not in self._under_way:
            return
        self._under_way.remove(ticket)
        taken_s = self.clock.local() - ticket.begun
        self._latency_s += _NEWEST * (taken_s - self._latency_s)
        if ticket.bucket is not None:
            self._counted.setdefault(ticket.bucket, deque()).append(self.clock.local())
        if moment_s is not None:
            self._begin(int(moment_s // _MINUTE_S))
        if used is None:
            self._used += ticket.weight
        elif moment_s is None or int(moment_s // _MINUTE_S) == self._minute:
            self._own += ticket.weight
            self._is_heard = True
            self._used = max(self._used, used)
            # At least so much is that of others: of what is under way some may not be counted yet.
            self._others = max(self._others, used - self._own - self._under_way_weight())
        self._wake()

    def stop(self, retry_after_s: float | None, used: int | None = None) -> None:
        """Send nothing for a while, because the host has refused a request with 429.

        Args:
            retry_after_s: For how long; None for the rest of the minute.
            used: The weight at which it refused; None if it was not because of weight.
        """
        now = self.clock.now()
        wait_s = _MINUTE_S - now % _MINUTE_S if retry_after_s is None else retry_after_s
        self._stopped_until = max(self._stopped_until, now + wait_s)
        if used is not None:
            least = int(_LEAST_LIMIT * self.weight_per_minute)
            self._limit = max(least, min(self._limit, used))
        self._wake()

    def refuse(self, error: HostRefusedError) -> None:
        """Send nothing more: each `take` raises this error from now on.

        With `asks_again` that ends with the ban, or after an hour if its end is not known.
        """
        self._refusal = self._refusal or error
        is_for_ever = not self.asks_again or isinstance(error, PlaceRefusedError)
        wait_s = math.inf if is_for_ever else error.retry_after_s or _UNKNOWN_BAN_S
        self._refused_until = max(self._refused_until, self.clock.local() + wait_s)
        self._wake()

    def _wait_s(self, weight: int, bucket: Bucket | None) -> float:
        """How long to wait before it is decided again; 0 if the request may be sent now.

        Raises:
            HostRefusedError: The host has refused this machine.
        """
        self._check_refusal()
        if not self.clock.is_known:
            return math.inf if self._under_way else 0.0
        now = self.clock.now()
        if (wait_s := self.clock.wait_s(self._stopped_until)) > 0:
            return wait_s
        self._begin(int(now // _MINUTE_S))
        if self._has_place(weight, bucket) and (weight == 0 or self._fits(weight)):
            return 0.0
        return self.clock.wait_s((self._minute + 1) * _MINUTE_S)

    def _check_refusal(self) -> None:
        if self._refusal is not None and self.clock.local() >= self._refused_until:
            self._refusal = None
        if self._refusal is not None:
            raise copy.copy(self._refusal)

    def _fits(self, weight: int) -> bool:
        """Whether a request fits into the minute, after all that is under way.

        What others have used in a whole minute before, and not yet in this one, is left to them. As
        long as nothing is known of this minute, a single request asks.
        """
        if not self._is_heard:
            is_asked = any(ticket.minute == self._minute for ticket in self._under_way)
            return not is_asked and self._others_before + weight <= self._limit
        others = max(self._others, self._others_before)
        spare = int(_RESERVED * max(0, self._limit - others))
        taken = self._used + self._under_way_weight() + others - self._others
        return taken + weight + spare <= self._limit

    def _has_place(self, weight: int, bucket: Bucket | None) -> bool:
        """Whether another request may be under way: no more than it takes to use the limit."""
        if len(self._under_way) < _FEWEST_UNDER_WAY:
            return True
        left = self._limit - self._used - self._under_way_weight()
        if left < self._limit * _NEAR:
            return False
        a_second = self._limit / _MINUTE_S / weight if weight else _a_second(bucket)
        return len(self._under_way) < min(a_second * self._latency_s * _SPARE, _MOST_UNDER_WAY)

    def _under_way_weight(self) -> int:
        return sum(ticket.weight for ticket in self._under_way)

    def _begin(self, minute: int) -> None:
        """Begin a minute, if it is a new one."""
        if minute <= self._minute:
            return
        # Without a response in the last minute, what was known before counts half as much.
        self._others_before = self._others if self._is_heard else self._others_before // 2
        self._minute, self._is_heard = minute, False
        self._used = self._own = self._others = 0

    def _bucket_wait_s(self, bucket: Bucket) -> float:
        """How long until another request of a bucket fits into every window of its length.

        Raises:
            HostRefusedError: The host has refused this machine.
        """
        self._check_refusal()
        times = self._counted.setdefault(bucket, deque())
        here = self.clock.local()
        while times and times[0] + bucket.window_s <= here:
            times.popleft()
        under_way = sum(ticket.bucket == bucket for ticket in self._under_way)
        most = max(1, int(bucket.requests * (1 - _RESERVED_REQUESTS)))
        if len(times) + under_way < most:
            return 0.0
        return times[0] + bucket.window_s - here if times else math.inf

    async def _changed_or(self, seconds: float) -> None:
        """Wait until a response comes, at most for some seconds."""
        changed = self._changed
        if math.isinf(seconds):
            await changed.wait()
            return
        async with anyio.create_task_group() as group:

            async def wake() -> None:
                await self.sleep(seconds)
                group.cancel_scope.cancel()

            group.start_soon(wake)
            await changed.wait()
            group.cancel_scope.cancel()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _a_second(bucket: Bucket | None) -> float:
    return bucket.requests / bucket.window_s if bucket is not None else math.inf
