"""One keep-alive HTTP/1.1 connection: llhttp parses heads, the socket fills the buffers of bodies.

A session of aiohttp spends about 100 us of processor time on a request, this about 25 (workload S
of the benchmarks); with millions of small archives that is most of the run. The parser is
httptools, which is llhttp, node's. A body of known length bypasses it: the kernel writes right
into the buffers that are hashed and stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import cast

import httptools

from crypto_lakehouse.collection.answers import Headers, Lost
from crypto_lakehouse.collection.patience import Patience

__all__ = ["CHUNK_BYTES", "Connection"]

#: A large body arrives in chunks of this many bytes, each of which is stored in one thread hop.
CHUNK_BYTES = 1 << 20

#: Heads, small bodies, and bodies of unknown length are received into this many bytes.
_SCRATCH_BYTES = 1 << 15

#: No head is longer than this; a source that sends more is not a source.
_HEAD_LIMIT_BYTES = 1 << 16

#: No file is as long; nor could the ledger keep the number.
_IMPOSSIBLE_BYTES = 1 << 63

#: A chunk that fills slowly is handed over after this long, in seconds, so that displays move.
_CHUNK_AGE_S = 0.25

#: So much of a body that nobody wants is received for the sake of the connection.
_DRAIN_BYTES = 1 << 16

#: A connection that was silent for longer, in seconds, is not trusted with a request: a NAT on
#: the way may have forgotten it, which shows as silence only.
_IDLE_LIMIT_S = 60.0


class _State(Enum):
    IDLE = auto()
    HEAD = auto()
    RAW = auto()
    """A body of known length, received without the parser."""
    PARSED = auto()
    """A body in chunks, or one that ends with the connection."""
    DONE = auto()
    CLOSED = auto()


class Connection(asyncio.BufferedProtocol):
    """One connection; it serves one request at a time.

    Args:
        timeout_s: How long the source may be silent while somebody waits, in seconds.
        chunk_bytes: Size of the chunks of a large body.
        on_free: Called when the connection can take another request, or never will.
    """

    def __init__(
        self,
        timeout_s: float,
        on_free: Callable[[Connection], None],
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(self._loop, timeout_s, self._is_wanted, self._give_up)
        self._chunk_bytes = chunk_bytes
        self._on_free = on_free
        self._scratch = bytearray(_SCRATCH_BYTES)
        self._scratch_view = memoryview(self._scratch)
        self._state = _State.IDLE
        self._ready: deque[bytes | bytearray] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._drained: int | None = None
        self.is_reused = False
        self._begin()

    def _begin(self) -> None:
        """Forget the last answer."""
        self.status = 0
        self._raw_headers: dict[bytes, bytes] = {}
        self.size_bytes: int | None = None
        self._received = 0
        self._head_bytes = 0
        self._marks_bytes = 0
        self._keep = False
        self._ends_with_connection = False
        self._paused = False
        self._chunk = bytearray()
        self._last: bytearray | None = None
        self._filled = 0
        self._chunk_since = 0.0

    @property
    def headers(self) -> Headers:
        """The answer's headers."""
        return Headers(self._raw_headers)

    # Asked by the client ------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether a request can be sent."""
        return self._state is _State.IDLE

    @property
    def is_closed(self) -> bool:
        """Whether it is over with this connection."""
        return self._state is _State.CLOSED

    @property
    def was_answered(self) -> bool:
        """Whether anything at all came in answer to the request."""
        return self._head_bytes > 0

    async def ask(self, request: bytes) -> None:
        """Send a request, and wait until the head of its answer is here.

        Raises:
            Lost: The connection ended, or what came is not HTTP.
            TimeoutError: Nothing came for too long.
        """
        self._begin()
        if self._state is not _State.IDLE or self._transport.is_closing():
            raise self._error or Lost("the source closed the connection", in_body=False)
        if self.is_reused and self._loop.time() - self._patience.heard > _IDLE_LIMIT_S:
            self.abort()
            raise Lost("the connection was idle for too long", in_body=False)
        self._parser = httptools.HttpResponseParser(self)
        self._state = _State.HEAD
        self._transport.write(request)
        while self._state is _State.HEAD:
            await self._wait()
        if self.status == 0:
            raise self._error or Lost("the connection was closed", in_body=False)

    async def chunk(self) -> bytes | bytearray:
        """The next chunk of the body, empty at its end.

        Raises:
            Lost: The connection ended before the body; all that came before was handed out.
            TimeoutError: Nothing came for too long.
        """
        while not self._ready:
            if self._state is _State.DONE:
                return b""
            if self._error is not None:
                raise self._error
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            await self._wait()
        chunk = self._ready.popleft()
        if chunk is self._last:
            del chunk[self._filled :]
            self._last = None
        return chunk

    def whole_body(self) -> bytes | bytearray | None:
        """The body, where it is here already and in one piece; it is handed out once."""
        if self._state is _State.DONE and len(self._ready) == 1 and self._last is None:
            return self._ready.popleft()
        return None

    def release(self) -> None:
        """Give the connection back; the rest of a body is received where that is little."""
        self._ready.clear()
        self._last = None
        if self._state is _State.DONE:
            self._finish()
        elif self._keep and self._state is not _State.CLOSED and self._is_short():
            self._drained = 0
            self._chunk = bytearray()
            self._patience.begin()
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
        else:
            self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()
        self._close(Lost("the request was given up", in_body=self.status > 0))

    def _is_short(self) -> bool:
        rest = 0 if self.size_bytes is None else self.size_bytes - self._received
        return rest <= _DRAIN_BYTES

    async def _wait(self) -> None:
        self._patience.begin()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._patience.pause()

    def _is_wanted(self) -> bool:
        """Whether somebody waits for what comes, or for its end."""
        return self._waiter is not None or self._drained is not None

    def _give_up(self, error: TimeoutError) -> None:
        self._transport.abort()
        self._close(error)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Told by the event loop ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's
        """Where the next bytes go."""
        if self._state is not _State.RAW or self._drained is not None:
            return self._scratch_view
        if not self._chunk:
            rest = (self.size_bytes or 0) - self._received
            # One byte more than is due, so that what nobody asked for shows.
            self._chunk = bytearray(rest + 1 if rest <= self._chunk_bytes else self._chunk_bytes)
            self._filled = 0
            self._chunk_since = self._loop.time()
        return memoryview(self._chunk)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        self._patience.heard = self._loop.time()
        self._patience.came += nbytes
        if self._drained is not None:
            self._drain(nbytes)
        elif self._state is _State.RAW:
            self._fill(nbytes)
        elif self._state in {_State.HEAD, _State.PARSED}:
            self._parse(nbytes)
        else:  # an answer that nobody asked for
            self.abort()

    def eof_received(self) -> None:
        """Let the transport close; `connection_lost` follows."""

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was under way; a body of unknown length ends well with its connection."""
        if self._state is _State.PARSED and exc is None and self._ends_with_connection:
            self._state = _State.DONE
            self._wake()
            return
        reason = str(exc) if exc is not None else "the source closed the connection"
        self._close(Lost(reason, in_body=self.status > 0))

    # What came ----------------------------------------------------------------------------

    def _fill(self, nbytes: int) -> None:
        """Count what the kernel wrote into the chunk; hand it over once it is full, or old."""
        self._filled += nbytes
        self._received += nbytes
        surplus = self._received - (self.size_bytes or 0)
        full = self._filled == len(self._chunk)
        if surplus < 0 and not full and self._patience.heard - self._chunk_since < _CHUNK_AGE_S:
            return
        chunk, self._chunk = self._chunk, bytearray()
        if surplus >= 0:  # cut to size when it is taken: the transport still holds on to it
            self._state = _State.DONE
            self._keep = self._keep and not surplus
            self._filled -= surplus
            self._last = chunk
        self._ready.append(chunk if full or surplus >= 0 else chunk[: self._filled])
        self._hold()
        self._wake()

    def _parse(self, nbytes: int) -> None:
        if self._state is _State.HEAD:
            self._head_bytes += nbytes
        received = self._received
        try:
            self._parser.feed_data(self._scratch_view[:nbytes])
            if self._state is not _State.DONE:
                self._limit(nbytes if self._received == received else 0)
        except httptools.HttpParserError as error:
            if self._state is _State.DONE:  # the answer is whole, and followed by something else
                self._keep = False
            else:
                reason = error.__context__ or error
                self._transport.abort()
                self._close(Lost(f"not an answer: {reason}", in_body=self.status > 0))
                return
        if self._state is _State.DONE and nbytes == _SCRATCH_BYTES:
            self._keep = False  # more may have come than there was room for
        if self._state is not _State.HEAD:
            self._hold()
            self._wake()

    def _limit(self, nbytes: int) -> None:
        """Take no more of a head than a head has, nor of what stands around a body's chunks."""
        if self._state is _State.HEAD:
            if self._head_bytes > _HEAD_LIMIT_BYTES:
                raise httptools.HttpParserError("the head does not end")
        elif self._state is _State.PARSED:
            self._marks_bytes = self._marks_bytes + nbytes if nbytes else 0
            if self._marks_bytes > _HEAD_LIMIT_BYTES:
                raise httptools.HttpParserError("the marks between chunks do not end")

    def _hold(self) -> None:
        """Let the source wait while two chunks are not taken; what nobody wants is not held."""
        if self._state is _State.DONE or self._drained is not None:
            return
        if not self._paused and len(self._ready) > 1:
            waiting = sum(map(len, self._ready))
            if waiting >= 2 * self._chunk_bytes:
                self._paused = True
                self._transport.pause_reading()

    def _drain(self, nbytes: int) -> None:
        self._drained = (self._drained or 0) + nbytes
        if self._drained > _DRAIN_BYTES:
            self.abort()
            return
        if self._state is _State.RAW:
            self._received += nbytes
            surplus = self._received - (self.size_bytes or 0)
            if surplus >= 0:
                self._state = _State.DONE
                self._keep = not surplus
        else:
            self._parse(nbytes)
            self._ready.clear()
        if self._state is _State.DONE:
            self._finish()

    def _finish(self) -> None:
        self._drained = None
        if self._keep and not self._transport.is_closing():
            self._state = _State.IDLE
            self.is_reused = True
            self._on_free(self)
        else:
            self.abort()

    def _close(self, error: BaseException) -> None:
        if self._state is _State.CLOSED:
            return
        if self._filled and self._chunk:
            self._ready.append(self._chunk[: self._filled])
        if self._state is not _State.DONE:
            self._error = error
            self._state = _State.CLOSED
        self._keep = False
        self._patience.stop()
        self._wake()
        self._on_free(self)

    # Told by the parser -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Take one answer; what follows it belongs to no request."""
        if self._state is _State.DONE:
            raise httptools.HttpParserError("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what comes after the body must not change what stood before it."""
        if not self.status:
            self._raw_headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Learn how the body will end."""
        status = self._parser.get_status_code()
        if status < 200:
            if status < 100 or status == 101:
                raise httptools.HttpParserError(f"status {status}")
            self._raw_headers.clear()
            return
        self.status = status
        self._keep = self._parser.should_keep_alive()
        self._state = _State.PARSED
        length = self._raw_headers.get(b"content-length")
        if length is None:
            self._ends_with_connection = b"transfer-encoding" not in self._raw_headers
        elif int(length) < _IMPOSSIBLE_BYTES:
            self.size_bytes = int(length)
            self._state = _State.RAW

    def on_body(self, data: bytes) -> None:
        """Keep what came of the body with the head, or between chunk marks."""
        self._received += len(data)
        ready = self._ready
        if not ready or len(ready[-1]) + len(data) > _SCRATCH_BYTES:
            ready.append(data)
            return
        last = ready[-1]  # tiny pieces are joined: each costs more than it holds
        if isinstance(last, bytes):
            last = ready[-1] = bytearray(last)
        last += data

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.status:
            self._state = _State.DONE
        else:  # a preliminary one, which has no body; should it bring one, it is not the answer's
            self._ready.clear()
            self._received = 0
