"""Funding, open interest, ratios and taker volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing.exchange.rest.errors import ApiError, invalid
from crypto_lakehouse.testing.exchange.rest.query import Query
from crypto_lakehouse.testing.exchange.tape.derivatives import FUNDING_HOURS, Statistic
from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
from crypto_lakehouse.testing.exchange.tape.intervals import Interval
from crypto_lakehouse.testing.exchange.tape.tape import Listed
from crypto_lakehouse.testing.made_up.rows.values import decimal

__all__ = [
    "funding_info",
    "funding_rates",
    "interest_value",
    "long_short_ratio",
    "open_interest",
    "ratio_text",
    "taker_volumes",
]

_DAY_US = 86_400_000_000
_PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
_CONTRACTS = ("ALL", "CURRENT_QUARTER", "NEXT_QUARTER", "PERPETUAL")

#: What each contract has at one moment.
_Moment: TypeAlias = Sequence[tuple[Listed, Statistic]]

#: Shares are whole numbers of `10**-4`.
_WHOLE = 10_000


def funding_rates(query: Query) -> list[dict[str, Any]]:
    """Answer `fundingRate`: from a time on, or the most recent ones."""
    limit = query.limit()
    start, end = query.span()
    is_um = query.rules.market is Market.FUTURES_UM
    if is_um and "symbol" not in query.values:
        listed = query.tape.listed(query.rules.market)
    else:
        listed = [query.listed()]
    stop = query.now_us if end is None else min(end, query.now_us)
    found = [
        (funding.time_us, each.instrument.symbol, each, funding.rate)
        for each in listed
        for funding in each.derivatives.fundings(start or 0, stop)
    ]
    found.sort(key=lambda row: row[:2])
    chosen = found[-limit:] if start is None else found[:limit]
    return [_funding_row(query, *row) for row in chosen]


def _funding_row(
    query: Query, time_us: int, symbol: str, listed: Listed, rate: int
) -> dict[str, Any]:
    row = {
        "symbol": symbol,
        "fundingTime": query.time_out(time_us),
        "fundingRate": decimal(rate, 8),
    }
    if query.rules.market is Market.FUTURES_UM:
        row["markPrice"] = listed.mark.text(listed.mark.at(time_us))
    return row


def funding_info(query: Query) -> list[dict[str, Any]]:
    """Answer `fundingInfo`: the perpetual contracts."""
    return [
        {
            "symbol": each.instrument.symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": FUNDING_HOURS,
            "disclaimer": False,
        }
        for each in query.tape.listed(query.rules.market)
        if each.instrument.contract_type == "PERPETUAL"
    ]


def open_interest(query: Query) -> list[dict[str, Any]]:
    """Answer `openInterestHist`: of a symbol, on COIN-M of a pair's contracts of one type."""
    rows = []
    for time_us, moment in _moments(query):
        one = moment[0][0].instrument
        contracts = sum(each.open_interest for _, each in moment)
        value = sum(interest_value(listed, each) for listed, each in moment)
        width = None if query.rules.by_pair else 8
        row = {
            **_names(query, one),
            "sumOpenInterest": decimal(contracts, one.quantity_places, width),
            "sumOpenInterestValue": decimal(value, 8),
        }
        if not query.rules.by_pair:
            row["CMCCirculatingSupply"] = "0.00000000"
        rows.append({**row, "timestamp": query.time_out(time_us)})
    return rows


