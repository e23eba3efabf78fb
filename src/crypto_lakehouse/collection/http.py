"""The HTTP client behind a small interface; the only module that knows aiohttp's exceptions.

A transport answers one GET. It follows redirects only to hosts that the configuration names,
never decodes a body (an archive's bytes are hashed as published), and keeps no cookies.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import quote

import aiohttp
from aiolimiter import AsyncLimiter
from attrs import define, frozen
from yarl import URL

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    RedirectRefused,
    ServerError,
    TimedOut,
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.core.redaction import redact

__all__ = ["HttpTransport", "Origins", "Response", "Transport", "http_session", "object_url"]

#: aiohttp's read buffer. Large bodies arrive in pieces of up to twice this many bytes.
READ_BUFFER_BYTES = 1 << 20

#: No file is as long; nor could the ledger keep the number.
_IMPOSSIBLE_BYTES = 1 << 63

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Response(Protocol):
    """The answer to one GET; its body can be read once, and whole or not at all."""

    status: int
    headers: Mapping[str, str]
    size_bytes: int | None
    """The announced length of the body, None where none is announced."""

    async def read(self, limit: int) -> bytes:
        """Read the body, at most `limit` bytes of it.

        Raises:
            TransferError: The body broke off, or nothing came for too long.
        """
        ...

    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it arrives; raises like `read`."""
        ...


class Transport(Protocol):
    """Something that answers GET requests."""

    def get(self, url: URL, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Response]:
        """Send one request; leaving the context releases the connection."""
        ...


@frozen
class Origins:
    """Which hosts a run may talk to: the source, and those named beside it.

    Attributes:
        source: The source's base URL.
        named: Further hosts, as `host` or `host:port`.
        second: Another source's base URL; each is told its own user information only.
    """

    source: URL
    named: frozenset[str]
    second: URL | None = None

    @classmethod
    def of(cls, source_url: str, others: Iterable[str], second_url: str | None = None) -> Origins:
        """Take the hosts that a configuration names."""
        named = frozenset(host.lower() for host in others)
        return cls(URL(source_url), named, URL(second_url) if second_url else None)

    def source_of(self, url: URL) -> URL | None:
        """The source that a URL is of, None for other hosts."""
        for source in (self.source, self.second):
            if source is not None and url.origin() == source.origin():
                return source
        return None

    def allow(self, target: URL) -> bool:
        """Whether a redirect to `target` may be followed.

        The source itself always; a named host only without giving up TLS.
        """
        if self.source_of(target) is not None:
            return True
        keeps_tls = target.scheme == "https" or self.source.scheme == "http"
        return keeps_tls and bool(self.named & {target.host or "", target.authority.lower()})


def object_url(base: URL, key: str) -> URL:
    """Build an object's URL; the one place where a key is percent-encoded, as UTF-8."""
    path = f"{base.raw_path.rstrip('/')}/{quote(key, safe='/')}"
    return base.with_user(None).with_path(path, encoded=True)


@asynccontextmanager
async def http_session(connections: int, timeout_s: float) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the run's one session.

    Args:
        connections: How many connections it may hold open.
        timeout_s: How long the source may be silent, in seconds, while connecting or sending;
            a body that keeps coming may take as long as it needs.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ttl_dns_cache=300),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "crypto-lakehouse"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s),
        read_bufsize=READ_BUFFER_BYTES,
    )
    async with session:
        yield session


