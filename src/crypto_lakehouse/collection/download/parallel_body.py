"""The rest of one very large body, in order, from several connections.

1. The first connection streams; `RangeScaler` watches its rate.
2. A probe: a second connection fetches a range further on, and the scaler compares the rates.
3. If that paid, the first connection stops where the ranges begin, and workers fetch the rest
   range by range; each requests the next one as soon as it has finished one.
4. The reader takes ranges in order. At most `_room` of them are in memory.

A failed request is retried as any other. Errors that no retry helps end the whole body.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import partial

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from crypto_lakehouse.collection.download.byte_ranges import (
    ByteRange,
    NoRanges,
    OpenResponse,
    WholeBody,
    fetch_range,
)
from crypto_lakehouse.collection.download.range_scaling import (
    ByteCounts,
    Prospects,
    RangeRules,
    RangeScaler,
)
from crypto_lakehouse.core.errors import ObjectChanged, ServerError, TransferError
from crypto_lakehouse.http.concurrency_limit import REFUSALS
from crypto_lakehouse.http.transport import read_up_to

__all__ = ["ParallelBody"]

#: How many seconds a connection takes to be set up. A probe begins far enough ahead of the first
#: connection to be measured before that one gets there.
_SET_UP_S = 1.0


@define(eq=False)
class ParallelBody:
    """The rest of a body, in order, from one or more connections; a `Response`.

    Args:
        first: The first connection's answer.
        position: How many bytes were there before.
        whole: The whole body.
        rules: When further connections are tried, and how many.
        clock: Returns seconds, monotonic.
        prospects: What the run has learned about the source.
        tasks: Runs one task for each further connection.
    """

    _first: OpenResponse
    _position: int
    _whole: WholeBody
    _rules: RangeRules
    _clock: Callable[[], float]
    _prospects: Prospects
    _tasks: TaskGroup
    status: int = field(init=False)
    headers: Mapping[str, str] = field(init=False)
    size_bytes: int | None = field(init=False)
    _scaler: RangeScaler = field(init=False)
    _end: int = field(init=False)  # Where the first connection stops.
    _next: int = field(init=False)  # Where the next range begins.
    _reach: int = field(init=False)  # How far the first connection has come.
    _received_bytes: int = field(init=False, default=0)
    _is_streaming: bool = field(init=False, default=True)
    _is_probe: bool = field(init=False, default=False)
    _ranges: dict[int, ByteRange] = field(init=False, factory=dict)
    _failure: TransferError | None = field(init=False, default=None)
    _changed: anyio.Event = field(init=False, factory=anyio.Event)
    _workers: int = field(init=False, default=0)
    _scopes: set[anyio.CancelScope] = field(init=False, factory=set)
    _receiving: set[anyio.CancelScope] = field(init=False, factory=set)  # Those that receive bytes.
    _slots: int = field(
        init=False, default=1
    )  # Acquired permits, including the first connection's.
    _waiting: set[int] = field(init=False, factory=set)  # Ranges that wait for a permit.

    def __attrs_post_init__(self) -> None:
        response = self._first.response
        self.status, self.headers = response.status, response.headers
        self.size_bytes = response.size_bytes
        self._scaler = RangeScaler(self._rules)
        self._end = self._next = self._whole.size_bytes
        self._reach = self._position

    # In order ----------------------------------------------------------------------------------

    async def read(self, limit: int) -> bytes:
        """Read the rest, and no more than `limit` bytes of it."""
        return await read_up_to(self, limit)

    async def chunks(self) -> AsyncGenerator[bytes | bytearray]:
        """Yield the rest in order: first the first connection's bytes, then the ranges."""
        async with aclosing(self._first.response.chunks()) as chunks:
            async for chunk in chunks:
                yield self._cut(chunk)
                if self._position == self._end < self._whole.size_bytes:
                    break
        if self._position < self._end or self._end == self._whole.size_bytes:
            return
        await self._hand_over()
        while self._position < self._whole.size_bytes:
            byte_range = await self._next_range()
            for chunk in byte_range.chunks:
                yield chunk
            self._position = byte_range.end
            del self._ranges[byte_range.start]
            self._wake()

    def _cut(self, chunk: bytes | bytearray) -> bytes | bytearray:
        """Take a chunk of the first connection, and cut it where that one stops."""
        self._reach = self._position + len(chunk)
        self._received(len(chunk))
        if self._failure is not None:
            raise self._failure
        if self._reach >= self._end and self._is_probe:
            self._scaler.conclude(self._counts())
            self._follow()
        if self._reach > self._end:
            chunk = chunk[: self._end - self._position]
        self._position += len(chunk)
        return chunk

    async def _hand_over(self) -> None:
        """Close the first connection: what follows comes in ranges."""
        self._is_streaming = False
        self._slots -= 1
        await self._first.release()
        self._whole.release()
        self._start_workers()
        self._wake()

    async def _next_range(self) -> ByteRange:
        while True:
            if self._failure is not None:
                raise self._failure
            byte_range = self._ranges.get(self._position)
            if byte_range is not None and byte_range.is_done:
                return byte_range
            await self._change()

    async def _change(self) -> None:
        await self._changed.wait()

    def _wake(self) -> None:
        """Wake all waiting tasks, which check their conditions again."""
        self._changed.set()
        self._changed = anyio.Event()

    def close(self) -> None:
        """Cancel all workers."""
        if self._is_probe:
            self._prospects.is_probing = False
        self._tasks.cancel_scope.cancel()
        self._ranges.clear()

    # How many connections ----------------------------------------------------------------------

    @property
    def _wanted(self) -> int:
        """How many connections there should be beside the first one."""
        return self._scaler.level - self._is_streaming

    @property
    def _room(self) -> int:
        """How many ranges may be in memory or in progress.

        Twice as many as connections, so that none waits for the slowest. While the first
        connection streams, the maximum, as no range is passed on before it stops.
        """
        most = self._rules.levels[-1] + 1
        return most if self._is_streaming else min(most, 2 * self._scaler.level)

    def _counts(self) -> ByteCounts:
        return ByteCounts(
            self._clock(), self._received_bytes, self._whole.account.meter.received_bytes
        )

    def _received(self, size: int, scope: anyio.CancelScope | None = None) -> None:
        self._whole.count(size)
        if scope is not None:
            self._receiving.add(scope)
        self._received_bytes += size
        connections = len(self._receiving) + self._is_streaming
        if self._scaler.observe(self._counts(), connections) or (
            self._scaler.phase == "steady" and connections == self._scaler.level
        ):
            self._follow()

    def _follow(self) -> None:
        """Act on the scaler's decision."""
        scaler = self._scaler
        if self._is_probe and scaler.phase != "probing":
            self._end_probe()
        elif scaler.phase == "watching":
            self._consider_probe()
        level = scaler.next_level
        if level is not None and self._whole.concurrency.free >= level - scaler.level:
            scaler.grow(level)
        self._start_workers()

    def _consider_probe(self) -> None:
        rules, rate = self._rules, self._scaler.rate
        rest = self._whole.size_bytes - self._reach
        judged_in_s = _SET_UP_S + rules.settle_s + rules.trial_s
        ahead = max(2 * rules.range_bytes, int(rate * judged_in_s))
        if (
            self._workers == 0
            and rest >= max(rules.least_rest_bytes, rate * rules.least_rest_s)
            and rest >= ahead + rules.range_bytes
            and self._whole.concurrency.free > 0
            and self._prospects.may_probe(self._clock())
        ):
            self._is_probe = self._prospects.is_probing = True
            self._end = self._next = self._reach + ahead
            self._scaler.probe()

    def _end_probe(self) -> None:
        self._is_probe = self._prospects.is_probing = False
        if self._scaler.phase == "steady":
            self._prospects.paid()
            return
        self._prospects.fruitless(self._clock())
        self._end = self._next = self._whole.size_bytes
        self._ranges.clear()
        for scope in self._scopes:
            scope.cancel()

    def _start_workers(self) -> None:
        while self._workers < self._wanted and self._next < self._whole.size_bytes:
            self._workers += 1
            self._tasks.start_soon(self._work)

    # Ranges ------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Fetch ranges over one connection, one after the other."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                while (byte_range := await self._claim()) is not None:
                    await self._fetch(byte_range, scope)
            finally:
                self._workers -= 1
                self._scopes.discard(scope)
                self._receiving.discard(scope)
                self._wake()

    async def _claim(self) -> ByteRange | None:
        """Take the next range; None if there are too many connections."""
        while True:
            start, size = self._next, self._whole.size_bytes
            if start >= size or self._workers > self._wanted or self._failure is not None:
                return None
            if len(self._ranges) < self._room:
                break
            await self._change()
        self._next = min(size, start + self._rules.range_bytes)
        byte_range = self._ranges[start] = ByteRange(start, self._next)
        return byte_range

    async def _fetch(self, byte_range: ByteRange, scope: anyio.CancelScope) -> None:
        try:
            failure = await self._whole.retry.call(
                self._whole.on_retry, self._try, byte_range, scope
            )
        except TransferError as error:
            # All retries of this request are used up; the whole body is not retried.
            error.transient = False
            failure = error
        self._failure = self._failure or failure
        self._wake()

    async def _try(self, byte_range: ByteRange, scope: anyio.CancelScope) -> TransferError | None:
        """Fetch the missing bytes of a range; return an error that a retry cannot help.

        Raises:
            TransferError: A retry may help.
        """
        level = self._scaler.level
        try:
            await self._within_limit(byte_range, scope)
        except ObjectChanged as error:
            self._prospects.fruitless(self._clock())
            return error
        except TransferError as error:
            self._receiving.discard(scope)
            if isinstance(error, NoRanges):
                self._prospects.no_ranges()
            if self._is_probe:
                self._scaler.give_up()
                self._follow()
            elif isinstance(error, NoRanges):
                return error
            else:
                self._yield_to(error, level)
                raise
        return None

    def _yield_to(self, error: TransferError, level: int) -> None:
        """Reduce the connections, once for all requests that were refused together."""
        is_refusal = isinstance(error, ServerError) and error.status in REFUSALS
        if is_refusal and level <= self._scaler.level:
            self._scaler.refused()

    async def _within_limit(self, byte_range: ByteRange, scope: anyio.CancelScope) -> None:
        concurrency, failure = self._whole.concurrency, None
        acquired_at = await self._acquire(byte_range.start, scope)
        try:
            await fetch_range(self._whole, byte_range, partial(self._received, scope=scope))
        except BaseException as error:
            failure = error
            raise
        finally:
            self._slots -= 1
            concurrency.release(acquired_at, 0, failure)
            self._wake()

    async def _acquire(self, start: int, scope: anyio.CancelScope) -> float:
        """Acquire a free permit; wait for one only while the body has none at all."""
        concurrency = self._whole.concurrency
        self._waiting.add(start)
        try:
            while start != min(self._waiting) or (concurrency.free <= 0 and self._slots > 0):
                self._receiving.discard(scope)
                await self._change()
            self._slots += 1
        finally:
            self._waiting.discard(start)
            self._wake()
        try:
            return await concurrency.acquire()
        except BaseException:
            self._slots -= 1
            raise
