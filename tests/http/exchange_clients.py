"""The engine's own client as its tests make and use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.http.scripted_server import (
    WAIT_S,
    Peer,
    answer,
)
from yarl import URL

from crypto_lakehouse.http.client import ExchangeClient, engine_client
from crypto_lakehouse.http.routes import EngineRoutes
from crypto_lakehouse.http.tls import tls_context
from crypto_lakehouse.http.transport import Answer

#: What to do with an answer, how long it is, whether in chunks, and when to cancel.
Plan = tuple[str, int, bool, int]
OK = b"HTTP/1.1 200 OK\r\n"
LIMIT = 1 << 20


@asynccontextmanager
async def client_of(
    connections: int = 8, timeout_s: float = WAIT_S, chunk_bytes: int = 1 << 20
) -> AsyncIterator[ExchangeClient]:
    """A client that must know of no connection once it is closed."""
    async with (
        asyncio.timeout(3 * WAIT_S),
        engine_client(connections, timeout_s, chunk_bytes) as client,
    ):
        assert isinstance(client, ExchangeClient)
        yield client
    assert not client.receivers
    assert not client.idle


def unmanaged(**settings: float) -> ExchangeClient:
    """A client that its test closes."""
    routes = EngineRoutes(0, WAIT_S, lambda _: None, lambda: tls_context(None, {}), **settings)
    return ExchangeClient(routes, 8, WAIT_S)


async def get(client: ExchangeClient, url: URL, **headers: str) -> bytes:
    """Send a request, read the body, and give the connection back."""
    found = await client.send(url, headers)
    try:
        return await found.read(LIMIT)
    finally:
        found.release()


async def echo(peer: Peer) -> None:
    """Answer each request with its own path."""
    while True:
        head = await peer.request()
        await peer.send(answer(head.split()[1]))


def answering(*pieces: bytes) -> Callable[[Peer], Awaitable[None]]:
    """Answer each request alike."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*pieces)

    return script


async def take(found: Answer, chunks: list[bytes | bytearray]) -> None:
    """Take what comes of a body, until it ends or breaks off."""
    async for chunk in found.chunks():
        chunks.append(chunk)  # noqa: PERF401 - what came before a break-off counts
