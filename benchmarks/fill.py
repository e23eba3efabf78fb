"""Fetching days from the exchange's API: the share of the budget that is used, and the time.

    python benchmarks/fill.py                 # 500 symbols; a day of 1m bars of USD-M
    python benchmarks/fill.py --symbols 50

The exchange is one on loopback, which counts weights by minutes of its own clock and refuses what
exceeds them. Its clock stands still while requests are under way, and moves when the client waits:
minutes are those that the limits take, without those of a network. Other programs on the same
address use nothing, half, or nine tenths of each minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime

from attrs import define, field

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.rest import API_OF, RestClient, Usage, fetch_day
from crypto_lakehouse.testing import ExchangeServer, Instrument, Tape

UM = Market.FUTURES_UM
DAY = date(2026, 5, 7)
LIMIT = API_OF[UM].weight_per_minute

#: Days that are fetched at once.
WORKERS = 16

#: So many steps of the loop after a response, all that it wakes has been woken.
STEPS = 20


@define
class Minutes:
    """The exchange's clock, which moves when the client waits.

    Attributes:
        used: The weight that was used of each minute that has ended.
    """

    exchange: ExchangeServer
    client: RestClient | None = None
    used: dict[int, int] = field(factory=dict)

    def local(self) -> float:
        """Seconds, ahead of the exchange's by two hours: a wrong clock must do no harm."""
        return self.exchange.clock.now_us / 1_000_000 + 7200

    async def sleep(self, seconds: float) -> None:
        """Let what is under way end, and move the clock."""
        budget = self.client.hosts[UM].budget if self.client else None
        quiet = 0
        while quiet < STEPS:
            quiet = 0 if budget and budget.under_way else quiet + 1
            await asyncio.sleep(0)
        minute = self.exchange.clock.now_us // 60_000_000
        self.used[minute] = self.exchange.used_weight(UM)
        self.exchange.clock.advance(seconds)


@asynccontextmanager
async def opened(minutes: Minutes) -> AsyncIterator[RestClient]:
    """Open a client that asks the exchange server alone."""
    urls = {UM: minutes.exchange.url(UM)}
    async with engine_client(WORKERS, 60) as http:
        retry = RetryPolicy(sleep=minutes.sleep)
        minutes.client = RestClient.of(
            http, urls, retry=retry, local=minutes.local, sleep=minutes.sleep
        )
        yield minutes.client


async def fetch_all(client: RestClient, days: Iterator[Series]) -> int:
    """Fetch the day of each series; return the weight."""
    usage = Usage()

    async def work() -> None:
        for series in days:
            fetched = await fetch_day(client, series, DAY, usage)
            if fetched.rows != 1440 or not fetched.complete:
                raise RuntimeError(f"{series} has {fetched.rows} rows, and not 1,440")

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return usage.weight


async def measure(tape: Tape, symbols: Sequence[str], other_weight: int) -> dict[str, float]:
    """Fetch a day of 1m bars of each symbol, while others use a weight at each minute's start."""
    async with ExchangeServer(tape, other_weight=other_weight) as exchange:
        minutes = Minutes(exchange)
        async with opened(minutes) as client:
            begun_us, begun_s = exchange.clock.now_us, time.process_time()
            series = (Series(UM, DataType.KLINES, symbol, "1m") for symbol in symbols)
            weight = await fetch_all(client, series)
            taken_s = (exchange.clock.now_us - begun_us) / 1_000_000
        free = LIMIT - other_weight
        now = exchange.clock.now_us // 60_000_000
        whole = [used for minute, used in minutes.used.items() if minute < now]
        return {
            "other_weight": other_weight,
            "symbols": len(symbols),
            "weight": weight,
            "requests": exchange.count(status=200),
            "refused": exchange.count(status=429) + exchange.count(status=418),
            "minutes": round(taken_s / 60, 3),
            "minutes_of_the_budget": round(weight / free, 3),
            "ratio": round(taken_s / 60 / (weight / free), 3),
            "least_share_of_a_minute": round(min(whole, default=0) / LIMIT, 3),
            "least_share_of_what_others_leave": round(
                min((each - other_weight for each in whole), default=0) / free, 3
            ),
            "processor_s_with_the_server": round(time.process_time() - begun_s, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--symbols", type=int, default=500)
    symbols = [f"S{number:04}USDT" for number in range(parser.parse_args().symbols)]
    instruments = [Instrument.of(UM, symbol, agg_every_us=60_000_000) for symbol in symbols]
    tape = Tape(instruments, start=datetime(2026, 5, 6, tzinfo=UTC))
    for part in (0.0, 0.5, 0.9):
        print(json.dumps(asyncio.run(measure(tape, symbols, int(LIMIT * part)))))


if __name__ == "__main__":
    main()
