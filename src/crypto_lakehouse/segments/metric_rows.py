"""Rows of metrics: open interest, ratios and taker volumes, joined by time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Context, Decimal

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.segments.answers import Answer, Place
from crypto_lakehouse.segments.fill_day import FillDay, Row, us_per_unit

__all__ = ["metric_rows"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_CONTEXT = Context(prec=60, rounding=ROUND_DOWN)

_EIGHT_PLACES = Decimal("1E-8")

#: The archive's columns after time and symbol (docs/archive-rows.md#metrics).
_COLUMNS = (
    "sum_open_interest", "sum_open_interest_value", "count_toptrader_long_short_ratio",
    "sum_toptrader_long_short_ratio", "count_long_short_ratio", "sum_taker_long_short_vol_ratio",
)  # fmt: skip


def metric_rows(answers: Iterable[Answer], day: FillDay) -> list[Row]:
    """Join the responses of the endpoints below `/futures/data`; what none of them has is blank.

    Raises:
        SegmentError: A row lacks a field or has one of another type, is of another symbol, repeats
            a time with another value, or has a time that is no whole second.
    """
    found: dict[int, dict[str, str]] = {}
    for answer in answers:
        read = _READERS.get(answer.endpoint)
        if read is None:
            answer.refuse("metrics are not made of this endpoint")
        name, subject = _subject(day)
        answer.asked("period", "5m")
        answer.asked(name, subject)
        before = -1
        for place in answer.rows():
            if answer.endpoint != "takerlongshortRatio":  # its rows do not name the symbol
                place.expect(name, subject)
            time = _time(place)
            if time < before:
                place.refuse(f"its time, {time}, goes back: {before} is before it")
            before = time
            values = read(place)
            if not day.has(place, time):
                continue
            row = found.setdefault(time, {})
            if any(row.get(name, value) != value for name, value in values.items()):
                place.refuse(f"another row has the same time, {time}, and another value")
            row |= values
    return [_row(time, day.series.symbol, found[time]) for time in sorted(found)]


def _subject(day: FillDay) -> tuple[str, str]:
    """What the endpoints are asked for: a symbol, on COIN-M a pair."""
    symbol = day.series.symbol
    if day.series.market is Market.FUTURES_CM:
        return "pair", symbol.partition("_")[0]
    return "symbol", symbol


def _time(place: Place) -> int:
    time = place.number("timestamp")
    if time * us_per_unit(time) % 1_000_000:
        place.refuse(f"`timestamp` is {time}, which is no whole second")
    return time


def _row(time: int, symbol: str, values: Mapping[str, str]) -> Row:
    moment = _EPOCH + timedelta(microseconds=time * us_per_unit(time))
    texts = [f"{moment:%Y-%m-%d %H:%M:%S}", symbol, *(values.get(name, "") for name in _COLUMNS)]
    return Row(time, time, f"{','.join(texts)}\n".encode())


def _open_interest(place: Place) -> dict[str, str]:
    return {
        "sum_open_interest": place.decimal("sumOpenInterest"),
        "sum_open_interest_value": place.decimal("sumOpenInterestValue"),
    }


def _ratio(column: str) -> Callable[[Place], dict[str, str]]:
    return lambda place: {column: place.decimal("longShortRatio")}


def _taker_ratio(place: Place) -> dict[str, str]:
    return {"sum_taker_long_short_vol_ratio": place.decimal("buySellRatio")}


def _taker_volumes(place: Place) -> dict[str, str]:
    """COIN-M gives the two volumes; their ratio has eight places, as in the archive."""
    bought, sold = (Decimal(place.decimal(name)) for name in ("takerBuyVol", "takerSellVol"))
    if not sold:
        return {}
    ratio = _CONTEXT.divide(bought, sold).quantize(_EIGHT_PLACES, context=_CONTEXT)
    return {"sum_taker_long_short_vol_ratio": f"{ratio:f}"}


_READERS: Mapping[str, Callable[[Place], dict[str, str]]] = {
    "openInterestHist": _open_interest,
    "topLongShortAccountRatio": _ratio("count_toptrader_long_short_ratio"),
    "topLongShortPositionRatio": _ratio("sum_toptrader_long_short_ratio"),
    "globalLongShortAccountRatio": _ratio("count_long_short_ratio"),
    "takerlongshortRatio": _taker_ratio,
    "takerBuySellVol": _taker_volumes,
}
