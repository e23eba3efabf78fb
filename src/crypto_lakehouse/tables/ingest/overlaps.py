"""Archives that hold the same rows: those of a month and its days, and segments of these days.

Days stay published beside their month (docs/archive.md#days-beside-months), and a few months are
published under two names, `2020-08` and the stray `2020-8` (docs/archive.md#stray-keys,
binance-public-data#469). A segment has rows of a day that came before its archive did, or in its
place. A row that several of them have is in a table once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from attrs import evolve

from crypto_lakehouse.core.archive import Archive, Origin, Partition, Period, Series
from crypto_lakehouse.tables.iceberg.key_ranges import KeyRanges

__all__ = ["DAY_RANK", "FILL_RANK", "above", "below", "keys_of_months", "overlapping", "rank"]

DAY_RANK, FILL_RANK = 2, 3


def rank(archive: Archive) -> int:
    """The rank of an archive; rows in several archives are taken from the lowest rank."""
    if archive.origin is not Origin.ARCHIVE:
        return FILL_RANK
    if archive.partition is Partition.DAILY:
        return DAY_RANK
    return 0 if archive.period.padded else 1


def above(archive: Archive) -> Iterator[Archive]:
    """The archives that are preferred to this one."""
    return (each for each in overlapping(archive) if rank(each) < rank(archive))


def below(archive: Archive) -> Iterator[Archive]:
    """The archives to which this one is preferred."""
    return (each for each in overlapping(archive) if rank(each) > rank(archive))


def overlapping(archive: Archive) -> Iterator[Archive]:
    """Every archive that may hold the same rows, including this one."""
    month = Period.month(archive.period.first_day)
    yield Archive(archive.series, month)
    if month.first_day.month <= 9:
        yield Archive(archive.series, evolve(month, padded=False))
    first, last = archive.period.first_day, archive.period.last_day
    for day in _days(first, last):
        yield Archive(archive.series, Period.day(day))
        yield Archive(archive.series, Period.day(day), Origin.FILL)


def keys_of_months(days: Iterable[tuple[Series, date]]) -> KeyRanges:
    """The keys of all archives, of any origin, of the months of some days of series."""
    months = {(series, day.year, day.month) for series, day in days}
    return KeyRanges.beginning(each for month in months for each in _prefixes(*month))


def _prefixes(series: Series, year: int, month: int) -> Iterator[str]:
    whole = series.folder(Partition.MONTHLY) + series.stem
    yield f"{whole}{year:04d}-{month:02d}."
    if month <= 9:
        yield f"{whole}{year:04d}-{month}."
    daily = series.folder(Partition.DAILY).removeprefix(Origin.ARCHIVE.folder) + series.stem
    for origin in Origin:
        yield f"{origin.folder}{daily}{year:04d}-{month:02d}-"


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))
