"""List what a source holds: S3 ListObjects, version 1, a page at a time.

A page that cannot be had is an error and never the end: what is not known to be absent may be
there.

Source: docs/archive.md#listing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
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
from crypto_lakehouse.core.listed import ListingPage
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.s3_listing_xml import NotAListing, PageParser, ParsedPage
from crypto_lakehouse.http.transport import Transport, object_url, server_error

__all__ = ["Lister"]

#: Statuses with which a source says that it has no listing, and not that it is in trouble.
_NO_LISTING = frozenset({400, 401, 403, 404, 405, 406, 410, 501})

#: What S3 answers to one request at most.
_MAX_KEYS = 1000


class _Stuck(ListingMalformed):
    """A listing that would never end; asking again would not help."""

    transient = False


@define
class Lister:
    """Lists one source, with retries, under one limit; many prefixes may be listed concurrently.

    Args:
        transport: Answers requests.
        base: The listing's address: the endpoint and the bucket, or a host that is the bucket.
        retry: When to try again.
        limiter: Bounds the requests under way; held neither between pages nor between tries.
        emit: Told of retries.
        requests: Counts the requests made.
    """

    transport: Transport
    base: URL
    retry: RetryPolicy
    limiter: anyio.Semaphore
    emit: Emit
    requests: int = field(default=0)

    async def check(self) -> None:
        """Ask for one entry.

        Raises:
            NoListing: The source answers, but has no listing here.
            ListingError: It does not answer, or not as it should.
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
        """Yield a prefix's pages, in order, until the listing ends or the caller stops.

        Args:
            prefix: A key prefix that ends with a slash; `.../1m` would also find `.../1mo/`.
            after: Only keys behind this one, in the order of their UTF-8 bytes.
            delimiter: `/` rolls up what lies below folders; empty lists every object.
            page_keys: How many entries a page may have, from 1 to 1000.

        Raises:
            ListingError: A page could not be had, after all retries.
        """
        if not prefix.endswith("/"):
            raise ValueError(f"the prefix `{prefix}` must end with a slash")
        if page_keys < 1:
            # S3 answers 0 with a page that is empty and says that it is the last.
            raise ValueError(f"a page of {page_keys} keys would look like an empty listing")
        has_more = True
        while has_more:
            try:
                parsed = await self._retried(prefix, after, delimiter, page_keys)
            except TransferError as error:
                raise ListingError(prefix, _said(error)) from error
            has_more = parsed.is_truncated
            yield ListingPage(parsed.objects, parsed.folders, has_more)
            after = _last(parsed)

    async def _retried(self, prefix: str, after: str, delimiter: str, page_keys: int) -> ParsedPage:
        attempts = self.retry.attempts(partial(self._tell_of_retry, prefix))
        page: ParsedPage = await attempts(self._page, prefix, after, delimiter, page_keys)
        return page

    async def _tell_of_retry(
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
            async with self.transport.get(url, {}) as response:
                if response.status != 200:
                    raise server_error(url, response)
                parser = PageParser(redact(str(url)))
                async with aclosing(response.chunks()) as chunks:
                    async for chunk in chunks:
                        parser.feed(chunk)
        page = parser.close()
        _check(page, fields, str(url))
        return page


def _address(base: URL, fields: dict[str, str]) -> URL:
    """The address of one page; keys are encoded as UTF-8."""
    query = "&".join(f"{name}={quote(text, safe='')}" for name, text in fields.items())
    path = object_url(base, "").raw_path.rstrip("/") or "/"
    bare = str(base.with_user(None).with_path(path, encoded=True))
    return URL(f"{bare}?{query}", encoded=True)


def _check(page: ParsedPage, asked: Mapping[str, str], url: str) -> None:
    """Refuse a page that cannot be part of an honest listing of what was asked for.

    Raises:
        ListingMalformed: It lists what was not asked for, or in no order, or never ends.
    """
    prefix, after, delimiter = asked["prefix"], asked["marker"], asked["delimiter"]
    keys = [item.key for item in page.objects]
    _check_order(keys, prefix, after, url)
    _check_order(page.folders, prefix, after, url)
    for folder in page.folders:
        # A folder that nobody asked for hides the objects in it, and one that is the prefix
        # itself would be gone into for ever.
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
        raise _Stuck(url, "malformed listing: it goes on where it has been already")
    if not marker.startswith(prefix):
        raise _Stuck(url, f"malformed listing: it goes on at `{marker[:200]}`, outside of it")


def _not_asked_for(key: str, url: str) -> ListingMalformed:
    return ListingMalformed(url, f"malformed listing: `{key[:200]}` was not asked for")


def _last(page: ParsedPage) -> str:
    """Where the next page begins: S3 says so only where a delimiter was sent."""
    return page.next_marker or _last_entry(page)


def _last_entry(page: ParsedPage) -> str:
    keys = page.objects[-1].key if page.objects else ""
    return max(keys, page.folders[-1] if page.folders else "")


def _said(error: TransferError) -> str:
    """An error's text on one line, without secrets."""
    return " ".join(redact(str(error)).split())
