"""A grid of times: the multiples of a step, counted from the epoch, and weeks from Monday."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import polars as pl
from attrs import frozen

from crypto_lakehouse.core.errors import QueryError

__all__ = ["EPOCH", "MICROSECOND", "UTC_TIME", "Grid", "length_of"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MICROSECOND = timedelta(microseconds=1)

UTC_TIME = pl.Datetime("us", "UTC")

_LENGTH = re.compile(r"(\d{1,9})\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

#: Longer ones reach beyond the years that Python knows.
_LONGEST = timedelta(days=36_500)

#: A Monday, from which weeks are counted; a multiple of every other step, too.
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


def length_of(value: str | timedelta, what: str) -> timedelta:
    """A length of time, given as `15m`, `8h`, `1d` or a `timedelta`.

    Args:
        value: The length.
        what: The parameter, for the error.

    Raises:
        QueryError: It is not a length above 0, or is above a century.
    """
    found = value
    if isinstance(value, str):
        match = _LENGTH.fullmatch(value.strip())
        try:
            found = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else value
        except OverflowError:
            found = value
    if not isinstance(found, timedelta) or not timedelta() < found <= _LONGEST:
        reason = (
            f"`{what}` is `{value}`, and must be a length of time, at most {_LONGEST.days:,} days: "
            "90s, 15m, 8h, 1d or 1w"
        )
        raise QueryError("panel", reason)
    return found


@frozen
class Grid:
    """The times of a panel.

    Attributes:
        first: The first time.
        count: How many times there are, at least one.
        every: From one to the next.
    """

    first: datetime
    count: int
    every: timedelta

    @classmethod
    def within(cls, start: datetime, end: datetime, every: timedelta) -> Grid:
        """The multiples of a step that are not before `start`, and before `end`.

        Raises:
            QueryError: There is none.
        """
        origin = _MONDAY if every % timedelta(weeks=1) == timedelta() else EPOCH
        after = (origin - start) % every
        count = -((after - (end - start)) // every)
        if count <= 0:
            when = f"from {start.isoformat()} to {end.isoformat()}"
            raise QueryError("panel", f"no multiple of `every`, {every}, is {when}; choose a "
                             "shorter step or more time")  # fmt: skip
        return cls(start + after, count, every)

    @property
    def last(self) -> datetime:
        """The last time."""
        return self.first + (self.count - 1) * self.every

    @property
    def times(self) -> pl.Series:
        """The times, with microseconds in UTC."""
        return pl.datetime_range(
            self.first, self.last, self.every, time_unit="us", time_zone="UTC", eager=True
        ).alias("time")
