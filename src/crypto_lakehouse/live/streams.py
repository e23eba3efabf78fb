"""The exchange's streams: their names, the paths they are on, and which share a connection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import groupby

from attrs import frozen
from yarl import URL

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind

__all__ = [
    "STREAMS_OF",
    "ConnectionPlan",
    "LiveStream",
    "MarketStreams",
    "bar_step",
    "in_connections",
    "stream_name",
    "streams_of",
]

#: A URL with more characters may be refused by servers and proxies on the way.
_LONGEST_URL = 6000


_BOOK = frozenset({StreamKind.DEPTH, StreamKind.BOOK_TICKER, StreamKind.TRADE})
_SPOT = _BOOK | {StreamKind.AGG_TRADE, StreamKind.KLINE}
_OTHERS = frozenset(
    {StreamKind.AGG_TRADE, StreamKind.KLINE, StreamKind.MARK_PRICE, StreamKind.FORCE_ORDER}
)

#: Come every few seconds, whether or not there are trades.
_STEADY = frozenset({StreamKind.MARK_PRICE})


@frozen(kw_only=True)
class MarketStreams:
    """The streams of one market, and the rules of its connections.

    Attributes:
        url: Where they are, unless the configuration names another place.
        paths: The path before `/stream` of each kind.
        query: Parameters of the address, beside the streams.
        ping_every_s: How often the server pings, in seconds.
        most_streams: How many streams a connection may have.
        most_connects: How many connections an address may open in five minutes.
    """

    url: str
    paths: Mapping[StreamKind, str]
    query: Mapping[str, str]
    ping_every_s: int
    most_streams: int = 1024
    most_connects: int = 300


#: The figures, with how sure each one is, are in docs/exchange-server.md#figures.
STREAMS_OF: Mapping[Market, MarketStreams] = {
    Market.SPOT: MarketStreams(
        url="wss://data-stream.binance.vision",
        paths=dict.fromkeys(_SPOT, ""),
        query={"timeUnit": "MICROSECOND"},
        ping_every_s=20,
    ),
    # On another path a stream is silent, and so is every stream on the bare path.
    Market.FUTURES_UM: MarketStreams(
        url="wss://fstream.binance.com",
        paths={**dict.fromkeys(_BOOK, "/public"), **dict.fromkeys(_OTHERS, "/market")},
        query={},
        ping_every_s=180,
    ),
    Market.FUTURES_CM: MarketStreams(
        url="wss://dstream.binance.com",
        paths=dict.fromkeys(_BOOK | _OTHERS, ""),
        query={},
        ping_every_s=180,
    ),
}


@frozen
class LiveStream:
    """One stream of a symbol.

    Attributes:
        interval: The length of a bar as the exchange spells it; empty if there are no bars.
    """

    market: Market
    kind: StreamKind
    symbol: str
    interval: str = ""

    @property
    def name(self) -> str:
        """The name by which the exchange knows it.

        Examples:
            >>> LiveStream(Market.SPOT, StreamKind.KLINE, "BTCUSDT", "1m").name
            'btcusdt@kline_1m'
        """
        rest = f"_{self.interval}" if self.interval else ""
        return f"{self.symbol.lower()}@{self.kind}{rest}"

    @property
    def path(self) -> str:
        """The path before `/stream`."""
        return STREAMS_OF[self.market].paths[self.kind]


_BEGIN = b'{"stream":"'


def stream_name(message: bytes) -> bytes:
    r"""The name of the stream that a message is of, in UTF-8; empty if it names none.

    Examples:
        >>> stream_name(rb'{"stream":"\u5e01usdt@depth","data":{}}').decode()
        '币usdt@depth'
    """
    if message.startswith(_BEGIN):
        name = message[len(_BEGIN) : message.find(b'"', len(_BEGIN))]
        if b"\\" not in name:
            return name
    try:
        found: bytes = json.loads(message)["stream"].encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return b""
    return found


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def bar_step(stream: LiveStream) -> timedelta | None:
    """The time from a bar's open to the next one's; None of months, which differ in length."""
    unit = _UNITS.get(stream.interval[-1:])
    return None if unit is None else timedelta(**{unit: int(stream.interval[:-1])})


def streams_of(
    market: Market, kinds: Iterable[StreamKind], symbols: Iterable[str], intervals: Iterable[str]
) -> Iterator[LiveStream]:
    """Yield the streams of some symbols.

    Args:
        market: Where the symbols are; kinds that it does not have are left out.
        kinds: Which streams.
        symbols: In capitals.
        intervals: The lengths of bars, spelled as the archive does, such as `1mo`.
    """
    has = STREAMS_OF[market].paths
    wanted = [kind for kind in dict.fromkeys(kinds) if kind in has]
    lengths = ["1M" if each == "1mo" else each for each in dict.fromkeys(intervals)]
    if market is not Market.SPOT:
        lengths = [each for each in lengths if each != "1s"]
    for symbol in dict.fromkeys(symbols):
        for kind in wanted:
            for length in lengths if kind is StreamKind.KLINE else [""]:
                yield LiveStream(market, kind, symbol, length)


@frozen
class ConnectionPlan:
    """The streams that share a connection.

    Attributes:
        base: The address of the market's streams.
        streams: All of one market and path.
    """

    base: str
    streams: tuple[LiveStream, ...]

    @property
    def market(self) -> Market:
        """The market of all its streams."""
        return self.streams[0].market

    @property
    def url(self) -> URL:
        """The address that subscribes to the streams."""
        return _url(self.base, self.streams[0], [each.name for each in self.streams])

    @property
    def silence_s(self) -> float:
        """After how many seconds without a frame, pings included, the connection is dead."""
        return STREAMS_OF[self.market].ping_every_s + 15.0

    @property
    def quiet_s(self) -> float:
        """After how many seconds without a message another connection is tried beside it."""
        return 60.0 if any(each.kind in _STEADY for each in self.streams) else 300.0


def in_connections(
    streams: Iterable[LiveStream], urls: Mapping[Market, str] | None = None
) -> list[ConnectionPlan]:
    """Split streams into connections, by market and path, within the limits of each.

    Args:
        streams: In any order.
        urls: Where the streams of a market are, if not at the exchange's own address.
    """
    plans = []
    ordered = sorted(streams, key=lambda each: (each.market, each.path))
    for (market, _), group in groupby(ordered, key=lambda each: (each.market, each.path)):
        base = (urls or {}).get(market, STREAMS_OF[market].url)
        plans += [ConnectionPlan(base, each) for each in _split(base, list(group))]
    return plans


def _split(base: str, streams: list[LiveStream]) -> Iterator[tuple[LiveStream, ...]]:
    """Yield parts that fit into one connection each."""
    most = STREAMS_OF[streams[0].market].most_streams
    length = len(str(_url(base, streams[0], [])))
    part: list[LiveStream] = []
    left = _LONGEST_URL - length
    for stream in streams:
        size = len(stream.name.encode()) + 1
        if part and (len(part) == most or size > left):
            yield tuple(part)
            part, left = [], _LONGEST_URL - length
        part.append(stream)
        left -= size
    yield tuple(part)


def _url(base: str, stream: LiveStream, names: Iterable[str]) -> URL:
    address = URL(base)
    address = address.with_path(f"{address.path.rstrip('/')}{stream.path}/stream")
    return address.with_query({"streams": "/".join(names), **STREAMS_OF[stream.market].query})
