"""Open the client of the exchange's API, with the addresses and the network of a configuration."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from attrs import frozen

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import TransferError
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.rest import API_OF, RestClient
from crypto_lakehouse.workflows.wiring.network import Network
from crypto_lakehouse.workflows.wiring.transport_stack import open_client

if TYPE_CHECKING:
    import aiohttp

__all__ = ["CONNECTIONS", "SYSTEM_TIME", "TimeSource", "exchange_urls", "open_rest_client"]

#: How many days of a market are filled at once, and so how many connections its host has.
CONNECTIONS = 16

OnRetry = Callable[[int, float, TransferError], Awaitable[None]]


@frozen
class TimeSource:
    """Where a fill takes the time from; a parameter for tests, which follow the exchange's clock.

    Attributes:
        local: A clock that only goes forward, in seconds.
        sleep: Sleeps for seconds of it.
    """

    local: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


SYSTEM_TIME = TimeSource()


def exchange_urls(config: WorkflowConfig) -> dict[Market, str]:
    """Return where the exchange answers, for each market that can be filled."""
    given: Mapping[str, str] = (config.fill or {}).get("urls", {})
    return {market: given.get(str(market), api.url) for market, api in API_OF.items()}


@asynccontextmanager
async def open_rest_client(
    config: WorkflowConfig,
    on_retry: OnRetry,
    *,
    session: aiohttp.ClientSession | None = None,
    network: Network | None = None,
    times: TimeSource = SYSTEM_TIME,
    asks_again: bool = False,
) -> AsyncIterator[RestClient]:
    """Open a client that asks the configured addresses, and no others.

    Args:
        config: Names the addresses, and how often a failed request is retried.
        on_retry: Called before each retry.
        session: An application's own; it is used and not closed.
        network: Proxies and certificates; the configuration's by default.
        times: Where the time comes from.
        asks_again: Whether a host is asked again after it has banned or blocked this machine.
    """
    urls = exchange_urls(config)
    network = network or (Network.of(config, urls=urls.values()) if session is None else None)
    retry = RetryPolicy(max_retries=config.max_retries, sleep=times.sleep)
    async with open_client(config, CONNECTIONS * len(urls), session, network) as client:
        yield RestClient.of(
            client,
            urls,
            retry=retry,
            on_retry=on_retry,
            redirect_hosts=tuple(config.redirect_hosts),
            allow_http=config.allow_http,
            local=times.local,
            sleep=times.sleep,
            asks_again=asks_again,
        )
