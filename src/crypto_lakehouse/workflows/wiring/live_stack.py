"""Open what a recording asks the exchange with: its API, and its streams."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import anyio

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import TransferError
from crypto_lakehouse.http.routes import EngineRoutes
from crypto_lakehouse.http.tls import tls_context
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.live.sockets import AiohttpSockets
from crypto_lakehouse.live.streams import STREAMS_OF
from crypto_lakehouse.rest import RestClient
from crypto_lakehouse.workflows.wiring.network import Network
from crypto_lakehouse.workflows.wiring.rest_stack import (
    TimeSource,
    exchange_urls,
    open_rest_client,
)

__all__ = ["open_live_clients", "stream_urls"]


def stream_urls(config: WorkflowConfig, markets: Iterable[Market]) -> dict[Market, str]:
    """Where the streams of some markets are."""
    given = (config.record or {}).get("urls", {})
    return {market: given.get(market, STREAMS_OF[market].url) for market in markets}


@asynccontextmanager
async def open_live_clients(
    config: WorkflowConfig,
    urls: Mapping[Market, str],
    times: LiveTimes,
    note: Callable[[str], None],
) -> AsyncIterator[tuple[RestClient, AiohttpSockets]]:
    """Open what asks the exchange's API, and what opens connections for streams.

    Args:
        config: Has the network's settings and the addresses of the API.
        urls: Where the streams of each market are.
        times: Where the time comes from.
        note: Takes a remark for the user.
    """
    live_urls = [url.replace("ws", "http", 1) for url in urls.values()]
    network = Network.of(config, urls=[*exchange_urls(config).values(), *live_urls])
    if network.note:
        note(network.note)
    routes = EngineRoutes(
        0, config.timeout_seconds, network.proxies.for_url,
        lambda: network.tls or tls_context(config.ca_bundle, os.environ),
    )  # fmt: skip

    async def on_retry(_attempt: int, wait_s: float, error: TransferError) -> None:
        note(f"again in {wait_s:.1f} s: {error}")

    source = TimeSource(times.local, times.sleep)
    rest_client = open_rest_client(config, on_retry, network=network, times=source, asks_again=True)
    async with rest_client as rest:
        try:
            yield rest, AiohttpSockets(routes, config.timeout_seconds)
        finally:
            with anyio.CancelScope(shield=True):
                await routes.aclose()
