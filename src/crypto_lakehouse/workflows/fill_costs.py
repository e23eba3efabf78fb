"""What a fill would cost: days, requests, weight and time; nothing is requested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.rest import API_OF, days_per_page, fill_endpoints

__all__ = ["FillCost", "FillEstimate", "cost_of_day", "estimate"]

_DAY_S = 86_400

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": _DAY_S, "w": 7 * _DAY_S, "mo": 28 * _DAY_S}

#: Open interest and ratios come every five minutes.
_STATISTICS_ROWS = 288


@frozen(kw_only=True)
class FillCost:
    """What days of series cost.

    Attributes:
        weight: Of the exchange's budget for each minute.
        counted: Requests by the limit on requests that they count for, as (requests, seconds).
        is_least: Whether it is only the least, as how many trades a day has is not known.
    """

    days: int = 0
    requests: int = 0
    weight: int = 0
    counted: Mapping[tuple[int, int], int] = field(factory=dict)
    is_least: bool = False

    def __add__(self, other: FillCost) -> FillCost:
        keys = {**self.counted, **other.counted}
        return FillCost(
            days=self.days + other.days,
            requests=self.requests + other.requests,
            weight=self.weight + other.weight,
            counted={key: self.counted.get(key, 0) + other.counted.get(key, 0) for key in keys},
            is_least=self.is_least or other.is_least,
        )

    def times(self, days: int) -> FillCost:
        """Return the cost of so many equal days."""
        return evolve(
            self,
            days=self.days * days,
            requests=self.requests * days,
            weight=self.weight * days,
            counted={key: count * days for key, count in self.counted.items()},
        )

    def seconds(self, market: Market) -> float:
        """How long the limits of a market's host let it take, at least."""
        by_weight = 60 * self.weight / API_OF[market].weight_per_minute
        windows = [count / most * span for (most, span), count in self.counted.items()]
        return max([by_weight, *windows])


@frozen(kw_only=True)
class FillEstimate:
    """What a fill would ask for.

    Attributes:
        rows: The cost for each market and data type.
        notes: Remarks for the user, as that a copy of a lost ledger was read.
    """

    rows: Mapping[tuple[Market, DataType], FillCost]
    notes: tuple[str, ...] = ()

    def of_market(self, market: Market) -> FillCost:
        """Return the cost of a market."""
        return sum((cost for key, cost in self.rows.items() if key[0] is market), FillCost())

    @property
    def total(self) -> FillCost:
        """The sum."""
        return sum(self.rows.values(), FillCost())

    @property
    def seconds(self) -> float:
        """How long it takes at least: the hosts of the markets are asked at the same time."""
        markets = {market for market, _ in self.rows}
        return max((self.of_market(each).seconds(each) for each in markets), default=0.0)

    def to_mapping(self) -> dict[str, Any]:
        """Return the object that `fill --dry-run --json` prints."""
        return {
            "totals": {**_plain(self.total), "seconds": round(self.seconds)},
            "types": [
                {
                    "market": str(market),
                    "data_type": str(data_type),
                    **_plain(cost),
                    "seconds": round(cost.seconds(market)),
                }
                for (market, data_type), cost in self.rows.items()
            ],
        }


def _plain(cost: FillCost) -> dict[str, Any]:
    return {
        "days": cost.days,
        "requests": cost.requests,
        "weight": cost.weight,
        "at_least": cost.is_least,
    }


def estimate(days: Iterable[tuple[Series, int]], notes: Sequence[str] = ()) -> FillEstimate:
    """Estimate the cost of some days of each series.

    Args:
        days: Each series, and how many of its days are to be asked for.
        notes: Remarks for the user.
    """
    rows: dict[tuple[Market, DataType], FillCost] = {}
    for series, count in days:
        if count:
            key = (series.market, series.data_type)
            rows[key] = rows.get(key, FillCost()) + _cost_of_days(series, count)
    return FillEstimate(rows=rows, notes=tuple(notes))


def _cost_of_days(series: Series, count: int) -> FillCost:
    """Return the cost of some days of a series; it is the least if they share pages."""
    cost = cost_of_day(series)
    pages = -(-count // days_per_page(series))
    return evolve(cost.times(pages), days=count, is_least=cost.is_least or pages < count)


def cost_of_day(series: Series) -> FillCost:
    """Return the cost of one day of a series."""
    cost = FillCost(days=1, is_least=series.data_type is DataType.AGG_TRADES)
    for endpoint in fill_endpoints(series):
        rows = _rows_of(series)
        size = endpoint.page_size(rows) if series.data_type.has_interval else endpoint.most
        pages = endpoint.pages(rows, size)
        bucket = endpoint.bucket
        cost += FillCost(
            requests=pages,
            weight=pages * endpoint.weight(size),
            counted={} if bucket is None else {(bucket.requests, bucket.window_s): pages},
        )
    return cost


def _rows_of(series: Series) -> int:
    if series.interval is None:
        return _STATISTICS_ROWS if series.data_type is DataType.METRICS else 1
    number = series.interval.rstrip("smhdwo")
    return max(1, _DAY_S // (int(number) * _UNIT_S[series.interval.removeprefix(number)]))
