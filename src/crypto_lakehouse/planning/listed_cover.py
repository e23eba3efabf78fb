"""Cover a window of days with what a source lists of one series; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta

from attrs import define, evolve, frozen

from crypto_lakehouse.core.archive import Partition, Period
from crypto_lakehouse.core.plan import PlannedPeriod
from crypto_lakehouse.planning.listed_folders import ListedFolder
from crypto_lakehouse.planning.periods import Life, Window

__all__ = ["ListedSeries", "cover_listed"]

#: A live feed has never been late by more (archive-facts 4.6); after as long a silence a series
#: is taken for ended.
SILENT_DAYS = 35

_LATE = "not listed yet; up to {} days after the period that is normal"


@frozen(kw_only=True)
class ListedSeries:
    """Everything that is known of one series before it is covered.

    Attributes:
        folders: What the source lists, for each partition that was asked.
        lives: When the matrix says that it exists, for the same partitions.
        known_hole: Says why a period is known to be missing at the source, empty where it is not.
    """

    folders: Mapping[Partition, ListedFolder]
    lives: Mapping[Partition, Life]
    known_hole: Callable[[Period], str]

    @property
    def is_listed(self) -> bool:
        """Whether the source has anything of it."""
        return any(folder.archives or folder.first for folder in self.folders.values())

    def span(self, today: date) -> Window | None:
        """From its first to its last listed day; None where nothing is listed."""
        listed = [period for folder in self.folders.values() for period in folder.archives]
        first = min((period.first_day for period in listed), default=None)
        last = max((period.last_day for period in listed), default=None)
        return Window(first, last, today) if first and last else None


def cover_listed(
    series: ListedSeries, window: Window, partitions: tuple[Partition, ...] | None
) -> tuple[PlannedPeriod, ...]:
    """Cover the window with periods, oldest first.

    Args:
        series: What is known of the series.
        window: The days wanted.
        partitions: What to take; None for each day once: a month where it is listed and wanted
            whole, days for the rest. A series that has only months is covered by every month
            that shares a day with the window.
    """
    cover = _Cover(series, window)
    if partitions is None:
        return tuple(cover.each_day_once())
    chosen = [partition for partition in partitions if partition in series.folders]
    return tuple(cover.all_of(chosen))


@define
class _Cover:
    series: ListedSeries
    window: Window

    def all_of(self, partitions: list[Partition]) -> Iterator[PlannedPeriod]:
        for partition in partitions:
            is_daily = partition is Partition.DAILY
            periods = self.window.days() if is_daily else self.window.months()
            yield from (self.planned(period) for period in periods)

    def each_day_once(self) -> Iterator[PlannedPeriod]:
        folders = self.series.folders
        daily, monthly = folders.get(Partition.DAILY), folders.get(Partition.MONTHLY)
        if daily is None or monthly is None:
            yield from self.all_of(list(folders))
            return
        if not daily.archives and daily.first is None:  # published in months only
            yield from self.all_of([Partition.MONTHLY])
            return
        for month in self.window.months():
            if month in monthly.archives and self._is_wanted_whole(month):
                yield self.planned(month)
            else:
                yield from (self.planned(day) for day in self.window.days(month))

    def _is_wanted_whole(self, month: Period) -> bool:
        """Whether all days of the month that have data are in the window."""
        begin, end = self._bounds()
        first = max(month.first_day, begin or month.first_day)
        last = min(month.last_day, end or month.last_day)
        return first > last or self.window.holds(first, last)

    def _bounds(self) -> tuple[date | None, date | None]:
        """The first and the last day that have data, where they are known."""
        folders = self.series.folders.values()
        firsts = [folder.first.first_day for folder in folders if folder.first]
        begin = min(firsts) if len(firsts) == len(self.series.folders) else None
        lasts = [folder.last.last_day for folder in folders if folder.last]
        end = max(lasts, default=None)
        return begin, end if end is not None and self._is_silent_since(end) else None

    def planned(self, period: Period) -> PlannedPeriod:
        """Say of one period whether it is there, cannot be there, or should be."""
        life = self.series.lives[period.partition]
        listed = self.series.folders[period.partition].archives.get(period)
        if listed is not None:
            return PlannedPeriod(period, "", life.lag_days, listed)
        why = self._why_not_published(period, life)
        return PlannedPeriod(period, why, life.lag_days, unlisted=not why)

    def _why_not_published(self, period: Period, life: Life) -> str:
        today = self.window.today
        by_matrix = evolve(life, first=min(life.first, self._first_listed() or life.first))
        return (
            by_matrix.why_not_published(period, today)
            or self._outside_listing(period)
            or self.series.known_hole(period)
            or (
                _LATE.format(life.lag_days)
                if today <= period.last_day + timedelta(days=life.lag_days)
                else ""
            )
        )

    def _first_listed(self) -> date | None:
        firsts = [folder.first.first_day for folder in self.series.folders.values() if folder.first]
        return min(firsts, default=None)

    def _outside_listing(self, period: Period) -> str:
        """Why a period that is not listed is not missed: the series had not begun, or ended."""
        folder = self.series.folders[period.partition]
        first = folder.first
        if first is not None and period.last_day < first.first_day:
            return f"the source lists this series from {first} on"
        if folder.ended_before and self._is_silent_since(self.window.start):
            return f"the source lists nothing of this series from {self.window.start} on"
        last = folder.last
        if (
            last is not None
            and period.first_day > last.last_day
            and self._is_silent_since(last.last_day)
        ):
            return f"the source lists this series up to {last}"
        return ""

    def _is_silent_since(self, day: date) -> bool:
        return self.window.today > day + timedelta(days=SILENT_DAYS)
