"""The table of endpoints: which paths a market has, and what they accept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing.exchange.rest.bars import klines
from crypto_lakehouse.testing.exchange.rest.general import (
    depth,
    exchange_info,
    ping,
    server_time,
)
from crypto_lakehouse.testing.exchange.rest.query import Query
from crypto_lakehouse.testing.exchange.rest.statistics import (
    funding_info,
    funding_rates,
    long_short_ratio,
    open_interest,
    taker_volumes,
)
from crypto_lakehouse.testing.exchange.rest.trades import (
    agg_trades,
    historical_trades,
    recent_trades,
)
from crypto_lakehouse.testing.exchange.rules import MarketRules

__all__ = ["Endpoint", "answer", "endpoints_of"]


@frozen
class Endpoint:
    """One endpoint.

    Attributes:
        handle: Makes the JSON of its answer.
        names: The parameters it has.
    """

    handle: Callable[[Query], Any]
    names: tuple[str, ...] = ()


_SPAN = ("startTime", "endTime", "limit")
_BARS = Endpoint(klines, ("symbol", "pair", "interval", "timeZone", *_SPAN))
_STATISTICS = ("symbol", "pair", "contractType", "period", *_SPAN)

_COMMON = {
    "ping": Endpoint(ping),
    "time": Endpoint(server_time),
    "exchangeInfo": Endpoint(exchange_info, ("symbol",)),
    "klines": _BARS,
    "aggTrades": Endpoint(agg_trades, ("symbol", "fromId", *_SPAN)),
    "trades": Endpoint(recent_trades, ("symbol", "limit")),
    "historicalTrades": Endpoint(historical_trades, ("symbol", "limit", "fromId")),
    "depth": Endpoint(depth, ("symbol", "limit")),
}

_FUTURES = {
    **_COMMON,
    "markPriceKlines": _BARS,
    "indexPriceKlines": _BARS,
    "premiumIndexKlines": _BARS,
    "fundingRate": Endpoint(funding_rates, ("symbol", *_SPAN)),
    "fundingInfo": Endpoint(funding_info),
}

_RATIOS = {
    "openInterestHist": Endpoint(open_interest, _STATISTICS),
    "topLongShortAccountRatio": Endpoint(long_short_ratio, _STATISTICS),
    "topLongShortPositionRatio": Endpoint(long_short_ratio, _STATISTICS),
    "globalLongShortAccountRatio": Endpoint(long_short_ratio, _STATISTICS),
}

#: Where the futures have open interest and ratios.
_RATIO_PREFIX = "/futures/data"

_TAKERS = {Market.FUTURES_UM: "takerlongshortRatio", Market.FUTURES_CM: "takerBuySellVol"}


def endpoints_of(rules: MarketRules) -> Mapping[str, Endpoint]:
    """The endpoints of a market, by path."""
    if rules.market is Market.SPOT:
        return {f"{rules.prefix}/{name}": endpoint for name, endpoint in _COMMON.items()}
    found = {f"{rules.prefix}/{name}": endpoint for name, endpoint in _FUTURES.items()}
    ratios = {**_RATIOS, _TAKERS[rules.market]: Endpoint(taker_volumes, _STATISTICS)}
    return found | {f"{_RATIO_PREFIX}/{name}": endpoint for name, endpoint in ratios.items()}


def answer(endpoint: Endpoint, query: Query) -> Any:
    """Answer a request.

    Raises:
        ApiError: The exchange refuses it.
    """
    query.check_names(endpoint.names)
    return endpoint.handle(query)
