"""Which series can be filled, by which endpoint, and what a request costs.

The figures, with their sources and how sure each one is, are in docs/fill.md#endpoints-and-limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from attrs import evolve, field, frozen

from crypto_lakehouse.core.archive import DataType, Market, Series

__all__ = ["API_OF", "Bucket", "Endpoint", "MarketApi", "fill_endpoints", "funding_info", "why_not"]

#: A weight by page size: `(99, 1)` is 1 up to 99 rows.
Steps = tuple[tuple[int, int], ...]


@frozen
class Bucket:
    """A limit on the number of requests to some endpoints, apart from weights.

    Attributes:
        name: What the endpoints share.
        requests: How many requests each IP address may send in a window.
        window_s: The length of a window, in seconds.
    """

    name: str
    requests: int
    window_s: int


@frozen(kw_only=True)
class MarketApi:
    """The API of one market.

    Attributes:
        url: Its base URL, unless the configuration names another one.
        prefix: The path before an endpoint's name.
        weight_per_minute: What each IP address may use in a clock minute.
        headers: Sent with every request.
        agg_history: aggTrades are found by time only so far back; None for all of them.
    """

    url: str
    prefix: str
    weight_per_minute: int
    headers: Mapping[str, str] = field(factory=dict)
    agg_history: timedelta | None = None


#: Times in microseconds, as in the archive since 2025.
_MICROSECONDS = {"X-MBX-TIME-UNIT": "MICROSECOND"}

#: aggTrades of futures by time go back 48 h; the rest is for requests that take long.
_AGG_HISTORY = timedelta(hours=47)

API_OF: Mapping[Market, MarketApi] = {
    Market.SPOT: MarketApi(
        url="https://data-api.binance.vision",
        prefix="/api/v3",
        weight_per_minute=6000,
        headers=_MICROSECONDS,
    ),
    Market.FUTURES_UM: MarketApi(
        url="https://fapi.binance.com",
        prefix="/fapi/v1",
        weight_per_minute=2400,
        agg_history=_AGG_HISTORY,
    ),
    Market.FUTURES_CM: MarketApi(
        url="https://dapi.binance.com",
        prefix="/dapi/v1",
        weight_per_minute=2400,
        agg_history=_AGG_HISTORY,
    ),
}


@frozen(kw_only=True)
class Endpoint:
    """One endpoint, as it is asked for one series.

    Attributes:
        path: Behind the base URL.
        params: The parameters that do not change from page to page.
        steps: The weight by page size.
        most: The largest page, in rows.
        bucket: The limit on its requests; None if only weights count.
    """

    path: str
    params: Mapping[str, str]
    steps: Steps
    most: int
    bucket: Bucket | None = None

    def weight(self, limit: int) -> int:
        """The weight of a request for a page of so many rows."""
        return next((cost for most, cost in self.steps if limit <= most), self.steps[-1][1])

    def page_size(self, rows: int) -> int:
        """The page size by which so many rows have the least weight; if equal, the fewest requests.

        1,440 bars of futures are one page with weight 10, or three pages of 480 with weight 6.
        """
        sizes = {self._even(rows, min(most, self.most)) for most, _ in self.steps}
        return min(sizes, key=lambda size: (self._weight_of(rows, size), -size))

    def free_size(self, size: int) -> int:
        """The largest page that has the same weight as one of a size."""
        weight = self.weight(size)
        return max(min(most, self.most) for most, cost in self.steps if cost == weight)

    def pages(self, rows: int, size: int) -> int:
        """How many pages of a size have so many rows; at least one."""
        return max(1, -(-rows // size))

    def _even(self, rows: int, largest: int) -> int:
        return max(1, -(-rows // self.pages(rows, largest)))

    def _weight_of(self, rows: int, size: int) -> int:
        return self.pages(rows, size) * self.weight(size)


_FUTURES_BARS: Steps = ((99, 1), (499, 2), (1000, 5), (1500, 10))
_SPOT_BARS: Steps = ((1000, 2),)

_FUNDING = Bucket("funding", 500, 300)
_STATISTICS = Bucket("statistics", 1000, 300)

#: The archive's interval that the API spells in another way.
_INTERVALS = {"1mo": "1M"}

_BAR_TYPES = frozenset(
    {
        DataType.KLINES,
        DataType.MARK_PRICE_KLINES,
        DataType.INDEX_PRICE_KLINES,
        DataType.PREMIUM_INDEX_KLINES,
    }
)


def fill_endpoints(series: Series) -> tuple[Endpoint, ...]:
    """The endpoints that have the rows of a series; empty if it cannot be filled: `why_not`."""
    if why_not(series):
        return ()
    if series.data_type in _BAR_TYPES:
        return (_bars(series),)
    if series.data_type is DataType.AGG_TRADES:
        return (_agg_trades(series),)
    if series.data_type is DataType.FUNDING_RATE:
        return (_funding(series),)
    return _statistics(series)


def funding_info(series: Series) -> Endpoint:
    """The endpoint that has the present funding intervals of a market's symbols."""
    return evolve(_funding(series), path=f"{API_OF[series.market].prefix}/fundingInfo", params={})


