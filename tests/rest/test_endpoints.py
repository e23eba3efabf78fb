"""What can be fetched where, for what weight: as the exchange server counts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.rest import API_OF, fill_endpoints, why_not
from crypto_lakehouse.rest.endpoints import Endpoint
from crypto_lakehouse.segments.fill_rows import FILLED_TYPES
from crypto_lakehouse.testing import exchange_rules

SYMBOLS = {
    Market.SPOT: "BTCUSDT",
    Market.FUTURES_UM: "BTCUSDT",
    Market.FUTURES_CM: "BTCUSD_PERP",
    Market.OPTIONS: "BTC",
}
ALL = [
    Series(market, data_type, SYMBOLS[market], "1m" if data_type.has_interval else None)
    for market in Market
    for data_type in DataType
]
ENDPOINTS = [(each.market, endpoint) for each in ALL for endpoint in fill_endpoints(each)]


def test_a_series_has_endpoints_or_a_reason_for_having_none() -> None:
    for series in ALL:
        assert bool(fill_endpoints(series)) != bool(why_not(series))
    filled = {series.data_type for series in ALL if fill_endpoints(series)}
    assert filled == FILLED_TYPES
    assert why_not(Series(Market.FUTURES_UM, DataType.KLINES, "BTCUSDT", "1s"))
    assert "dated" in why_not(Series(Market.FUTURES_CM, DataType.METRICS, "BTCUSD_261225"))
    assert "without a key" in why_not(Series(Market.SPOT, DataType.TRADES, "BTCUSDT"))


@pytest.mark.parametrize(
    ("market", "endpoint"), ENDPOINTS, ids=[f"{m}{e.path.rpartition('/')[2]}" for m, e in ENDPOINTS]
)
def test_weights_pages_and_limits_are_those_of_the_exchange(
    market: Market, endpoint: Endpoint
) -> None:
    rules = exchange_rules(market)
    name = endpoint.path.rpartition("/")[2]
    assert API_OF[market].weight_per_minute == rules.weight_per_minute
    assert endpoint.most == rules.pages[name].most
    for limit in range(1, endpoint.most + 1):
        assert endpoint.weight(limit) == rules.weight(name, limit)
    bucket = rules.bucket_of.get(name)
    if bucket is None:
        assert endpoint.bucket is None
    else:
        assert endpoint.bucket is not None
        most = rules.buckets[bucket]
        kept = endpoint.bucket
        assert (kept.requests, kept.window_s) == (most.requests, most.window_s)


@given(st.sampled_from(ENDPOINTS), st.integers(1, 3000))
def test_no_other_page_size_has_less_weight(asked: tuple[Market, Endpoint], rows: int) -> None:
    endpoint = asked[1]
    size = endpoint.page_size(rows)
    assert 1 <= size <= endpoint.most

    def weight_of(each: int) -> int:
        return endpoint.pages(rows, each) * endpoint.weight(each)

    assert weight_of(size) == min(map(weight_of, range(1, endpoint.most + 1)))
