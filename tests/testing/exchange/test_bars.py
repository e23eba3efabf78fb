"""klines and its siblings over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.testing.exchange.conftest import Client

NOW = 1778241600000  # 2026-05-08 12:00 UTC, the clock's default
MINUTE = 60_000
HOUR = 3_600_000
DAY = 24 * HOUR
MICROSECONDS = {"X-MBX-TIME-UNIT": "MICROSECOND"}

BARS = {"symbol": "BTCUSDT", "interval": "1m"}
COIN = {"symbol": "BTCUSD_PERP", "interval": "1h"}


def opens(rows: list[list[Any]]) -> list[int]:
    return [row[0] for row in rows]


async def test_without_times_the_last_bars_come_and_the_unfinished_one(client: Client) -> None:
    client.server.clock.advance(90)
    rows = await client.get("spot", "/api/v3/klines", **BARS, limit=3)
    assert opens(rows) == [NOW - MINUTE, NOW, NOW + MINUTE]
    assert rows[-1][6] == NOW + 2 * MINUTE - 1 >= client.server.clock.now_ms
    client.server.clock.advance(29)
    later = await client.get("spot", "/api/v3/klines", **BARS, limit=3)
    assert later[:2] == rows[:2]
    assert later[2][8] >= rows[2][8]


async def test_both_ends_are_inclusive(client: Client) -> None:
    span = {"startTime": NOW - 5 * MINUTE, "endTime": NOW - 3 * MINUTE}
    rows = await client.get("futures_um", "/fapi/v1/klines", **BARS, **span)
    assert opens(rows) == [NOW - 5 * MINUTE, NOW - 4 * MINUTE, NOW - 3 * MINUTE]
    inside = {"startTime": NOW - 5 * MINUTE + 1, "endTime": NOW - 3 * MINUTE - 1}
    assert opens(await client.get("futures_um", "/fapi/v1/klines", **BARS, **inside)) == [
        NOW - 4 * MINUTE
    ]


async def test_a_start_gives_the_first_rows_on_spot_and_usd_m(client: Client) -> None:
    for market, path in (("spot", "/api/v3/klines"), ("futures_um", "/fapi/v1/klines")):
        rows = await client.get(market, path, **BARS, startTime=NOW - DAY, limit=2)
        assert opens(rows) == [NOW - DAY, NOW - DAY + MINUTE]
        rows = await client.get(market, path, **BARS, endTime=NOW - DAY, limit=2)
        assert opens(rows) == [NOW - DAY - MINUTE, NOW - DAY]


async def test_coin_m_gives_the_last_rows_of_at_most_200_days(client: Client) -> None:
    client.server.clock.advance(300 * 86_400)
    now = client.server.clock.now_ms
    start = now - 250 * DAY
    path = "/dapi/v1/klines"
    rows = await client.get("futures_cm", path, **COIN, startTime=start, limit=2)
    assert opens(rows) == [start + 200 * DAY - HOUR, start + 200 * DAY]
    span = {"startTime": start, "endTime": start + 10 * HOUR}
    rows = await client.get("futures_cm", path, **COIN, **span, limit=2)
    assert opens(rows) == [start + 9 * HOUR, start + 10 * HOUR]
    rows = await client.get("futures_cm", path, **COIN, endTime=start, limit=1)
    assert opens(rows) == [start]
    rows = await client.get("futures_cm", path, **COIN, limit=1)
    assert opens(rows) == [now]
    longest = {"startTime": start, "endTime": start + 200 * DAY}
    assert len(await client.get("futures_cm", path, **COIN, **longest, limit=1500)) == 1500
    status, _, body = await client.ask(
        "futures_cm", path, **COIN, startTime=start, endTime=start + 200 * DAY + 1
    )
    assert (status, body["code"]) == (400, -4088)


async def test_pages_make_up_the_whole(client: Client) -> None:
    start, end = NOW - 3000 * MINUTE, NOW - MINUTE
    whole: list[list[Any]] = []
    while start <= end:
        page = await client.get(
            "spot", "/api/v3/klines", **BARS, startTime=start, endTime=end, limit=1000
        )
        whole += page
        start = page[-1][6] + 1
    assert opens(whole) == list(range(NOW - 3000 * MINUTE, NOW, MINUTE))


async def test_spot_speaks_microseconds_if_asked(client: Client) -> None:
    start = NOW - HOUR
    rows = await client.get(
        "spot", "/api/v3/klines", MICROSECONDS, **BARS, startTime=start * 1000, limit=1
    )
    assert (rows[0][0], rows[0][6]) == (start * 1000, (start + MINUTE) * 1000 - 1)
    same = await client.get("spot", "/api/v3/klines", **BARS, startTime=start, limit=1)
    assert (same[0][0], same[0][6]) == (start, start + MINUTE - 1)
    assert same[0][1:6] == rows[0][1:6]
    um = await client.get("futures_um", "/fapi/v1/time", MICROSECONDS)
    assert um == {"serverTime": NOW}
    status, _, body = await client.ask("spot", "/api/v3/time", {"X-MBX-TIME-UNIT": "FORTNIGHT"})
    assert (status, body["code"]) == (400, -1194)


async def test_nothing_is_known_of_before_the_tape_or_after_now(client: Client) -> None:
    path = "/api/v3/klines"
    assert await client.get("spot", path, **BARS, endTime=1_600_000_000_000) == []
    assert await client.get("spot", path, **BARS, startTime=NOW + MINUTE) == []
    first = await client.get("spot", path, symbol="BTCUSDT", interval="1M", limit=1, startTime=0)
    assert opens(first) == [1767225600000]


async def test_values_are_text_and_empty_minutes_have_bars(client: Client) -> None:
    rows = await client.get("spot", "/api/v3/klines", symbol="ETHUSDT", interval="1m", limit=100)
    empty = [row for row in rows if row[8] == 0]
    assert empty
    assert {row[5] for row in empty} == {"0.00000000"}
    assert opens(rows) == list(range(NOW - 99 * MINUTE, NOW + 1, MINUTE))
    for row in rows:
        assert [type(value) for value in row] == [int, *[str] * 5, int, str, int, *[str] * 3]


@pytest.mark.parametrize(
    ("market", "prefix", "symbol", "pair"),
    [
        ("futures_um", "/fapi/v1", "BTCUSDT", "BTCUSDT"),
        ("futures_cm", "/dapi/v1", "BTCUSD_PERP", "BTCUSD"),
    ],
)
async def test_price_bars_have_no_volume(
    client: Client, market: str, prefix: str, symbol: str, pair: str
) -> None:
    values = {"interval": "1m", "limit": 2}
    for name, subject in (
        ("markPriceKlines", {"symbol": symbol}),
        ("premiumIndexKlines", {"symbol": symbol}),
        ("indexPriceKlines", {"pair": pair}),
    ):
        rows = await client.get(market, f"{prefix}/{name}", **subject, **values)
        assert rows[0][5] == rows[0][7] == rows[0][9] == "0"
        assert rows[0][8] == 60
        assert float(rows[0][3]) <= float(rows[0][1]) <= float(rows[0][2])
    missing = await client.ask(market, f"{prefix}/indexPriceKlines", symbol=symbol, **values)
    assert (missing[0], missing[2]["code"]) == (400, -1102)
