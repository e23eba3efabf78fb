"""Streams: what comes, when, in which form."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from tests.testing.exchange.conftest import Client
from tests.testing.exchange.feed import feed

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing import ExchangeServer, GivenTrades, Instrument, Tape

NOW = 1778241600000

MARKETS = [
    ("spot", "", "", "btcusdt", "/api/v3", "BTCUSDT"),
    ("futures_um", "/market", "/public", "btcusdt", "/fapi/v1", "BTCUSDT"),
    ("futures_cm", "", "", "btcusd_perp", "/dapi/v1", "BTCUSD_PERP"),
]
each_market = pytest.mark.parametrize(
    ("market", "flow", "book", "name", "prefix", "symbol"), MARKETS
)


@each_market
async def test_agg_trades_are_those_of_rest(
    client: Client, market: str, flow: str, book: str, name: str, prefix: str, symbol: str
) -> None:
    async with feed(client.server, market, f"{flow}/ws/{name}@aggTrade") as live:
        await live.advance(300)
        rows = await client.get(market, f"{prefix}/aggTrades", symbol=symbol, limit=100)
        expected = [row for row in rows if row["T"] > NOW]
        assert len(expected) > 20
        assert [{k: event[k] for k in "apqflTm"} for event in live.events] == [
            {k: row[k] for k in "apqflTm"} for row in expected
        ]
        assert {event["s"] for event in live.events} == {symbol}
        assert all(event["E"] == event["T"] for event in live.events)


@each_market
async def test_trades_are_those_of_rest(
    client: Client, market: str, flow: str, book: str, name: str, prefix: str, symbol: str
) -> None:
    async with feed(client.server, market, f"{book}/ws/{name}@trade") as live:
        await live.advance(200)
        rows = await client.get(market, f"{prefix}/trades", symbol=symbol, limit=100)
        expected = [row for row in rows if row["time"] > NOW]
        assert len(expected) > 20
        assert [(e["t"], e["p"], e["q"], e["T"], e["m"]) for e in live.events] == [
            (r["id"], r["price"], r["qty"], r["time"], r["isBuyerMaker"]) for r in expected
        ]


@each_market
async def test_closed_bars_are_those_of_rest(
    client: Client, market: str, flow: str, book: str, name: str, prefix: str, symbol: str
) -> None:
    async with feed(client.server, market, f"{flow}/ws/{name}@kline_1m") as live:
        await live.advance(185)
        bars = [event["k"] for event in live.events]
        closed = [bar for bar in bars if bar["x"]]
        rows = await client.get(
            market, f"{prefix}/klines", symbol=symbol, interval="1m", startTime=NOW, limit=4
        )
        assert [
            [k["t"], k["o"], k["h"], k["l"], k["c"], k["v"], k["T"], k["q"], k["n"], k["V"], k["Q"]]
            for k in closed
        ] == [row[:11] for row in rows[:3]]
        per_minute = 30 if market == "spot" else 240
        assert len(bars) == 185 * per_minute // 60
        assert [event["E"] for event in live.events if event["k"]["x"]] == [
            NOW + 60_000 * minute for minute in (1, 2, 3)
        ]


@each_market
async def test_a_book_of_snapshot_and_changes_stays_that_of_rest(
    client: Client, market: str, flow: str, book: str, name: str, prefix: str, symbol: str
) -> None:
    server = client.server
    async with feed(server, market, f"{book}/ws/{name}@depth@100ms") as live:
        await live.advance(2)
        snapshot = await client.get(market, f"{prefix}/depth", symbol=symbol, limit=1000)
        await live.advance(5)
        last = snapshot["lastUpdateId"]
        bids, asks = dict(snapshot["bids"]), dict(snapshot["asks"])
        events = [event for event in live.events if event["u"] > last]
        assert len(events) == 50
        assert events[0]["U"] <= last + 1 <= events[0]["u"]
        for event in events:
            assert event["U"] == last + 1
            if market != "spot":
                assert event["pu"] == last
            last = event["u"]
            for side, changes in ((bids, event["b"]), (asks, event["a"])):
                for price, amount in changes:
                    side[price] = amount
                    if float(amount) == 0:
                        del side[price]
        now = await client.get(market, f"{prefix}/depth", symbol=symbol, limit=1000)
        assert now["lastUpdateId"] == last
        assert (bids, asks) == (dict(now["bids"]), dict(now["asks"]))


@pytest.mark.parametrize(("market", "speed"), [("spot", 1000), ("futures_um", 250)])
async def test_slower_changes_join_the_faster_ones(client: Client, market: str, speed: int) -> None:
    path = "" if market == "spot" else "/public"
    names = "btcusdt@depth/btcusdt@depth@100ms"
    async with feed(client.server, market, f"{path}/stream?streams={names}") as live:
        await live.advance(3)
        events: dict[int, list[Any]] = {100: [], speed: []}
        for text in live.texts:
            is_fast = "@100ms" in text.partition(",")[0]
            events[100 if is_fast else speed].append(live.events[live.texts.index(text)])
        assert len(events[100]) == 30
        assert len(events[speed]) == 3000 // speed
        assert events[speed][0]["U"] == events[100][0]["U"]
        assert events[speed][-1]["u"] == events[100][-1]["u"]
        for before, after in pairwise(events[speed]):
            assert after["U"] == before["u"] + 1


async def test_best_prices_and_partial_books_are_those_of_the_book(client: Client) -> None:
    for market, path, name in (("spot", "", "btcusdt"), ("futures_cm", "", "btcusd_perp")):
        names = f"{name}@bookTicker/{name}@depth5"
        async with feed(client.server, market, f"{path}/stream?streams={names}") as live:
            await live.advance(60)
            best = [e for e in live.events if "B" in e]
            partial = [e for e in live.events if "B" not in e]
            prefix = "/api/v3" if market == "spot" else "/dapi/v1"
            book = await client.get(market, f"{prefix}/depth", symbol=name.upper(), limit=5)
            assert [best[-1]["b"], best[-1]["B"]] == book["bids"][0]
            assert [best[-1]["a"], best[-1]["A"]] == book["asks"][0]
            assert partial[-1].get("bids", partial[-1].get("b")) == book["bids"]
            assert partial[-1].get("asks", partial[-1].get("a")) == book["asks"]
            fields = {"u", "s", "b", "B", "a", "A"}
            assert set(best[0]) == (fields if market == "spot" else fields | {"e", "E", "T", "ps"})
            for before, after in pairwise(best):
                assert [before[k] for k in "bBaA"] != [after[k] for k in "bBaA"]
                assert after["u"] > before["u"]


async def test_mark_price_and_liquidations(client: Client) -> None:
    names = "btcusdt@markPrice@1s/btcusdt@markPrice/btcusdt@forceOrder"
    async with feed(client.server, "futures_um", f"/market/stream?streams={names}") as live:
        await live.advance(600)
        marks = [e for e in live.events if e["e"] == "markPriceUpdate"]
        forced = [e for e in live.events if e["e"] == "forceOrder"]
        assert len(marks) == 600 + 200
        assert set(marks[0]) == {"e", "E", "s", "p", "ap", "P", "i", "r", "T"}
        assert {mark["T"] for mark in marks} == {NOW + 4 * 3_600_000}
        assert 8 <= len(forced) <= 12
        assert set(forced[0]["o"]) == {"s", "S", "o", "f", "q", "p", "ap", "X", "l", "z", "T"}
        await live.advance(0)
    client.server.clock.advance(4 * 3600)
    funded = await client.get("futures_um", "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=1)
    assert funded[0]["fundingRate"] == marks[0]["r"]


async def test_liquidations_of_all_symbols_come_one_at_a_time(client: Client) -> None:
    names = ["btcusdt@forceOrder", "ethusdt@forceOrder", "!forceOrder@arr"]
    async with feed(
        client.server, "futures_um", f"/market/stream?streams={'/'.join(names)}"
    ) as live:
        await live.advance(600)
    events: dict[str, list[Any]] = {name: [] for name in names}
    for text, event in zip(live.texts, live.events, strict=True):
        events[json.loads(text)["stream"]].append(event)
    single = sorted(events[names[0]] + events[names[1]], key=lambda event: event["E"])
    assert events[names[2]] == single
    assert {event["o"]["s"] for event in single} == {"BTCUSDT", "ETHUSDT"}
    async with feed(client.server, "spot", "/ws/!forceOrder@arr") as spot:
        await spot.advance(600)
        assert spot.texts == []


async def test_dated_contracts_have_no_funding() -> None:
    tape = Tape([Instrument.of(Market.FUTURES_CM, "BTCUSD_261225")])
    path = "/ws/btcusd_261225@markPrice"
    async with ExchangeServer(tape) as server, feed(server, "futures_cm", path) as live:
        await live.advance(3)
        [event] = live.events
    assert (event["r"], event["T"]) == ("", 0)
    assert "ap" not in event


async def test_spot_speaks_microseconds_if_asked(client: Client) -> None:
    path = "/stream?streams=btcusdt@trade/btcusdt@kline_1s&timeUnit=MICROSECOND"
    async with feed(client.server, "spot", path) as live:
        await live.advance(30)
        trade = next(e for e in live.events if e["e"] == "trade")
        assert trade["T"] > NOW * 1000
        assert trade["t"] < NOW
        bar = next(e["k"] for e in live.events if e["e"] == "kline")
        assert (bar["t"], bar["T"], bar["x"]) == (NOW * 1000, NOW * 1000 + 999_999, True)


async def test_combined_messages_name_their_stream_and_come_in_order(client: Client) -> None:
    names = ["btcusdt@trade", "ethusdt@trade", "btcusdt@aggTrade"]
    async with feed(client.server, "spot", f"/stream?streams={'/'.join(names)}") as live:
        await live.advance(900)
        assert {text.split('"')[3] for text in live.texts} == set(names)
        times = [event["E"] for event in live.events]
        assert times == sorted(times)
    async with feed(client.server, "spot", "/ws/btcusdt@trade/ethusdt@trade") as live:
        await live.advance(900)
        assert not any("stream" in text for text in live.texts)
        assert {event["s"] for event in live.events} == {"BTCUSDT", "ETHUSDT"}


SILENT = [
    ("spot", "/ws/BTCUSDT@trade"),
    ("spot", "/ws/nopeusdt@trade"),
    ("spot", "/ws/btcusdt@nothing"),
    ("spot", "/ws/btcusdt@tradeX"),
    ("spot", "/ws/btcusdt@kline_1mo"),
    ("spot", "/ws/btcusdt@kline"),
    ("spot", "/ws/btcusdt@markPrice"),
    ("spot", "/ws/btcusdt@depth7"),
    ("spot", "/ws/btcusdt@depth@250ms"),
    ("spot", "/ws/nonsense"),
    ("futures_um", "/ws/btcusdt@aggTrade"),
    ("futures_um", "/stream?streams=btcusdt@aggTrade/btcusdt@depth"),
    ("futures_um", "/public/ws/btcusdt@aggTrade"),
    ("futures_um", "/market/ws/btcusdt@depth"),
    ("futures_um", "/market/ws/btcusdt@markPrice@2s"),
]


@pytest.mark.parametrize(("market", "path"), SILENT)
async def test_a_connection_can_be_silent(client: Client, market: str, path: str) -> None:
    async with feed(client.server, market, path) as live:
        await live.advance(300)
        assert live.texts == []
        assert live.record.pings > 0
        assert live.record.closed_us is None


async def test_given_trades_end(client: Client) -> None:
    one = Instrument.of(Market.SPOT, "BTCUSDT")
    given = GivenTrades.of(one, [(5, NOW * 1000 + 1, "1", "1", True)])
    tape = Tape([one], trades={(Market.SPOT, "BTCUSDT"): given})
    path = "/ws/btcusdt@trade/btcusdt@kline_1m"
    async with ExchangeServer(tape) as server, feed(server, "spot", path) as live:
        await live.advance(3600)
        assert [event["t"] for event in live.events if event["e"] == "trade"] == [5]


async def test_unknown_paths_are_not_found(client: Client) -> None:
    for market, path in (("spot", "/wss"), ("futures_um", "/private/ws"), ("spot", "/x/ws/y")):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.session.ws_connect(client.server.ws_url(market) + path)
        assert refused.value.status == 404
