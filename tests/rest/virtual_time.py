"""A client whose clock is the exchange's: a test waits for minutes in no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define, field

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.rest import RestClient
from crypto_lakehouse.testing import ExchangeServer
from crypto_lakehouse.testing.exchange.clock import MINUTE_US

__all__ = ["MARKETS", "VirtualTime", "rest_client"]

#: So many steps of the loop after a response, all that it wakes has been woken.
STEPS = 20

MARKETS = (Market.SPOT, Market.FUTURES_UM, Market.FUTURES_CM)


@define
class VirtualTime:
    """The exchange's clock, as a clock of this machine that is wrong and goes right.

    Attributes:
        ahead_s: How far this machine is ahead of the exchange.
        waits: What was slept, in seconds.
        used: What each market's budget had been used of in each minute that has ended.
    """

    exchange: ExchangeServer
    ahead_s: float = 7777.7
    client: RestClient | None = None
    waits: list[float] = field(factory=list)
    used: dict[tuple[Market, int], int] = field(factory=dict)

    def local(self) -> float:
        return self.exchange.clock.now_us / 1_000_000 + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        """Let what is under way end, and move the clock."""
        hosts = self.client.hosts.values() if self.client else ()
        quiet = 0
        while quiet < STEPS:
            quiet = 0 if any(host.budget.under_way for host in hosts) else quiet + 1
            await asyncio.sleep(0)
        self.waits.append(seconds)
        minute = self.exchange.clock.now_us // MINUTE_US
        for market in MARKETS:
            self.used[market, minute] = self.exchange.used_weight(market)
        self.exchange.clock.advance(seconds)


@asynccontextmanager
async def rest_client(
    exchange: ExchangeServer, retries: int = 3, *, time: VirtualTime | None = None
) -> AsyncIterator[RestClient]:
    """Open a client of an exchange that serves."""
    time = time or VirtualTime(exchange)
    async with engine_client(32, 20) as client:
        time.client = RestClient.of(
            client,
            {market: exchange.url(market) for market in MARKETS},
            retry=RetryPolicy(max_retries=retries, sleep=time.sleep),
            local=time.local,
            sleep=time.sleep,
            wall=lambda: exchange.clock.now,
        )
        yield time.client
