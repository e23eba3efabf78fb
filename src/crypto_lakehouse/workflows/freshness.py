"""Find markets and data types whose newest verified day is too old: none may be silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.config.freshness_settings import named_groups, objective_of

__all__ = ["Allowed", "Newest", "StaleGroup", "stale_groups"]

#: The newest verified day of each group of series; None if none is verified.
Newest = Mapping[tuple[Market, DataType], date | None]


@frozen(kw_only=True)
class Allowed:
    """How long ago the newest verified days may have ended.

    Attributes:
        objectives: Seconds for groups of series, as the key `freshness` has them.
        max_lag_s: Seconds for each group; None for any time.
        selects: Whether a group is asked about.
    """

    objectives: Mapping[str, float]
    max_lag_s: float | None = None
    selects: Callable[[Market, DataType], bool] = lambda _market, _data_type: True

    def seconds(self, market: Market, data_type: DataType) -> float | None:
        """The stricter of what there is for a group; None if it may be of any age."""
        found = (self.max_lag_s, objective_of(self.objectives, market, data_type))
        return min((each for each in found if each is not None), default=None)

    def named(self) -> list[tuple[Market, DataType]]:
        """The groups that must have a verified day, as an objective names them."""
        return [group for group in named_groups(self.objectives) if self.selects(*group)]


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
        allowed = f"at most {_age(self.max_lag_s)} are allowed"
        if self.age_s is None:
            return f"{place}: no day is verified; {allowed} since one ended"
        age = f"{_age(self.age_s)} ago"
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


def _age(seconds: float) -> str:
    """Hours up to three days, and days above."""
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours <= 72 else f"{hours / 24:.1f} d"


def stale_groups(newest: Newest, allowed: Allowed, now: datetime) -> Iterator[StaleGroup]:
    """Yield each group whose newest verified day ended too long ago; one for all if there is none.

    Args:
        newest: The newest verified days.
        allowed: How long ago they may have ended.
        now: The time, aware.
    """
    days = {**dict.fromkeys(allowed.named()), **newest}
    if not days and allowed.max_lag_s is not None:
        yield StaleGroup(max_lag_s=allowed.max_lag_s)
    for (market, data_type), day in days.items():
        age_s = None
        if day is not None:
            age_s = (now - datetime.combine(day + timedelta(days=1), time(), UTC)).total_seconds()
        limit_s = allowed.seconds(market, data_type)
        if limit_s is not None and (age_s is None or age_s > limit_s):
            yield StaleGroup(
                market=market, data_type=data_type, newest=day, age_s=age_s, max_lag_s=limit_s
            )
