"""The engine's own HTTP client: keep-alive connections, and nothing that a source does not need.

No cookies, no proxies, no decoding. TLS is the standard library's default context: certificates
and host names are always checked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from socket import SOCK_STREAM
from typing import Any

from aiohappyeyeballs import AddrInfoType, start_connection
from attrs import define, field
from yarl import URL

from crypto_lakehouse.collection.answers import Lost
from crypto_lakehouse.collection.certificates import tls_refusal
from crypto_lakehouse.collection.connection import CHUNK_BYTES, Connection
from crypto_lakehouse.collection.http import read_up_to
from crypto_lakehouse.collection.patience import SILENT
from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    TimedOut,
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.core.redaction import redact

__all__ = ["DirectClient", "direct_client"]

#: After this long without an answer the next address of a host is tried as well (RFC 8305).
_HAPPY_EYEBALLS_S = 0.25

#: So long the addresses of a host are not asked for again, in seconds.
_ADDRESSES_KEPT_S = 300.0

#: Lines of a request beside the headers that it is given, the empty one at its end included.
_REQUEST_LINES = 6

_Place = tuple[str, str | None, int | None]


@asynccontextmanager
async def direct_client(
    connections: int, timeout_s: float, chunk_bytes: int = CHUNK_BYTES
) -> AsyncIterator[DirectClient]:
    """Open a client; its connections are closed at the end.

    Args:
        connections: How many idle connections it keeps.
        timeout_s: How long the source may be silent, in seconds, while connecting or sending;
            a body that keeps coming may take as long as it needs.
        chunk_bytes: In what pieces large bodies are handed out; small ones where a run is capped.
    """
    client = DirectClient(connections, timeout_s, chunk_bytes)
    try:
        yield client
    finally:
        await client.aclose()


@define
class DirectClient:
    """Sends requests over connections that it keeps.

    Args:
        connections: How many idle connections it keeps.
        timeout_s: How long a source may be silent, in seconds.
        chunk_bytes: In what pieces large bodies are handed out.
        tls: How to speak TLS; the system's trusted certificates by default.
    """

    connections: int
    timeout_s: float
    chunk_bytes: int = CHUNK_BYTES
    tls: ssl.SSLContext | None = None
    _idle: dict[_Place, list[Connection]] = field(init=False, factory=dict)
    _open: dict[Connection, _Place] = field(init=False, factory=dict)
    _lookups: dict[tuple[str | None, int | None], tuple[float, asyncio.Future[Any]]] = field(
        init=False, factory=dict
    )
    _is_closed: bool = field(init=False, default=False)

    async def send(self, url: URL, headers: Mapping[str, str]) -> _Answer:
        """Send a GET and wait for the head of its answer.

        A connection that the source closed while it was idle is replaced once, unseen.

        Raises:
            TransferError: No answer.
        """
        try:
            request = _request(url, headers)
            connection = await self._ask(url, request)
        except TimeoutError as error:
            raise TimedOut(str(url), str(error) or SILENT) from error
        except (Lost, OSError) as error:
            refusal = tls_refusal(str(url), error)
            raise refusal or ConnectionFailed(str(url), _reason(error)) from error
        except ValueError as error:
            raise TransferError(str(url), _reason(error)) from error
        return _Answer(connection, url)

    async def _ask(self, url: URL, request: bytes) -> Connection:
        place = (url.scheme, url.raw_host, url.port)
        while True:
            idle = self._idle.get(place)
            connection = idle.pop() if idle else await self._connect(place)
            try:
                await connection.ask(request)
            except Lost:
                if connection.is_reused and not connection.was_answered:
                    continue
                raise
            except BaseException:
                connection.abort()
                raise
            return connection

    async def _connect(self, place: _Place) -> Connection:
        scheme, host, port = place
        loop = asyncio.get_running_loop()
        tls = self._tls() if scheme == "https" else None
        async with asyncio.timeout(self.timeout_s):
            socket = await start_connection(
                await self._addresses(host, port), happy_eyeballs_delay=_HAPPY_EYEBALLS_S
            )
            _, connection = await loop.create_connection(
                lambda: Connection(self.timeout_s, self._freed, self.chunk_bytes),
                sock=socket,
                ssl=tls,
                server_hostname=host.rstrip(".") if tls and host else None,
            )
        if connection.is_closed:  # it told us before we knew of it
            raise Lost("the source closed the connection", in_body=False)
        self._open[connection] = place
        if self._is_closed:
            connection.abort()
        return connection

    async def _addresses(self, host: str | None, port: int | None) -> list[AddrInfoType]:
        """Where a host is; asked for once, and not by every connection at the same time.

        Each connection begins with another one, as a large source has several.
        """
        if self._is_closed:
            raise Lost("the client is closed", in_body=False)
        loop = asyncio.get_running_loop()
        asked_at, task = self._lookups.get((host, port), (0.0, None))
        is_old = loop.time() - asked_at > _ADDRESSES_KEPT_S
        if task is None or (task.done() and (is_old or task.exception() is not None)):
            task = asyncio.ensure_future(loop.getaddrinfo(host, port, type=SOCK_STREAM))
            self._lookups[host, port] = loop.time(), task
        await asyncio.wait({task})  # others may wait for it, too: it is not cancelled with us
        if task.cancelled():
            raise Lost("the client is closed", in_body=False)
        addresses: list[AddrInfoType] = task.result()
        addresses[:] = addresses[1:] + addresses[:1]
        return list(addresses)

    def _tls(self) -> ssl.SSLContext:
        if self.tls is None:
            self.tls = ssl.create_default_context()
            self.tls.set_alpn_protocols(["http/1.1"])
        return self.tls

    def _freed(self, connection: Connection) -> None:
        """Keep a connection for the next request, or forget it."""
        if connection.is_idle and sum(map(len, self._idle.values())) < self.connections:
            self._idle.setdefault(self._open[connection], []).append(connection)
            return
        place = self._open.pop(connection, None)
        idle = self._idle.get(place, []) if place else []
        if connection in idle:
            idle.remove(connection)
        if connection.is_idle:
            connection.abort()

    async def aclose(self) -> None:
        """Close every connection; there will be no others. A name lookup is not waited for."""
        self._is_closed = True
        for connection in tuple(self._open):
            connection.abort()
        lookups = [task for _, task in self._lookups.values()]
        for task in lookups:
            task.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next round


def _request(url: URL, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    text = (
        f"GET {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"
        "User-Agent: crypto-lakehouse\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
        f"{lines}\r\n"
    )
    breaks = _REQUEST_LINES + len(headers)
    if text.count("\n") != breaks or text.count("\r") != breaks:
        raise ValueError("a header or the URL holds a line break")
    return text.encode("latin-1")


class _Answer:
    """What a connection brought, as our `Answer`."""

    __slots__ = ("_connection", "_url", "headers", "size_bytes", "status")

    def __init__(self, connection: Connection, url: URL) -> None:
        self._connection: Connection | None = connection
        self._url = url
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers
        self.size_bytes = connection.size_bytes

    async def read(self, limit: int) -> bytes:
        if self._connection and self.size_bytes is not None and self.size_bytes <= limit:
            body = self._connection.whole_body()
            if body is not None:
                return bytes(body)
        return await read_up_to(self, limit)

    async def chunks(self) -> AsyncGenerator[bytes | bytearray]:
        received = 0
        while True:
            if self._connection is None:
                raise ConnectionFailed(str(self._url), "the answer was given back already")
            try:
                chunk = await self._connection.chunk()
            except TimeoutError as error:
                raise TimedOut(str(self._url), str(error) or SILENT) from error
            except Lost as error:
                if self.size_bytes is not None:
                    raise TruncatedBody(
                        str(self._url), expected=self.size_bytes, received=received
                    ) from error
                raise ConnectionFailed(str(self._url), _reason(error)) from error
            if not chunk:
                return
            received += len(chunk)
            yield chunk

    def release(self) -> None:
        """Give the connection back; it may serve another request from now on."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


def _reason(error: BaseException) -> str:
    """What an error says, on one line and without secrets; its kind if it says nothing."""
    return " ".join(redact(str(error)).split()) or type(error).__name__
