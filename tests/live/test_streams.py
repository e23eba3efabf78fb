"""Names and places of streams, and their split into connections."""

from __future__ import annotations

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.streams import in_connections, streams_of

ALL = [kind for kind in StreamKind if kind is not StreamKind.DEPTH_SNAPSHOT]


def test_streams_are_named_as_the_exchange_does() -> None:
    names = [each.name for each in streams_of(Market.SPOT, ALL, ["BTCUSDT"], ["1s", "1mo"])]
    assert names == [
        "btcusdt@aggTrade", "btcusdt@trade", "btcusdt@kline_1s", "btcusdt@kline_1M",
        "btcusdt@bookTicker", "btcusdt@depth",
    ]  # fmt: skip
    futures = [each.name for each in streams_of(Market.FUTURES_UM, ALL, ["X"], ["1s", "1m"])]
    assert futures == [
        "x@aggTrade", "x@trade", "x@kline_1m", "x@bookTicker", "x@depth", "x@markPrice",
        "x@forceOrder",
    ]  # fmt: skip


def test_each_stream_is_on_its_path() -> None:
    plans = in_connections(streams_of(Market.FUTURES_UM, ALL, ["BTCUSDT"], ["1m"]))
    assert [str(each.url) for each in plans] == [
        "wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade/btcusdt@kline_1m/"
        "btcusdt@markPrice/btcusdt@forceOrder",
        "wss://fstream.binance.com/public/stream?streams=btcusdt@trade/btcusdt@bookTicker/"
        "btcusdt@depth",
    ]
    [spot] = in_connections(
        streams_of(Market.SPOT, [StreamKind.TRADE], ["A"], []), {Market.SPOT: "ws://127.0.0.1:1/x"}
    )
    assert str(spot.url) == "ws://127.0.0.1:1/x/stream?streams=a@trade&timeUnit=MICROSECOND"


def test_no_connection_has_too_much() -> None:
    names = [f"COIN{number:04}USDT" for number in range(3000)] + [f"{n}" for n in range(2000)]
    streams = list(streams_of(Market.SPOT, [StreamKind.TRADE], names, []))
    plans = in_connections(streams)
    assert [each for plan in plans for each in plan.streams] == streams
    assert all(len(plan.streams) <= 1024 and len(str(plan.url)) <= 6000 for plan in plans)
    assert len(plans) < 20
