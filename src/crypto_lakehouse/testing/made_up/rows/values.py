"""What the rows of all data types are made of: days, seeds, prices, decimals."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import cycle, islice
from typing import TypeVar

from attrs import frozen

from crypto_lakehouse.core.archive import Series

__all__ = [
    "DAY_MS",
    "Day",
    "decimal",
    "from_ring",
    "moment_text",
    "price_level",
    "price_ring",
    "seeded",
]

T = TypeVar("T")

DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)


@frozen
class Day:
    """One UTC day of one series.

    Attributes:
        unit: The unit of its epoch times: `ms` or `us`.
    """

    series: Series
    date: date
    unit: str

    @property
    def number(self) -> int:
        """Days since 1970-01-01."""
        return (self.date - _EPOCH).days

    @property
    def start_ms(self) -> int:
        """The day's first millisecond since the epoch."""
        return self.number * DAY_MS

    @property
    def units_per_ms(self) -> int:
        """How many of the day's time units a millisecond has."""
        return 1000 if self.unit == "us" else 1


def seeded(*parts: object) -> random.Random:
    """Make a random generator that is seeded with `parts`."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8]))  # noqa: S311 - market data, no secrets


def price_level(series: Series) -> int:
    """The price of the symbol, in hundredths: the same in all its series within a few percent."""
    pair = series.symbol.partition("_")[0]
    return seeded("price", pair).randrange(2_000, 6_000_000)


def price_ring(series: Series, source: random.Random, size: int) -> list[int]:
    """Walk at random and come back to the start: `size` prices in hundredths, all above 9.00.

    The walk closes, so that it can be repeated without a jump.
    """
    start = price_level(series)
    steps = [source.gauss(0, 0.0005) for _ in range(size)]
    drift = sum(steps) / size
    prices: list[int] = []
    position = 0.0
    for step in steps:
        position += step - drift
        prices.append(max(900, round(start * (1 + position))))
    return prices


def from_ring(ring: Sequence[T], first: int, count: int) -> Iterator[T]:
    """Take `count` items from an endlessly repeated `ring`, from its `first` on."""
    offset = first % len(ring)
    return islice(cycle(ring), offset, offset + count)


def decimal(value: int, places: int, width: int | None = None) -> str:
    """Write `value / 10**places` exactly, with `width` digits after the point.

    Examples:
        >>> decimal(719524, 2, 8), decimal(-5, 4), decimal(7, 0)
        ('7195.24000000', '-0.0005', '7')
    """
    if places == 0:
        return str(value)
    sign = "-" if value < 0 else ""
    whole, part = divmod(abs(value), 10**places)
    padding = "0" * ((width or places) - places)
    return f"{sign}{whole}.{part:0{places}d}{padding}"


def moment_text(day: Day, second: int) -> str:
    """Write a moment of the day as `YYYY-MM-DD HH:MM:SS`, UTC (docs/archive-rows.md#text-times)."""
    moment = datetime.combine(day.date, datetime.min.time(), UTC) + timedelta(seconds=second)
    return f"{moment:%Y-%m-%d %H:%M:%S}"
