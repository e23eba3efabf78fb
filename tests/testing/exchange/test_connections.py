"""Subscriptions, pings, limits and ends of connections."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from attrs import evolve
from tests.testing.exchange.conftest import Client
from tests.testing.exchange.feed import feed

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing import ExchangeClock, ExchangeServer, exchange_rules, faults
from crypto_lakehouse.testing.exchange.rules import Bucket, MarketRules

TRADES = "/ws/btcusdt@trade"
DAY = 86_400


def live_rules(market: Market, **changes: Any) -> MarketRules:
    real = exchange_rules(market)
    return evolve(real, live=evolve(real.live, **changes))


async def test_streams_come_and_go_with_requests(client: Client) -> None:
    async with feed(client.server, "spot", "/ws") as live:
        await live.advance(60)
        assert live.texts == []
        names = ["btcusdt@trade", "ethusdt@trade"]
        assert await live.ask("SUBSCRIBE", *names) == {"result": None, "id": 1}
        assert await live.ask("LIST_SUBSCRIPTIONS", id_="abc") == {"result": names, "id": "abc"}
        assert live.record.streams == tuple(names)
        await live.advance(60)
        assert {event["s"] for event in live.events} == {"BTCUSDT", "ETHUSDT"}
        now = client.server.clock.now_ms
        assert all(now - 60_000 < event["T"] <= now for event in live.events)
        assert await live.ask("UNSUBSCRIBE", "btcusdt@trade", "never", id_=None) == {
            "result": None, "id": None,
        }  # fmt: skip
        count = len(live.texts)
        await live.advance(900)
        assert {event["s"] for event in live.events[count:]} == {"ETHUSDT"}


async def test_wrapping_is_a_property(client: Client) -> None:
    async with feed(client.server, "spot", "/stream?streams=btcusdt@trade") as live:
        assert (await live.ask("GET_PROPERTY", "combined"))["result"] is True
        assert (await live.ask("SET_PROPERTY", "combined", False))["result"] is None
        await live.advance(60)
        assert not any("stream" in json.loads(text) for text in live.texts)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("{", 3, "Invalid JSON: expected value at line 1 column 2"),
        ("[]", 2, "Invalid request: missing field `method`"),
        ('{"id": 1}', 2, "Invalid request: missing field `method`"),
        ('{"method": "SUBSCRIBE", "id": 1.5}', 2, "request ID must be an unsigned integer"),
        ('{"method": "SUBSCRIBE", "id": "a b"}', 2, "request ID must be an unsigned integer"),
        ('{"method": "SUBSCRIBE", "id": true}', 2, "request ID must be an unsigned integer"),
        ('{"method": "SUBSCIRBE", "id": 1}', 2, "unknown variant `SUBSCIRBE`"),
        ('{"method": "SUBSCRIBE", "params": "x", "id": 1}', 2, "params must be a list"),
        ('{"method": "SUBSCRIBE", "params": [1], "id": 1}', 2, "names must be strings"),
        ('{"method": "SET_PROPERTY", "params": ["x"], "id": 1}', 0, "Unknown property"),
        ('{"method": "SET_PROPERTY", "params": ["combined", 2], "id": 1}', 1, "expected Boolean"),
    ],
)
async def test_bad_requests_are_answered(
    client: Client, text: str, code: int, message: str
) -> None:
    async with feed(client.server, "futures_cm", "/ws") as live:
        reply = await live.ask_text(text)
        assert reply["code"] == code
        assert message in reply["msg"]
        assert live.record.streams == ()


async def test_pings_are_answered_with_their_payload(client: Client) -> None:
    async with feed(client.server, "spot", TRADES) as live:
        for _ in range(9):
            await live.advance(20)
        assert (live.record.pings, live.record.pongs) == (9, 9)
        assert live.record.closed_us is None
    async with feed(client.server, "futures_cm", "/ws") as live:
        await live.advance(179)
        assert live.record.pings == 0
        await live.advance(1)
        assert (live.record.pings, live.record.pongs) == (1, 1)


@pytest.mark.parametrize(
    ("market", "every", "within"), [("spot", 20, 60), ("futures_um", 180, 600)]
)
async def test_a_client_that_does_not_answer_pings_is_closed(
    client: Client, market: str, every: int, within: int
) -> None:
    path = client.server.ws_url(market) + ("/ws" if market == "spot" else "/market/ws")
    async with client.session.ws_connect(path, autoping=False) as socket:
        client.server.clock.advance(every)
        first = await socket.receive()
        assert first.type is aiohttp.WSMsgType.PING
        await socket.pong(b"something else")
        await socket.pong()
        client.server.clock.advance(within - 1)
        second = await socket.receive()
        assert second.type is aiohttp.WSMsgType.PING
        assert second.data != first.data
        client.server.clock.advance(1)
        closed = await socket.receive()
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    await client.server.settled()
    [record] = client.server.connections
    assert (record.code, record.pongs, record.pings) == (1008, 0, 2)


async def test_a_late_pong_to_the_last_ping_is_enough(client: Client) -> None:
    url = client.server.ws_url("spot") + "/ws"
    async with client.session.ws_connect(url, autoping=False) as socket:
        for _ in range(2):
            client.server.clock.advance(20)
            ping = await socket.receive()
        await socket.pong(ping.data)
        await client.server.settled()
        await socket.ping(b"mine")
        assert (await socket.receive()).data == b"mine"
        assert client.server.connections[0].pongs == 1


async def test_a_client_may_send_five_messages_a_second(client: Client) -> None:
    async with feed(client.server, "spot", "/ws") as live:
        for _ in range(2):
            for _ in range(5):
                await live.ask("LIST_SUBSCRIPTIONS")
            client.server.clock.advance(1)
        for _ in range(6):
            await live.ask("LIST_SUBSCRIPTIONS")
        await live.until(lambda: False)
        assert live.socket.close_code == 1008
        assert len(live.replies) == 15
    await client.server.settled()
    assert live.record.code == 1008


async def test_a_connection_has_so_many_streams() -> None:
    rules = live_rules(Market.SPOT, streams=3)
    async with ExchangeServer(rules=[rules]) as server:
        three = "/".join(f"btcusdt@depth{levels}" for levels in (5, 10, 20))
        async with feed(server, "spot", f"/stream?streams={three}") as live:
            await live.ask("SUBSCRIBE", "btcusdt@depth5")
            await live.socket.send_json({"method": "SUBSCRIBE", "params": ["x"], "id": 2})
            await live.until(lambda: False)
            assert live.socket.close_code == 1008
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with feed(server, "spot", f"/stream?streams={three}/btcusdt@trade"):
                pass
        assert refused.value.status == 400
    assert exchange_rules("spot").live.streams == 1024


async def test_an_ip_may_connect_so_often() -> None:
    rules = live_rules(Market.SPOT, connects=Bucket(3, 300))
    async with ExchangeServer(rules=[rules]) as server, aiohttp.ClientSession() as session:
        url = server.ws_url("spot") + "/ws"
        server.clock.advance(100)
        for _ in range(3):
            async with session.ws_connect(url):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url)
        assert refused.value.status == 429
        assert refused.value.headers is not None
        assert refused.value.headers["Retry-After"] == "200"
        server.clock.advance(200)
        async with session.ws_connect(url):
            pass
    assert exchange_rules("spot").live.connects == Bucket(300, 300)


async def test_a_connection_ends_after_a_day(client: Client) -> None:
    async with feed(client.server, "spot", "/ws/ethusdt@trade") as live:
        for _ in range(24):
            await live.advance(DAY / 24 - (1 if _ == 23 else 0))
        assert live.record.closed_us is None
        await live.advance(1)
        assert live.socket.close_code == 1001
        assert live.record.code == 1001
        assert len(live.texts) > 1500


async def test_a_shutdown_is_announced(client: Client) -> None:
    server = client.server
    async with (
        feed(server, "spot", TRADES) as raw,
        feed(server, "spot", "/stream?streams=btcusdt@trade") as combined,
        feed(server, "futures_cm", "/ws/btcusd_perp@trade") as other,
    ):
        await server.shut_down("spot", after_s=30)
        await raw.until(lambda: raw.shutdowns)
        await combined.until(lambda: combined.shutdowns)
        event = {"e": "serverShutdown", "E": server.clock.now_ms}
        assert raw.shutdowns == [event]
        assert combined.shutdowns == [{"stream": "!serverShutdown", "data": event}]
        await raw.advance(29)
        assert len(raw.texts) > 0
        await raw.advance(1)
        await combined.advance(0)
        assert raw.socket.close_code == combined.socket.close_code == 1001
        await other.advance(0)
        assert other.record.closed_us is None
    with pytest.raises(RuntimeError, match="does not serve"):
        await ExchangeServer().shut_down("spot", after_s=1)


async def test_a_market_that_refuses_refuses_connections(client: Client) -> None:
    client.server.refuse("spot", 451)
    client.server.inject("futures_um/market/ws", faults.Status(503))
    for market, path, status in (("spot", "/ws", 451), ("futures_um", "/market/ws", 503)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.session.ws_connect(client.server.ws_url(market) + path)
        assert refused.value.status == status
    assert client.server.connections == []


async def test_a_running_clock_sends_without_being_advanced() -> None:
    clock = ExchangeClock(datetime(2026, 5, 8, 12, tzinfo=UTC), speed=2000)
    path = "/ws/btcusd_perp@trade"
    async with ExchangeServer(clock=clock) as server, feed(server, "futures_cm", path) as live:
        await live.until(lambda: len(live.texts) >= 10)
        ids = [event["t"] for event in live.events]
        assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_a_thread_serves_connections() -> None:
    """A server in a thread of its own, and a client in another loop."""

    async def follow(server: ExchangeServer) -> list[Any]:
        async with feed(server, "spot", TRADES) as live:
            await live.advance(120)
            await server.shut_down("spot", after_s=0)
            await live.until(lambda: False)
            return live.events

    with ExchangeServer() as server:
        events = asyncio.run(follow(server))
    assert len(events) > 10


async def test_a_test_can_wait_for_connections(client: Client) -> None:
    waiting = asyncio.create_task(client.server.connected(2))
    async with feed(client.server, "spot", "/ws"):
        await client.server.connected()
        assert not waiting.done()
        async with feed(client.server, "futures_cm", "/ws"):
            await waiting
            assert [record.number for record in client.server.connections] == [1, 2]
