"""A server on loopback with an event loop in a thread of its own, for tests of any kind.

Blocking tests, tests in an event loop and child processes can all ask it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from attrs import define, field

__all__ = ["Gone", "LoopbackServer", "Place", "pump"]

#: What must happen at once fails after this long, in seconds; nothing waits for it to pass.
WAIT_S = 10.0

Place = tuple[str, int]


class Gone(Exception):
    """The other side has closed its connection, or breaks the rules."""


@define(eq=False)
class LoopbackServer:
    """Serves each connection by `talk`; it ends with the server.

    Args:
        tls: How TLS is spoken; None for none.

    Attributes:
        connections: How many there have been.
    """

    tls: ssl.SSLContext | None = field(default=None, kw_only=True)
    connections: int = field(init=False, default=0)
    failures: list[BaseException] = field(init=False, factory=list)
    _port: int = field(init=False, default=0)
    _server: asyncio.Server = field(init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: threading.Thread = field(init=False)
    _talks: set[asyncio.Task[None]] = field(init=False, factory=set)
    _writers: list[asyncio.StreamWriter] = field(init=False, factory=list)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that it listens on."""
        return self._port

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, which is closed afterwards."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._listen())
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()
        assert not self.failures, self.failures

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0, ssl=self.tls)

    async def _end(self) -> None:
        self._server.close()
        for task in tuple(self._talks):
            task.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        # A closed transport may still have bytes to send, and its loop ends with the server.
        for writer in self._writers:
            # Before Python 3.11.5, a TLS transport that was closed twice cannot be aborted.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()
        closed = (writer.wait_closed() for writer in self._writers)
        await asyncio.gather(*closed, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(Gone, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self.talk(reader, writer)
        except Exception as error:  # noqa: BLE001 - told at the end of the test
            self.failures.append(error)
        finally:
            writer.close()

    async def connect(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a place on loopback, and to no other; the connection ends with the server.

        Raises:
            OSError: Nothing listens there.
        """
        assert place[0] in {"127.0.0.1", "::1"}, place
        reader, writer = await asyncio.open_connection(*place)
        self._writers.append(writer)
        return reader, writer


async def pump(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    other: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    most: int | None = None,
) -> None:
    """Hand on what either side sends until one of them ends.

    Args:
        one: The client.
        other: The server behind.
        most: After so many bytes for the client the connection breaks off.
    """
    tasks = [
        asyncio.ensure_future(_hand_on(one[0], other[1], None)),
        asyncio.ensure_future(_hand_on(other[0], one[1], most)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        other[1].close()


async def _hand_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None
) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            if most is not None and len(data) >= most:
                writer.write(data[:most])
                await writer.drain()
                writer.transport.abort()
                return
            most = None if most is None else most - len(data)
            writer.write(data)
            await writer.drain()
        writer.close()
