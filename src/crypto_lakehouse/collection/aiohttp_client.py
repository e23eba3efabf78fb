"""A client over an aiohttp session; the only module that knows aiohttp's exceptions.

For applications that share their own session with the engine. The engine's own client is
`direct`, which costs a fifth of the processor time for each request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from attrs import define
from yarl import URL

from crypto_lakehouse.collection.certificates import tls_refusal
from crypto_lakehouse.collection.http import read_up_to
from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    TimedOut,
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.core.redaction import redact

__all__ = ["AiohttpClient", "aiohttp_client"]

#: aiohttp's read buffer. Large bodies arrive in pieces of up to twice this many bytes.
READ_BUFFER_BYTES = 1 << 20

#: No file is as long; nor could the ledger keep the number.
_IMPOSSIBLE_BYTES = 1 << 63


@asynccontextmanager
async def aiohttp_client(connections: int, timeout_s: float) -> AsyncIterator[AiohttpClient]:
    """Open a session as the engine would have it, and a client over it.

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
        yield AiohttpClient(session)


@define
class AiohttpClient:
    """Sends requests through an aiohttp session, which is used and not closed."""

    session: aiohttp.ClientSession

    async def send(self, url: URL, headers: Mapping[str, str]) -> _HttpResponse:
        """Send a GET and wait for the head of its answer.

        Raises:
            TransferError: No answer.
        """
        with _translated(str(url)):
            response = await self.session.get(url, headers=headers, allow_redirects=False)
        return _HttpResponse(response, str(url))


class _HttpResponse:
    """One aiohttp response as our `Answer`."""

    __slots__ = ("_response", "_url", "headers", "size_bytes", "status")

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self._response = response
        self._url = url
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        length = response.content_length
        self.size_bytes = length if length is None or length < _IMPOSSIBLE_BYTES else None

    async def read(self, limit: int) -> bytes:
        if self.size_bytes is not None and self.size_bytes <= limit:
            with _translated(self._url, self.size_bytes):
                return await self._response.read()
        return await read_up_to(self, limit)

    async def chunks(self) -> AsyncGenerator[bytes | bytearray]:
        received = 0
        while True:
            with _translated(self._url, self.size_bytes, received):
                chunk = await self._response.content.readany()
            if not chunk:
                return
            received += len(chunk)
            yield chunk

    def release(self) -> None:
        """Give the connection back; where the body was not read to its end, it is closed."""
        if not self._response.content.at_eof():
            self._response.close()
        self._response.release()


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
            refusal = tls_refusal(self.url, error.__cause__ or error)
            raise refusal or ConnectionFailed(self.url, _reason(error)) from error
        if isinstance(error, aiohttp.InvalidURL | ValueError):
            raise TransferError(self.url, _reason(error)) from error


def _reason(error: BaseException) -> str:
    """What a foreign error says, on one line and without secrets; its kind if it says nothing."""
    return " ".join(redact(str(error)).split()) or type(error).__name__
