"""A source in memory that caps each connection, and what fetches one body from it.

It works in simulated time; see `simulated_source`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from attrs import define, field, frozen
from tests.http.simulated_source import simulate
from yarl import URL

from crypto_lakehouse.collection.download.byte_ranges import OpenResponse, WholeBody
from crypto_lakehouse.collection.download.parallel_ranges import ParallelRanges
from crypto_lakehouse.collection.download.range_scaling import RangeRules
from crypto_lakehouse.collection.download.stream_to_part import stream_to_part
from crypto_lakehouse.core.errors import (
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.http.concurrency_limit import ConcurrencyLimit, FixedLimit
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.transport import Response, read_up_to

#: Everything is a sixteenth of what it is by default: bytes, and bytes per second.
MIB = 1 << 16
RULES = RangeRules(
    least_bytes=32 * MIB, least_rest_bytes=16 * MIB, range_bytes=4 * MIB, buffer_bytes=MIB
)
A_SOURCE = URL("http://source.example/data/x.zip")
CAP = 4.0 * MIB
LINE = 1000.0 * MIB


def body_of(size: int) -> bytes:
    """Bytes no two stretches of which are alike, of a few numbers."""
    return random.Random(size).randbytes(size)


BIG = body_of(256 * MIB)


@frozen
class Fault:
    """What goes wrong in one answer.

    Attributes:
        status: In place of 206 or 200.
        headers: In place of those of the same name; None takes one away.
        cut_at: After how many bytes the connection ends.
        short: How many bytes less than it was asked for are offered.
        extra: How many bytes more than the head says are sent, without Content-Length.
        lost: How many bytes less than the head says are sent, without Content-Length.
        delay_s: Further seconds to the first byte.
    """

    status: int | None = None
    headers: Mapping[str, str | None] = field(factory=dict)
    cut_at: int | None = None
    short: int = 0
    lost: int = 0
    extra: int = 0
    delay_s: float = 0.0


FINE = Fault()


@define
class Source:
    """A source in memory; a `Transport`.

    Attributes:
        connection, line: Bytes per second, of each connection and of all of them together.
        chunk: Bodies arrive in chunks of this many bytes.
        faults: What becomes of each request for a piece, by its number, 0 being the first.
        refuses_above: So many connections are borne.
    """

    data: bytes
    connection: float = CAP
    line: float = LINE
    chunk: int = MIB
    latency_s: float = 0.02
    etag: str = '"one"'
    faults: Callable[[int], Fault] = lambda _number: FINE
    refuses_above: int = 1000
    ranges: list[str] = field(init=False, factory=list)
    open: int = field(init=False, default=0)
    peak: int = field(init=False, default=0)
    sent: int = field(init=False, default=0)
    _line_free_at: float = field(init=False, default=0.0)

    @asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[Response]:
        assert url == A_SOURCE
        fault = FINE
        if "If-Match" in headers:
            fault = self.faults(len(self.ranges))
            self.ranges.append(headers["Range"])
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            await asyncio.sleep(self.latency_s + fault.delay_s)
            yield self._answer(headers, fault)
        finally:
            self.open -= 1

    def _answer(self, headers: Mapping[str, str], fault: Fault) -> Answer:
        first, _, last = headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, stop = int(first), int(last) + 1 if last else len(self.data)
        stop = max(start + 1, stop - fault.short)
        status = 206 if "Range" in headers else 200
        if headers.get("If-Match", self.etag) != self.etag:
            status = 412
        if self.open > self.refuses_above:
            status = 503
        status = fault.status or status
        said = {
            "ETag": self.etag,
            "Accept-Ranges": "bytes",
            "Content-Range": f"bytes {start}-{stop - 1}/{len(self.data)}",
            **fault.headers,
        }
        data = self.data[start:stop] if status in {200, 206} else b"no"
        size = None if fault.extra or fault.lost else len(data)
        data = data[: max(0, len(data) - fault.lost)]
        kept = {name: text for name, text in said.items() if text is not None}
        return Answer(self, status, kept, size, data + b"x" * fault.extra, fault.cut_at)

    async def bring(self, size: int) -> None:
        """Let a chunk arrive, as fast as connection and line are."""
        loop = asyncio.get_running_loop()
        came_at = loop.time() + size / self.connection
        self._line_free_at = max(self._line_free_at, loop.time()) + size / self.line
        await asyncio.sleep(max(came_at, self._line_free_at) - loop.time())
        self.sent += size


@define
class Answer:
    source: Source
    status: int
    headers: Mapping[str, str]
    size_bytes: int | None
    data: bytes
    cut_at: int | None

    async def read(self, limit: int) -> bytes:
        return await read_up_to(self, limit)

    async def chunks(self) -> AsyncGenerator[bytes | bytearray]:
        stop = len(self.data) if self.cut_at is None else min(self.cut_at, len(self.data))
        for start in range(0, stop, self.source.chunk):
            chunk = self.data[start : min(stop, start + self.source.chunk)]
            await self.source.bring(len(chunk))
            yield chunk
        if stop < len(self.data):
            raise TruncatedBody(str(A_SOURCE), expected=len(self.data), received=stop)


@define
class MemoryPart:
    """A part in memory, on a disk of so many bytes per second."""

    rate: float = 1e12
    data: bytearray = field(factory=bytearray)
    appended: Callable[[], None] = lambda: None

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    async def append(self, data: bytes | bytearray) -> None:
        await asyncio.sleep(len(data) / self.rate)
        self.data += data
        self.appended()

    async def close(self) -> None:
        pass

    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    async def commit(self, *, sync: bool = False) -> FileStat:
        raise NotImplementedError

    async def discard(self) -> None:
        raise NotImplementedError

    async def quarantine(self, note: Mapping[str, object]) -> bool:
        raise NotImplementedError


@define
class Run:
    """What fetches bodies, and what it has come to."""

    source: Source
    concurrency: ConcurrencyLimit = field(factory=lambda: FixedLimit(16))
    rules: RangeRules = RULES
    retry: RetryPolicy = field(factory=lambda: RetryPolicy(jitter=lambda low, _: low))
    meter: ByteMeter = field(factory=ByteMeter)
    parallel_ranges: ParallelRanges = field(init=False)
    retries: list[str] = field(init=False, factory=list)
    answers: list[tuple[int, float]] = field(init=False, factory=list)
    requests: int = field(init=False, default=0)
    seconds: float = field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self.parallel_ranges = ParallelRanges(self.rules, lambda: asyncio.get_running_loop().time())

    async def fetch(self, part: MemoryPart) -> None:
        """Append what is missing to a part, in one try."""
        acquired: list[float] = [await self.concurrency.acquire()]
        started = asyncio.get_running_loop().time()
        headers = {"Range": f"bytes={part.size_bytes}-"} if part.size_bytes else {}
        try:
            async with OpenResponse(self.source.get(A_SOURCE, headers)) as opened:
                size = part.size_bytes + (opened.response.size_bytes or 0)
                if not self.parallel_ranges.may_pay(A_SOURCE, opened.response, part.size_bytes):
                    await stream_to_part(
                        opened.response, part, self._count, buffer_bytes=self.rules.buffer_bytes
                    )
                    return
                await self.parallel_ranges.stream_to_part(
                    opened, part, self.whole(opened, size, acquired)
                )
        finally:
            for moment in acquired:
                self.concurrency.release(moment, 0, None)
            self.seconds = asyncio.get_running_loop().time() - started

    def whole(self, opened: OpenResponse, size: int, acquired: list[float]) -> WholeBody:
        async def on_retry(_attempt: int, _wait_s: float, error: TransferError) -> None:
            self.retries.append(error.reason)

        return WholeBody(
            transport=self.source, concurrency=self.concurrency, retry=self.retry, url=A_SOURCE,
            etag=opened.response.headers["ETag"], size_bytes=size, count=self._count,
            account=self, on_retry=on_retry,
            release=lambda: self.concurrency.release(acquired.pop(), 0, None),
        )  # fmt: skip

    def _count(self, size: int) -> None:
        self.meter.received_bytes += size

    def check_idle(self) -> None:
        """Nothing is left open, taken or under way."""
        assert self.source.open == 0
        assert self.concurrency.free == self.concurrency.limit
        assert not any(item.is_probing for item in self.parallel_ranges.sources.values())


def fetched(run: Run, part: MemoryPart | None = None) -> Run:
    """Fetch the source's body in simulated time, and see that it is whole and right."""
    part = part or MemoryPart()
    simulate(lambda: run.fetch(part))
    check_whole(run, part)
    return run


def check_whole(run: Run, part: MemoryPart) -> None:
    assert part.data == run.source.data
    assert part.sha256() == hashlib.sha256(run.source.data).hexdigest()
    run.check_idle()


def failed(run: Run, part: MemoryPart | None = None) -> TransferError:
    """Fetch in vain; the part is a prefix of the body."""
    part = part or MemoryPart()
    with pytest.raises(TransferError) as caught:
        simulate(lambda: run.fetch(part))
    assert run.source.data.startswith(part.data)
    run.check_idle()
    return caught.value
