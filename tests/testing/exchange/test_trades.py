"""trades, aggTrades and historicalTrades over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.testing.exchange.conftest import Client

NOW = 1778241600000
HOUR = 3_600_000
COIN = "BTCUSD_PERP"

MARKETS = [
    ("spot", "/api/v3", "BTCUSDT"),
    ("futures_um", "/fapi/v1", "BTCUSDT"),
    ("futures_cm", "/dapi/v1", COIN),
]
each_market = pytest.mark.parametrize(("market", "prefix", "symbol"), MARKETS)


@each_market
async def test_pages_by_id_have_every_id_once(
    client: Client, market: str, prefix: str, symbol: str
) -> None:
    ids: list[int] = []
    next_id, last = 1_090_000, 0
    while True:
        page = await client.get(
            market, f"{prefix}/aggTrades", symbol=symbol, fromId=next_id, limit=1000
        )
        if not page:
            break
        assert last in {0, page[0]["f"] - 1}
        ids += [row["a"] for row in page]
        next_id, last = page[-1]["a"] + 1, page[-1]["l"]
        client.server.clock.advance(60)  # a new budget
        if len(ids) > 5000:
            break
    assert ids == list(range(1_090_000, 1_090_000 + len(ids)))
    assert len(ids) == 6000


@each_market
async def test_the_last_page_ends_now(
    client: Client, market: str, prefix: str, symbol: str
) -> None:
    path = f"{prefix}/aggTrades"
    recent = await client.get(market, path, symbol=symbol, limit=5)
    assert len(recent) == 5
    assert recent[-1]["T"] <= NOW
    after = recent[-1]["a"] + 1
    assert await client.get(market, path, symbol=symbol, fromId=after) == []
    client.server.clock.advance(60)
    more = await client.get(market, path, symbol=symbol, fromId=after)
    assert more[0]["a"] == after
    assert all(NOW < row["T"] <= NOW + 60_000 for row in more)


@each_market
async def test_times_are_inclusive(client: Client, market: str, prefix: str, symbol: str) -> None:
    path = f"{prefix}/aggTrades"
    rows = await client.get(market, path, symbol=symbol, limit=20)
    span = {"startTime": rows[3]["T"], "endTime": rows[7]["T"]}
    assert await client.get(market, path, symbol=symbol, **span) == rows[3:8]
    assert await client.get(market, path, symbol=symbol, **span, limit=2) == rows[3:5]
    from_start = await client.get(market, path, symbol=symbol, startTime=rows[3]["T"])
    assert from_start == rows[3:]


async def test_an_end_alone_gives_the_rows_before_it(client: Client) -> None:
    rows = await client.get("spot", "/api/v3/aggTrades", symbol="BTCUSDT", limit=9)
    end = rows[5]["T"]
    last = await client.get("spot", "/api/v3/aggTrades", symbol="BTCUSDT", endTime=end, limit=3)
    assert last == rows[3:6]
    hour = await client.get("futures_um", "/fapi/v1/aggTrades", symbol="BTCUSDT", endTime=NOW)
    assert NOW - HOUR < hour[0]["T"] < NOW - HOUR + 60_000


async def test_futures_allow_an_hour_of_the_last_two_days(client: Client) -> None:
    path = "/fapi/v1/aggTrades"

    async def code(**values: Any) -> int:
        _, _, body = await client.ask("futures_um", path, symbol="BTCUSDT", **values)
        return body["code"] if isinstance(body, dict) else 0

    start = NOW - 47 * HOUR
    assert await code(startTime=start, endTime=start + HOUR - 1) == 0
    assert await code(startTime=start, endTime=start + HOUR) == -1127
    assert await code(startTime=NOW - 48 * HOUR) == 0
    assert await code(startTime=NOW - 48 * HOUR - 1) == -1130
    assert await code(fromId=1, startTime=start) == -1128
    assert await code(fromId=1) == 0
    assert await code(startTime=2, endTime=1) == -1023
    long_ago = {"startTime": NOW - 1000 * HOUR, "endTime": NOW - 900 * HOUR}
    spot = await client.get("spot", "/api/v3/aggTrades", symbol="BTCUSDT", **long_ago, limit=1)
    assert spot[0]["T"] >= NOW - 1000 * HOUR


async def test_fields_are_those_of_the_market(client: Client) -> None:
    spot, um, cm = [
        (
            (await client.get(market, f"{prefix}/aggTrades", symbol=symbol, limit=1))[0],
            (await client.get(market, f"{prefix}/trades", symbol=symbol, limit=1))[0],
        )
        for market, prefix, symbol in MARKETS
    ]
    assert list(spot[0]) == ["a", "p", "q", "f", "l", "T", "m", "M"]
    assert list(um[0]) == list(cm[0]) == ["a", "p", "q", "f", "l", "T", "m"]
    assert list(spot[1]) == [
        "id", "price", "qty", "quoteQty", "time", "isBuyerMaker", "isBestMatch",
    ]  # fmt: skip
    assert list(um[1]) == ["id", "price", "qty", "quoteQty", "time", "isBuyerMaker"]
    assert list(cm[1]) == ["id", "price", "qty", "baseQty", "time", "isBuyerMaker"]
    assert all(isinstance(spot[0][name], str) for name in "pq")


async def test_recent_trades_are_the_last_ones_and_old_ones_need_a_key_on_futures(
    client: Client,
) -> None:
    rows = await client.get("futures_um", "/fapi/v1/trades", symbol="BTCUSDT", limit=7)
    assert [row["id"] for row in rows] == list(range(rows[0]["id"], rows[0]["id"] + 7))
    path = "/fapi/v1/historicalTrades"
    status, _, body = await client.ask("futures_um", path, symbol="BTCUSDT")
    assert (status, body["code"]) == (401, -2014)
    key = {"X-MBX-APIKEY": "any"}
    old = await client.get("futures_um", path, key, symbol="BTCUSDT", fromId=rows[2]["id"], limit=3)
    assert old == rows[2:5]
    recent = await client.get("spot", "/api/v3/historicalTrades", symbol="BTCUSDT", limit=2)
    same = await client.get("spot", "/api/v3/trades", symbol="BTCUSDT", limit=2)
    assert recent == same
