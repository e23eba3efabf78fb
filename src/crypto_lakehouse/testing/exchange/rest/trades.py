"""Trades and aggTrades."""

from __future__ import annotations

from typing import Any

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing.exchange.clock import SECOND_US
from crypto_lakehouse.testing.exchange.rest.errors import ApiError, bad_combination
from crypto_lakehouse.testing.exchange.rest.query import Query
from crypto_lakehouse.testing.exchange.tape.tape import Listed
from crypto_lakehouse.testing.exchange.tape.trades import AggTrade, Trade

__all__ = ["agg_trades", "historical_trades", "recent_trades"]


def agg_trades(query: Query) -> list[dict[str, Any]]:
    """Answer `aggTrades`: by id, by time, or the most recent ones."""
    listed, limit = query.listed(), query.limit()
    from_id = query.number("fromId")
    start, end = _span(query, from_id)
    trades = listed.trades
    known = trades.agg_count_before(query.now_us + 1)
    stop = known if end is None else min(known, trades.agg_count_before(end + 1))
    if from_id is not None:
        first = trades.index_of_agg_id(from_id)
    elif start is not None:
        first = trades.agg_count_before(start)
    else:
        first = max(0, stop - limit)
    return [
        _agg_row(query, listed, trades.agg(at)) for at in range(first, min(stop, first + limit))
    ]


def _span(query: Query, from_id: int | None) -> tuple[int | None, int | None]:
    """The span of times, both inclusive; None for an open end.

    Raises:
        ApiError: It cannot be sent with an id, is too long, or too long ago.
    """
    start, end = query.span()
    if start is None and end is None:
        return None, None
    if from_id is not None:
        raise bad_combination()
    window_s, history_s = query.rules.agg_window_s, query.rules.agg_history_s
    if window_s is None:
        return start, end
    window_us = window_s * SECOND_US
    if start is not None and end is not None and end - start >= window_us:
        raise ApiError(-1127, f"More than {window_s // 3600} hours between startTime and endTime.")
    if start is None and end is not None:
        start = end - window_us + 1
    elif start is not None and end is None:
        end = start + window_us - 1
    earliest = query.now_us - (history_s or 0) * SECOND_US
    if history_s is not None and start is not None and start < earliest:
        raise ApiError(-1130, "parameter 'startTime' is invalid.")
    return start, end


def _agg_row(query: Query, listed: Listed, agg: AggTrade) -> dict[str, Any]:
    row = {
        "a": agg.id,
        "p": listed.instrument.price_text(agg.price),
        "q": listed.instrument.quantity_text(agg.quantity),
        "f": agg.first_id,
        "l": agg.last_id,
        "T": query.time_out(agg.time_us),
        "m": agg.is_buyer_maker,
    }
    return row | {"M": True} if query.rules.market is Market.SPOT else row


def recent_trades(query: Query) -> list[dict[str, Any]]:
    """Answer `trades`: the most recent ones."""
    listed, limit = query.listed(), query.limit()
    known = listed.trades.count_before(query.now_us + 1)
    return _rows(query, listed, max(0, known - limit), known)


def historical_trades(query: Query) -> list[dict[str, Any]]:
    """Answer `historicalTrades`: trades by id; the futures' needs a key.

    Raises:
        ApiError: There is no key.
    """
    if query.rules.market is not Market.SPOT and not query.headers.get("X-MBX-APIKEY"):
        raise ApiError(-2014, "API-key format invalid.", 401)
    listed, limit = query.listed(), query.limit()
    known = listed.trades.count_before(query.now_us + 1)
    from_id = query.number("fromId")
    first = max(0, known - limit) if from_id is None else listed.trades.index_of_id(from_id)
    return _rows(query, listed, first, min(known, first + limit))


def _rows(query: Query, listed: Listed, first: int, end: int) -> list[dict[str, Any]]:
    return [_row(query, listed, listed.trades.trade(index)) for index in range(first, end)]


def _row(query: Query, listed: Listed, trade: Trade) -> dict[str, Any]:
    other = "baseQty" if query.rules.market is Market.FUTURES_CM else "quoteQty"
    row = {
        "id": trade.id,
        "price": listed.instrument.price_text(trade.price),
        "qty": listed.instrument.quantity_text(trade.quantity),
        other: listed.instrument.other_text(trade.other),
        "time": query.time_out(trade.time_us),
        "isBuyerMaker": trade.is_buyer_maker,
    }
    return row | {"isBestMatch": True} if query.rules.market is Market.SPOT else row