def why_not(series: Series) -> str:
    """Why a series cannot be filled; empty if it can."""
    market, data_type = series.market, series.data_type
    if market not in API_OF:
        return f"`{market}` has no endpoint without a key"
    futures_only = data_type in {DataType.FUNDING_RATE, DataType.METRICS} or (
        data_type in _BAR_TYPES and data_type is not DataType.KLINES
    )
    known = _BAR_TYPES | {DataType.AGG_TRADES, DataType.FUNDING_RATE, DataType.METRICS}
    if data_type not in known or (market is Market.SPOT and futures_only):
        return f"no endpoint of `{market}` has `{data_type}` of the past without a key"
    if series.interval == "1s" and market is not Market.SPOT:
        return "futures have no bars of a second"
    if data_type is DataType.METRICS and market is Market.FUTURES_CM and not _is_perpetual(series):
        return "the endpoint has COIN-M contracts by their type, which a dated symbol does not say"
    return ""


def _bars(series: Series) -> Endpoint:
    is_spot = series.market is Market.SPOT
    name = "pair" if series.data_type is DataType.INDEX_PRICE_KLINES else "symbol"
    interval = series.interval or ""
    return Endpoint(
        path=f"{API_OF[series.market].prefix}/{series.data_type}",
        params={name: series.symbol, "interval": _INTERVALS.get(interval, interval)},
        steps=_SPOT_BARS if is_spot else _FUTURES_BARS,
        most=1000 if is_spot else 1500,
    )


def _agg_trades(series: Series) -> Endpoint:
    return Endpoint(
        path=f"{API_OF[series.market].prefix}/aggTrades",
        params={"symbol": series.symbol},
        steps=((1000, 4 if series.market is Market.SPOT else 20),),
        most=1000,
    )


def _funding(series: Series) -> Endpoint:
    return Endpoint(
        path=f"{API_OF[series.market].prefix}/fundingRate",
        params={"symbol": series.symbol},
        steps=((1000, 0 if series.market is Market.FUTURES_UM else 1),),
        most=1000,
        bucket=_FUNDING,
    )


def _statistics(series: Series) -> tuple[Endpoint, ...]:
    is_um = series.market is Market.FUTURES_UM
    names = (
        "openInterestHist",
        "topLongShortAccountRatio",
        "topLongShortPositionRatio",
        "globalLongShortAccountRatio",
        "takerlongshortRatio" if is_um else "takerBuySellVol",
    )
    return tuple(
        Endpoint(
            path=f"/futures/data/{name}",
            params={**_subject(series, name), "period": "5m"},
            steps=((500, 0 if is_um else 1),),
            most=500,
            bucket=_STATISTICS if is_um else None,
        )
        for name in names
    )


def _subject(series: Series, name: str) -> dict[str, str]:
    if series.market is Market.FUTURES_UM:
        return {"symbol": series.symbol}
    pair = {"pair": series.symbol.partition("_")[0]}
    by_type = {"openInterestHist", "takerBuySellVol"}
    return {**pair, "contractType": "PERPETUAL"} if name in by_type else pair


def _is_perpetual(series: Series) -> bool:
    return series.symbol.endswith("_PERP")
