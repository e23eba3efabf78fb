"""Covers a range of days with the periods that the publisher offers, by the calendar; pure.

A month is taken as published only once its publication lag has passed. The publisher promises
the first Monday, but months have come as late as the middle of the next
(docs/archive.md#publication-times), so a calendar cannot know earlier; until then the month is
covered by its days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import lru_cache

from attrs import frozen

from crypto_lakehouse.core.archive import Partition, Period
from crypto_lakehouse.core.plan import PlannedPeriod

__all__ = ["Life", "Window", "cover_days"]

_DAY = timedelta(days=1)


@frozen
class Life:
    """When one series exists in one partition.

    Attributes:
        first: First day that has data.
        last: Last day that has data, None while the feed is live.
        lag_days: For how many days after a period's end its absence is normal.
        removed: Whether the publisher has withdrawn all of it.
    """

    first: date
    last: date | None
    lag_days: int
    removed: bool = False

    def why_not_published(self, period: Period, today: date) -> str:
        """Return why the period cannot exist today; empty if it may."""
        if self.removed:
            return "the publisher has removed this feed"
        if period.last_day < self.first:
            return f"the series begins on {self.first}"
        if self.last is not None and period.first_day > self.last:
            return f"the series ended on {self.last}"
        if period.last_day >= today:
            return "the period has not ended"
        return ""

    def is_surely_published(self, period: Period, today: date) -> bool:
        """Whether the period exists and its publication lag has passed."""
        is_late = (today - period.last_day).days > self.lag_days
        return is_late and not self.why_not_published(period, today)


@frozen
class Window:
    """UTC days to cover, both inclusive, as seen on `today`."""

    start: date
    end: date
    today: date

    def holds(self, first: date, last: date) -> bool:
        """Whether all days from `first` to `last` are in the window."""
        return self.start <= first and last <= self.end

    def months(self) -> Iterator[Period]:
        """Every month that shares a day with the window."""
        # As numbers, because `date.max` has no next day.
        day, end = self.start.toordinal(), self.end.toordinal()
        while day <= end:
            month = Period.month(date.fromordinal(day))
            yield month
            day = month.last_day.toordinal() + 1

    def days(self, month: Period | None = None) -> Iterator[Period]:
        """Every day of the window, or of one month of it."""
        day = self.start if month is None else max(self.start, month.first_day)
        last = self.end if month is None else min(self.end, month.last_day)
        for ordinal in range(day.toordinal(), last.toordinal() + 1):
            yield Period.day(date.fromordinal(ordinal))


def cover_days(
    window: Window, lives: Mapping[Partition, Life], partitions: tuple[Partition, ...] | None
) -> tuple[PlannedPeriod, ...]:
    """Cover the window with periods, oldest first.

    Args:
        window: The days wanted.
        lives: When the series exists, for each partition that it has.
        partitions: What to take; None for each day once: months where they are closed, surely
            published and wanted whole, days for the rest. A series that has only months is
            covered by every month that shares a day with the window.

    Returns:
        The periods; equal arguments give the same tuple, which many series share.
    """
    chosen = tuple((partition, lives[partition]) for partition in Partition if partition in lives)
    return _cover(window, chosen, partitions)


@lru_cache(maxsize=1024)
def _cover(
    window: Window,
    chosen: tuple[tuple[Partition, Life], ...],
    partitions: tuple[Partition, ...] | None,
) -> tuple[PlannedPeriod, ...]:
    lives = dict(chosen)
    if partitions is None:
        periods = _each_day_once(window, lives)
    else:
        periods = _all_of(window, [partition for partition in partitions if partition in lives])
    return tuple(_dated(period, lives[period.partition], window.today) for period in periods)


def _dated(period: Period, life: Life, today: date) -> PlannedPeriod:
    return PlannedPeriod(period, life.why_not_published(period, today), life.lag_days)


def _all_of(window: Window, partitions: list[Partition]) -> Iterator[Period]:
    for partition in partitions:
        yield from window.days() if partition is Partition.DAILY else window.months()


def _each_day_once(window: Window, lives: Mapping[Partition, Life]) -> Iterator[Period]:
    daily, monthly = lives.get(Partition.DAILY), lives.get(Partition.MONTHLY)
    if daily is None or monthly is None:
        yield from _all_of(window, list(lives))
        return
    for month in window.months():
        if _month_serves(month, window, daily, monthly):
            yield month
        else:
            yield from window.days(month)


def _month_serves(month: Period, window: Window, daily: Life, monthly: Life) -> bool:
    """Whether one monthly archive is the right cover for its days in the window.

    | the month's days that have data | the monthly archive  | cover                        |
    |---------------------------------|----------------------|------------------------------|
    | none                            | any                  | month, if wanted whole       |
    | some not in the window          | any                  | days                         |
    | all in the window               | surely published     | month                        |
    | all in the window               | not or perhaps not   | days                         |
    """
    # Days know when a series began; where it had months only, the month does.
    began = daily.first if daily.first <= month.last_day else monthly.first
    first = max(month.first_day, began)
    ends = [life.last for life in (daily, monthly) if life.last is not None]
    last = min(month.last_day, max(ends)) if len(ends) == 2 else month.last_day
    if first > last or daily.removed:
        return window.holds(month.first_day, month.last_day)
    return window.holds(first, last) and monthly.is_surely_published(month, window.today)
