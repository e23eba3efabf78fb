"""A client over aiohttp's documented session, and what aiohttp's errors become.

For applications that share their own session with the engine, and in place of `exchange` where
the installed aiohttp lacks a name that it needs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from attrs import define
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    ProxyRefused,
    TimedOut,
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.http.idle_timeout import SILENT
from crypto_lakehouse.http.routes import HEAD_LINE_BYTES, READ_BUFFER_BYTES, Routes
from crypto_lakehouse.http.tls_errors import tls_refusal
from crypto_lakehouse.http.transport import plausible_bytes, read_up_to

__all__ = ["AiohttpClient", "transfer_error"]


@define
class AiohttpClient:
    """Sends requests through aiohttp sessions, which are used and not closed.

    What a session sets for its own requests holds (headers, authorization, cookies, proxies,
    tracing, middlewares), but for what would change bytes or end a long body: decoding,
    redirects, statuses as exceptions, and time limits are the engine's.

    Args:
        routes: Which session a request goes through.
        timeout_s: How long a source may be silent, in seconds.
    """

    routes: Routes
    timeout_s: float

    async def send(self, url: URL, headers: Mapping[str, str]) -> _HttpResponse:
        """Send a GET and wait for the head of its answer.

        Raises:
            TransferError: No answer.
        """
        route = self.routes.of(url)
        if route.proxy_authorization is not None and url.scheme == "http":
            headers = {**headers, "Proxy-Authorization": route.proxy_authorization}
        with _translated(url):
            response = await route.session.get(
                url,
                headers={"Accept-Encoding": "identity", **headers},
                allow_redirects=False,
                auto_decompress=False,
                raise_for_status=False,
                read_bufsize=READ_BUFFER_BYTES,
                max_line_size=HEAD_LINE_BYTES,
                max_field_size=HEAD_LINE_BYTES,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self.timeout_s, sock_read=self.timeout_s
                ),
                **route.options,
            )
        return _HttpResponse(response, url)


class _HttpResponse:
    """One aiohttp response as our `Answer`."""

    __slots__ = ("_response", "_url", "headers", "size_bytes", "status")

    def __init__(self, response: aiohttp.ClientResponse, url: URL) -> None:
        self._response = response
        self._url = url
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.size_bytes = plausible_bytes(response.content_length)

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

    def __init__(self, url: URL, expected: int | None = None, received: int = 0) -> None:
        self.url = url
        self.expected = expected
        self.received = received

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, aiohttp.ClientPayloadError) and self.expected is not None:
            raise TruncatedBody(
                str(self.url), expected=self.expected, received=self.received
            ) from error
        if isinstance(error, aiohttp.ClientError | HttpProcessingError | OSError | ValueError):
            raise transfer_error(self.url, error) from error


def transfer_error(url: URL, error: Exception) -> TransferError:
    """Make our error of what aiohttp, the socket or the system said of a request."""
    address = str(url)
    if isinstance(error, TimeoutError):
        ours = str(error).startswith("the source")
        return TimedOut(address, str(error) if ours else SILENT)
    if isinstance(error, aiohttp.ClientResponseError):
        _forget_headers(error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return ProxyRefused(address, error.status)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return ConnectionFailed(address, "the source closed the connection")
    if isinstance(error, HttpProcessingError):
        return ConnectionFailed(address, f"not an answer: {shown(_reason(error))}")
    if isinstance(error, aiohttp.ClientError | OSError):
        refusal = tls_refusal(address, error.__cause__ or error)
        if refusal is not None:
            return refusal
        if isinstance(error, aiohttp.ClientConnectorError):
            return ConnectionFailed(address, _unreachable(error))
        if not isinstance(error, ValueError):
            return ConnectionFailed(address, _reason(error))
    return TransferError(address, _reason(error))


def _forget_headers(error: aiohttp.ClientResponseError) -> None:
    """Take from an error the request that it holds: its headers may hold a password."""
    error.request_info = error.request_info._replace(headers=CIMultiDictProxy(CIMultiDict()))
    error.args = (error.request_info, ())
    error.history = ()


def _unreachable(error: aiohttp.ClientConnectorError) -> str:
    """Say what could not be connected to: the source, or the proxy on the way."""
    what = "the proxy " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
    return f"cannot connect to {what}{error.host}:{error.port}: {_reason(error.os_error)}"


def _reason(error: BaseException) -> str:
    """What a foreign error says, on one line and without secrets; its kind if it says nothing."""
    return " ".join(redact(str(error)).split()) or type(error).__name__
