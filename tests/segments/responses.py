"""Responses of an exchange on loopback, as a fill keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.segments.fill_segment import FillHeader, FillResponse, write_fill
from crypto_lakehouse.testing import ExchangeServer

DAY = date(2026, 5, 7)  # the day before that of the exchange's clock

_MS = timedelta(milliseconds=1)

_PATHS = {Market.SPOT: "/api/v3", Market.FUTURES_UM: "/fapi/v1", Market.FUTURES_CM: "/dapi/v1"}

_METRICS = (
    "openInterestHist",
    "topLongShortAccountRatio",
    "topLongShortPositionRatio",
    "globalLongShortAccountRatio",
    "takerlongshortRatio",
)


def series(market: Market, data_type: DataType, symbol: str, interval: str | None = None) -> Series:
    return Series(market, data_type, symbol, interval)


def ask(server: ExchangeServer, market: Market, path: str, **params: Any) -> FillResponse:
    """One response; spot is asked for microseconds."""
    headers = {"X-MBX-TIME-UNIT": "MICROSECOND"} if market is Market.SPOT else {}
    url, values = f"{server.url(market)}{path}", {key: str(each) for key, each in params.items()}
    try:
        answer = urlopen(Request(f"{url}?{urlencode(values)}", headers=headers))  # noqa: S310
    except HTTPError as error:
        answer = error
    with answer:
        return FillResponse(
            url=f"https://exchange.example{path}",
            params=values,
            received_at=datetime(2026, 5, 8, 12, 0, 1, tzinfo=UTC),
            server_time=parsedate_to_datetime(answer.headers["Date"]),
            status=answer.status,
            body=answer.read().decode(),
        )


def day_responses(
    server: ExchangeServer, of: Series, day: date = DAY, hours: int = 24
) -> list[FillResponse]:
    """The responses that have a day, or its first hours, of a series."""
    begin = datetime.combine(day, time(), UTC)
    first, last = _ms(begin), _ms(begin + timedelta(hours=hours)) - 1
    path = f"{_PATHS[of.market]}/{of.data_type}"
    if of.data_type is DataType.METRICS:
        return _metrics(server, of, begin)
    if of.data_type is DataType.FUNDING_RATE:
        span = {"symbol": of.symbol, "startTime": first, "endTime": last + 8 * 3_600_000}
        return [ask(server, of.market, path, **span)]
    if of.data_type is DataType.AGG_TRADES:
        return [
            # Pages of an hour, as futures allow no more; each one overlaps the next.
            ask(server, of.market, path, symbol=of.symbol, limit=1000, startTime=start,
                endTime=start + 3_599_999)
            for start in range(first, last, 3_000_000)
        ]  # fmt: skip
    subject = "pair" if of.data_type is DataType.INDEX_PRICE_KLINES else "symbol"
    params: Mapping[str, Any] = {
        subject: of.symbol, "interval": (of.interval or "").replace("1mo", "1M"), "limit": 1000
    }  # fmt: skip
    step = 1000 * 60_000 if of.interval == "1m" else last + 1 - first
    return [
        ask(server, of.market, path, **params, startTime=start, endTime=min(last, start + step - 1))
        for start in range(first, last, step)
    ]


def _metrics(server: ExchangeServer, of: Series, begin: datetime) -> list[FillResponse]:
    first = _ms(begin)
    span = {"period": "5m", "limit": 500, "startTime": first, "endTime": first + 86_400_000}
    endpoints = list(_METRICS)
    subject: dict[str, str] = {"symbol": of.symbol}
    if of.market is Market.FUTURES_CM:
        endpoints[-1] = "takerBuySellVol"
        subject = {"pair": of.symbol.partition("_")[0]}
    return [
        ask(
            server, of.market, f"/futures/data/{each}", **subject, **span,
            **({"contractType": "PERPETUAL"} if "pair" in subject and "Ratio" not in each else {}),
        )
        for each in endpoints
    ]  # fmt: skip


def header(of: Series, day: date = DAY, **changes: Any) -> FillHeader:
    """The header of a segment."""
    values: dict[str, Any] = {
        "series": of,
        "day": day,
        "complete": True,
        "tool_version": "1.2.3",
        "filled_at": datetime(2026, 5, 8, 12, 0, 2, tzinfo=UTC),
    }
    return FillHeader(**(values | changes))


def segment(
    of: Series, responses: Sequence[FillResponse], day: date = DAY, **changes: Any
) -> bytes:
    """The bytes of a segment."""
    return write_fill(header(of, day, **changes), responses)


def _ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MS
