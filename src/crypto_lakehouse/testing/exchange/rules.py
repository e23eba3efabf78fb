"""The figures of each market: weights, limits, page sizes, windows.

How sure each figure is stands in docs/exchange-server.md#figures: official documentation, measured
by others, source code of a client, or assumed. Pass changed rules to `ExchangeServer` if the real
ones have changed: `evolve(exchange_rules("spot"), weight_per_minute=1200)`.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from crypto_lakehouse.core.archive import Market

__all__ = [
    "EXCHANGE_MARKETS",
    "Bucket",
    "MarketRules",
    "Pages",
    "Steps",
    "StreamRules",
    "exchange_rules",
]


@frozen
class Steps:
    """A weight that grows with the page: `((99, 1), (499, 2))` is 1 up to 99, 2 up to 499.

    The last weight is also that of larger pages.
    """

    steps: tuple[tuple[int, int], ...]

    def weight(self, limit: int) -> int:
        """The weight of a request for so many rows."""
        return next((cost for most, cost in self.steps if limit <= most), self.steps[-1][1])


@frozen
class Pages:
    """How many rows a request may have.

    Attributes:
        default: If the request has no `limit`.
        most: The largest `limit`.
        choices: The only values of `limit`; empty if every one up to the largest is allowed.
    """

    default: int
    most: int
    choices: tuple[int, ...] = ()


@frozen
class Bucket:
    """A limit on the number of requests to some endpoints, apart from weights.

    Attributes:
        window_s: The length of its windows, which are whole multiples since the epoch.
    """

    requests: int
    window_s: int


@frozen(kw_only=True)
class StreamRules:
    """The rules of a market's WebSocket connections.

    Attributes:
        messages_per_s: How many messages, pings and pongs a client may send in a second.
        streams: How many streams a connection may have.
        connects: How many connections an IP may open; None for no limit.
        ping_every_s: How often the server pings.
        pong_within_s: A connection ends if no pong with the ping's payload comes within this time.
        life_s: A connection ends after this time.
        routes: The kinds of streams that come on each path before `/ws` and `/stream`. On a path
            with none, and for a kind that is not among them, the connection stays silent.
        kline_every_ms: How often a bar that is not finished is sent.
        depth_every_ms: How often changes of the book are sent, if the stream does not say it.
    """

    messages_per_s: int
    streams: int = 1024
    connects: Bucket | None = None
    ping_every_s: int = 180
    pong_within_s: int = 600
    life_s: int = 86_400
    routes: Mapping[str, frozenset[str]]
    kline_every_ms: int = 250
    depth_every_ms: int = 250


@frozen(kw_only=True)
class MarketRules:
    """The rules of one market.

    Attributes:
        prefix: The path before an endpoint's name.
        weight_per_minute: The budget of an IP in a clock minute.
        weights: The weight of each endpoint, by its name.
        pages: The page size of each endpoint that has pages, by its name.
        bucket_of: The bucket of the endpoints that have one, by name.
        buckets: The buckets, by name.
        raw: The limit on requests of any weight; None for none.
        refusals_before_ban: An IP is banned after so many refusals (429) in one window.
        first_ban_s: How long the first ban lasts; each further one lasts twice as long.
        longest_ban_s: No ban lasts longer.
        forgives_after_s: Bans so long ago do not lengthen the next one.
        intervals: The intervals of bars, as the endpoints spell them.
        clamps_limit: Whether a too large `limit` means the largest; otherwise it is an error.
        knows_parameters: Whether an unknown parameter is an error; otherwise it is ignored.
        microseconds: Whether `X-MBX-TIME-UNIT: MICROSECOND` is understood.
        agg_window_s: aggTrades between two times must span less; None for no limit.
        agg_history_s: aggTrades by time go back so far; None for all of them.
        bars_span_days: The longest span of bars in a request, whose last rows are then returned;
            None for any span, whose first rows are returned.
        statistics_days: How far open interest and ratios go back.
        by_pair: Whether open interest and ratios are those of a pair and not of a symbol.
        live: The rules of WebSocket connections.
    """

    market: Market
    prefix: str
    weight_per_minute: int
    weights: Mapping[str, int | Steps]
    pages: Mapping[str, Pages]
    bucket_of: Mapping[str, str] = field(factory=dict)
    buckets: Mapping[str, Bucket] = field(factory=dict)
    raw: Bucket | None = None
    refusals_before_ban: int = 5
    first_ban_s: int = 120
    longest_ban_s: int = 3 * 86_400
    forgives_after_s: int = 3 * 86_400
    intervals: tuple[str, ...]
    clamps_limit: bool = False
    knows_parameters: bool = False
    microseconds: bool = False
    agg_window_s: int | None = 3600
    agg_history_s: int | None = 48 * 3600
    bars_span_days: int | None = None
    statistics_days: int = 30
    by_pair: bool = False
    live: StreamRules

    def weight(self, endpoint: str, limit: int | None) -> int:
        """The weight of a request; `limit` is that of its page, None if it has none."""
        weight = self.weights.get(endpoint, 1)
        return weight if isinstance(weight, int) else weight.weight(limit or 0)


_FUTURES_INTERVALS = (
    "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M",
)  # fmt: skip

_BARS = Steps(((99, 1), (499, 2), (1000, 5), (1500, 10)))
_BAR_KINDS = ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
_STATISTICS = (
    "openInterestHist",
    "topLongShortAccountRatio",
    "topLongShortPositionRatio",
    "globalLongShortAccountRatio",
)

_FUTURES_WEIGHTS: Mapping[str, int | Steps] = {
    **dict.fromkeys(_BAR_KINDS, _BARS),
    "aggTrades": 20,
    "trades": 5,
    "historicalTrades": 20,
    "depth": Steps(((50, 2), (100, 5), (500, 10), (1000, 20))),
}

_FUTURES_PAGES = {
    **dict.fromkeys(_BAR_KINDS, Pages(500, 1500)),
    **dict.fromkeys((*_STATISTICS, "takerlongshortRatio", "takerBuySellVol"), Pages(30, 500)),
    "aggTrades": Pages(500, 1000),
    "trades": Pages(500, 1000),
    "historicalTrades": Pages(100, 500),
    "depth": Pages(500, 1000, (5, 10, 20, 50, 100, 500, 1000)),
    "fundingRate": Pages(100, 1000),
}

_BOOK_KINDS = frozenset({"trade", "bookTicker", "depth"})
_MARKET_KINDS = frozenset({"aggTrade", "kline", "markPrice", "forceOrder"})

_SPOT = MarketRules(
    market=Market.SPOT,
    prefix="/api/v3",
    weight_per_minute=6000,
    weights={
        "exchangeInfo": 20,
        "klines": 2,
        "aggTrades": 4,
        "trades": 25,
        "historicalTrades": 25,
        "depth": Steps(((100, 5), (500, 25), (1000, 50), (5000, 250))),
    },
    pages={
        "klines": Pages(500, 1000),
        "aggTrades": Pages(500, 1000),
        "trades": Pages(500, 1000),
        "historicalTrades": Pages(500, 1000),
        "depth": Pages(100, 5000),
    },
    raw=Bucket(300_000, 300),
    intervals=("1s", *_FUTURES_INTERVALS),
    clamps_limit=True,
    knows_parameters=True,
    microseconds=True,
    agg_window_s=None,
    agg_history_s=None,
    live=StreamRules(
        messages_per_s=5,
        connects=Bucket(300, 300),
        ping_every_s=20,
        pong_within_s=60,
        routes={"": _BOOK_KINDS | {"aggTrade", "kline"}},
        kline_every_ms=2000,
        depth_every_ms=1000,
    ),
)

_UM = MarketRules(
    market=Market.FUTURES_UM,
    prefix="/fapi/v1",
    weight_per_minute=2400,
    weights={
        **_FUTURES_WEIGHTS,
        "fundingRate": 0,
        "fundingInfo": 0,
        **dict.fromkeys((*_STATISTICS, "takerlongshortRatio"), 0),
    },
    pages=_FUTURES_PAGES,
    bucket_of={
        "fundingRate": "funding",
        "fundingInfo": "funding",
        **dict.fromkeys((*_STATISTICS, "takerlongshortRatio"), "statistics"),
    },
    buckets={"funding": Bucket(500, 300), "statistics": Bucket(1000, 300)},
    intervals=_FUTURES_INTERVALS,
    live=StreamRules(
        messages_per_s=10,
        routes={"/public": _BOOK_KINDS, "/market": _MARKET_KINDS, "": frozenset()},
    ),
)

_CM = MarketRules(
    market=Market.FUTURES_CM,
    prefix="/dapi/v1",
    weight_per_minute=2400,
    weights=_FUTURES_WEIGHTS,
    pages=_FUTURES_PAGES,
    bucket_of={"fundingRate": "funding", "fundingInfo": "funding"},
    buckets={"funding": Bucket(500, 300)},
    intervals=_FUTURES_INTERVALS,
    bars_span_days=200,
    by_pair=True,
    live=StreamRules(messages_per_s=10, routes={"": _BOOK_KINDS | _MARKET_KINDS}),
)

#: The markets of the exchange.
EXCHANGE_MARKETS = (Market.SPOT, Market.FUTURES_UM, Market.FUTURES_CM)

_RULES = {rules.market: rules for rules in (_SPOT, _UM, _CM)}


def exchange_rules(market: Market | str) -> MarketRules:
    """The rules of a market of the exchange, as of November 2026.

    Raises:
        ValueError: There is no such market.
    """
    if market not in _RULES:
        raise ValueError(f"{market} is no market of an exchange; give {', '.join(_RULES)}")
    return _RULES[Market(market)]
