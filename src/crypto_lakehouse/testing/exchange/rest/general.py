"""The time, the symbols with the limits, and the order book."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing.exchange.rest.query import Query
from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
from crypto_lakehouse.testing.exchange.tape.tape import Listed
from crypto_lakehouse.testing.made_up.rows.values import decimal

__all__ = ["depth", "exchange_info", "ping", "server_time"]

#: The delivery date of a contract without one.
_NEVER_MS = 4133404800000


def ping(_query: Query) -> dict[str, Any]:
    """Answer `ping`."""
    return {}


def server_time(query: Query) -> dict[str, Any]:
    """Answer `time`."""
    return {"serverTime": query.time_out(query.now_us)}


def exchange_info(query: Query) -> dict[str, Any]:
    """Answer `exchangeInfo`: the limits and the symbols."""
    listed = query.tape.listed(query.rules.market)
    if "symbol" in query.values:
        listed = [query.listed()]
    return {
        "timezone": "UTC",
        "serverTime": query.time_out(query.now_us),
        "rateLimits": _rate_limits(query),
        "exchangeFilters": [],
        "symbols": [_symbol(query, each) for each in listed],
    }


def _rate_limits(query: Query) -> list[dict[str, Any]]:
    limits: list[dict[str, Any]] = [
        {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": query.rules.weight_per_minute,
        }
    ]
    if query.rules.raw is not None:
        limits.append(
            {
                "rateLimitType": "RAW_REQUESTS",
                "interval": "MINUTE",
                "intervalNum": query.rules.raw.window_s // 60,
                "limit": query.rules.raw.requests,
            }
        )
    return limits


def _symbol(query: Query, listed: Listed) -> dict[str, Any]:
    one = listed.instrument
    common = {
        "symbol": one.symbol,
        "baseAsset": one.base,
        "quoteAsset": one.quote,
        "filters": _filters(one),
    }
    if query.rules.market is Market.SPOT:
        return common | {"status": "TRADING", "isSpotTradingAllowed": True}
    is_coin = query.rules.market is Market.FUTURES_CM
    contract: dict[str, Any] = {
        "pair": one.pair,
        "contractType": one.contract_type,
        "deliveryDate": _NEVER_MS,
        "onboardDate": query.time_out(listed.start_us),
        "marginAsset": one.base if is_coin else one.quote,
        "pricePrecision": one.price_places,
        "quantityPrecision": one.quantity_places,
    }
    if is_coin:
        return common | contract | {"contractStatus": "TRADING", "contractSize": one.contract_size}
    return common | contract | {"status": "TRADING"}


def _filters(one: Instrument) -> list[dict[str, str]]:
    step = decimal(1, one.quantity_places, max(8, one.quantity_places))
    tick = decimal(1, one.price_places, max(8, one.price_places))
    return [
        {"filterType": "PRICE_FILTER", "tickSize": tick},
        {"filterType": "LOT_SIZE", "stepSize": step},
    ]


def depth(query: Query) -> dict[str, Any]:
    """Answer `depth`: the best levels of the book."""
    listed, limit = query.listed(), query.limit()
    state = listed.book.state(listed.book.step_at(query.now_us))
    answer: dict[str, Any] = {"lastUpdateId": state.update_id}
    if query.rules.market is Market.FUTURES_CM:
        answer |= {"symbol": listed.instrument.symbol, "pair": listed.instrument.pair}
    if query.rules.market is not Market.SPOT:
        answer |= {"E": query.time_out(query.now_us), "T": query.time_out(state.time_us)}
    return answer | {
        "bids": _levels(listed.instrument, state.bids, limit),
        "asks": _levels(listed.instrument, state.asks, limit),
    }


def _levels(one: Instrument, levels: Mapping[int, int], limit: int) -> list[list[str]]:
    best = islice(levels.items(), limit)
    return [[one.price_text(price), one.quantity_text(quantity)] for price, quantity in best]
