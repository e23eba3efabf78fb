"""Open the client of a run, and stack on it what every request goes through: hosts and caps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from yarl import URL

from crypto_lakehouse.collection.connection import CHUNK_BYTES
from crypto_lakehouse.collection.direct import direct_client
from crypto_lakehouse.collection.http import Client, HttpTransport, Origins
from crypto_lakehouse.collection.rates import ByteRate, RequestRate
from crypto_lakehouse.core.config import WorkflowConfig

if TYPE_CHECKING:
    import aiohttp

__all__ = ["make_transport", "open_client", "origins_of"]

#: A capped run takes bodies in pieces of a twentieth of a second, but none smaller than this.
_SMALLEST_CHUNK_BYTES = 1 << 12


@asynccontextmanager
async def open_client(
    config: WorkflowConfig, connections: int, session: aiohttp.ClientSession | None = None
) -> AsyncIterator[Client]:
    """Open the engine's own client, or take an application's session, which is not closed.

    Args:
        config: Says how long silence is borne, and whether bytes are capped.
        connections: How many idle connections are kept.
        session: The application's.
    """
    if session is not None:
        from crypto_lakehouse.collection.aiohttp_client import AiohttpClient

        yield AiohttpClient(session)
        return
    rate = config.max_bytes_per_second
    chunk = CHUNK_BYTES if rate is None else max(_SMALLEST_CHUNK_BYTES, rate // 20)
    opening = direct_client(connections, config.timeout_seconds, min(chunk, CHUNK_BYTES))
    async with opening as client:
        yield client


def origins_of(config: WorkflowConfig) -> Origins:
    """The hosts that a run may fetch archives from."""
    listing_host = URL(config.listing_url).host if config.listing_url else None
    return Origins.of(
        config.source_url,
        filter(None, (listing_host, *config.redirect_hosts)),
        config.second_source_url,
    )


def make_transport(config: WorkflowConfig, client: Client) -> HttpTransport:
    """Stack hosts and caps on a client."""
    byte_rate, request_rate = config.max_bytes_per_second, config.max_requests_per_second
    return HttpTransport(
        client,
        origins_of(config),
        ByteRate(byte_rate) if byte_rate else None,
        RequestRate(request_rate) if request_rate else None,
    )
