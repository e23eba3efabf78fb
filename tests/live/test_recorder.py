"""Recordings of an exchange that breaks connections: what is not there is in a hole."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import IS_THOROUGH
from tests.live.recording import MARKETS, Recording, recording

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.errors import ConnectionFailed, PlaceRefusedError
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.http.routes import EngineRoutes
from crypto_lakehouse.http.tls import tls_context
from crypto_lakehouse.live import gap_filler
from crypto_lakehouse.live.chain import Gap
from crypto_lakehouse.live.sockets import AiohttpSockets
from crypto_lakehouse.live.streams import LiveStream, streams_of
from crypto_lakehouse.segments.live_writer import MESSAGE_BYTES
from crypto_lakehouse.testing import ExchangeServer, Instrument, Tape, exchange_rules, faults

BITCOIN = {Market.SPOT: "BTCUSDT", Market.FUTURES_UM: "BTCUSDT", Market.FUTURES_CM: "BTCUSD_PERP"}
ID_OF = {"aggTrade": "a", "trade": "t"}


def trades(market: Market, *kinds: StreamKind) -> list[LiveStream]:
    return list(streams_of(market, kinds or (StreamKind.AGG_TRADE,), [BITCOIN[market]], ["1m"]))


def ids(recorded: Recording, stream: LiveStream) -> set[int]:
    """The ids of all messages of a stream that can be read."""
    found = set()
    for each in recorded.messages():
        try:
            value = json.loads(each.body)
        except ValueError:
            continue
        if value["stream"] == stream.name:
            data = value["data"]
            found.add(data["id"] if "id" in data else data[ID_OF[stream.kind]])
    return found


def lost(recorded: Recording, stream: LiveStream) -> set[int]:
    """The ids of all holes of a stream, by the segments."""
    holes = [mark.facts for mark in recorded.marks("gap") if mark.facts["stream"] == stream.name]
    return {number for hole in holes for number in range(hole["first"], hole["last"] + 1)}


def check(recorded: Recording) -> None:
    """Check that each id is there or in a hole, and not in both."""
    for stream, series in recorded.recorder.series.items():
        chain = series.chain
        assert chain is not None
        assert chain.first is not None
        there, holes = ids(recorded, stream), lost(recorded, stream)
        wanted = set(range(chain.first + 1, chain.last + 1))
        assert wanted <= there | holes
        assert not there & holes
        if stream.kind is StreamKind.AGG_TRADE:
            assert not holes


@settings(max_examples=200 if IS_THOROUGH else 2, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 1 << 20), min_size=1, max_size=3),
    market=st.sampled_from(MARKETS),
)
async def test_each_id_is_recorded_or_in_a_hole(seeds: list[int], market: Market) -> None:
    streams = trades(market, StreamKind.AGG_TRADE, StreamKind.TRADE)
    rules = [evolve(exchange_rules(each), live=evolve(exchange_rules(each).live, life_s=900))
             for each in MARKETS]  # fmt: skip
    with TemporaryDirectory() as folder:
        async with ExchangeServer(rules=rules) as exchange:
            for seed in seeds:
                script = faults.random_connection_script(seed, 20 + seed % 50)
                exchange.script_connection(f"{market}/*", *script)
            async with recording(exchange, Path(folder), streams) as recorded:
                await recorded.advance(300, 5)
                exchange.heal()
                now = [s.chain.last for s in recorded.recorder.series.values() if s.chain]
                await recorded.until(
                    lambda: all(
                        series.chain is not None and series.chain.last > last + 40
                        for series, last in zip(recorded.recorder.series.values(), now, strict=True)
                    )
                )
            check(recorded)


async def test_what_was_skipped_is_fetched(tmp_path: Path) -> None:
    market = Market.FUTURES_UM
    [stream] = streams = trades(market)
    async with ExchangeServer() as exchange:
        exchange.script_connection("futures_um/market/*", faults.SkipMessages(at=3, count=4))
        async with recording(exchange, tmp_path, streams) as recorded:
            await recorded.advance(200, 5)
        chain = recorded.recorder.series[stream].chain
        assert chain is not None
        assert chain.first is not None
        assert ids(recorded, stream) == set(range(chain.first + 1, chain.last + 1))
        [mark] = recorded.marks("filled")
        assert mark.facts["last"] - mark.facts["first"] == 3
        [request] = mark.facts["requests"]
        assert f"/fapi/v1/aggTrades?symbol=BTCUSDT&fromId={mark.facts['first']}&limit=4" in request
        filled = [each for each in recorded.messages() if each.connection == 0]
        assert [json.loads(each.body)["data"]["a"] for each in filled] == list(
            range(mark.facts["first"], mark.facts["last"] + 1)
        )
        assert recorded.recorder.counts.filled == 4
        assert recorded.recorder.counts.hole_count == 0


@pytest.mark.parametrize("market", MARKETS)
async def test_a_finished_bar_that_was_skipped_is_fetched(tmp_path: Path, market: Market) -> None:
    """It is a row of klines, as the API gives it, and no message of the stream."""
    streams = trades(market, StreamKind.KLINE)
    per_minute = 30 if market is Market.SPOT else 240
    async with ExchangeServer() as exchange:
        path = "futures_um/market/*" if market is Market.FUTURES_UM else f"{market}/*"
        exchange.script_connection(path, faults.SkipMessages(2 * per_minute - 1, per_minute))
        async with recording(exchange, tmp_path, streams) as recorded:
            await recorded.until(lambda: recorded.recorder.counts.filled)
        finished = []
        for each in recorded.messages():
            data = json.loads(each.body)["data"]
            if not each.connection:
                assert len(data) == 12
                filled = data[0]
            elif data["k"]["x"]:
                finished.append(data["k"]["t"])
        step = finished[1] - filled
        assert finished[:2] == [filled - step, filled + step]
        assert recorded.recorder.counts.hole_count == 0


@pytest.mark.parametrize("market", MARKETS)
async def test_only_recent_trades_are_fetched(tmp_path: Path, market: Market) -> None:
    [stream] = streams = trades(market, StreamKind.TRADE)
    async with ExchangeServer() as exchange, recording(exchange, tmp_path, streams) as recorded:
        listed = exchange.tape.get(market, stream.symbol)
        assert listed is not None
        known = listed.trades.count_before(exchange.clock.now_us + 1)
        last = listed.trades.trade(known - 1).id
        filler = recorded.recorder.filler
        assert filler is not None
        [recent] = [each async for each in filler.fill(stream, Gap(last - 20, last - 10))]
        assert [json.loads(row)["id"] for row in recent.rows] == [*range(last - 19, last - 9)]
        assert (recent.holes, recent.cause) == ([], "")
        [older] = [each async for each in filler.fill(stream, Gap(last - 1005, last - 995))]
        assert older.holes == [Gap(last - 1005, last - 1000)]
        assert older.cause == "the exchange gives the last 1,000 trades only, without a key"
        assert len(older.rows) == 5


async def test_changes_of_a_book_that_are_missing_are_a_hole(tmp_path: Path) -> None:
    streams = trades(Market.FUTURES_CM, StreamKind.DEPTH)
    async with ExchangeServer() as exchange:
        exchange.script_connection("futures_cm/*", faults.SkipMessages(at=3, count=2))
        async with recording(exchange, tmp_path, streams) as recorded:
            await recorded.advance(10)
        [hole] = recorded.recorder.counts.holes
        updates = [json.loads(each.body)["data"] for each in recorded.messages()]
        assert (hole.first, hole.last) == (updates[1]["u"] + 1, updates[2]["pu"])
        assert [mark.facts for mark in recorded.marks("gap")] == [hole.facts()]


@pytest.mark.parametrize("fault", [faults.AlterMessage(3), faults.RepeatMessage(3)])
async def test_bad_and_repeated_messages_are_kept(
    tmp_path: Path, fault: faults.ConnectionFault
) -> None:
    [stream] = streams = trades(Market.SPOT, StreamKind.TRADE)
    async with ExchangeServer() as exchange:
        exchange.script_connection("spot/*", fault)
        async with recording(exchange, tmp_path, streams) as recorded:
            await recorded.advance(120, 5)
        counts = recorded.recorder.counts
        streamed = [each for each in recorded.messages() if each.connection]
        assert len(streamed) == exchange.connections[0].sent
        if isinstance(fault, faults.AlterMessage):
            assert counts.unreadable == 1
            assert "btcusdt@trade" in counts.first_unreadable
            assert counts.filled == 1
        else:
            chain = recorded.recorder.series[stream].chain
            assert chain is not None
            assert chain.duplicates == 1
        assert not counts.holes


async def test_a_shutdown_is_survived_by_a_connection_that_overlaps(tmp_path: Path) -> None:
    [stream] = streams = trades(Market.SPOT, StreamKind.TRADE)
    async with ExchangeServer() as exchange, recording(exchange, tmp_path, streams) as recorded:
        await recorded.advance(60, 5)
        await exchange.shut_down(Market.SPOT, after_s=120)
        await exchange.connected(2)
        await recorded.advance(200, 5)
        first, second = exchange.connections
        assert first.closed_us is not None
        assert second.opened_us < first.closed_us
        chain = recorded.recorder.series[stream].chain
        assert chain is not None
        assert chain.duplicates > 0
        assert recorded.recorder.counts.ends == {"the server was shut down": 1}
        assert not recorded.recorder.counts.holes


async def test_a_connection_is_replaced_before_a_day_is_over(tmp_path: Path) -> None:
    streams = trades(Market.FUTURES_CM, StreamKind.FORCE_ORDER)
    async with ExchangeServer() as exchange, recording(exchange, tmp_path, streams) as recorded:
        await recorded.advance(23.4 * 3600, 180)
        assert len(exchange.connections) == 1
        await recorded.advance(3600, 180)
        first, second = exchange.connections
        assert first.closed_us is not None
        assert second.opened_us < first.closed_us
        assert first.code is None  # the client has closed it
        assert not recorded.recorder.counts.holes


async def test_a_connection_that_is_silent_is_replaced(tmp_path: Path) -> None:
    """A path that was retired connects, and nothing comes, as on a dead connection."""
    streams = trades(Market.FUTURES_UM, StreamKind.MARK_PRICE)
    async with ExchangeServer() as exchange:
        script = faults.GoSilent(at=5), faults.StopPings(at=4)
        exchange.script_connection("futures_um/*", *script)
        async with recording(exchange, tmp_path, streams) as recorded:
            await recorded.advance(300, 5)
            first, second = exchange.connections
            assert first.closed_us is not None
            # Prices come every three seconds, so that some are missing when none comes.
            [hole] = recorded.recorder.counts.holes
            assert hole.stream == "btcusdt@markPrice"
            assert hole.since_us is not None
            assert hole.until_us is not None
            assert hole.until_us >= second.opened_us


async def test_a_host_that_refuses_this_machine_ends_the_recording(tmp_path: Path) -> None:
    async with ExchangeServer() as exchange:
        exchange.refuse(Market.SPOT, 451)
        with pytest.RaisesGroup(PlaceRefusedError, flatten_subgroups=True):
            async with recording(exchange, tmp_path, trades(Market.SPOT), waits=False):
                await anyio.sleep_forever()


async def test_no_redirect_is_followed(tmp_path: Path) -> None:
    """A redirect could lead to a host that the configuration does not name."""
    asked = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/other"})

    routes = EngineRoutes(0, 20, lambda _url: None, lambda: tls_context(None, {}))
    async with RawTestServer(answer) as server:
        with pytest.raises(ConnectionFailed, match="redirects are not followed"):
            await AiohttpSockets(routes, 20).open(server.make_url("/ws").with_scheme("ws"))
    await routes.aclose()
    assert asked == ["/ws"]


async def test_what_came_without_a_connection_is_a_hole(tmp_path: Path) -> None:
    """At the beginning, and at the end, when no later message shows which ids are missing."""
    market = Market.FUTURES_UM
    trade, price = streams = trades(market, StreamKind.AGG_TRADE, StreamKind.MARK_PRICE)
    async with ExchangeServer() as exchange:
        exchange.inject("futures_um/market/stream", faults.Status(503))
        exchange.script_connection("futures_um/market/*")  # of the connection that is refused
        exchange.script_connection("futures_um/market/*", faults.DropConnection(at=30))
        begun_us = exchange.clock.now_us
        async with recording(exchange, tmp_path, streams, waits=False) as recorded:
            await recorded.until(lambda: exchange.connections)
            opened_us = exchange.connections[0].opened_us
            holes = recorded.recorder.counts.holes
            assert [each.stream for each in holes] == [each.name for each in streams]
            assert {(each.since_us, each.until_us) for each in holes} == {(begun_us, opened_us)}
            exchange.inject("futures_um/market/stream", faults.Status(503), endless=True)
            await recorded.until(lambda: recorded.recorder.counts.ends)
            await recorded.advance(100, 5)
        last_us = max(each.received_at_us for each in recorded.messages())
        cause = "it broke (1006), and there was no connection until the end"
        at_end = recorded.recorder.counts.holes[2:]
        assert {each.stream for each in at_end} == {trade.name, price.name}
        assert {(each.since_us, each.until_us, each.cause) for each in at_end} == {
            (last_us, exchange.clock.now_us, cause)
        }
        marks = [each.facts for each in recorded.marks("gap")]
        assert all(each.facts() in marks for each in recorded.recorder.counts.holes)


async def test_a_ban_ends_no_other_request_and_not_for_ever(tmp_path: Path) -> None:
    """A recording runs for weeks: what is missing after a ban, or of another host, is fetched."""
    streams = trades(Market.FUTURES_UM) + trades(Market.SPOT)
    skip = faults.SkipMessages(at=3, count=2)
    async with ExchangeServer() as exchange:
        exchange.script_connection("futures_um/market/*", skip)
        exchange.inject("futures_um/*/aggTrades", faults.Status(418, retry_after="120"))
        async with recording(exchange, tmp_path, streams) as recorded:
            counts = recorded.recorder.counts
            await recorded.until(lambda: counts.hole_count)
            for market in (Market.SPOT, Market.FUTURES_UM):
                assert exchange.count("futures_um/*/aggTrades") == 1
                filled = counts.filled
                exchange.script_connection(f"{market}/*", skip)
                await exchange.shut_down(market, after_s=1)
                await recorded.until(lambda filled=filled: counts.filled > filled)
                await recorded.advance(150, 5)
        [hole] = counts.holes
        assert "banned for 120 s" in hole.cause
        assert exchange.count("futures_um/*/aggTrades", status=200)


async def test_a_large_gap_is_fetched_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts that came are there, and only the others are missing, if a request fails."""
    monkeypatch.setattr(gap_filler, "_MOST_HELD", 2000)
    [stream] = streams = trades(Market.FUTURES_UM)
    async with ExchangeServer() as exchange, recording(exchange, tmp_path, streams) as recorded:
        listed = exchange.tape.get(stream.market, stream.symbol)
        assert listed is not None
        known = listed.trades.agg_count_before(exchange.clock.now_us + 1)
        last = listed.trades.agg(known - 1).id
        filler = recorded.recorder.filler
        assert filler is not None
        parts = []
        async for part in filler.fill(stream, Gap(last - 4000, last - 10)):
            parts.append(part)
            exchange.refuse(stream.market, 403)
        first, second = parts
        assert (first.part, first.holes) == (Gap(last - 4000, last - 2000), [])
        ids_of_rows = [json.loads(row)["a"] for row in first.rows]
        assert ids_of_rows == [*range(last - 3999, last - 1999)]
        assert (second.rows, second.holes) == ([], [Gap(last - 2000, last - 10)])
        assert "answered 403" in second.cause
        exchange.refuse(stream.market, None)