@define
class HttpTransport:
    """A transport over an aiohttp session.

    Args:
        session: The run's session.
        origins: The hosts that may be talked to.
        bandwidth: Takes one unit for each body byte, where the run is capped.
    """

    session: aiohttp.ClientSession
    origins: Origins
    bandwidth: AsyncLimiter | None = None

    @asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[Response]:
        """Send one request, and follow the redirects that are allowed.

        Raises:
            TransferError: No answer, or a redirect that is refused.
        """
        response = await self._open(url, headers)
        try:
            yield _HttpResponse(response, str(url), self.bandwidth)
        finally:
            response.release()

    async def _open(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._send(url, headers)
            if response.status not in _REDIRECTS:
                return response
            location = response.headers.get("Location", "")
            response.release()
            url = self._redirected(url, location)
        raise RedirectRefused(str(url), f"more than {_MAX_REDIRECTS} redirects")

    async def _send(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        source = self.origins.source_of(url)
        if source is not None and source.user is not None:
            headers = {**headers, "Authorization": _basic(source.user, source.password or "")}
        with _translated(str(url)):
            return await self.session.get(url, headers=headers, allow_redirects=False)

    def _redirected(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location))
            allowed = target.scheme in {"http", "https"} and self.origins.allow(target)
        except ValueError:
            target, allowed = URL(), False
        if allowed:
            return target
        shown = redact(location.encode(errors="backslashreplace").decode())
        raise RedirectRefused(
            str(url),
            f"redirect to `{shown}` refused: the configuration does not name that host; "
            "add it to `redirect_hosts` if you trust it",
        )


def _basic(user: str, password: str) -> str:
    """Write user information as RFC 7617 has it."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class _HttpResponse:
    """One aiohttp response as our `Response`."""

    __slots__ = ("_bandwidth", "_response", "_url", "headers", "size_bytes", "status")

    def __init__(
        self, response: aiohttp.ClientResponse, url: str, bandwidth: AsyncLimiter | None
    ) -> None:
        self._response = response
        self._url = url
        self._bandwidth = bandwidth
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        length = response.content_length
        self.size_bytes = length if length is None or length < _IMPOSSIBLE_BYTES else None

    async def read(self, limit: int) -> bytes:
        if self._bandwidth is None and self.size_bytes is not None and self.size_bytes <= limit:
            with _translated(self._url, self.size_bytes):
                return await self._response.read()
        parts: list[bytes] = []
        received = 0
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                parts.append(chunk)
                received += len(chunk)
                if received >= limit:
                    self._response.close()
                    break
        return b"".join(parts)[:limit]

    async def chunks(self) -> AsyncGenerator[bytes]:
        received = 0
        while True:
            with _translated(self._url, self.size_bytes, received):
                chunk = await self._response.content.readany()
            if not chunk:
                return
            received += len(chunk)
            await self._pay(len(chunk))
            yield chunk

    async def _pay(self, size: int) -> None:
        """Wait until the cap allows `size` more bytes; while we wait, the sender does too."""
        if self._bandwidth is None:
            return
        step = int(self._bandwidth.max_rate)
        for start in range(0, size, step):
            await self._bandwidth.acquire(min(step, size - start))


class _translated:  # noqa: N801 - reads as a statement; a class, as it is on the hot path
    """Turn aiohttp's and the socket's errors into ours."""

    __slots__ = ("expected", "received", "url")

    def __init__(self, url: str, expected: int | None = None, received: int = 0) -> None:
        self.url = url
        self.expected = expected
        self.received = received

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        if isinstance(error, TimeoutError):
            raise TimedOut(self.url, "the source was silent for too long") from error
        if isinstance(error, aiohttp.ClientPayloadError) and self.expected is not None:
            raise TruncatedBody(self.url, expected=self.expected, received=self.received) from error
        if isinstance(error, aiohttp.ClientError | OSError):
            raise ConnectionFailed(self.url, _reason(error)) from error
        if isinstance(error, aiohttp.InvalidURL | ValueError):
            raise TransferError(self.url, _reason(error)) from error


def _reason(error: BaseException) -> str:
    """What a foreign error says, on one line and without secrets; its kind if it says nothing."""
    return " ".join(redact(str(error)).split()) or type(error).__name__


def server_error(url: URL, response: Response) -> ServerError:
    """Make the error for a status that is neither success nor absence."""
    retry_after = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
    return ServerError(str(url), response.status, retry_after)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date; None where it says neither.

    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    if (seconds := value.strip()).isdecimal():
        return float(seconds)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
