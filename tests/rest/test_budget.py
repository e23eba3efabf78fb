"""Requests go as the exchange's limits allow: nearly all of each minute, and none refused."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve
from tests.rest.virtual_time import VirtualTime, rest_client

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.errors import HostRefusedError, PlaceRefusedError, ServerError
from crypto_lakehouse.rest import RestClient, fill_endpoints
from crypto_lakehouse.rest.answers import Row, shape_of
from crypto_lakehouse.testing import ExchangeServer, exchange_rules, faults

UM = Market.FUTURES_UM
TRADES = Series(UM, DataType.AGG_TRADES, "BTCUSDT")
FUNDING = Series(UM, DataType.FUNDING_RATE, "BTCUSDT")
YESTERDAY_MS = 1_778_155_200_000


async def ask(client: RestClient, series: Series = TRADES, count: int = 1) -> None:
    """Send so many requests, one after another; each aggTrades request weighs 20."""
    (endpoint,) = fill_endpoints(series)
    shape = shape_of(series.data_type, endpoint.path, series.symbol)

    def read(body: bytes) -> list[Row]:
        return shape.rows(body)

    for _ in range(count):
        await client.get(series.market, endpoint, {"startTime": YESTERDAY_MS}, 1, read)


async def ask_at_once(client: RestClient, count: int, series: Series = TRADES) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(ask(client, series, count // 20))


@pytest.mark.parametrize("other_weight", [0, 1201, 2300])
async def test_nearly_all_of_each_minute_is_used_and_no_request_refused(other_weight: int) -> None:
    async with ExchangeServer(other_weight=other_weight) as exchange:
        time = VirtualTime(exchange)
        async with rest_client(exchange, time=time) as client:
            free = 2400 - other_weight
            await ask_at_once(client, 4 * (free // 20) // 20 * 20 + 40)
        used = [each for (market, _), each in time.used.items() if market is UM]
        assert len(used) >= 4
        assert all(0.97 * free - 20 <= each - other_weight <= free for each in used), used
        assert exchange.count(status=429) == 0


async def test_a_limit_on_requests_is_kept_in_every_five_minutes() -> None:
    async with ExchangeServer() as exchange:
        exchange.clock.advance(290)
        time = VirtualTime(exchange)
        async with rest_client(exchange, time=time) as client:
            await ask_at_once(client, 500, FUNDING)
        assert exchange.count(status=429) == 0
        assert 300 <= sum(time.waits) <= 301


async def test_a_limit_on_requests_holds_up_no_other_requests() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        await ask(client, FUNDING, 475)
        async with asyncio.TaskGroup() as group:
            group.create_task(ask(client, FUNDING))
            await asyncio.sleep(0)
            group.create_task(ask(client, TRADES))
        assert [record.path.rpartition("/")[2] for record in exchange.requests[-2:]] == [
            "aggTrades",
            "fundingRate",
        ]


async def test_what_others_use_in_the_middle_of_a_minute_refuses_few_requests() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        await ask_at_once(client, 60)
        exchange.spend(UM, 1190)
        await ask_at_once(client, 200)
        assert 1 <= exchange.count(status=429) <= 5
        assert exchange.count(status=200) == 261
        assert exchange.banned_until(UM) is None
        before = exchange.count(status=429)
        await ask_at_once(client, 400)
        assert exchange.count(status=429) == before


async def test_nothing_is_sent_before_retry_after() -> None:
    async with ExchangeServer() as exchange:
        time = VirtualTime(exchange)
        async with rest_client(exchange, time=time) as client:
            await ask(client)
            exchange.inject("*aggTrades", faults.Status(429, retry_after="77"))
            await ask(client)
            assert 77 <= sum(time.waits) <= 78
            exchange.inject("*aggTrades", faults.Status(429))
            await ask(client)
            assert 77 + 30 <= sum(time.waits) <= 77 + 62
            before = exchange.count(status=429)
            exchange.inject("*aggTrades", faults.Status(429, retry_after="1"), endless=True)
            with pytest.raises(ServerError, match="429"):
                await ask(client)
            assert exchange.count(status=429) - before == 4


async def test_a_limit_that_has_become_less_is_noticed() -> None:
    rules = evolve(exchange_rules(UM), weight_per_minute=1000)
    async with ExchangeServer(rules=[rules]) as exchange, rest_client(exchange) as client:
        await ask_at_once(client, 400)
        assert 1 <= exchange.count(status=429) <= 5


@pytest.mark.parametrize(("status", "kind"), [(451, PlaceRefusedError), (403, HostRefusedError)])
async def test_a_host_that_refuses_this_machine_is_asked_no_more(
    status: int, kind: type[HostRefusedError]
) -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        await ask(client)
        exchange.refuse(UM, status)
        for _ in range(3):
            with pytest.raises(kind, match=str(status)) as caught:
                await ask(client)
            assert caught.value.exit_code == 5
        assert exchange.count(status=status) == 1
        await client.now(Market.SPOT)  # another host is no concern of it


async def test_a_ban_ends_everything_that_waits() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        await ask(client)
        exchange.inject("*aggTrades", faults.Status(418, retry_after="120"), endless=True)
        with pytest.raises(ExceptionGroup) as caught:
            await ask_at_once(client, 400)
        assert caught.group_contains(HostRefusedError, match="banned for 120 s")
        assert exchange.count(status=418) <= 16


async def test_a_cancelled_request_leaves_its_place_to_others() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        budget = client.hosts[UM].budget
        await ask(client)
        exchange.inject("*aggTrades", faults.Stall(at=0))
        asking = asyncio.ensure_future(ask(client))
        for _ in range(4):
            await asyncio.sleep(0)
        assert budget.under_way == 1
        asking.cancel()
        await asyncio.wait([asking])
        exchange.release()
        assert budget.under_way == 0
        await ask_at_once(client, 200)
        assert exchange.count(status=429) == 0
