"""One request and its answer, on aiohttp's connector and parser.

aiohttp does the difficult parts of HTTP: addresses, happy eyeballs, TLS, proxies, the pool of
keep-alive connections, the parsing of heads and chunks. This module bypasses the work of aiohttp's
session for each request (joining URLs, merging headers, cookies, timers, traces), which takes about
as long as everything else that a small archive needs.

1. The documented session creates a template for the requests to an origin (`origin`).
2. The connector opens a connection for that template. The connection stays open for further
   requests: returning it to the connector's pool between two of them would take as long as parsing
   an answer. The head of each request is prepared except for its path and its own headers.
3. aiohttp's protocol parses the head of the answer, and chunked bodies. Bodies of known length are
   received directly into the buffers that are hashed and stored (`receiver`).

Only this module uses undocumented names of aiohttp. `missing_names` lists those that the installed
aiohttp lacks; in this case `client` uses the documented session.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from yarl import URL

from crypto_lakehouse.core.errors import ConnectionFailed, TimedOut, TruncatedBody
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.core.whole_numbers import whole_number
from crypto_lakehouse.http.origin import Origin
from crypto_lakehouse.http.receiver import DRAIN_BYTES, Receiver
from crypto_lakehouse.http.routes import HEAD_LINE_BYTES
from crypto_lakehouse.http.session_client import transfer_error

__all__ = ["Exchange", "connect", "missing_names"]

#: The minimum buffer for the unread part of a parsed body: the size of one read.
_PARSED_BYTES = 1 << 16

#: The buffer for the unread part of a parsed body over TLS. Beyond twice this size aiohttp stops
#: reading, and asyncio then loses the end of the body if the source closes the connection.
_UNPAUSED_BYTES = 1 << 22

#: Completes any bytes after a parsed answer; a partial head would go unnoticed otherwise.
_LINE_BREAKS = b"\r\n\r\n"

#: The options with which aiohttp's protocol reads an answer.
_READ_OPTIONS = {
    "read_until_eof": True,
    "auto_decompress": False,
    "max_line_size": HEAD_LINE_BYTES,
    "max_field_size": HEAD_LINE_BYTES,
}


def missing_names() -> list[str]:
    """Return the names that this module needs and the installed aiohttp lacks."""
    wanted: list[tuple[object, tuple[str, ...]]] = [
        (aiohttp.BaseConnector, ("connect",)),
        (ResponseHandler, ("__len__", "exception", "read", "set_exception", "set_response_params",
                           "should_close")),
        (StreamReader, ("_read_nowait", "exception", "feed_eof", "is_eof", "on_eof", "readany",
                        "set_exception", "set_read_chunk_size", "total_bytes")),
    ]  # fmt: skip
    missing = [
        f"{getattr(owner, '__name__', owner)}.{name}"
        for owner, names in wanted
        for name in names
        if not hasattr(owner, name)
    ]
    for owner, name, parameters in (
        (aiohttp.BaseConnector, "connect", ("req", "traces", "timeout")),
        (ResponseHandler, "set_response_params", (*_READ_OPTIONS, "read_bufsize")),
        (aiohttp.ClientSession, "_request", ("middlewares",)),
    ):
        function = getattr(owner, name, None)
        known = inspect.signature(function).parameters if function is not None else {}
        missing += [
            f"{owner.__name__}.{name}({parameter}=)"
            for parameter in parameters
            if parameter not in known
        ]
    return missing


async def connect(
    origin: Origin, limits: aiohttp.ClientTimeout
) -> tuple[aiohttp.connector.Connection, asyncio.Protocol, asyncio.Transport]:
    """Let aiohttp's connector open a connection.

    Returns:
        The connection, the protocol that aiohttp created for it, and its transport.

    Raises:
        OSError, aiohttp.ClientError, TimeoutError: The connection cannot be opened.
    """
    connection = await origin.connector.connect(origin.template, [], limits)
    protocol: Any = connection.protocol
    transport = protocol.transport
    if transport is None or transport.is_closing() or protocol.should_close:
        connection.close()
        raise aiohttp.ServerDisconnectedError  # it closed, or sent data before a request
    return connection, protocol, transport


class Exchange:
    """One request and its answer; implements `Answer`.

    Args:
        keep: Called with the connection when it can serve another request.
        connection, receiver: The connection of the request.
        url: The URL, for errors.
        chunk_bytes: How much of a parsed body may be buffered.
    """

    __slots__ = ("_chunk_bytes", "_connection", "_handed", "_has_end", "_is_draining", "_is_kept",
                 "_keep", "_payload", "_protocol", "_receiver", "_url", "headers", "size_bytes",
                 "status")  # fmt: skip

    def __init__(
        self,
        keep: Callable[[Receiver, aiohttp.connector.Connection], None],
        connection: aiohttp.connector.Connection,
        receiver: Receiver,
        url: URL,
        chunk_bytes: int,
    ) -> None:
        self._keep = keep
        self._chunk_bytes = chunk_bytes
        self._connection: Any = connection  # None after it is released
        self._protocol: Any = connection.protocol
        self._receiver = receiver
        self._url = url
        self._payload: Any = None
        self._handed = 0
        self._is_draining = False
        self._has_end = True
        self._is_kept = False
        self.status = 0
        self.size_bytes: int | None = None
        self.headers: Mapping[str, str] = {}

    async def ask(self, head: bytes) -> None:
        """Send the request and wait for the head of the answer."""
        receiver, protocol = self._receiver, self._protocol
        receiver.begin(self)
        try:
            protocol.set_response_params(read_bufsize=max(self._chunk_bytes, _PARSED_BYTES),
                                         **_READ_OPTIONS)  # fmt: skip
            receiver.transport.write(head)
            receiver.is_waiting = True
            receiver.timeout.begin()
            message, payload = await protocol.read()
            while message.code < 200:
                if message.code < 100 or message.code == 101:
                    raise ConnectionError(f"not an answer: status {message.code}")
                receiver.next_head()
                message, payload = await protocol.read()
            receiver.is_waiting = False
            receiver.timeout.pause()
            self._payload = payload
            # Bytes that the parser got after the head could be the start of another answer.
            self._has_end = message.chunked or not receiver.is_tls
            self._is_kept = (
                receiver.head_is_exact
                and not message.should_close
                and not len(protocol)
                and not payload.total_bytes
            )
            self.status = message.code
            self.headers = message.headers
            self._begin_body(message)
        except BaseException:
            self._abort()
            raise

    def _begin_body(self, message: Any) -> None:
        """Let the receiver take a body of known length; leave any other one to the parser."""
        length = message.headers.get(hdrs.CONTENT_LENGTH)  # the parser only accepts decimals,
        if length is not None:  # and not together with Transfer-Encoding
            self.size_bytes = whole_number(length)
            if self.size_bytes is None:
                raise ConnectionError(f"not an answer: Content-Length is {shown(length)}")
        else:
            codings = message.headers.getall(hdrs.TRANSFER_ENCODING, ())
            if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
                raise ConnectionError(f"not an answer: Transfer-Encoding is {shown(codings)}")
        payload = self._payload
        if payload.is_eof():
            parsed = payload.total_bytes
            self._receiver.take_body(parsed, payload.read_nowait() if parsed else b"")
        elif self.size_bytes is not None:
            parsed = payload._read_nowait(-1) if payload.total_bytes else b""  # noqa: SLF001
            self._receiver.take_body(self.size_bytes, parsed)
        else:
            if self._receiver.is_tls:
                payload.set_read_chunk_size(_UNPAUSED_BYTES)
            self._receiver.parse_body()

    async def _waiting(self, awaitable: Any) -> Any:
        receiver = self._receiver
        receiver.is_waiting = True
        receiver.timeout.begin()
        try:
            return await awaitable
        finally:
            receiver.is_waiting = False
            receiver.timeout.pause()

    # The body -----------------------------------------------------------------------------

    async def read(self, limit: int) -> bytes:
        """Read at most `limit` bytes of the body."""
        if self._connection is not None and (whole := self._receiver.whole_body(limit)) is not None:
            return whole
        parts: list[bytes | bytearray] = []
        received = 0
        while received < limit and (chunk := await self._next(received)):
            parts.append(chunk)
            received += len(chunk)
            if received == self.size_bytes:
                break
        body = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        return body if received <= limit else body[:limit]

    async def chunks(self) -> AsyncGenerator[bytes | bytearray]:
        """Yield the body as it arrives."""
        received = 0
        while chunk := await self._next(received):
            received += len(chunk)
            yield chunk

    async def _next(self, received: int) -> bytes | bytearray:
        """Return the next piece of the body, empty at its end; data comes before an error."""
        if self._connection is None or self._is_draining:
            raise ConnectionFailed(str(self._url), "the answer was already released")
        try:
            if self._receiver.takes_body:
                return await self._receiver.chunk()
            return await self._parsed()
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            given_up = self._receiver.error
            if isinstance(given_up, TimeoutError):
                raise TimedOut(str(self._url), str(given_up)) from error
            if self.size_bytes is not None:
                raise TruncatedBody(
                    str(self._url), expected=self.size_bytes, received=received
                ) from error
            if isinstance(error, aiohttp.ClientPayloadError):  # the cause is more specific
                raise transfer_error(self._url, self._receiver.error or error) from error
            raise transfer_error(self._url, error) from error

    async def _parsed(self) -> bytes:
        payload = self._payload
        if payload.total_bytes == self._handed:
            if (error := payload.exception()) is not None:
                raise error
            if payload.is_eof():
                return b""
            try:
                return self._taken(await self._waiting(payload.readany()))
            except (aiohttp.ClientError, HttpProcessingError, OSError):
                return await self._parsed()  # first the data, then the error
        # The public methods raise after an error, even if there is data.
        return self._taken(payload._read_nowait(-1))  # noqa: SLF001

    def _taken(self, piece: bytes) -> bytes:
        """Count a piece of a parsed body.

        Raises:
            ConnectionError: The body may be incomplete, because aiohttp paused reading.
        """
        self._handed += len(piece)
        if len(piece) > 2 * _UNPAUSED_BYTES and not self._has_end:
            raise ConnectionError("a body without a length arrived faster than it was read")
        return piece

    # The end ------------------------------------------------------------------------------

    def release(self) -> None:
        """Release the connection; a short rest of the body is received first."""
        if self._connection is None or self._is_draining:
            return
        receiver, payload = self._receiver, self._payload
        if not receiver.takes_body and payload.total_bytes - self._handed > DRAIN_BYTES:
            self._abort()
            return
        if not receiver.takes_body and payload.total_bytes > self._handed:
            payload._read_nowait(-1)  # noqa: SLF001 - unread data may stop aiohttp from reading
        is_whole = not receiver.rest_bytes if receiver.takes_body else payload.is_eof()
        is_short = receiver.rest_bytes <= DRAIN_BYTES
        if not self._is_kept or receiver.has_surplus or receiver.error is not None:
            self._abort()
        elif is_whole and receiver.may_have_more:
            # Two iterations of the loop: bytes after the answer are read in the first one.
            self._is_draining = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.drained)
        elif is_whole:
            self.drained()
        elif is_short:
            self._is_draining = True
            receiver.drain()
            if not receiver.takes_body:
                loop = asyncio.get_running_loop()
                payload.on_eof(lambda: loop.call_soon(self.drained))  # not within the parser
        else:
            self._abort()

    def drained(self) -> None:
        """Keep the connection for another request: the answer is complete."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        receiver = self._receiver
        is_clean = not receiver.has_surplus
        if not receiver.takes_body and receiver.error is None:
            receiver.handler.data_received(_LINE_BREAKS)
            is_clean = not self._protocol.should_close
        receiver.end()  # before it fails: this exchange is over
        if not is_clean:
            receiver.fail(ConnectionError("the source sent bytes that answer no request"))
        if receiver.error is None:
            self._keep(receiver, connection)
        else:
            connection.close()

    def has_head(self) -> bool:
        """Whether the parser has a head or an error for this exchange."""
        return len(self._protocol) > 0 or self._protocol.exception() is not None

    def parsed_bytes(self) -> int:
        """The number of body bytes that the parser has passed on."""
        return 0 if self._payload is None else self._payload.total_bytes

    def failed(self, error: Exception) -> None:
        """Report an error to the waiting reader, and abort a connection that is draining."""
        if self._payload is None:
            self._protocol.set_exception(error)
        elif not self._payload.is_eof() and self._payload.exception() is None:
            self._payload.set_exception(error)
        if self._is_draining:
            self._abort()

    def _abort(self) -> None:
        connection, self._connection = self._connection, None
        self._receiver.fail(ConnectionError("the request was aborted"))
        connection.close()
