"""A message of each kind of stream in each market, and the row that is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from attrs import evolve, frozen

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.live_segment import LiveHeader, LiveMessage

__all__ = ["SAMPLES", "Sample", "header_of", "variants"]

SPOT, UM, CM, _ = Market

RECEIVED_US = 1_778_241_600_123_456  # 2026-05-08 12:00 UTC
T_MS = 1_778_241_600_100
T_US = T_MS * 1000
BAR_MS, BAR_END_MS = 1_778_241_540_000, 1_778_241_599_999


@frozen
class Sample:
    """A message.

    Attributes:
        stream: The name of its stream.
        data: Its payload.
        rows: Its rows, but for `received_at`.
        connection: 0 if it was fetched.
    """

    market: Market
    kind: StreamKind
    stream: str
    data: Any
    rows: list[str]
    connection: int = 1

    @property
    def header(self) -> LiveHeader:
        return header_of(self.market, self.kind)

    @property
    def series(self) -> Series:
        data_type = data_type_of(self.kind)
        symbol = self.stream.partition("@")[0].upper()
        return Series(self.market, data_type, symbol, "1m" if data_type.has_interval else None)

    @property
    def has_time(self) -> bool:
        """Whether its day is that of an event, and not of its arrival."""
        spot_only = {DataType.BOOK_TICKER, DataType.DEPTH_SNAPSHOTS}
        return self.market is not SPOT or self.series.data_type not in spot_only

    def message(self, received_at_us: int = RECEIVED_US) -> LiveMessage:
        return LiveMessage(received_at_us, self.connection, self.body)

    @property
    def body(self) -> bytes:
        return json.dumps({"stream": self.stream, "data": self.data}).encode()

    def of(self, data: Any) -> Sample:
        """The same with another payload."""
        return evolve(self, data=data)


def header_of(market: Market, kind: StreamKind) -> LiveHeader:
    return LiveHeader(
        market=market, kind=kind, recording="9f3c01ab22", tool_version="1",
        begun_at=datetime(2026, 5, 8, 12, tzinfo=UTC),
    )  # fmt: skip


def _names(market: Market) -> tuple[str, str, dict[str, str]]:
    symbol = "BTCUSD_PERP" if market is CM else "BTCUSDT"
    return symbol, symbol.lower(), {"ps": "BTCUSD"} if market is CM else {}


def _samples(market: Market) -> list[Sample]:
    symbol, lower, pair = _names(market)
    unit, at = (T_US, T_US) if market is SPOT else (T_MS, T_US)
    scale, last = (1000, 999) if market is SPOT else (1, 0)
    head = {"E": unit + 5, "s": symbol}
    flags = {"m": True, "M": False} if market is SPOT else {"m": True}
    flags_text = "true,false" if market is SPOT else "true"
    event = at + (5 if market is SPOT else 5000)
    agg = {"a": 7, "p": "1.50", "q": "0.10", "f": 70, "l": 71, "T": unit, **flags}
    agg_row = f"7,1.50,0.10,70,71,{at},{flags_text}"
    other = "baseQty" if market is CM else "quoteQty"
    best = {"isBestMatch": False} if market is SPOT else {}
    bar = {
        "t": BAR_MS * scale, "T": BAR_END_MS * scale + last, "s": symbol, "i": "1m", "f": 70,
        "L": 99, "o": "1.0", "c": "1.5", "h": "2.0", "l": "0.5", "v": "10", "n": 30, "x": True,
        "q": "15.0", "V": "4", "Q": "6.00", "B": "0",
    }  # fmt: skip
    bar_row = f"{BAR_MS}000,1.0,2.0,0.5,1.5,10,{BAR_END_MS}{last:03},15.0,30,4,6.00"
    ticker = {"u": 40, "b": "1.4", "B": "2", "a": "1.6", "A": "3"}
    depth = {
        "e": "depthUpdate", **head, "U": 30, "u": 33,
        "b": [["1.40", "0.00"], ["1.30", "5"]], "a": [["1.60", "2"]],
    }  # fmt: skip
    levels = ["bid,1.40,0.00", "bid,1.30,5", "ask,1.60,2"]
    ids, place = f"30,33,{event},", f"33,{event},{at},"
    book = {"lastUpdateId": 33, "bids": depth["b"], "asks": depth["a"]}
    if market is not SPOT:
        depth |= {"T": unit, "pu": 29, **pair}
        ids = f"30,33,29,{event},{at},"
        book |= {"E": unit + 5, "T": unit} | ({"symbol": symbol} if market is CM else {})
    return [
        Sample(market, StreamKind.AGG_TRADE, f"{lower}@aggTrade",
               {"e": "aggTrade", **head, **agg, "nq": "0.1"}, [agg_row]),
        Sample(market, StreamKind.AGG_TRADE, f"{lower}@aggTrade", agg, [agg_row],
               connection=0),
        Sample(market, StreamKind.TRADE, f"{lower}@trade",
               {"e": "trade", **head, "t": 9, "p": "1.5", "q": "0.1", "T": unit, **flags},
               [f"9,1.5,0.1,,{at},{flags_text}"]),
        Sample(market, StreamKind.TRADE, f"{lower}@trade",
               {"id": 9, "price": "1.5", "qty": "0.1", other: "0.15", "time": unit,
                "isBuyerMaker": True, **best},
               [f"9,1.5,0.1,0.15,{at},{flags_text}"], connection=0),
        Sample(market, StreamKind.KLINE, f"{lower}@kline_1m", {"e": "kline", **head, "k": bar},
               [bar_row]),
        Sample(market, StreamKind.KLINE, f"{lower}@kline_1m",
               [bar["t"], "1.0", "2.0", "0.5", "1.5", "10", bar["T"], "15.0", 30, "4", "6.00", "0"],
               [bar_row], connection=0),
        Sample(market, StreamKind.BOOK_TICKER, f"{lower}@bookTicker",
               {**ticker, "s": symbol} if market is SPOT
               else {"e": "bookTicker", **ticker, **head, "T": unit, **pair},
               ["40,1.4,2,1.6,3" + ("" if market is SPOT else f",{at},{event}")]),
        Sample(market, StreamKind.DEPTH, f"{lower}@depth", depth,
               [ids + level for level in levels]),
        Sample(market, StreamKind.DEPTH_SNAPSHOT, f"{lower}@depth_snapshot", book,
               [("33," if market is SPOT else place) + level for level in levels], connection=0),
    ]  # fmt: skip


def _futures(market: Market) -> list[Sample]:
    symbol, lower, pair = _names(market)
    mark = {
        "e": "markPriceUpdate", "E": T_MS, "s": symbol, "p": "1.50", "i": "1.49", "P": "1.51",
        "r": "0.00010000", "T": T_MS + 900,
    }  # fmt: skip
    order = {
        "s": symbol, **pair, "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.014", "p": "9910",
        "ap": "9911", "X": "FILLED", "l": "0.014", "z": "0.014", "T": T_MS,
    }  # fmt: skip
    return [
        Sample(market, StreamKind.MARK_PRICE, f"{lower}@markPrice", mark,
               [f"{T_US},1.50,1.49,1.51,0.00010000,{T_US + 900_000}"]),
        Sample(market, StreamKind.MARK_PRICE, f"{lower}@markPrice@1s",
               mark | {"r": "", "T": 0}, [f"{T_US},1.50,1.49,1.51,,"]),
        Sample(market, StreamKind.FORCE_ORDER, f"{lower}@forceOrder",
               {"e": "forceOrder", "E": T_MS + 5, "o": order},
               [f"{T_US},SELL,LIMIT,IOC,0.014,9910,9911,FILLED,0.014,0.014,{T_US + 5000}"]),
    ]  # fmt: skip


SAMPLES = [
    *(sample for market in (SPOT, UM, CM) for sample in _samples(market)),
    *(sample for market in (UM, CM) for sample in _futures(market)),
]


def variants(data: Any) -> Iterator[Any]:
    """A payload with one value removed, or of another type."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield {each: data[each] for each in data if each != name}
            for changed in variants(value):
                yield {**data, name: changed}
    elif isinstance(data, list):
        for at, value in enumerate(data):
            yield data[:at] + data[at + 1 :]
            for changed in variants(value):
                yield [*data[:at], changed, *data[at + 1 :]]
    elif isinstance(data, bool):
        yield from (str(data), not data)
    elif isinstance(data, int):
        yield from (str(data), float(data), -1, True, None, 0, 1 << 63, data + 1)
    else:
        yield from (5, 1.5, None, "1,5", "", "NaN", "1e5", "\n", "-0.0", "1" * 21, "ethusdt", "０")
