"""One byte range of a large body: its request, and which responses are accepted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import NamedTuple, Protocol, Self

from attrs import define, field, frozen
from yarl import URL

from crypto_lakehouse.core.errors import ObjectChanged, TransferError, TruncatedBody
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.whole_numbers import STORABLE, whole_number
from crypto_lakehouse.http.concurrency_limit import ConcurrencyLimit
from crypto_lakehouse.http.retry import OnRetry, RetryPolicy
from crypto_lakehouse.http.transport import Response, Transport, server_error

__all__ = [
    "ByteRange",
    "ContentRange",
    "NoRanges",
    "OpenResponse",
    "WholeBody",
    "content_range",
    "fetch_range",
]

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)

#: Statuses that mean, for a request with If-Match and a range, that the object has changed.
_CHANGED = frozenset({404, 412, 416})


class ContentRange(NamedTuple):
    """A Content-Range header (RFC 9110, section 14.4).

    Attributes:
        start: The first byte.
        stop: The byte after the last one.
        total: The size of the whole body; None if the header does not give it.
    """

    start: int
    stop: int
    total: int | None


def content_range(response: Response) -> ContentRange | None:
    """Return the range that a response says it has; None if it gives no possible range."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        return None
    start, last = whole_number(match[1]), whole_number(match[2], below=STORABLE - 1)
    total = whole_number(match[3])
    if start is None or last is None or (total is None and match[3] != "*"):
        return None
    return ContentRange(start, last + 1, total)


class NoRanges(TransferError):
    """The source does not answer a range request with that range."""


class Account(Protocol):
    """Counts the requests of an archive, and the bytes of the run.

    Attributes:
        requests: The archive's requests so far.
        answers: The status of each response, and the seconds until its head came.
        meter: Counts the run's bytes.
    """

    requests: int
    answers: list[tuple[int, float]]
    meter: ByteMeter


class OpenResponse:
    """A response whose connection can be released before its context ends."""

    __slots__ = ("_exchange", "_is_held", "response")

    def __init__(self, exchange: AbstractAsyncContextManager[Response]) -> None:
        self._exchange = exchange
        self._is_held = True

    async def __aenter__(self) -> Self:
        self.response = await self._exchange.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    async def release(self) -> None:
        """Release the connection now."""
        if self._is_held:
            self._is_held = False
            await self._exchange.__aexit__(None, None, None)


@frozen(kw_only=True)
class WholeBody:
    """A body that has begun to arrive, and how further ranges of it are fetched.

    Attributes:
        transport, concurrency, retry: What a request for a range goes through.
        url: Where the body is.
        etag: Its ETag, a strong one.
        size_bytes: Its full length.
        count: Is called with the number of bytes as they arrive.
        account: Counts each request for a range.
        on_retry: Is called before each retry.
        release: Releases the first connection's permit of the limit.
    """

    transport: Transport
    concurrency: ConcurrencyLimit
    retry: RetryPolicy
    url: URL
    etag: str
    size_bytes: int
    count: Callable[[int], None]
    account: Account
    on_retry: OnRetry
    release: Callable[[], None]


@define(eq=False)
class ByteRange:
    """A range of the body; `is_done` once all of it has arrived in valid responses."""

    start: int
    end: int
    chunks: list[bytes | bytearray] = field(factory=list, repr=False)
    is_done: bool = False
    _held: int = 0

    @property
    def missing(self) -> int:
        """How many of its last bytes have not arrived yet."""
        return self.end - self.start - self._held

    def add(self, chunk: bytes | bytearray) -> None:
        """Append the next bytes."""
        self.chunks.append(chunk)
        self._held += len(chunk)


async def fetch_range(
    whole: WholeBody, byte_range: ByteRange, received: Callable[[int], None]
) -> None:
    """Fetch the missing bytes of a range; it keeps those that came before an error.

    Args:
        whole: The body.
        byte_range: Takes the bytes.
        received: Is called with their number as they arrive.

    Raises:
        ObjectChanged: The source has another object now.
        NoRanges: The source does not support ranges.
        TransferError: A retry may help.
    """
    while byte_range.missing:
        await _ask(whole, byte_range, received)
    byte_range.is_done = True


async def _ask(whole: WholeBody, byte_range: ByteRange, received: Callable[[int], None]) -> None:
    """Fetch one response, which may have less than the requested range."""
    start = byte_range.end - byte_range.missing
    headers = {"Range": f"bytes={start}-{byte_range.end - 1}", "If-Match": whole.etag}
    whole.account.requests += 1
    asked = time.perf_counter()
    async with whole.transport.get(whole.url, headers) as response:
        whole.account.answers.append((response.status, time.perf_counter() - asked))
        due = length = _length(whole, response, start, byte_range.end)
        async with aclosing(response.chunks()) as chunks:
            async for chunk in chunks:
                due -= len(chunk)
                if due < 0:
                    raise NoRanges(str(whole.url), "the source sent more than a range")
                byte_range.add(chunk)
                received(len(chunk))
    if due:
        raise TruncatedBody(str(whole.url), expected=length, received=length - due)


def _length(whole: WholeBody, response: Response, start: int, end: int) -> int:
    """Return how many bytes of a range a response has, from `start` on.

    Raises:
        TransferError: It has something else.
    """
    url, etag = str(whole.url), response.headers.get("ETag")
    is_other = response.status in {200, 206} and etag not in {None, whole.etag}
    if is_other or response.status in _CHANGED:
        raise ObjectChanged(url, "the object changed while it was fetched")
    if response.status not in {200, 206}:
        raise server_error(whole.url, response)
    sent = content_range(response)
    if response.status == 206 and etag is not None and sent is not None:
        is_ours = sent.start == start < sent.stop <= end and sent.total == whole.size_bytes
        if is_ours and response.size_bytes in {None, sent.stop - start}:
            return sent.stop - start
    raise NoRanges(url, "the source answers a range with something else")
