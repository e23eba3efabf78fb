"""Rules by table: weights, errors, refusals, over HTTP."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from attrs import evolve
from tests.testing.exchange.conftest import Client

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing import ExchangeServer, exchange_rules
from crypto_lakehouse.testing.exchange.rules import Bucket

S, U, C = "spot", "futures_um", "futures_cm"
BTC = "symbol=BTCUSDT"
PERP = "symbol=BTCUSD_PERP"
BARS = f"{BTC}&interval=1m"


@pytest.mark.parametrize(
    ("market", "request_", "weight"),
    [
        (S, "/api/v3/ping", 1),
        (S, "/api/v3/time", 1),
        (S, "/api/v3/exchangeInfo", 20),
        (S, f"/api/v3/klines?{BARS}", 2),
        (S, f"/api/v3/klines?{BARS}&limit=1000", 2),
        (S, f"/api/v3/aggTrades?{BTC}&limit=1", 4),
        (S, f"/api/v3/trades?{BTC}", 25),
        (S, f"/api/v3/historicalTrades?{BTC}", 25),
        (S, f"/api/v3/depth?{BTC}", 5),
        (S, f"/api/v3/depth?{BTC}&limit=101", 25),
        (S, f"/api/v3/depth?{BTC}&limit=1000", 50),
        (S, f"/api/v3/depth?{BTC}&limit=9999", 250),
        (U, f"/fapi/v1/klines?{BARS}", 5),
        (U, f"/fapi/v1/klines?{BARS}&limit=99", 1),
        (U, f"/fapi/v1/klines?{BARS}&limit=100", 2),
        (U, f"/fapi/v1/klines?{BARS}&limit=499", 2),
        (U, f"/fapi/v1/klines?{BARS}&limit=1000", 5),
        (U, f"/fapi/v1/klines?{BARS}&limit=1001", 10),
        (U, f"/fapi/v1/markPriceKlines?{BARS}&limit=1500", 10),
        (U, f"/fapi/v1/aggTrades?{BTC}", 20),
        (U, f"/fapi/v1/trades?{BTC}", 5),
        (U, f"/fapi/v1/depth?{BTC}&limit=50", 2),
        (U, f"/fapi/v1/depth?{BTC}&limit=100", 5),
        (U, f"/fapi/v1/depth?{BTC}", 10),
        (U, f"/fapi/v1/depth?{BTC}&limit=1000", 20),
        (U, f"/fapi/v1/fundingRate?{BTC}", 0),
        (U, "/fapi/v1/fundingInfo", 0),
        (U, f"/futures/data/openInterestHist?{BTC}&period=5m", 0),
        (C, f"/dapi/v1/klines?{PERP}&interval=1m&limit=1500", 10),
        (C, f"/dapi/v1/aggTrades?{PERP}", 20),
        (C, f"/dapi/v1/fundingRate?{PERP}", 1),
        (C, "/futures/data/openInterestHist?pair=BTCUSD&contractType=ALL&period=5m", 1),
    ],
)
async def test_weights(client: Client, market: str, request_: str, weight: int) -> None:
    status, headers, _ = await client.ask(market, request_)
    assert status == 200
    assert headers["X-MBX-USED-WEIGHT-1M"] == str(weight)
    assert client.server.used_weight(market) == weight
    assert ("X-MBX-USED-WEIGHT" in headers) == (market == S)


@pytest.mark.parametrize(
    ("market", "request_", "code"),
    [
        (S, "/api/v3/klines?interval=1m", -1102),
        (S, "/api/v3/klines?symbol=&interval=1m", -1102),
        (S, f"/api/v3/klines?{BTC}", -1102),
        (S, "/api/v3/klines?symbol=btcusdt&interval=1m", -1100),
        (S, "/api/v3/klines?symbol=NOPE&interval=1m", -1121),
        (S, f"/api/v3/klines?{BTC}&interval=2m", -1120),
        (S, f"/api/v3/klines?{BTC}&interval=1mo", -1120),
        (S, f"/api/v3/klines?{BARS}&limit=0", -1130),
        (S, f"/api/v3/klines?{BARS}&limit=-1", -1100),
        (S, f"/api/v3/klines?{BARS}&startTime=1.5", -1100),
        (S, f"/api/v3/klines?{BARS}&colour=red", -1104),
        (S, f"/api/v3/klines?{BARS}&{BTC}", -1101),
        (S, f"/api/v3/aggTrades?{BTC}&fromId=1&endTime=1", -1128),
        (U, "/fapi/v1/klines?symbol=btcusdt&interval=1m", -1121),
        (U, f"/fapi/v1/klines?{BTC}&interval=1s", -1120),
        (U, f"/fapi/v1/klines?{BARS}&limit=1501", -1130),
        (U, f"/fapi/v1/depth?{BTC}&limit=7", -4021),
        (U, f"/futures/data/openInterestHist?{BTC}", -1102),
        (U, f"/futures/data/openInterestHist?{BTC}&period=1m", -1130),
        (C, "/dapi/v1/fundingRate", -1102),
        (C, "/dapi/v1/indexPriceKlines?pair=NOPE&interval=1m", -1121),
        (C, "/futures/data/openInterestHist?pair=BTCUSD&period=5m", -1102),
        (C, "/futures/data/openInterestHist?pair=BTCUSD&contractType=X&period=5m", -4104),
        (C, "/futures/data/openInterestHist?pair=BTCUSD&contractType=CURRENT_QUARTER&period=5m",
         -1121),
    ],
)  # fmt: skip
async def test_errors(client: Client, market: str, request_: str, code: int) -> None:
    status, headers, body = await client.ask(market, request_)
    assert (status, body["code"]) == (400, code)
    assert set(body) == {"code", "msg"}
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) == client.server.used_weight(market)


async def test_what_one_market_refuses_another_ignores(client: Client) -> None:
    assert await client.get(U, f"/fapi/v1/klines?{BARS}&limit=1&colour=red")
    assert len(await client.get(S, f"/api/v3/klines?{BARS}&limit=5000")) == 1000
    status, _, body = await client.ask(S, "/fapi/v1/time")
    assert (status, body["code"]) == (404, -5000)
    url = client.server.url(S) + "/api/v3/time"
    async with client.session.post(url) as answer:
        assert answer.status == 404


async def test_a_client_that_goes_on_is_banned(client: Client) -> None:
    client.server.clock.advance(17.5)
    client.server.spend(U, 2391)
    assert (await client.ask(U, f"/fapi/v1/klines?{BARS}&limit=1500"))[0] == 429
    status, headers, body = await client.ask(U, f"/fapi/v1/klines?{BARS}&limit=1")
    assert (status, headers["Retry-After"]) == (429, "43")
    assert body["code"] == -1003
    assert headers["X-MBX-USED-WEIGHT-1M"] == "2402"
    assert (await client.ask(S, "/api/v3/time"))[0] == 200  # another host, another budget
    for _ in range(3):
        await client.ask(U, "/fapi/v1/time")
    status, headers, body = await client.ask(U, "/fapi/v1/time")
    assert (status, headers["Retry-After"]) == (418, "120")
    until = client.server.banned_until(U)
    assert until is not None
    assert str(until // 1000) in body["msg"]
    client.server.clock.advance(119)
    assert (await client.ask(U, "/fapi/v1/time"))[1]["Retry-After"] == "1"
    client.server.clock.advance(1)
    assert (await client.ask(U, "/fapi/v1/time"))[0] == 200
    assert client.server.count("futures_um/*", status=418) == 2


async def test_waiting_for_the_window_is_enough(client: Client) -> None:
    client.server.spend(S, 6000)
    status, headers, _ = await client.ask(S, "/api/v3/time")
    assert status == 429
    client.server.clock.advance(int(headers["Retry-After"]))
    assert (await client.ask(S, "/api/v3/time"))[0] == 200


async def test_funding_and_statistics_have_buckets_of_their_own() -> None:
    real = exchange_rules(Market.FUTURES_UM)
    assert real.buckets == {"funding": Bucket(500, 300), "statistics": Bucket(1000, 300)}
    small = evolve(real, buckets={**real.buckets, "funding": Bucket(4, 300)})
    async with (
        ExchangeServer(rules=[small]) as server,
        aiohttp.ClientSession() as session,
    ):
        client = Client(server, session)
        for _ in range(2):
            assert await client.get(U, f"/fapi/v1/fundingRate?{BTC}&limit=1")
            assert await client.get(U, "/fapi/v1/fundingInfo")
        status, headers, _ = await client.ask(U, "/fapi/v1/fundingInfo")
        assert (status, headers["Retry-After"]) == (429, "300")
        assert (await client.ask(U, f"/fapi/v1/klines?{BARS}"))[0] == 200
        assert (await client.ask(U, f"/futures/data/openInterestHist?{BTC}&period=5m"))[0] == 200
        server.clock.advance(300)
        assert (await client.ask(U, "/fapi/v1/fundingInfo"))[0] == 200


async def test_other_programs_of_the_ip_use_the_budget_too() -> None:
    async with (
        ExchangeServer(other_weight=5999) as server,
        aiohttp.ClientSession() as session,
    ):
        client = Client(server, session)
        assert (await client.ask(S, "/api/v3/time"))[1]["X-MBX-USED-WEIGHT-1M"] == "6000"
        assert (await client.ask(S, "/api/v3/time"))[0] == 429


async def test_rules_can_be_changed() -> None:
    changed = evolve(exchange_rules(Market.SPOT), weight_per_minute=3, refusals_before_ban=1)
    async with (
        ExchangeServer(rules=[changed]) as server,
        aiohttp.ClientSession() as session,
    ):
        client = Client(server, session)
        asked = [(await client.ask(S, f"/api/v3/klines?{BARS}"))[0] for _ in range(3)]
        assert asked == [200, 429, 418]
        info = await client.get(U, "/fapi/v1/exchangeInfo")
        assert info["rateLimits"][0]["limit"] == 2400


@pytest.mark.parametrize(("status", "kind"), [(403, str), (451, dict)])
async def test_a_place_can_be_refused(client: Client, status: int, kind: type) -> None:
    client.server.refuse(S, status)
    got, headers, body = await client.ask(S, "/api/v3/time")
    assert (got, type(body)) == (status, kind)
    assert "X-MBX-USED-WEIGHT-1M" not in headers
    assert (await client.ask(U, "/fapi/v1/time"))[0] == 200
    client.server.refuse(S, None)
    assert (await client.ask(S, "/api/v3/time"))[0] == 200


async def test_the_clock_is_shown_everywhere(client: Client) -> None:
    client.server.clock.advance(3 * 86_400)
    _, headers, body = await client.ask(S, "/api/v3/time")
    assert headers["Date"] == "Mon, 11 May 2026 12:00:00 GMT"
    assert body == {"serverTime": 1778241600000 + 3 * 86_400_000}
    info: dict[str, Any] = await client.get(S, "/api/v3/exchangeInfo")
    assert info["serverTime"] == body["serverTime"]
