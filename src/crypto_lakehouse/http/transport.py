"""The transport of all requests, and the interface of the client below it.

A transport performs one GET. It follows redirects only to hosts that the configuration names, never
decodes a body (an archive's bytes are hashed as published), and stores no cookies. Below it is a
client that only sends requests: the engine's (`exchange`), or one on an aiohttp session
(`session_client`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from attrs import define
from yarl import URL

from crypto_lakehouse.core.errors import ProxyRefused, RedirectRefused, ServerError
from crypto_lakehouse.core.listed import header_date
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.rate_limit import BytePace, RequestPace

__all__ = [
    "Answer",
    "Client",
    "HttpTransport",
    "Response",
    "Transport",
    "basic_authorization",
    "object_url",
]

_MAX_REDIRECTS = 5

#: Keys that do not change by quoting, like nearly all keys.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9/._~-]+", re.ASCII)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Response(Protocol):
    """The response to one GET; its body can be read once, either as a whole or in chunks."""

    status: int
    headers: Mapping[str, str]
    size_bytes: int | None
    """The announced length of the body; None if there is none."""

    async def read(self, limit: int) -> bytes:
        """Read the body, at most `limit` bytes of it.

        Raises:
            TransferError: The body was cut off, or the source was silent for too long.
        """
        ...

    def chunks(self) -> AsyncGenerator[bytes | bytearray]:
        """Yield the body as it arrives; raises like `read`."""
        ...


class Answer(Response, Protocol):
    """A response whose connection the caller must release."""

    def release(self) -> None:
        """Release the connection; the unread part of the body is lost."""
        ...


class Client(Protocol):
    """Sends single requests: without redirects, user information or cookies."""

    async def send(self, url: URL, headers: Mapping[str, str]) -> Answer:
        """Send a GET and wait for the head of the response.

        Raises:
            TransferError: There is no response.
        """
        ...


class Transport(Protocol):
    """Performs GET requests."""

    def get(self, url: URL, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Response]:
        """Send one request; leaving the context releases the connection."""
        ...


def object_url(base: URL, key: str) -> URL:
    """Return the URL of an object; keys are percent-encoded as UTF-8 here and nowhere else."""
    bare, folder = _bare(base)
    path = key if _PLAIN_KEY.fullmatch(key) else quote(key, safe="/")
    return bare.with_path(f"{folder}/{path}", encoded=True)


@lru_cache(maxsize=8)
def _bare(base: URL) -> tuple[URL, str]:
    """Return a base URL without user information, and its path without a trailing slash."""
    return base.with_user(None), base.raw_path.rstrip("/")


@define
class HttpTransport:
    """A transport on a client; it handles hosts, redirects and rate limits.

    Args:
        client: Sends requests.
        hosts: The hosts that requests may go to.
        bytes_rate: Limits body bytes; None for no limit.
        requests_rate: Limits requests; None for no limit.
    """

    client: Client
    hosts: AllowedHosts
    bytes_rate: BytePace | None = None
    requests_rate: RequestPace | None = None

    def get(self, url: URL, headers: Mapping[str, str]) -> _AnswerContext:
        """Send one request, and follow the redirects that are allowed.

        Raises:
            TransferError: There is no response, or a redirect is refused.
        """
        return _AnswerContext(self, url, headers)

    async def open(self, url: URL, headers: Mapping[str, str]) -> Answer:
        """Like `get`, but the caller must release the answer.

        Raises:
            RedirectRefused: A redirect is not allowed, or there are too many.
            TransferError: There is no response.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            if self.requests_rate is not None:
                await self.requests_rate.pay()
            answer = await self.client.send(url, self._signed(url, headers))
            if answer.status not in _REDIRECTS:
                return answer
            location = answer.headers.get("Location", "")
            answer.release()
            url = self._redirected(url, location)
        raise RedirectRefused(str(url), f"more than {_MAX_REDIRECTS} redirects")

    def _signed(self, url: URL, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Add the user information of a source to requests to this source only."""
        if not self.hosts.has_users:
            return headers
        source = self.hosts.source_of(url)
        if source is None or source.user is None:
            return headers
        return {**headers, "Authorization": basic_authorization(source.user, source.password or "")}

    def _redirected(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location))
            refusal = self.hosts.refusal(url, target)
        except Exception:  # noqa: BLE001 - yarl raises IndexError, too, as for `//[]@`
            target, refusal = URL(), "it is not a URL; ask the owner of the source"
        if not refusal:
            return target
        raise RedirectRefused(str(url), f"redirect to `{shown(location)}` refused: {refusal}")


class _AnswerContext:
    """One request and its answer; a class, because a generator is slower on the hot path."""

    __slots__ = ("_answer", "_headers", "_transport", "_url")

    def __init__(self, transport: HttpTransport, url: URL, headers: Mapping[str, str]) -> None:
        self._transport = transport
        self._url = url
        self._headers = headers

    async def __aenter__(self) -> Response:
        transport = self._transport
        self._answer = await transport.open(self._url, self._headers)
        if transport.bytes_rate is None:
            return self._answer
        return _Capped(self._answer, transport.bytes_rate)

    async def __aexit__(self, *_: object) -> None:
        self._answer.release()


class _Capped:
    """An answer whose body is read at a limited rate; the sender waits while the reader does."""

    def __init__(self, answer: Answer, rate: BytePace) -> None:
        self._answer = answer
        self._rate = rate
        self.status = answer.status
        self.headers = answer.headers
        self.size_bytes = answer.size_bytes

    async def read(self, limit: int) -> bytes:
        return await read_up_to(self, limit)

    async def chunks(self) -> AsyncGenerator[bytes | bytearray]:
        async with aclosing(self._answer.chunks()) as chunks:
            async for chunk in chunks:
                await self._rate.pay(len(chunk))
                yield chunk


async def read_up_to(response: Response, limit: int) -> bytes:
    """Read at most `limit` bytes of a body."""
    parts: list[bytes | bytearray] = []
    received = 0
    async with aclosing(response.chunks()) as chunks:
        async for chunk in chunks:
            parts.append(chunk)
            received += len(chunk)
            if received >= limit:
                break
    return b"".join(parts)[:limit]


def basic_authorization(user: str, password: str) -> str:
    """Return user information as a Basic authorization (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def server_error(url: URL, response: Response) -> ServerError | ProxyRefused:
    """Return the error for a status that means neither success nor absence."""
    if response.status == 407:  # only a proxy sends this status
        return ProxyRefused(str(url), response.status)
    retry_after = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
    return ServerError(str(url), response.status, retry_after)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Parse a Retry-After header: seconds or an HTTP date; None if it is neither.

    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    if (seconds := value.strip()).isdecimal():
        return float(seconds)
    moment = header_date(value)
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
