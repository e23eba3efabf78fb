"""Receives the data of one connection, for aiohttp's parser or directly into reusable buffers.

A `Receiver` sits between the transport and the protocol that aiohttp created for it, which asyncio
documents (`transport.set_protocol`):

1. A head is received into a single reused buffer, and passed to the parser up to its empty line.
   (The transport alone would allocate 256 KiB for each read, also over TLS.) Bytes after it are
   buffered until the exchange knows the kind of body.
2. A body of known length bypasses the parser: the kernel, or TLS, writes directly into the chunks
   that are hashed and stored, and bytes after its end are detected.
3. A chunked body, or one that ends with the connection, is passed to the parser.
4. Silence ends a request. Bytes that arrive without a request close the connection, so that they
   are never mistaken for the next answer.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from crypto_lakehouse.http.body_chunks import BodyChunks
from crypto_lakehouse.http.idle_timeout import IdleTimeout

__all__ = ["DRAIN_BYTES", "Receiver", "is_readable"]

#: Heads, and bodies that are parsed, are received into at most this many bytes.
_SCRATCH_BYTES = 1 << 16

#: The limit for data other than the body, such as heads and chunk headers. More is an attack.
_OVERHEAD_BYTES = 1 << 17

#: At most this much of an unwanted body is received in order to keep the connection.
DRAIN_BYTES = 1 << 16


#: The most data that TLS may have decrypted and not delivered yet.
_TLS_RECORD_BYTES = 1 << 14

#: The end of a head. aiohttp's parser accepts bare line feeds, too; the body after such a head is
#: parsed, with the same result.
_HEAD_END = b"\r\n\r\n"


def is_readable(connection: socket.socket | None) -> bool:
    """Whether a read would return at once."""
    place = -1 if connection is None else connection.fileno()
    if place < 0:
        return False
    if not hasattr(select, "poll"):  # pragma: no cover - Windows
        return bool(select.select([place], [], [], 0)[0])
    poll = select.poll()
    poll.register(place, select.POLLIN)
    return bool(poll.poll(0))


class _Stage(Enum):
    IDLE = auto()
    HEAD = auto()
    HELD = auto()
    """The head is parsed, and the exchange has not read it yet."""
    BODY = auto()
    """A body of known length, received without the parser."""
    PARSED = auto()
    """A chunked body, or one that ends with the connection."""


class Exchange(Protocol):
    """The request in flight on a connection."""

    def has_head(self) -> bool:
        """Whether the parser has a head, or an error, for the exchange."""
        ...

    def parsed_bytes(self) -> int:
        """The number of body bytes that the parser has passed on."""
        ...

    def failed(self, error: Exception) -> None:
        """Called when the connection fails."""
        ...

    def drained(self) -> None:
        """Called when the rest of an unwanted body has been received."""
        ...


class Receiver(BodyChunks, asyncio.BufferedProtocol):
    """Receives the data of one connection, which serves one request at a time.

    Args:
        handler: aiohttp's protocol, which parses.
        transport: The transport of the connection; the receiver becomes its protocol.
        timeout_s: How long the source may be silent while a request waits, in seconds.
        chunk_bytes: Size of the chunks of a large body.
        on_lost: Called once, when the connection can no longer be used.

    Attributes:
        error: Why the connection failed; None while it can be used.
        answer_bytes: The number of bytes since the start of the request.
        timeout: The idle timeout; its user marks when it waits.
        is_waiting: Whether the request waits for bytes now.
        is_tls: Whether the connection is encrypted.
        rest_bytes: The remaining bytes of a body of known length.
        has_surplus: Whether bytes came after such a body, so that the connection cannot be kept.
        may_have_more: Whether the last read filled its buffer, so that more data may follow.
        head_is_exact: Whether the parser got exactly the head.
    """

    def __init__(
        self,
        handler: asyncio.Protocol,
        transport: asyncio.Transport,
        timeout_s: float,
        chunk_bytes: int,
        on_lost: Callable[[Receiver], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        timeout = IdleTimeout(loop, timeout_s, self._is_waited_for, self.fail)
        super().__init__(transport, timeout, chunk_bytes)
        self.handler = handler
        self._on_lost = on_lost
        self._scratch = bytearray(min(_SCRATCH_BYTES, chunk_bytes))
        self._scratch_view = memoryview(self._scratch)
        self._exchange: Exchange | None = None
        self._buffer_size = 0
        self.may_have_more = False
        self._stage = _Stage.IDLE
        self._reset()
        transport.set_protocol(self)

    def _reset(self) -> None:
        """Reset the state of the last answer."""
        self._reset_body()
        self.answer_bytes = 0
        self._held = b""
        self._head_tail = b""
        self._parsed = 0
        self._overhead = 0
        self._drain_left: int | None = None
        self.head_is_exact = False

    # Called by the exchange ---------------------------------------------------------------

    @property
    def takes_body(self) -> bool:
        """Whether the body is received here, and not by the parser."""
        return self._stage is _Stage.BODY

    def idle_s(self) -> float:
        """The seconds since data was last received."""
        return self._loop.time() - self.timeout.last_received_at

    def has_unread(self) -> bool:
        """Whether bytes, or the end of the connection, have arrived that were not read yet."""
        return is_readable(self.transport.get_extra_info("socket"))

    def begin(self, exchange: Exchange) -> None:
        """Start a request: the next data is its answer."""
        self._reset()
        self._exchange = exchange
        self._stage = _Stage.HEAD

    @property
    def held_bytes(self) -> int:
        """The memory of a body that has come and that no one has read yet, in bytes."""
        return sum(map(len, self._ready)) + len(self._chunk)

    def end(self) -> None:
        """End a request: until the next one, no data may arrive."""
        self._exchange = None
        self._stage = _Stage.IDLE
        self._held = b""
        self._drain_left = None
        self._ready.clear()
        self._chunk = bytearray()

    def next_head(self) -> None:
        """Expect another head: the last one was preliminary."""
        held, self._held = self._held, b""
        self._head_tail = b""
        self._stage = _Stage.HEAD
        if held:
            self._parse_head(held)

    def parse_body(self) -> None:
        """Pass the rest of the answer to the parser."""
        held, self._held = self._held, b""
        self._stage = _Stage.PARSED
        if held:
            self._parse(held)

    def take_body(self, size_bytes: int, parsed: bytes) -> None:
        """Receive a body of known length without the parser.

        Args:
            size_bytes: Its length.
            parsed: The part that the parser has already received; nearly always empty.
        """
        held, self._held = self._held, b""
        self._stage = _Stage.BODY
        rest = size_bytes - len(parsed)
        first = parsed + held if parsed else held
        self.has_surplus = len(held) > rest
        self.rest_bytes = max(0, rest - len(held))
        if first:
            self._ready.append(first[:size_bytes] if self.has_surplus else first)

    def whole_body(self, limit: int) -> bytes | None:
        """Return the body, once, if it arrived with its head and is not too long; else None."""
        if self._stage is _Stage.BODY and not self.rest_bytes and len(self._ready) == 1:
            body = self._ready[0]
            if isinstance(body, bytes) and len(body) <= limit:
                self._ready.clear()
                return body
        return None

    def drain(self) -> None:
        """Receive the rest of an unwanted body, and notify the exchange at its end."""
        self._drain_left = DRAIN_BYTES
        self._ready.clear()
        self._chunk = bytearray()
        self.timeout.begin()
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()

    def fail(self, error: Exception) -> None:
        """Close the connection immediately; the waiting request gets the error."""
        self.transport.abort()
        self._end_with(error)

    def _end_with(self, error: Exception) -> None:
        if self.error is not None:
            return
        self.error = error
        self.timeout.stop()
        if self.rest_bytes and self._filled and self._chunk:
            # A copy, because a traceback may still export the chunk, which then cannot be cut.
            self._ready.append(bytes(self._chunk[: self._filled]))
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.failed(error)
        self._wake()
        self._on_lost(self)

    def _is_waited_for(self) -> bool:
        return self.is_waiting or self._drain_left is not None

    # Called by the event loop -------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next bytes.

        Over TLS `sizehint` is the amount of data that is not decrypted yet, and the buffer must
        be larger: asyncio loses data that it cannot deliver at once if the source closes the
        connection. Without TLS it is negative.
        """
        room = sizehint + _TLS_RECORD_BYTES + 1 if sizehint >= 0 else 0
        if not self.rest_bytes or self._drain_left is not None:  # zero for a parsed body
            if room > len(self._scratch):
                self._scratch = bytearray(room)
                self._scratch_view = memoryview(self._scratch)
            buffer = self._scratch_view
        else:
            buffer = self._body_buffer(room)
        self._buffer_size = len(buffer)
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Process received bytes."""
        self.timeout.last_received_at = self._loop.time()
        self.timeout.received_bytes += nbytes
        self.answer_bytes += nbytes
        self.may_have_more = nbytes == self._buffer_size
        stage = self._stage
        if self._drain_left is not None:
            self._drain(nbytes)
        elif stage is _Stage.BODY:
            self._fill(nbytes)
        elif stage is _Stage.HEAD:
            self._receive_head(nbytes)
        elif stage is _Stage.PARSED:
            self._parse(bytes(self._scratch_view[:nbytes]))
        elif stage is _Stage.HELD:
            self._held += bytes(self._scratch_view[:nbytes])
        else:
            self._refuse()

    def eof_received(self) -> None:
        """Let the transport close; `connection_lost` follows."""
        self.handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request; aiohttp's protocol decides whether a body may end like this."""
        if exc is not None:
            # Before the parser treats the end of the connection as that of the body.
            self._end_with(exc)
        self.handler.connection_lost(exc)
        self._end_with(ConnectionError("the source closed the connection"))

    def pause_writing(self) -> None:
        """Pass it on."""
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self.handler.resume_writing()

    # Received data ----------------------------------------------------------------------------

    def _refuse(self) -> None:
        """Close the connection: it sent bytes without a request."""
        self.fail(ConnectionError("the source sent bytes that answer no request"))

    def _receive_head(self, nbytes: int) -> None:
        """Process a head, which nearly always arrives complete in the first read."""
        end = -1 if self._head_tail else self._scratch.find(_HEAD_END, 0, nbytes)
        if end < 0:
            self._parse_head(bytes(self._scratch_view[:nbytes]))
            return
        end += len(_HEAD_END)
        rest = bytes(self._scratch_view[end:nbytes])
        self._parse_head(bytes(self._scratch_view[:end]))
        if self._stage is _Stage.HELD:
            self._held = rest
        elif self._stage is _Stage.HEAD and rest:  # there were only empty lines
            self._parse_head(rest)

    def _parse_head(self, data: bytes) -> None:
        """Pass a head to the parser, and buffer the bytes after it."""
        while data:
            seen = self._head_tail + data
            end = seen.find(_HEAD_END)
            length = len(data) if end < 0 else end + len(_HEAD_END) - len(self._head_tail)
            self._overhead += length
            if self._overhead > _OVERHEAD_BYTES:
                self.fail(ConnectionError("not an answer: its head does not end"))
                return
            self.handler.data_received(data[:length])
            self._head_tail = b"" if end >= 0 else seen[1 - len(_HEAD_END) :]
            data = data[length:]
            if cast("Exchange", self._exchange).has_head():  # set in this stage
                self.head_is_exact = end >= 0
                self._held = data
                self._stage = _Stage.HELD
                return

    def _parse(self, data: bytes) -> None:
        self.handler.data_received(data)
        parsed = cast("Exchange", self._exchange).parsed_bytes()
        self._overhead = self._overhead + len(data) if parsed == self._parsed else 0
        self._parsed = parsed
        if self._overhead > _OVERHEAD_BYTES:
            self.fail(ConnectionError("not an answer: its chunk headers do not end"))

    def _drain(self, nbytes: int) -> None:
        self._drain_left = (self._drain_left or 0) - nbytes
        if self._drain_left < 0:
            self.fail(ConnectionError("the unwanted body is too long"))
        elif self._stage is _Stage.PARSED:
            self.handler.data_received(bytes(self._scratch_view[:nbytes]))
        else:
            self.rest_bytes -= nbytes
            if self.rest_bytes < 0:
                self._refuse()
            elif not self.rest_bytes and self._exchange is not None:
                self._exchange.drained()
