"""Receives a body of known length into the chunks that are hashed and stored.

Two full chunks may be unread; then reading from the source is paused (backpressure).
"""

from __future__ import annotations

import asyncio
from collections import deque

from crypto_lakehouse.http.idle_timeout import IdleTimeout

__all__ = ["CHUNK_BYTES", "BodyChunks"]

#: The chunk size of large bodies; each chunk is stored in one call in a thread.
CHUNK_BYTES = 1 << 20

#: A chunk that fills slowly is delivered after this time, in seconds, to keep displays current.
_CHUNK_AGE_S = 0.25

#: Reading is not paused for this last part of a body over TLS: if the source closes the connection,
#: asyncio loses data that it has decrypted and not delivered, which may be half as much.
_UNPAUSED_TLS_BYTES = 1 << 20


class BodyChunks:
    """The chunks of one connection; `Receiver` adds heads, parsed bodies and the protocol.

    It is a base class, not a member, because the event loop calls it for every read.

    Args:
        transport: The transport of the connection.
        timeout: The idle timeout of the connection.
        chunk_bytes: Size of the chunks of a large body.
    """

    def __init__(
        self, transport: asyncio.Transport, timeout: IdleTimeout, chunk_bytes: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.transport = transport
        self.timeout = timeout
        self._chunk_bytes = chunk_bytes
        self.is_tls = transport.get_extra_info("sslcontext") is not None
        self._unpaused = _UNPAUSED_TLS_BYTES if self.is_tls else 0
        self.error: Exception | None = None
        self.is_waiting = False

    def _reset_body(self) -> None:
        """Reset the state of the last body."""
        self.rest_bytes = 0
        self.has_surplus = False
        self._ready: deque[bytes | tuple[bytearray, int]] = deque()
        self._chunk = bytearray()
        self._filled = 0
        self._chunk_since = 0.0
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None

    async def chunk(self) -> bytes | bytearray:
        """Return the next chunk of a body of known length; empty at its end.

        Raises:
            OSError: The connection ended before the body; all earlier data was returned.
            TimeoutError: The source was silent for too long.
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
        del chunk[filled:]  # not earlier: the transport exported the buffer while it was filled
        return chunk

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

    def _body_buffer(self, room: int) -> memoryview:
        """Return the free part of the current chunk, or a new chunk with enough room."""
        free = len(self._chunk) - self._filled
        if self._chunk and free < room and free <= self.rest_bytes:
            self._hand_over()
        if not self._chunk:
            # One byte more than expected, to detect surplus bytes.
            is_last = self.rest_bytes <= self._chunk_bytes
            self._chunk = bytearray(self.rest_bytes + 1 if is_last else self._chunk_bytes + room)
            self._filled = 0
            self._chunk_since = self._loop.time()
        return memoryview(self._chunk)[self._filled :]

    def _hand_over(self) -> None:
        """Make the filled part of the chunk available."""
        self._ready.append((self._chunk, self._filled))
        self._chunk = bytearray()
        self._filled = 0

    def _fill(self, nbytes: int) -> None:
        """Count bytes written to the chunk; deliver it if it is full or old."""
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