def taker_volumes(query: Query) -> list[dict[str, Any]]:
    """Answer `takerlongshortRatio`, or COIN-M's `takerBuySellVol`."""
    rows = []
    for time_us, moment in _moments(query):
        one = moment[0][0].instrument
        buys = sum(each.buys for _, each in moment)
        sells = sum(each.sells for _, each in moment)
        if query.rules.by_pair:
            row = {
                **_names(query, one),
                "takerBuyVol": str(buys),
                "takerSellVol": str(sells),
                "takerBuyVolValue": _base_text(moment, lambda each: each.buys),
                "takerSellVolValue": _base_text(moment, lambda each: each.sells),
            }
        else:
            row = {
                "buySellRatio": decimal(buys * 10**4 // sells, 4),
                "buyVol": decimal(buys, one.quantity_places),
                "sellVol": decimal(sells, one.quantity_places),
            }
        rows.append({**row, "timestamp": query.time_out(time_us)})
    return rows


def _base_text(moment: _Moment, contracts: Callable[[Statistic], int]) -> str:
    """Write contracts as an amount of the base asset."""
    value = sum(
        contracts(each) * listed.instrument.contract_size * 10**16 // listed.mark.at(each.time_us)
        for listed, each in moment
    )
    return decimal(value, 8)


def long_short_ratio(query: Query) -> list[dict[str, Any]]:
    """Answer the three ratios of accounts and positions; on COIN-M those of a pair."""
    share = _SHARES[query.endpoint]
    side = "Account"
    if query.rules.by_pair and query.endpoint == "topLongShortPositionRatio":
        side = "Position"
    rows = []
    for time_us, moment in _moments(query):
        listed, each = moment[0]
        long = share(each)
        name = "pair" if query.rules.by_pair else "symbol"
        rows.append(
            {
                name: getattr(listed.instrument, name),
                "longShortRatio": ratio_text(long, 4),
                f"long{side}": decimal(long, 4),
                f"short{side}": decimal(_WHOLE - long, 4),
                "timestamp": query.time_out(time_us),
            }
        )
    return rows


_SHARES: Mapping[str, Callable[[Statistic], int]] = {
    "topLongShortAccountRatio": lambda each: each.accounts_long,
    "topLongShortPositionRatio": lambda each: each.positions_long,
    "globalLongShortAccountRatio": lambda each: each.all_long,
}


def _names(query: Query, one: Instrument) -> dict[str, str]:
    if query.rules.by_pair:
        return {"pair": one.pair, "contractType": query.values["contractType"]}
    return {"symbol": one.symbol}


def _moments(query: Query) -> list[tuple[int, _Moment]]:
    """The most recent statistics of a span, oldest first: of each contract, by time.

    Raises:
        ApiError: The span begins too long ago, or a parameter is bad.
    """
    listed = _contracts(query)
    period = query.text("period")
    if period not in _PERIODS:
        raise invalid("period")
    limit = query.limit()
    start, end = query.span()
    earliest = query.now_us - query.rules.statistics_days * _DAY_US
    if start is not None and start < earliest:
        raise ApiError(-1130, "parameter 'startTime' is invalid.")
    step = Interval(period).opens(1)
    last = query.now_us if end is None else min(end, query.now_us)
    first = max(earliest if start is None else start, last - limit * step + 1)
    columns = [each.derivatives.statistics(first, last, step) for each in listed]
    moments = zip(*columns, strict=True)
    return [(row[0].time_us, list(zip(listed, row, strict=True))) for row in moments]


def _contracts(query: Query) -> list[Listed]:
    if not query.rules.by_pair:
        return [query.listed()]
    if query.endpoint in _SHARES:
        return query.contracts()
    contract_type = query.text("contractType")
    if contract_type not in _CONTRACTS:
        raise ApiError(-4104, "Invalid contract type.")
    return query.contracts(contract_type)


def interest_value(listed: Listed, each: Statistic) -> int:
    """The value of an open interest, in units of `10**-8`: of the quote asset, or the base."""
    mark, size = listed.mark.at(each.time_us), listed.instrument.contract_size
    if size:
        return each.open_interest * size * 10**16 // mark
    units: int = 10**listed.instrument.quantity_places
    return each.open_interest * mark // units


def ratio_text(long: int, places: int) -> str:
    """The ratio of the long to the short side, from the share of the long one, rounded down."""
    return decimal(long * 10**places // (_WHOLE - long), places)
