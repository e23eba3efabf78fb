"""Fetch one object: small bodies into memory, large ones into a resumable part.

A small body is hashed and written in the event loop, which is cheapest; a large one costs one
thread hop for each buffer, which hashes and writes it while the next one is read
(ARCHITECTURE.md#thread-hops).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import anyio
from attrs import define, field, frozen
from yarl import URL

from crypto_lakehouse.collection.download.bodies import (
    FetchedBody,
    MemoryBody,
    PartBody,
    PassingBytes,
)
from crypto_lakehouse.collection.download.body_bound import (
    LARGEST_BODY_BYTES,
    BodyBound,
)
from crypto_lakehouse.collection.download.byte_ranges import OpenResponse, WholeBody
from crypto_lakehouse.collection.download.parallel_ranges import ParallelRanges
from crypto_lakehouse.collection.download.resume import (
    UnfinishedBody,
    validator_of,
    validators,
)
from crypto_lakehouse.collection.download.sidecar import SIDECAR_LIMIT_BYTES
from crypto_lakehouse.collection.download.stream_to_part import stream_to_part
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import BodyTooLarge, ObjectChanged, TransferError
from crypto_lakehouse.core.events import ArchiveRetried, BodyStarted
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.protocols import Emit, Part, Store
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.http.concurrency_limit import ConcurrencyLimit
from crypto_lakehouse.http.content_encoding import decoded_text, sent_encoded
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.transport import Transport, object_url, server_error

__all__ = ["Fetched", "Fetcher", "Transfer"]

#: Bodies up to this size are kept in memory and written in the event loop.
SMALL_BODY_BYTES = 1 << 20

_Result = TypeVar("_Result")


@frozen
class Fetched:
    """A body and the source's metadata.

    Attributes:
        url: Where it came from; URL and headers may contain secrets.
    """

    body: FetchedBody
    etag: str | None
    last_modified: str | None
    url: str = ""
    headers: Mapping[str, str] = field(factory=dict)


@define
class Transfer:
    """The attempts to fetch one archive, and what they cost.

    Attributes:
        meter: Counts the run's bytes.
        base: The source to fetch from; the second one if the first served wrong bytes.
        resume: Validators of a part that an earlier attempt left.
        listed_bytes: The archive's size in the listing; None if it is not listed.
        sidecar_etag: The sidecar's ETag, once it is fetched.
        sidecar_sent: How the sidecar was encoded, for a reason; empty if it was sent as it is.
        has_part: Whether a part was opened for it.
        body: The large body that is arriving; an attempt continues that of the one before.
        with_md5: Whether the MD5 of a large body is computed while it arrives.
        is_doubtful: Whether an earlier download of it was not clearly good.
        requests: Requests made so far.
        answers: The status of each response, and the seconds until its head came.
        answered: Whether one of them was answered to its end; 404 is an answer.
        fetched_bytes: Body bytes received so far.
        acquired_at: When it acquired the limit, in seconds by the limit's clock; None while it has
            not.
    """

    archive: Archive
    meter: ByteMeter
    base: URL
    resume: ObjectFacts | None = None
    listed_bytes: int | None = None
    sidecar_etag: str | None = field(init=False, default=None)
    sidecar_sent: str = field(init=False, default="")
    has_part: bool = field(init=False, default=False)
    body: PartBody | None = field(init=False, default=None)
    with_md5: bool = field(init=False, default=False)
    is_doubtful: bool = field(init=False, default=False)
    requests: int = field(init=False, default=0)
    answers: list[tuple[int, float]] = field(init=False, factory=list)
    answered: bool = field(init=False, default=False)
    fetched_bytes: int = field(init=False, default=0)
    acquired_at: float | None = field(init=False, default=None)
    _uncounted_bytes: int = field(init=False, default=0)

    def count(self, size: int) -> None:
        """Count body bytes as they arrive."""
        self.fetched_bytes += size
        self._uncounted_bytes += size
        self.meter.received_bytes += size

    def uncounted_bytes(self) -> int:
        """Return the body bytes received since the last call."""
        size, self._uncounted_bytes = self._uncounted_bytes, 0
        return size

    async def close(self) -> None:
        """End a part that was neither committed nor moved; see `Part.close`."""
        body, self.body = self.body, None
        if body is not None:
            with anyio.CancelScope(shield=True):
                await body.part.close()


@define
class Fetcher:
    """Fetches archives and sidecars from one source, with retries, under one limit.

    Args:
        transport: Answers requests.
        base: The source's base URL.
        second: Another source of the same objects, used if the first serves wrong bytes.
        store: Has the parts.
        retry: When and how often a failed request is repeated.
        concurrency: Limits the parallel requests; a transfer that waits for its next attempt
            does not count.
        emit: Takes events about retries and large bodies.
        meter: Counts the run's bytes as they arrive.
        parallel_ranges: Fetches very large bodies over several connections; None for never.
        largest_bytes: How many bytes a body may have, whatever the source says.
        check: Called before each attempt, with a permit of the limit; may raise to give up.
    """

    transport: Transport
    base: URL
    store: Store
    retry: RetryPolicy
    concurrency: ConcurrencyLimit
    emit: Emit
    meter: ByteMeter = field(factory=ByteMeter)
    second: URL | None = None
    parallel_ranges: ParallelRanges | None = None
    largest_bytes: int = LARGEST_BODY_BYTES
    check: Callable[[Archive], Awaitable[None]] | None = None

    def transfer(
        self,
        archive: Archive,
        resume: ObjectFacts | None = None,
        listed_bytes: int | None = None,
    ) -> Transfer:
        """Begin to fetch one archive; the arguments are those of `Transfer`."""
        return Transfer(archive, self.meter, self.base, resume, listed_bytes)

    def ask_elsewhere(self, transfer: Transfer) -> bool:
        """Start over, at the second source if there is one; return whether there is."""
        self._begin_anew(transfer, self.second or self.base)
        return self.second is not None

    def ask_first(self, transfer: Transfer) -> None:
        """Start over at the first source."""
        self._begin_anew(transfer, self.base)

    def _begin_anew(self, transfer: Transfer, base: URL) -> None:
        """Prepare a second fetch, whose bytes are compared with their ETag, too."""
        transfer.resume = None
        transfer.base = base
        transfer.with_md5 = transfer.is_doubtful = True

    async def archive(self, transfer: Transfer) -> Fetched | None:
        """Fetch the zip; None if the source has none (404).

        Raises:
            BodyTooLarge: The zip has more bytes than it may have; nothing of it is kept.
            TransferError: The source failed, after all retries.
            StoreError: A part could not be written.
        """
        return await self._with_retries(transfer, self._archive_once)

    async def sidecar(self, transfer: Transfer) -> bytes | None:
        """Fetch the sidecar, or the beginning of one that is too long; None on 404.

        Raises:
            TransferError: The source failed, after all retries.
        """
        return await self._with_retries(transfer, self._sidecar_once)

    async def _with_retries(
        self, transfer: Transfer, once: Callable[[Transfer], Awaitable[_Result]]
    ) -> _Result:
        on_retry = partial(self._tell_of_retry, transfer)
        return await self.retry.call(on_retry, self._within_limit, transfer, once)

    async def _within_limit(
        self, transfer: Transfer, once: Callable[[Transfer], Awaitable[_Result]]
    ) -> _Result:
        transfer.acquired_at = await self.concurrency.acquire()
        requests = transfer.requests
        try:
            if self.check is not None:
                await self.check(transfer.archive)
            result = await once(transfer)
        except BaseException as error:
            self._release(transfer, error)
            raise
        self._release(transfer, None)
        transfer.answered |= transfer.requests > requests
        return result

    def _release(self, transfer: Transfer, error: BaseException | None) -> None:
        """Release the limit, unless that was done."""
        acquired_at, transfer.acquired_at = transfer.acquired_at, None
        if acquired_at is not None:
            self.concurrency.release(acquired_at, transfer.uncounted_bytes(), error)

    async def _tell_of_retry(
        self, transfer: Transfer, attempt: int, wait_s: float, error: TransferError
    ) -> None:
        reason = redact(str(error))
        event = ArchiveRetried(
            archive=transfer.archive, attempt=attempt, wait_s=wait_s, reason=reason
        )
        await self.emit((event,))

    async def _sidecar_once(self, transfer: Transfer) -> bytes | None:
        url = object_url(transfer.base, transfer.archive.sidecar_key)
        transfer.requests += 1
        asked = time.perf_counter()
        async with self.transport.get(url, {}) as response:
            transfer.answers.append((response.status, time.perf_counter() - asked))
            if response.status == 404:
                return None
            if response.status != 200:
                raise server_error(url, response)
            data = await response.read(SIDECAR_LIMIT_BYTES + 1)
            transfer.sidecar_etag, _ = validators(response)
            transfer.sidecar_sent = sent_encoded(response.headers)
        transfer.count(len(data))
        return decoded_text(data, response.headers, SIDECAR_LIMIT_BYTES + 1)

    async def _archive_once(self, transfer: Transfer) -> Fetched | None:
        unfinished = await self._unfinished(transfer)
        if unfinished is not None and unfinished.is_whole:
            return _whole(unfinished)
        url = object_url(transfer.base, transfer.archive.key)
        headers = unfinished.headers if unfinished else {}
        transfer.requests += 1
        asked = time.perf_counter()
        async with OpenResponse(self.transport.get(url, headers)) as opened:
            response = opened.response
            transfer.answers.append((response.status, time.perf_counter() - asked))
            if response.status == 404:
                return None
            if response.status == 206 and unfinished is not None:
                body: FetchedBody = await self._continue(transfer, url, opened, unfinished)
            elif response.status == 416 and unfinished is not None:
                if unfinished.is_all_of(response):
                    return _whole(unfinished)
                raise await self._start_over(transfer, url, unfinished, "its size is another")
            elif response.status == 200:
                body = await self._take(transfer, url, opened)
            else:
                raise server_error(url, response)
            etag, last_modified = validators(response)
        return Fetched(body, etag, last_modified, str(url), response.headers)

    async def _unfinished(self, transfer: Transfer) -> UnfinishedBody | None:
        """Return the bytes that an earlier attempt left, if they can be resumed."""
        known, transfer.resume = transfer.resume, None
        if known is None or validator_of(known) is None:
            return None
        body = transfer.body or await self._open_part(transfer, resume=True)
        if not body.size_bytes:
            return None
        transfer.resume = known
        return UnfinishedBody(body, known)

    async def _open_part(self, transfer: Transfer, *, resume: bool) -> PartBody:
        await transfer.close()
        transfer.has_part = True
        expected = transfer.resume.size_bytes if transfer.resume else None
        passed = PassingBytes(transfer.with_md5, expected)
        key = transfer.archive.key
        part = await self.store.open_part(
            key, resume=resume, watch=passed.feed, doubtful=transfer.is_doubtful
        )
        transfer.body = PartBody(part, passed)
        return transfer.body

    async def _start_over(
        self, transfer: Transfer, url: URL, unfinished: UnfinishedBody, reason: str
    ) -> ObjectChanged:
        """Remove the part; the error makes the next attempt start over."""
        transfer.resume = transfer.body = None
        await unfinished.body.discard()
        return ObjectChanged(str(url), f"the object changed while it was fetched: {reason}")

    async def _take(self, transfer: Transfer, url: URL, opened: OpenResponse) -> FetchedBody:
        """Read a complete body, into memory or into a part by its announced size."""
        response, key = opened.response, transfer.archive.key
        if response.size_bytes is not None and response.size_bytes <= SMALL_BODY_BYTES:
            data = await response.read(SMALL_BODY_BYTES)
            transfer.count(len(data))
            return MemoryBody(self.store, key, data)
        etag, last_modified = validators(response)
        facts = ObjectFacts(size_bytes=response.size_bytes, etag=etag, last_modified=last_modified)
        transfer.resume = facts
        await self.emit((BodyStarted(archive=transfer.archive, facts=facts),))
        body = await self._open_part(transfer, resume=False)
        await self._append_body(transfer, url, opened, body)
        return body

    async def _append_body(
        self, transfer: Transfer, url: URL, opened: OpenResponse, body: PartBody
    ) -> None:
        """Append a body to its part; nothing stays of one that is too large."""
        held_bytes, listed_bytes = body.size_bytes, transfer.listed_bytes
        try:
            bound = BodyBound.of(url, opened.response, held_bytes, listed_bytes, self.largest_bytes)
            await self._append_chunks(transfer, opened, body.part, bound)
        except BodyTooLarge:
            transfer.resume = transfer.body = None
            await body.discard()
            raise

    async def _append_chunks(
        self, transfer: Transfer, opened: OpenResponse, part: Part, bound: BodyBound
    ) -> None:
        """Append a body to a part, over several connections if that may be faster."""
        url, count = bound.url, partial(self._count, transfer)
        if self.parallel_ranges is None or not self.parallel_ranges.may_pay(
            url, opened.response, part.size_bytes
        ):
            await stream_to_part(opened.response, part, bound.bounding(count))
            return
        whole = WholeBody(
            transport=self.transport,
            concurrency=self.concurrency,
            retry=self.retry,
            url=url,
            etag=opened.response.headers["ETag"],
            size_bytes=part.size_bytes + (opened.response.size_bytes or 0),
            count=count,
            account=transfer,
            on_retry=partial(self._tell_of_retry, transfer),
            release=partial(self._release, transfer, None),
        )
        await self.parallel_ranges.stream_to_part(opened, part, whole)

    def _count(self, transfer: Transfer, size: int) -> None:
        """Count a part of a large body, and let the limit learn from it before the body ends."""
        transfer.count(size)
        self.concurrency.received(transfer.uncounted_bytes())

    async def _continue(
        self, transfer: Transfer, url: URL, opened: OpenResponse, unfinished: UnfinishedBody
    ) -> FetchedBody:
        """Append the rest of a body to the part that holds its beginning."""
        if reason := unfinished.mismatch(opened.response):
            raise await self._start_over(transfer, url, unfinished, reason)
        await self._append_body(transfer, url, opened, unfinished.body)
        return unfinished.body


def _whole(unfinished: UnfinishedBody) -> Fetched:
    """The complete body, if no bytes are missing."""
    known = unfinished.known
    return Fetched(unfinished.body, known.etag, known.last_modified)
