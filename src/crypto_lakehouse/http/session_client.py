"""A client on aiohttp's documented session, and the translation of aiohttp's errors.

It serves applications that share their own session with the engine, and replaces `exchange` if the
installed aiohttp lacks a name that `exchange` needs.
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
from crypto_lakehouse.core.whole_numbers import whole_number
from crypto_lakehouse.http.idle_timeout import SILENT
from crypto_lakehouse.http.routes import HEAD_LINE_BYTES, READ_BUFFER_BYTES, Routes
from crypto_lakehouse.http.tls_errors import tls_refusal
from crypto_lakehouse.http.transport import read_up_to

__all__ = ["AiohttpClient", "transfer_error"]


@define
class AiohttpClient:
    """Sends requests through aiohttp sessions, without closing them.

    The settings of a session apply (headers, authorization, cookies, proxies, tracing,
    middlewares), except those that would change bytes or end a long body: the engine sets decoding,
    redirects, statuses as exceptions, and time limits.

    Args:
        routes: Selects the session of a request.
        timeout_s: How long a source may be silent, in seconds.
    """

    routes: Routes
    timeout_s: float

    async def send(self, url: URL, headers: Mapping[str, str]) -> _HttpResponse:
        """Send a GET and wait for the head of the response.

        Raises:
            TransferError: There is no response.
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
    """An aiohttp response as an `Answer`."""

    __slots__ = ("_response", "_url", "headers", "size_bytes", "status")

    def __init__(self, response: aiohttp.ClientResponse, url: URL) -> None:
        self._response = response
        self._url = url
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.size_bytes = whole_number(response.headers.get("Content-Length"))

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
        """Return the connection to the pool, or close it if the body was not read to its end."""
        if not self._response.content.at_eof():
            self._response.close()
        self._response.release()


class _translated:  # noqa: N801 - used like a function; a class, because it is on the hot path
    """Translates the errors of aiohttp and the socket to those of this package."""

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
    """Return the `TransferError` for an error of aiohttp, the socket or the system."""
    address = str(url)
    if isinstance(error, TimeoutError):
        is_own = str(error).startswith("the source")
        return TimedOut(address, str(error) if is_own else SILENT)
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
    """Remove the request headers from an error, because they may contain a password."""
    error.request_info = error.request_info._replace(headers=CIMultiDictProxy(CIMultiDict()))
    error.args = (error.request_info, ())
    error.history = ()


def _unreachable(error: aiohttp.ClientConnectorError) -> str:
    """Return the message of a failed connection to the source or the proxy."""
    what = "the proxy " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
    return f"cannot connect to {what}{error.host}:{error.port}: {_reason(error.os_error)}"


def _reason(error: BaseException) -> str:
    """Return the text of an error on one line without secrets; its type if it has no text."""
    return " ".join(redact(str(error)).split()) or type(error).__name__
