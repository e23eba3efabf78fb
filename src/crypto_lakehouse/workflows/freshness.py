"""Find markets and data types whose newest verified day is too old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market

__all__ = ["Newest", "StaleGroup", "stale_groups"]

#: The newest verified day of each group of series; None if none is verified.
Newest = Mapping[tuple[Market, DataType], date | None]


@frozen(kw_only=True)
class StaleGroup:
    """A market and data type whose newest verified day is too old.

    Attributes:
        market, data_type: None if there is no series at all.
        newest: That day; None if none is verified.
        age_s: How long ago it ended, in seconds; None without one.
        max_lag_s: How long ago it may have ended.
    """

    market: Market | None = None
    data_type: DataType | None = None
    newest: date | None = None
    age_s: float | None = None
    max_lag_s: float

    def __str__(self) -> str:
        place = "all series" if self.market is None else f"{self.market} {self.data_type}"
        allowed = f"it may be {self.max_lag_s / 3600:.1f} h"
        if self.age_s is None:
            return f"{place}: no day is verified; {allowed} since one ended"
        age = f"{self.age_s / 3600:.1f} h ago"
        return f"{place}: the newest verified day, {self.newest}, ended {age}; {allowed}"

    def to_mapping(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "market": self.market,
            "data_type": self.data_type,
            "newest": None if self.newest is None else str(self.newest),
            "age_seconds": self.age_s,
            "max_lag_seconds": self.max_lag_s,
        }


def stale_groups(newest: Newest, max_lag_s: float, now: datetime) -> Iterator[StaleGroup]:
    """Yield each group whose newest verified day ended too long ago; one for all if there is none.

    Args:
        newest: The newest verified days.
        max_lag_s: How long ago they may have ended, in seconds.
        now: The time, aware.
    """
    if not newest:
        yield StaleGroup(max_lag_s=max_lag_s)
    for (market, data_type), day in newest.items():
        age_s = None
        if day is not None:
            age_s = (now - datetime.combine(day + timedelta(days=1), time(), UTC)).total_seconds()
        if age_s is None or age_s > max_lag_s:
            yield StaleGroup(
                market=market, data_type=data_type, newest=day, age_s=age_s, max_lag_s=max_lag_s
            )
