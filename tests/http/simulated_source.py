"""A source, a line and a client that exist in simulated time only: exact, and fast to run."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from attrs import define, field

from crypto_lakehouse.core.errors import ServerError, TransferError
from crypto_lakehouse.http.concurrency_limit import ConcurrencyLimit

T = TypeVar("T")

#: Bodies arrive in pieces of this many bytes.
PIECE = 256 * 1024

#: What a turn of the simulated loop takes. Above zero, so that no rounding makes time stand still.
TURN_S = 1e-8


class _Leaping(selectors.SelectSelector):
    """Waits for nothing: the loop's clock leaps to its next timer instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("every task waits, and no timer is set")
        self.now += max(timeout, TURN_S)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock begins at 0 and leaps from timer to timer."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now

    def block(self, seconds: float) -> None:
        """Let time pass while nothing else runs, as a long computation does."""
        self._leaping.now += seconds


def simulate(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function to its end in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main())


@define
class _Queue:
    """What does one thing after the other: the line, or the client's processor."""

    _free_at: float = 0.0

    async def use(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time()) + seconds
        await _until(self._free_at)


async def _until(moment: float) -> None:
    loop = asyncio.get_running_loop()
    if moment > loop.time():
        arrived = loop.create_future()
        loop.call_at(moment, arrived.set_result, None)
        await arrived


@define
class Source:
    """What answers requests.

    Attributes:
        latency_s: To the first byte.
        connection, line: Bytes per second, of each connection and of all together.
        jitter: What a request's latency (by number) is multiplied with.
        client: Requests per second that the client's processor is good for.
        refuses_above: How many requests may be under way; a function of time.
        fails: Whether a request (by number) fails, and how.
    """

    latency_s: float = 0.0
    connection: float = 1e12
    line: float = 1e12
    jitter: Callable[[int], float] = lambda _number: 1.0
    client: float = 1e6
    refuses_above: Callable[[float], float] = lambda _now: float("inf")
    fails: Callable[[int], TransferError | None] = lambda _number: None
    under_way: int = field(init=False, default=0)
    asked: int = field(init=False, default=0)
    _line: _Queue = field(init=False, factory=_Queue)
    _processor: _Queue = field(init=False, factory=_Queue)

    async def answer(self, size: int, received: Callable[[int], None]) -> int:
        """Serve an object; return how many bytes `received` was not told of."""
        loop = asyncio.get_running_loop()
        self.asked += 1
        error = self.fails(self.asked)
        latency_s = self.latency_s * self.jitter(self.asked)
        if self.under_way >= self.refuses_above(loop.time()):
            await _until(loop.time() + latency_s)
            raise ServerError("simulated", 429, 0.2)
        self.under_way += 1
        try:
            await _until(loop.time() + latency_s)
            if error is not None:
                raise error
            left = size
            while left > PIECE:
                await self._bring(PIECE)
                received(PIECE)
                left -= PIECE
            await self._bring(left)
        finally:
            self.under_way -= 1
        await self._processor.use(1 / self.client)
        return left

    async def _bring(self, size: int) -> None:
        came_at = asyncio.get_running_loop().time() + size / self.connection
        await self._line.use(size / self.line)
        await _until(came_at)


@define
class Run:
    """What a simulated run came to."""

    requests: int
    seconds: float = 0.0
    answers_at: list[float] = field(factory=list, repr=False)
    refusals_at: list[float] = field(factory=list, repr=False)
    limits: list[tuple[float, int, str]] = field(factory=list, repr=False)

    @property
    def rate(self) -> float:
        """Requests per second over all of it."""
        return self.requests / self.seconds

    def rate_after(self, begin: float) -> float:
        return sum(at > begin for at in self.answers_at) / (self.seconds - begin)

    def refused_after(self, begin: float) -> float:
        refused = sum(at > begin for at in self.refusals_at)
        return refused / (refused + sum(at > begin for at in self.answers_at))

    def limit_at(self, moment: float) -> int:
        return [limit for at, limit, _ in self.limits if at <= moment][-1]


LimitMaker = Callable[[Callable[[], float], Callable[[int, str], None]], ConcurrencyLimit]


def run(
    source: Source,
    make: LimitMaker,
    requests: int,
    size: Callable[[int], int] = lambda _number: 0,
    workers: int | None = None,
) -> Run:
    """Make so many successful requests, refused ones being tried again."""

    async def main() -> Run:
        loop = asyncio.get_running_loop()
        done = Run(requests)
        concurrency = make(
            loop.time, lambda limit, why: done.limits.append((loop.time(), limit, why))
        )
        done.limits.append((0.0, concurrency.limit, "start"))
        numbers = iter(range(requests))
        worker = _Worker(source, concurrency, done, size)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers or concurrency.workers):
                tasks.create_task(worker.work(numbers))
        done.seconds = loop.time()
        return done

    return simulate(main)


@define
class _Worker:
    source: Source
    concurrency: ConcurrencyLimit
    done: Run
    size: Callable[[int], int]

    async def work(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            refusal = await self._request(self.size(number))
            while refusal is not None:
                await asyncio.sleep(refusal.retry_after_s or 0.0)
                refusal = await self._request(self.size(number))

    async def _request(self, size: int) -> ServerError | None:
        """Make a request; return the refusal, if it was refused."""
        loop = asyncio.get_running_loop()
        acquired_at = await self.concurrency.acquire()
        error: TransferError | None = None
        untold = 0
        try:
            untold = await self.source.answer(size, self.concurrency.received)
        except TransferError as failure:
            error = failure
        self.concurrency.release(acquired_at, untold, error)
        if isinstance(error, ServerError):
            self.done.refusals_at.append(loop.time())
            return error
        if error is None:
            self.done.answers_at.append(loop.time())
        return None
