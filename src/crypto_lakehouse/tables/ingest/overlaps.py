"""Archives that hold the same rows: a month and its days, and fills and recordings of these days.

Days stay published beside their month (docs/archive.md#days-beside-months), and a few months are
published under two names, `2020-08` and the stray `2020-8` (docs/archive.md#stray-keys,
binance-public-data#469). A segment of a fill, and the excerpts of recordings, have rows of a day
that came before its archive did, or in its place. A row that several of them have is in a table
once.

The day of a message without a time is that of its arrival, and its copies may arrive on both sides
of midnight. The recordings of such a series are one unit, and those near midnight are compared with
those of the day beside theirs.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta

from attrs import evolve

from crypto_lakehouse.core.archive import Archive, Origin, Partition, Period, Series
from crypto_lakehouse.core.live_keys import live_begin
from crypto_lakehouse.tables.iceberg.key_ranges import KeyRanges
from crypto_lakehouse.tables.schema.received import key_has_day
from crypto_lakehouse.tables.schema.schemas import schema_for

__all__ = [
    "DAY_RANK",
    "FILL_RANK",
    "LIVE_RANK",
    "above",
    "days_near",
    "has_fixed_day",
    "is_below",
    "keys_of_days",
    "keys_of_excerpts",
    "keys_of_months",
    "overlapping",
    "rank",
    "unit_of",
]

DAY_RANK, FILL_RANK, LIVE_RANK = 2, 3, 4

#: How near to midnight a segment begins that may have rows of the day beside it. It lasts an hour
#: at most, and two machines receive a message within less than another one.
_NEAR_MIDNIGHT = timedelta(hours=2)

_DAY = timedelta(days=1)

Unit = tuple[Series, int, int]
"""What is merged together: a series, a year and a month; year and month are 0 for all of them."""


def rank(archive: Archive) -> int:
    """The rank of an archive; rows in several archives are taken from the lowest rank."""
    if archive.origin is not Origin.ARCHIVE:
        return FILL_RANK if archive.origin is Origin.FILL else LIVE_RANK
    if archive.partition is Partition.DAILY:
        return DAY_RANK
    return 0 if archive.period.padded else 1


def above(archive: Archive) -> Iterator[Archive]:
    """The archives that are preferred to this one."""
    return (each for each in overlapping(archive) if rank(each) < rank(archive))


def is_below(other: Archive, archive: Archive) -> bool:
    """Whether an archive is preferred to another one that may have the same rows."""
    mine, theirs = archive.period, other.period
    meets = mine.first_day <= theirs.last_day and theirs.first_day <= mine.last_day
    return other.series == archive.series and meets and rank(other) > rank(archive)


def overlapping(archive: Archive) -> Iterator[Archive]:
    """Every archive and fill that may hold the same rows, including this one.

    Excerpts are not among them: how many there are of a day is not known. A series that is only
    recorded has nothing else.
    """
    if not archive.series.is_published:
        return
    month = Period.month(archive.period.first_day)
    yield Archive(archive.series, month)
    if month.first_day.month <= 9:
        yield Archive(archive.series, evolve(month, padded=False))
    for day in _days_of(archive):
        yield Archive(archive.series, Period.day(day))
        yield Archive(archive.series, Period.day(day), Origin.FILL)


def keys_of_months(days: Iterable[tuple[Series, date]]) -> KeyRanges:
    """The keys of all archives, of any origin, of the months of some days of series."""
    months = {(series, day.year, day.month) for series, day in days}
    return KeyRanges.beginning(each for month in months for each in _prefixes(*month))


def has_fixed_day(series: Series) -> bool:
    """Whether all receptions of a row of a series have one day; only recordings lack that."""
    return key_has_day(schema_for(series.market, series.data_type))


def unit_of(archive: Archive) -> Unit:
    """The archives that one may have to be merged with: those of its month, or of its series."""
    day = archive.period.first_day
    if not has_fixed_day(archive.series):
        return archive.series, 0, 0
    return archive.series, day.year, day.month


def days_near(archive: Archive) -> Iterator[date]:
    """The days of an archive, and those beside an excerpt near midnight whose rows may be there."""
    day = archive.period.first_day
    yield from _days_of(archive)
    if not has_fixed_day(archive.series):
        after = live_begin(archive.segment_key) - datetime.combine(day, time.min, UTC)
        if after < _NEAR_MIDNIGHT:
            yield day - _DAY
        if after >= _DAY - _NEAR_MIDNIGHT:
            yield day + _DAY


def keys_of_days(days: Iterable[tuple[Series, date]]) -> KeyRanges:
    """The keys of all archives, of any origin, of some days, and of their months."""
    days = {*days}
    return KeyRanges.beginning(
        [
            *(each for series, day in days for each in _months(series, day.year, day.month)),
            *(f"{each}{day}." for series, day in days for each in _daily(series)),
        ]
    )


def keys_of_excerpts(archives: Iterable[Archive], known: Container[str]) -> KeyRanges:
    """The keys of all excerpts that may have the same rows as some archives.

    Args:
        archives: The archives.
        known: The keys of those among them with which excerpts of other days were compared before.
    """
    return KeyRanges.beginning(
        f"{begin}{day}."
        for each in archives
        for begin in _daily(each.series)
        if Origin.of(begin) is Origin.LIVE
        for day in (_days_of(each) if each.key in known else days_near(each))
    )


def _prefixes(series: Series, year: int, month: int) -> Iterator[str]:
    yield from _months(series, year, month)
    yield from (f"{each}{year:04d}-{month:02d}-" for each in _daily(series))


def _months(series: Series, year: int, month: int) -> Iterator[str]:
    whole = series.folder(Partition.MONTHLY) + series.stem
    yield f"{whole}{year:04d}-{month:02d}."
    if month <= 9:
        yield f"{whole}{year:04d}-{month}."


def _daily(series: Series) -> Iterator[str]:
    """The beginnings of the keys of daily archives, of each origin."""
    folder = series.folder(Partition.DAILY).removeprefix(Origin.ARCHIVE.folder)
    yield from (f"{origin.folder}{folder}{series.stem}" for origin in Origin)


def _days_of(archive: Archive) -> Iterator[date]:
    first, last = archive.period.first_day, archive.period.last_day
    return (first + timedelta(days=number) for number in range((last - first).days + 1))
