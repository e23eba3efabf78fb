"""Covers a window of days with the archives that a source lists of one series; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta

from attrs import define, evolve, frozen

from crypto_lakehouse.core.archive import Partition, Period
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.plan import PlannedPeriod
from crypto_lakehouse.planning.listed_folders import SILENT_DAYS, ListedFolder, is_silent
from crypto_lakehouse.planning.periods import Life, Window, cover_days

__all__ = ["SILENT_DAYS", "ListedSeries", "cover_listed"]

_LATE = "not listed yet; that is normal for up to {} after the period"


@frozen(kw_only=True)
class ListedSeries:
    """What is known of one series before it is covered.

    Attributes:
        folders: What the source lists, for each partition that was asked.
        lives: When the series exists by the matrix, for the same partitions.
        known_hole: Returns why a period is known to be missing at the source; empty if it is not.
    """

    folders: Mapping[Partition, ListedFolder]
    lives: Mapping[Partition, Life]
    known_hole: Callable[[Period], str]

    @property
    def is_listed(self) -> bool:
        """Whether the source has anything of it."""
        return any(folder.archives or folder.first for folder in self.folders.values())

    def span(self, today: date) -> Window | None:
        """From the first to the last listed day up to today; None if none is listed."""
        everything = (period for folder in self.folders.values() for period in folder.archives)
        listed = [period for period in everything if period.first_day <= today]
        first = min((period.first_day for period in listed), default=None)
        last = max((period.last_day for period in listed), default=None)
        return Window(first, last, today) if first and last else None

    def open_end(self, window: Window) -> date:
        """The last day of a window without an end: the newest listed day, or a later one if due.

        A series that has ended is covered up to its last day.
        """
        newest = {
            partition: max(folder.archives)
            for partition, folder in self.folders.items()
            if folder.archives
        }
        if not newest:
            return window.end
        # A month of which some days are listed ends with the last of them.
        last_period = max(
            newest.values(),
            key=lambda item: (item.first_day.replace(day=1), item.partition is Partition.DAILY),
        )
        last = min(window.end, last_period.last_day)
        shortest = Partition.DAILY if Partition.DAILY in newest else Partition.MONTHLY
        if is_silent(last, shortest, window.today):
            return last
        lag_days = min(self.lives[partition].lag_days for partition in newest)
        return max(last, window.start, window.today - timedelta(days=lag_days + 1))


def cover_listed(
    series: ListedSeries, window: Window, partitions: tuple[Partition, ...] | None
) -> tuple[PlannedPeriod, ...]:
    """Cover the window with periods, oldest first.

    Args:
        series: What is known of the series.
        window: The days wanted.
        partitions: What to take; None for each day once: a month where it is listed and wanted
            whole, days for the rest. Where a series has only months, it is covered by every
            month that shares a day with the window. One that is not listed at all is covered as
            the calendar does.
    """
    cover = _Cover(series, window, _lives(series))
    if partitions is None:
        return tuple(cover.each_day_once())
    chosen = [partition for partition in partitions if partition in series.folders]
    return tuple(cover.all_of(chosen))


def _lives(series: ListedSeries) -> Mapping[Partition, Life]:
    """The lives by the matrix, corrected by what is listed."""
    seen = [
        period.first_day
        for folder in series.folders.values()
        for period in (folder.first, min(folder.archives, default=None))
        if period is not None
    ]
    lives = {}
    for partition, folder in series.folders.items():
        life, last_listed = series.lives[partition], max(folder.archives, default=None)
        is_over = life.last is None or last_listed is None or last_listed.first_day <= life.last
        lives[partition] = evolve(
            life, first=min([life.first, *seen]), last=life.last if is_over else None
        )
    return lives


@define
class _Cover:
    series: ListedSeries
    window: Window
    lives: Mapping[Partition, Life]

    def all_of(self, partitions: list[Partition]) -> Iterator[PlannedPeriod]:
        for partition in partitions:
            is_daily = partition is Partition.DAILY
            periods = self.window.days() if is_daily else self.window.months()
            yield from (self.planned(period) for period in periods)

    def each_day_once(self) -> Iterator[PlannedPeriod]:
        folders = self.series.folders
        if len(folders) < len(Partition):
            yield from self.all_of(list(folders))
        elif not self.series.is_listed:
            calendar = cover_days(self.window, self.series.lives, None)
            yield from (self.planned(item.period) for item in calendar)
        else:
            for month in self.window.months():
                if self._month_serves(month):
                    yield self.planned(month)
                else:
                    yield from (self.planned(day) for day in self.window.days(month))

    def _month_serves(self, month: Period) -> bool:
        """Whether one monthly archive is the right cover for its days in the window.

        | the days of the month, at the source | the monthly archive  | cover |
        |--------------------------------------|----------------------|-------|
        | as dailies                           | listed, wanted whole | month |
        | as dailies                           | else                 | days  |
        | in monthlies only                    | any                  | month |
        | neither, before and after the series | any                  | days  |
        """
        daily, monthly = (self.series.folders[partition] for partition in Partition)
        if _is_empty(daily):
            return True
        if self._spans(daily, month) or self._may_come(daily, month):
            return month in monthly.archives and self._is_wanted_whole(month)
        return self._spans(monthly, month)

    def _spans(self, folder: ListedFolder, month: Period) -> bool:
        """Whether a month lies between the first and the last archive of a folder."""
        first, last = folder.first, folder.last
        if _is_empty(folder) or (first is not None and first.first_day > month.last_day):
            return False
        if folder.ended_before:  # perhaps in the very month in which the window begins
            return month.first_day < self.window.start
        return last is None or last.last_day >= month.first_day

    def _may_come(self, folder: ListedFolder, month: Period) -> bool:
        """Whether a month is after the last archive of a folder that has not ended."""
        last = folder.last
        return (
            last is not None and last.last_day < month.first_day and not self._is_silent_since(last)
        )

    def _is_wanted_whole(self, month: Period) -> bool:
        """Whether all days of the month that have data are in the window."""
        daily, monthly = (self.series.folders[partition].last for partition in Partition)
        last = month.last_day
        if daily is not None and monthly == month and self._is_silent_since(daily):
            last = min(last, daily.last_day)
        return self.window.holds(month.first_day, last)

    def planned(self, period: Period) -> PlannedPeriod:
        """Plan one period: it is listed, cannot exist, or should exist but is not listed."""
        lag_days = self.lives[period.partition].lag_days
        listed = self.series.folders[period.partition].archives.get(period)
        if listed is not None:
            return PlannedPeriod(period, "", lag_days, listed)
        why = self._why_not_published(period, lag_days)
        return PlannedPeriod(period, why, lag_days, unlisted=not why)

    def _why_not_published(self, period: Period, lag_days: int) -> str:
        today = self.window.today
        return (
            self.lives[period.partition].why_not_published(period, today)
            or self._outside_listing(period)
            or self.series.known_hole(period)
            or (
                _LATE.format(plural(lag_days, "day"))
                if today - timedelta(days=lag_days) <= period.last_day
                else ""
            )
        )

    def _outside_listing(self, period: Period) -> str:
        """Why a period need not be listed: the series had not begun, or had ended."""
        folder = self.series.folders[period.partition]
        first, last = folder.first, folder.last
        if first is not None and period.last_day < first.first_day:
            return f"the source lists this series from {first} on"
        if folder.ended_before:
            return f"the source lists nothing of this series from {self.window.start} on"
        if last is not None and period.first_day > last.last_day and self._is_silent_since(last):
            return f"the source lists this series up to {last}"
        return ""

    def _is_silent_since(self, last: Period) -> bool:
        return is_silent(last.last_day, last.partition, self.window.today)


def _is_empty(folder: ListedFolder) -> bool:
    """Whether a source has nothing in a folder."""
    return not folder.archives and folder.first is None
