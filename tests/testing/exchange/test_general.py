"""Symbols, books, funding, open interest and ratios over HTTP."""

from __future__ import annotations

import pytest
from tests.testing.exchange.conftest import Client

NOW = 1778241600000
HOUR = 3_600_000
DAY = 24 * HOUR


async def test_symbols_are_described(client: Client) -> None:
    spot = await client.get("spot", "/api/v3/exchangeInfo")
    assert [each["symbol"] for each in spot["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    assert spot["symbols"][0]["filters"][0]["tickSize"] == "0.01000000"
    assert [each["limit"] for each in spot["rateLimits"]] == [6000, 300_000]
    one = await client.get("spot", "/api/v3/exchangeInfo", symbol="ETHUSDT")
    assert one["symbols"] == spot["symbols"][1:]
    um = (await client.get("futures_um", "/fapi/v1/exchangeInfo"))["symbols"][0]
    assert (um["pair"], um["contractType"], um["status"]) == ("BTCUSDT", "PERPETUAL", "TRADING")
    cm = (await client.get("futures_cm", "/dapi/v1/exchangeInfo"))["symbols"][0]
    assert (cm["marginAsset"], cm["contractSize"], cm["contractStatus"]) == ("BTC", 100, "TRADING")
    assert await client.get("spot", "/api/v3/ping") == {}


async def test_books_are_sorted_and_cut(client: Client) -> None:
    book = await client.get("futures_cm", "/dapi/v1/depth", symbol="BTCUSD_PERP", limit=5)
    assert list(book) == ["lastUpdateId", "symbol", "pair", "E", "T", "bids", "asks"]
    bids = [float(price) for price, _ in book["bids"]]
    asks = [float(price) for price, _ in book["asks"]]
    assert len(bids) == len(asks) == 5
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    spot = await client.get("spot", "/api/v3/depth", symbol="BTCUSDT", limit=1)
    assert list(spot) == ["lastUpdateId", "bids", "asks"]
    client.server.clock.advance(0.1)
    later = await client.get("spot", "/api/v3/depth", symbol="BTCUSDT", limit=1)
    assert later["lastUpdateId"] > spot["lastUpdateId"]


async def test_funding_comes_every_eight_hours(client: Client) -> None:
    path = "/fapi/v1/fundingRate"
    rows = await client.get("futures_um", path, symbol="BTCUSDT", limit=4)
    assert [row["fundingTime"] // HOUR for row in rows] == [
        (NOW - ago * HOUR) // HOUR for ago in (28, 20, 12, 4)
    ]
    assert set(rows[0]) == {"symbol", "fundingTime", "fundingRate", "markPrice"}
    span = {"startTime": rows[1]["fundingTime"], "endTime": rows[2]["fundingTime"]}
    assert await client.get("futures_um", path, symbol="BTCUSDT", **span) == rows[1:3]
    first = await client.get("futures_um", path, symbol="BTCUSDT", startTime=0, limit=1)
    assert first[0]["fundingTime"] // DAY == 1767225600000 // DAY
    every = await client.get("futures_um", path, limit=4)
    assert sorted({row["symbol"] for row in every}) == ["BTCUSDT", "ETHUSDT"]
    cm = await client.get("futures_cm", "/dapi/v1/fundingRate", symbol="BTCUSD_PERP", limit=1)
    assert set(cm[0]) == {"symbol", "fundingTime", "fundingRate"}


STATISTICS = (
    "openInterestHist",
    "topLongShortAccountRatio",
    "topLongShortPositionRatio",
    "globalLongShortAccountRatio",
)


@pytest.mark.parametrize(
    ("market", "subject", "taker"),
    [
        ("futures_um", {"symbol": "BTCUSDT"}, "takerlongshortRatio"),
        ("futures_cm", {"pair": "BTCUSD", "contractType": "PERPETUAL"}, "takerBuySellVol"),
    ],
)
async def test_statistics_go_back_thirty_days(
    client: Client, market: str, subject: dict[str, str], taker: str
) -> None:
    for name in (*STATISTICS, taker):
        path = f"/futures/data/{name}"
        rows = await client.get(market, path, **subject, period="5m")
        assert [row["timestamp"] for row in rows] == [
            NOW - index * 300_000 for index in reversed(range(30))
        ]
        start = NOW - 30 * DAY
        span = {"startTime": start, "endTime": start + 300_000}
        rows = await client.get(market, path, **subject, period="5m", **span)
        assert [row["timestamp"] for row in rows] == [start, start + 300_000]
        status, _, body = await client.ask(
            market, path, **subject, period="5m", startTime=start - 1
        )
        assert (status, body["code"]) == (400, -1130)
        assert body["msg"] == "parameter 'startTime' is invalid."
        old = await client.get(market, path, **subject, period="1d", endTime=start - DAY)
        assert old == []
        days = await client.get(market, path, **subject, period="1d", limit=500)
        assert len(days) == 30


async def test_statistics_have_the_fields_of_the_market(client: Client) -> None:
    um = {"symbol": "BTCUSDT", "period": "1h", "limit": 1}
    cm = {"pair": "BTCUSD", "contractType": "ALL", "period": "1h", "limit": 1}

    async def fields(market: str, name: str, values: dict[str, object]) -> set[str]:
        return set((await client.get(market, f"/futures/data/{name}", **values))[0])

    assert await fields("futures_um", "openInterestHist", um) == {
        "symbol", "sumOpenInterest", "sumOpenInterestValue", "CMCCirculatingSupply", "timestamp",
    }  # fmt: skip
    assert await fields("futures_cm", "openInterestHist", cm) == {
        "pair", "contractType", "sumOpenInterest", "sumOpenInterestValue", "timestamp",
    }  # fmt: skip
    assert await fields("futures_um", "topLongShortPositionRatio", um) == {
        "symbol", "longShortRatio", "longAccount", "shortAccount", "timestamp",
    }  # fmt: skip
    assert await fields("futures_cm", "topLongShortPositionRatio", cm) == {
        "pair", "longShortRatio", "longPosition", "shortPosition", "timestamp",
    }  # fmt: skip
    assert await fields("futures_um", "takerlongshortRatio", um) == {
        "buySellRatio", "buyVol", "sellVol", "timestamp",
    }  # fmt: skip
    assert await fields("futures_cm", "takerBuySellVol", cm) == {
        "pair", "contractType", "takerBuyVol", "takerSellVol", "takerBuyVolValue",
        "takerSellVolValue", "timestamp",
    }  # fmt: skip
