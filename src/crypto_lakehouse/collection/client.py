"""Open the engine's own HTTP client."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from yarl import URL

from crypto_lakehouse.collection.aiohttp_client import AiohttpClient
from crypto_lakehouse.collection.exchange import ExchangeClient, missing_names
from crypto_lakehouse.collection.http import Client
from crypto_lakehouse.collection.receiver import CHUNK_BYTES
from crypto_lakehouse.collection.routes import EngineRoutes
from crypto_lakehouse.collection.tls import tls_context

__all__ = ["engine_client", "session_client"]

ProxyOf = Callable[[URL], URL | None]
MakeTls = Callable[[], ssl.SSLContext]


def _system_tls() -> ssl.SSLContext:
    return tls_context(None, os.environ)


def _no_proxy(_url: URL) -> None:
    return None


@asynccontextmanager
async def engine_client(
    connections: int,
    timeout_s: float,
    chunk_bytes: int = CHUNK_BYTES,
    *,
    proxy_of: ProxyOf = _no_proxy,
    make_tls: MakeTls = _system_tls,
    note: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Client]:
    """Open a client; its connections are closed at the end.

    Args:
        connections: How many idle connections it keeps.
        timeout_s: How long the source may be silent, in seconds, while connecting or sending;
            a body that keeps coming may take as long as it needs.
        chunk_bytes: In what pieces large bodies are handed out; small ones where a run is capped.
        proxy_of: The proxy of a request, with its user information; None for a direct one.
        make_tls: Makes the TLS context when the first https request is sent.
        note: Takes a sentence where the installed aiohttp does not allow the faster way.
    """
    missing = missing_names()
    if missing:
        note(
            f"the installed aiohttp lacks {', '.join(missing)}: requests go through its session, "
            "which costs more processor time; a version that ARCHITECTURE.md names avoids that"
        )
        opening = session_client(connections, timeout_s, proxy_of=proxy_of, make_tls=make_tls)
        async with opening as client:
            yield client
        return
    routes = EngineRoutes(0, timeout_s, proxy_of, make_tls)
    exchange = ExchangeClient(routes, connections, timeout_s, chunk_bytes)
    try:
        yield exchange
    finally:
        await exchange.aclose()


@asynccontextmanager
async def session_client(
    connections: int,
    timeout_s: float,
    *,
    proxy_of: ProxyOf = _no_proxy,
    make_tls: MakeTls = _system_tls,
) -> AsyncIterator[Client]:
    """Open a client over aiohttp's documented session; see `engine_client`.

    Args:
        connections: How many connections it may hold open.
        timeout_s: How long the source may be silent, in seconds.
        proxy_of: The proxy of a request.
        make_tls: Makes the TLS context.
    """
    routes = EngineRoutes(connections, timeout_s, proxy_of, make_tls)
    try:
        yield AiohttpClient(routes, timeout_s)
    finally:
        await routes.aclose()
