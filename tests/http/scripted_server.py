"""A server on loopback that does what a script says, byte by byte, and tells what it saw."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from attrs import define, field
from yarl import URL

__all__ = ["WAIT_S", "Gone", "Peer", "Source", "answer", "gently", "serving"]

#: What must happen at once fails after this long, in seconds; nothing waits for it to pass.
WAIT_S = 10.0


class Gone(Exception):
    """The client closed its connection."""


@define(eq=False)
class Peer:
    """The server's end of one connection.

    Attributes:
        number: 0 for the first connection that the server saw.
        requests: The heads that came, whole.
    """

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[bytes] = field(factory=list)
    is_gone: asyncio.Event = field(factory=asyncio.Event)

    async def request(self) -> bytes:
        """The next request's head.

        Raises:
            Gone: The client closed the connection instead.
        """
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Gone from error
        self.requests.append(head)
        return head

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each of which the client has read before the next one goes."""
        try:
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()
                await gently()
        except OSError as error:
            raise Gone from error

    async def gone(self) -> None:
        """Wait until the client has closed the connection; what it sent before is dropped."""
        with suppress(OSError):
            while await self.reader.read(1 << 16):
                pass
        self.is_gone.set()

    def reset(self) -> None:
        """Break the connection off."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.writer.transport.abort()


@define
class Source:
    """The server as its test sees it.

    Attributes:
        peers: One for each connection that was ever opened.
    """

    base: URL
    peers: list[Peer] = field(factory=list)
    failures: list[BaseException] = field(factory=list)

    def url(self, path: str = "/x") -> URL:
        """A URL of this server."""
        return self.base.with_path(path)

    @property
    def requests(self) -> list[bytes]:
        """All requests, by connection."""
        return [head for peer in self.peers for head in peer.requests]

    async def all_gone(self) -> None:
        """Wait until the client has closed every connection."""
        async with asyncio.timeout(WAIT_S):
            for peer in self.peers:
                await peer.is_gone.wait()


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def serving(
    script: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Source]:
    """Run a script for each connection; it ends with the connection, and may end it.

    Where a script returns, the connection stays open until the client closes it, unless the
    script closed it.
    """
    shown = f"[{host}]" if ":" in host else host
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(source.peers), reader, writer)
        source.peers.append(peer)
        try:
            with suppress(Gone):
                await script(peer)
            await peer.gone()
        except Exception as error:  # noqa: BLE001 - told at the end of the test
            source.failures.append(error)
        finally:
            peer.is_gone.set()
            writer.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, host, 0, ssl=tls, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    source = Source(URL(f"{'https' if tls else 'http'}://{shown}:{port}"))
    try:
        yield source
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gently()
    assert not source.failures, source.failures


async def gently() -> None:
    """Let everything that is ready on loopback be read."""
    for _ in range(4):
        await asyncio.sleep(0)


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """An answer with its length."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body
