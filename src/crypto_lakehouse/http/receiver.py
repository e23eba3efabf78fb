"""What arrives on one connection: passed to aiohttp's parser, or received into our own buffers.

A `Receiver` stands between the transport and the protocol that aiohttp made for it, which is
asyncio's documented way (`transport.set_protocol`):

1. A head is received into one buffer that is used again and again, and passed on to the parser up
   to its empty line; the transport would allocate 256 KiB for each read, over TLS as well. What
   follows is held until the exchange knows what kind of body it is.
2. A body of known length bypasses the parser: the kernel, or TLS, writes right into the chunks
   that are hashed and stored, and bytes behind its end are noticed.
3. A body in chunks, or one that ends with the connection, is passed on to the parser.
4. Silence ends a request, and bytes that come while no request is under way end the connection,
   so that they are never taken for the answer to the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from crypto_lakehouse.http.idle_timeout import IdleTimeout

__all__ = ["CHUNK_BYTES", "DRAIN_BYTES", "Receiver"]

#: A large body arrives in chunks of this many bytes, each of which is stored in one thread hop.
CHUNK_BYTES = 1 << 20

#: Heads, and bodies that are parsed, are received into at most this many bytes.
_SCRATCH_BYTES = 1 << 16

#: So much may come that is not the body: heads, marks between chunks. More is an attack.
_OVERHEAD_BYTES = 1 << 17

#: A chunk that fills slowly is handed over after this long, in seconds, so that displays move.
_CHUNK_AGE_S = 0.25

#: So much of an unwanted body is received for the sake of the connection.
DRAIN_BYTES = 1 << 16


#: So much may be decrypted and not handed over yet.
_TLS_RECORD_BYTES = 1 << 14

#: The end of a body over TLS is never held back: what asyncio has decrypted and not handed over is
#: lost once the source closes the connection, and that may be half as much.
_UNPAUSED_TLS_BYTES = 1 << 20

#: What ends a head. aiohttp's parser takes bare line feeds, too; a body behind such a head is
#: parsed, and no less right.
_HEAD_END = b"\r\n\r\n"


class _Stage(Enum):
    IDLE = auto()
    HEAD = auto()
    HELD = auto()
    """The head is parsed, and the exchange has not looked at it yet."""
    BODY = auto()
    """A body of known length, received without the parser."""
    PARSED = auto()
    """A body in chunks, or one that ends with the connection."""


class Exchange(Protocol):
    """The request that is under way on a connection."""

    def has_head(self) -> bool:
        """Whether the parser has a head, or an error, for the exchange."""
        ...

    def parsed_bytes(self) -> int:
        """How much of the body the parser has passed on."""
        ...

    def failed(self, error: Exception) -> None:
        """The connection is of no use any more."""
        ...

    def drained(self) -> None:
        """The rest of an unwanted body has been received."""
        ...


class Receiver(asyncio.BufferedProtocol):
    """Receives for one connection; it serves one request at a time.

    Args:
        handler: aiohttp's protocol, which parses.
        transport: The connection; it takes the receiver as its protocol.
        timeout_s: How long the source may be silent while a request waits, in seconds.
        chunk_bytes: Size of the chunks of a large body.
        on_lost: Called once, when the connection cannot be used any more.

    Attributes:
        error: Why the connection was given up; None while it is of use.
        answer_bytes: How many bytes came since the request began.
        timeout: Watches over silence; its user says when it waits.
        is_waiting: Whether the request waits for bytes now.
        is_tls: Whether the connection is encrypted.
        rest_bytes: How much of a body of known length is still to come.
        has_surplus: Whether bytes came behind such a body: the connection cannot be kept.
        may_have_more: Whether the last read filled its buffer: more may lie behind the answer.
        head_is_exact: Whether the parser was given the head and nothing behind it.
    """

    def __init__(
        self,
        handler: asyncio.Protocol,
        transport: asyncio.Transport,
        timeout_s: float,
        chunk_bytes: int,
        on_lost: Callable[[Receiver], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.handler = handler
        self.transport = transport
        self.timeout = IdleTimeout(self._loop, timeout_s, self._is_waited_for, self.fail)
        self._chunk_bytes = chunk_bytes
        self._on_lost = on_lost
        self._scratch = bytearray(min(_SCRATCH_BYTES, chunk_bytes))
        self._scratch_view = memoryview(self._scratch)
        self._exchange: Exchange | None = None
        self.is_tls = transport.get_extra_info("sslcontext") is not None
        self._unpaused = _UNPAUSED_TLS_BYTES if self.is_tls else 0
        self._buffer_size = 0
        self.may_have_more = False
        self.error: Exception | None = None
        self.is_waiting = False
        self._stage = _Stage.IDLE
        self._reset()
        transport.set_protocol(self)

    def _reset(self) -> None:
        """Forget the last answer."""
        self.answer_bytes = 0
        self.rest_bytes = 0
        self._held = b""
        self._head_tail = b""
        self._parsed = 0
        self._overhead = 0
        self._drain_left: int | None = None
        self._ready: deque[bytes | tuple[bytearray, int]] = deque()
        self._chunk = bytearray()
        self._filled = 0
        self._chunk_since = 0.0
        self._is_paused = False
        self.has_surplus = False
        self.head_is_exact = False
        self._waiter: asyncio.Future[None] | None = None

    # Asked by the exchange ----------------------------------------------------------------

    @property
    def takes_body(self) -> bool:
        """Whether the body comes here, and not through the parser."""
        return self._stage is _Stage.BODY

    def idle_s(self) -> float:
        """For how long nothing came, in seconds."""
        return self._loop.time() - self.timeout.last_received_at

    def begin(self, exchange: Exchange) -> None:
        """A request is sent now; what comes is its answer."""
        self._reset()
        self._exchange = exchange
        self._stage = _Stage.HEAD

    def end(self) -> None:
        """The answer is whole, and nothing may come until the next request."""
        self._exchange = None
        self._stage = _Stage.IDLE
        self._held = b""
        self._drain_left = None
        self._ready.clear()
        self._chunk = bytearray()

    def next_head(self) -> None:
        """The head was a preliminary one: another one follows."""
        held, self._held = self._held, b""
        self._head_tail = b""
        self._stage = _Stage.HEAD
        if held:
            self._parse_head(held)

    def parse_body(self) -> None:
        """The rest of the answer is the parser's."""
        held, self._held = self._held, b""
        self._stage = _Stage.PARSED
        if held:
            self._parse(held)

    def take_body(self, size_bytes: int, parsed: bytes) -> None:
        """Receive a body of known length without the parser.

        Args:
            size_bytes: Its length.
            parsed: What the parser has of it already, which is hardly ever anything.
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
        """The body, where it came with its head and is not too long; it is handed out once."""
        if self._stage is _Stage.BODY and not self.rest_bytes and len(self._ready) == 1:
            body = self._ready[0]
            if isinstance(body, bytes) and len(body) <= limit:
                self._ready.clear()
                return body
        return None

    async def chunk(self) -> bytes | bytearray:
        """The next chunk of a body that was taken over, empty at its end.

        Raises:
            OSError: The connection ended before the body; all that came before was handed out.
            TimeoutError: Nothing came for too long.
        """
        while not self._ready:
            if not self.rest_bytes:
                return b""
            if self.error is not None:
                raise self.error
            if self._is_paused:
                self._is_paused = False
                self.transport.resume_reading()
            await self._wait()
        item = self._ready.popleft()
        if isinstance(item, bytes):
            return item
        chunk, filled = item
        del chunk[filled:]  # only now: the transport held on to it while it was filled
        return chunk

    def drain(self) -> None:
        """Receive what is left of an unwanted body, and tell the exchange at its end."""
        self._drain_left = DRAIN_BYTES
        self._ready.clear()
        self._chunk = bytearray()
        self.timeout.begin()
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()

    def fail(self, error: Exception) -> None:
        """Close the connection at once; the request that waits for it gets the error."""
        self.transport.abort()
        self._end_with(error)

    def _end_with(self, error: Exception) -> None:
        if self.error is not None:
            return
        self.error = error
        self.timeout.stop()
        if self.rest_bytes and self._filled and self._chunk:
            # A copy: the error's traceback may hold on to the chunk, which cannot be cut then.
            self._ready.append(bytes(self._chunk[: self._filled]))
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.failed(error)
        self._wake()
        self._on_lost(self)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        self.is_waiting = True
        self.timeout.begin()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self.is_waiting = False
            self.timeout.pause()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _is_waited_for(self) -> bool:
        return self.is_waiting or self._drain_left is not None

    # Called by the event loop -------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go.

        Over TLS `sizehint` is how much is there that is not decrypted yet, and the buffer must
        have room for more: what asyncio cannot hand over at once is lost if the source closes
        the connection. Without TLS it is negative.
        """
        room = sizehint + _TLS_RECORD_BYTES + 1 if sizehint >= 0 else 0
        if not self.rest_bytes or self._drain_left is not None:  # zero where it is parsed
            if room > len(self._scratch):
                self._scratch = bytearray(room)
                self._scratch_view = memoryview(self._scratch)
            buffer = self._scratch_view
        else:
            buffer = self._body_buffer(room)
        self._buffer_size = len(buffer)
        return buffer

    def _body_buffer(self, room: int) -> memoryview:
        """The rest of the chunk that is being filled, or a new one with room for so much."""
        free = len(self._chunk) - self._filled
        if self._chunk and free < room and free <= self.rest_bytes:
            self._hand_over()
        if not self._chunk:
            # One byte more than is due, so that surplus bytes show.
            is_last = self.rest_bytes <= self._chunk_bytes
            self._chunk = bytearray(self.rest_bytes + 1 if is_last else self._chunk_bytes + room)
            self._filled = 0
            self._chunk_since = self._loop.time()
        return memoryview(self._chunk)[self._filled :]

    def _hand_over(self) -> None:
        """Let the chunk be taken as far as it is filled."""
        self._ready.append((self._chunk, self._filled))
        self._chunk = bytearray()
        self._filled = 0

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
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
        """End what was under way; aiohttp's protocol knows whether a body may end like this."""
        if exc is not None:  # before the parser takes the end of the connection for the body's
            self._end_with(exc)
        self.handler.connection_lost(exc)
        self._end_with(ConnectionError("the source closed the connection"))

    def pause_writing(self) -> None:
        """Pass it on."""
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self.handler.resume_writing()

    # What came ----------------------------------------------------------------------------

    def _refuse(self) -> None:
        """Bytes that answer no request: the connection cannot be trusted with another one."""
        self.fail(ConnectionError("the source sent bytes that answer no request"))

    def _receive_head(self, nbytes: int) -> None:
        """Take a head; nearly always it is whole, and the first thing that came."""
        end = -1 if self._head_tail else self._scratch.find(_HEAD_END, 0, nbytes)
        if end < 0:
            self._parse_head(bytes(self._scratch_view[:nbytes]))
            return
        end += len(_HEAD_END)
        rest = bytes(self._scratch_view[end:nbytes])
        self._parse_head(bytes(self._scratch_view[:end]))
        if self._stage is _Stage.HELD:
            self._held = rest
        elif self._stage is _Stage.HEAD and rest:  # those were empty lines
            self._parse_head(rest)

    def _parse_head(self, data: bytes) -> None:
        """Pass on a head, and hold what follows it."""
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
            if cast("Exchange", self._exchange).has_head():  # there is one in this stage
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
            self.fail(ConnectionError("not an answer: the marks between its chunks do not end"))

    def _fill(self, nbytes: int) -> None:
        """Count what was written into the chunk; hand it over once it is full, or old."""
        if not self.rest_bytes:
            self.has_surplus = True
            self.transport.pause_reading()
            return
        self._filled += nbytes
        self.rest_bytes -= nbytes
        if self.rest_bytes <= 0:
            self.has_surplus = self.rest_bytes < 0
            self._filled += self.rest_bytes
            self.rest_bytes = 0
        elif (
            self._filled < self._chunk_bytes
            and self.timeout.last_received_at - self._chunk_since < _CHUNK_AGE_S
        ):
            return
        self._hand_over()
        if self.rest_bytes > self._unpaused and len(self._ready) > 1 and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()
        self._wake()

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
