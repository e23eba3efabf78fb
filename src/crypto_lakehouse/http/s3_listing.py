"""Lists a source page by page, with S3 ListObjects, version 1.

A page that cannot be fetched is an error, never the end of the listing: archives that are not known
to be absent may exist.

Source: docs/archive.md#listing.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import quote

import anyio
from attrs import define, field
from yarl import URL

from crypto_lakehouse.core.errors import (
    ListingError,
    ListingMalformed,
    NoListing,
    RedirectRefused,
    ServerError,
    TransferError,
)
from crypto_lakehouse.core.events import ListingRetried
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.listed import ListingPage
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.http.content_encoding import decoded_chunks, sent_encoded
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.s3_listing_xml import NotAListing, PageParser, ParsedPage
from crypto_lakehouse.http.shared_budget import SharedSemaphore
from crypto_lakehouse.http.transport import Response, Transport, object_url, server_error

__all__ = ["MOST_PAGES", "Lister"]

#: Statuses that mean that a source has no listing, as opposed to a temporary failure.
_NO_LISTING = frozenset({400, 401, 403, 404, 405, 406, 410, 501})

#: The most keys that S3 returns for one request.
_MAX_KEYS = 1000

#: The longest listing of a prefix, in pages of 1000 entries. The longest published one has less
#: than ten thousand entries.
MOST_PAGES = 1000


class _Stuck(ListingMalformed):
    """A listing that would never end; a retry would not help."""

    transient = False


class _Unforeseen(TransferError):
    """An error that no code foresaw."""

    transient = False


def _ignore(_status: int | None, _seconds: float) -> None:
    """Count no answer."""


@define
class Lister:
    """Lists one source, with retries and a concurrency limit; prefixes may be listed in parallel.

    Args:
        transport: Sends requests.
        base: The URL of the listing: endpoint and bucket, or the host of the bucket.
        retry: The retry policy.
        limiter: Limits parallel requests; not held between pages or retries.
        emit: Receives an event for each retry.
        most_pages: A listing of a prefix with more pages of 1000 entries is refused: it may never
            end.
        on_answer: Called for each request with the status of its response, None if none came, and
            the seconds until the head of the response came.
        requests: The number of requests sent.
    """

    transport: Transport
    base: URL
    retry: RetryPolicy
    limiter: anyio.Semaphore | SharedSemaphore
    emit: Emit
    most_pages: int = field(default=MOST_PAGES, kw_only=True)
    on_answer: Callable[[int | None, float], None] = field(default=_ignore, kw_only=True)
    requests: int = field(default=0)

    async def check(self) -> None:
        """Request one entry, to check that there is a listing.

        Raises:
            NoListing: The source responds, but has no listing here.
            ListingError: The source does not respond, or its response is invalid.
        """
        prefix = "data/"
        try:
            await self._retried(prefix, "", "/", 1)
        except NotAListing as error:
            raise NoListing(prefix, f"the source has no listing: {_said(error)}") from error
        except RedirectRefused as error:
            raise NoListing(prefix, _said(error)) from error
        except ServerError as error:
            says_no = error.status in _NO_LISTING or 300 <= error.status < 400
            kind = NoListing if says_no else ListingError
            raise kind(prefix, _said(error)) from error
        except TransferError as error:
            raise ListingError(prefix, _said(error)) from error

    async def folders(self, prefix: str) -> list[str]:
        """Return the folders right below a prefix, as whole prefixes with a trailing slash.

        Raises:
            ListingError: The prefix cannot be listed.
        """
        found: list[str] = []
        async with aclosing(self.pages(prefix, delimiter="/")) as pages:
            async for page in pages:
                found += page.folders
        return found

    async def pages(
        self, prefix: str, *, after: str = "", delimiter: str = "", page_keys: int = _MAX_KEYS
    ) -> AsyncGenerator[ListingPage]:
        """Yield the pages of a prefix in order, until the listing ends or the caller stops.

        Args:
            prefix: A key prefix that ends with a slash; `.../1m` would also match `.../1mo/`.
            after: Only list keys after this one, in the order of their UTF-8 bytes.
            delimiter: `/` groups the keys below each folder; empty lists every object.
            page_keys: The most entries of a page, from 1 to 1000.

        Raises:
            ListingError: A page could not be fetched, after all retries, or there are too many.
        """
        if not prefix.endswith("/"):
            raise ValueError(f"the prefix `{prefix}` must end with a slash")
        if page_keys < 1:
            # For 0, S3 returns an empty page that is marked as the last one.
            raise ValueError(f"a page of {page_keys} keys would look like an empty listing")
        entries = 0
        for _ in range(self.most_pages):
            try:
                parsed = await self._retried(prefix, after, delimiter, page_keys)
            except TransferError as error:
                raise ListingError(prefix, _said(error)) from error
            # A source may put more into a page than was requested.
            entries += len(parsed.objects) + len(parsed.folders)
            if entries > self.most_pages * _MAX_KEYS:
                break
            yield ListingPage(parsed.objects, parsed.folders, parsed.is_truncated)
            if not parsed.is_truncated:
                return
            after = _last(parsed)
        raise ListingError(
            prefix,
            f"the listing has more than {self.most_pages} pages of {_MAX_KEYS} entries, which no "
            "published folder has; ask the owner of the source",
        )

    async def _retried(self, prefix: str, after: str, delimiter: str, page_keys: int) -> ParsedPage:
        attempts = self.retry.attempts(partial(self._report_retry, prefix))
        page: ParsedPage = await attempts(self._guarded, prefix, after, delimiter, page_keys)
        return page

    async def _guarded(self, prefix: str, *asked: Any) -> ParsedPage:
        """Fetch a page; an unforeseen error is one of this page, and a retry would not help."""
        try:
            return await self._page(prefix, *asked)
        except TransferError:
            raise
        except Exception as error:
            raise _Unforeseen(str(self.base), unforeseen(error, prefix)) from error

    async def _report_retry(
        self, prefix: str, attempt: int, wait_s: float, error: TransferError
    ) -> None:
        reason = redact(str(error))
        event = ListingRetried(prefix=prefix, attempt=attempt, wait_s=wait_s, reason=reason)
        await self.emit((event,))

    async def _page(self, prefix: str, after: str, delimiter: str, page_keys: int) -> ParsedPage:
        fields = {
            "prefix": prefix,
            "delimiter": delimiter,
            "marker": after,
            "max-keys": str(min(page_keys, _MAX_KEYS)),
        }
        url = _address(self.base, {name: text for name, text in fields.items() if text})
        async with self.limiter:
            self.requests += 1
            began, status, seconds = anyio.current_time(), None, 0.0
            try:
                async with self.transport.get(url, {}) as response:
                    status, seconds = response.status, anyio.current_time() - began
                    if status != 200:
                        raise server_error(url, response)
                    page = await _read_page(response, redact(str(url)))
            finally:
                self.on_answer(status, seconds)
        _check(page, fields, str(url))
        return page


async def _read_page(response: Response, url: str) -> ParsedPage:
    """Parse a page as it arrives; decode it if the source compresses it unasked."""
    parser = PageParser(url)
    try:
        async with aclosing(decoded_chunks(response)) as chunks:
            async for chunk in chunks:
                parser.feed(chunk)
        return parser.close()
    except zlib.error as error:
        reason = f"malformed listing: it is not gzip: {error}{sent_encoded(response.headers)}"
        raise ListingMalformed(url, reason) from error
    except ListingMalformed as error:
        if sent := sent_encoded(response.headers):
            raise type(error)(url, f"{error.reason}{sent}") from error
        raise


def _address(base: URL, fields: dict[str, str]) -> URL:
    """The address of one page; keys are encoded as UTF-8."""
    query = "&".join(f"{name}={quote(text, safe='')}" for name, text in fields.items())
    path = object_url(base, "").raw_path.rstrip("/") or "/"
    bare = str(base.with_user(None).with_path(path, encoded=True))
    return URL(f"{bare}?{query}", encoded=True)


def _check(page: ParsedPage, asked: Mapping[str, str], url: str) -> None:
    """Refuse a page that cannot be part of a valid listing of the requested prefix.

    Raises:
        ListingMalformed: It lists other keys than requested, is not sorted, or never ends.
    """
    prefix, after, delimiter = asked["prefix"], asked["marker"], asked["delimiter"]
    keys = [item.key for item in page.objects]
    _check_order(keys, prefix, after, url)
    _check_order(page.folders, prefix, after, url)
    for folder in page.folders:
        # A folder that was not requested would hide its objects, and one that equals the prefix
        # would cause endless recursion.
        if not delimiter or folder.find(delimiter, len(prefix)) != len(folder) - len(delimiter):
            raise _not_asked_for(folder, url)
    if delimiter and (deep := [key for key in keys if delimiter in key[len(prefix) :]]):
        raise _not_asked_for(deep[0], url)
    if page.is_truncated:
        _check_marker(page, prefix, after, url)


def _check_order(keys: Sequence[str], prefix: str, after: str, url: str) -> None:
    before = after
    for key in keys:
        if not key.startswith(prefix):
            raise _not_asked_for(key, url)
        if key <= before:
            raise ListingMalformed(url, f"malformed listing: `{key[:200]}` is out of order")
        before = key


def _check_marker(page: ParsedPage, prefix: str, after: str, url: str) -> None:
    marker = _last(page)
    if marker <= after or marker < _last_entry(page):
        raise _Stuck(url, "malformed listing: its next page is not after this one")
    if not marker.startswith(prefix):
        raise _Stuck(
            url, f"malformed listing: its next page `{marker[:200]}` is outside the prefix"
        )


def _not_asked_for(key: str, url: str) -> ListingMalformed:
    return ListingMalformed(url, f"malformed listing: `{key[:200]}` was not requested")


def _last(page: ParsedPage) -> str:
    """Return the marker of the next page; S3 only sends one if there is a delimiter."""
    return page.next_marker or _last_entry(page)


def _last_entry(page: ParsedPage) -> str:
    keys = page.objects[-1].key if page.objects else ""
    return max(keys, page.folders[-1] if page.folders else "")


def _said(error: TransferError) -> str:
    """Return the text of an error on one line, without secrets."""
    return " ".join(redact(str(error)).split())
