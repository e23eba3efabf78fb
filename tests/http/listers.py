"""What the tests of listings share: a lister, and transports that need no network."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import anyio.lowlevel
from attrs import define, field
from yarl import URL

from crypto_lakehouse.core.errors import TransferError
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.listed import ListingPage
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.s3_listing import MOST_PAGES, Lister
from crypto_lakehouse.http.transport import HttpTransport, Transport
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.objects.objects import Entry
from crypto_lakehouse.testing.server.listing import ListingQuery, list_page, page_xml

__all__ = [
    "Answer",
    "Answers",
    "Bucket",
    "Heard",
    "Sending",
    "holding",
    "keys_of",
    "lister_of",
    "listing",
    "numbered",
    "objects",
    "page",
    "read",
]

BASE = "http://bucket.example"
MOMENT = datetime(2025, 7, 15, 3, tzinfo=UTC)
ENTRY = Entry(size=3, etag='"0f"', last_modified=MOMENT)


class Heard:
    """Remembers events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, events: Sequence[Event]) -> None:
        self.events += events


class Answer:
    """A response whose body arrives in three pieces."""

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}
        self.size_bytes: int | None = len(body)
        self._body = body

    async def read(self, limit: int) -> bytes:
        return self._body[:limit]

    async def chunks(self) -> AsyncGenerator[bytes]:
        step = len(self._body) // 2 + 1
        for start in (0, step, 2 * step):
            yield self._body[start : start + step]


@define
class Answers:
    """Gives its answers in turn, the last one again and again: pages, statuses or errors."""

    answers: Sequence[str | int | TransferError]
    urls: list[URL] = field(factory=list)

    @asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        answer = self.answers[min(len(self.urls), len(self.answers) - 1)]
        self.urls.append(url)
        if isinstance(answer, TransferError):
            raise answer
        if isinstance(answer, int):
            yield Answer(b"", answer)
        else:
            yield Answer(answer.encode(), 200)

    @property
    def markers(self) -> list[str]:
        """Where each request asked to go on."""
        return [url.query.get("marker", "") for url in self.urls]


@define
class Sending:
    """Sends one body with these headers, again and again."""

    body: bytes
    headers: Mapping[str, str]

    @asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        yield Answer(self.body, 200, self.headers)


@define
class Bucket:
    """Lists keys as S3 does, and counts its pages and how many were open at once."""

    keys: Iterable[str]
    pages: int = 0
    active: int = 0
    peak: int = 0

    @asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        self.pages += 1
        self.active += 1
        self.peak = max(self.peak, self.active)
        await anyio.lowlevel.checkpoint()
        query = ListingQuery.parse(url.query)
        text = page_xml(query, list_page(query, self._keys_after), lambda _key: ENTRY)
        yield Answer(text.encode(), 200)
        self.active -= 1

    def _keys_after(self, prefix: str, after: str) -> Iterator[str]:
        return iter(sorted(key for key in self.keys if key.startswith(prefix) and key > after))


def lister_of(
    transport: Transport,
    retry: RetryPolicy | None = None,
    base: str = BASE,
    *,
    most_pages: int = MOST_PAGES,
) -> Lister:
    """A lister over a transport; without retries unless there is a policy."""
    return Lister(
        transport=transport,
        base=URL(base),
        retry=retry or RetryPolicy(max_retries=0),
        limiter=anyio.Semaphore(4),
        emit=Heard(),
        most_pages=most_pages,
    )


@asynccontextmanager
async def listing(
    base: str,
    retry: RetryPolicy,
    *,
    redirects: Iterable[str] = (),
    emit: Heard | None = None,
    limit: int = 4,
) -> AsyncIterator[Lister]:
    """A lister over the real client, with as many connections as requests under way."""
    async with engine_client(limit, 30) as client:
        yield Lister(
            transport=HttpTransport(client, AllowedHosts.of(base, redirects)),
            base=URL(base),
            retry=retry,
            limiter=anyio.Semaphore(limit),
            emit=emit or Heard(),
        )


async def read(
    lister: Lister, prefix: str, *, after: str = "", delimiter: str = "", page_keys: int = 1000
) -> list[ListingPage]:
    """Read all pages."""
    pages = lister.pages(prefix, after=after, delimiter=delimiter, page_keys=page_keys)
    return [page async for page in pages]


def holding(*keys: str) -> ArchiveServer:
    server = ArchiveServer(generate=False)
    for key in keys:
        server.put(key, b"abc", etag="0f", last_modified=MOMENT)
    return server


def numbered(folder: str, count: int) -> list[str]:
    return [f"{folder}{number:05}.zip" for number in range(count)]


def keys_of(pages: Iterable[ListingPage]) -> list[str]:
    return [item.key for page in pages for item in page.objects]


def objects(*keys: str) -> str:
    return "".join(f"<Contents><Key>{key}</Key><Size>3</Size></Contents>" for key in keys)


def page(*inner: str, more: bool = False, marker: str = "", folders: Iterable[str] = ()) -> str:
    """A page as XML."""
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders
    )
    facts = f"<IsTruncated>{str(more).lower()}</IsTruncated><NextMarker>{marker}</NextMarker>"
    return f"<ListBucketResult>{facts}{''.join(inner)}{prefixes}</ListBucketResult>"