async def test_a_symbol_in_other_letters_is_recorded_as_each_other(tmp_path: Path) -> None:
    """The exchange may write its name as it is, or escaped, as the server does."""
    symbol = "币安人生USDT"
    instruments = [Instrument.of(Market.SPOT, each) for each in ("BTCUSDT", symbol)]
    streams = [*streams_of(Market.SPOT, [StreamKind.TRADE], ["BTCUSDT", symbol], [])]
    async with ExchangeServer(Tape(instruments)) as exchange:
        async with recording(exchange, tmp_path, streams) as recorded:
            await recorded.advance(120, 5)
        series = recorded.recorder.series[streams[1]]
        assert series.messages > 5
        assert series.chain is not None
        assert series.chain.first is not None
        assert not recorded.recorder.counts.unreadable


async def test_a_message_that_no_segment_takes_ends_its_connection_by_name(tmp_path: Path) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with suppress(ConnectionError):
            await socket.send_bytes(bytes(MESSAGE_BYTES + 1))
            await socket.receive()
        return socket

    async with RawTestServer(answer) as server, ExchangeServer() as exchange:
        streams = trades(Market.SPOT)
        url = str(server.make_url("").with_scheme("ws"))
        async with recording(exchange, tmp_path, streams, waits=False, url=url) as recorded:
            await recorded.until(lambda: recorded.recorder.counts.ends)
        assert recorded.recorder.counts.ends.keys() == {"a message was too large (1009)"}
