"""Archives that hold the same rows: a monthly archive, and the daily archives of that month.

Days stay published beside their month (docs/archive.md#days-beside-months), and a few months are
published under two names, `2020-08` and the stray `2020-8` (docs/archive.md#stray-keys,
binance-public-data#469). A row that several of them have is in a table once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from attrs import evolve

from crypto_lakehouse.core.archive import Archive, Partition, Period

__all__ = ["above", "below", "overlapping", "rank"]


def rank(archive: Archive) -> int:
    """The rank of an archive; rows in several archives are taken from the lowest rank."""
    if archive.partition is Partition.DAILY:
        return 2
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
    yield evolve(archive, period=month)
    if month.first_day.month <= 9:
        yield evolve(archive, period=evolve(month, padded=False))
    if archive.partition is Partition.DAILY:
        yield archive
        return
    for day in _days(month.first_day, month.last_day):
        yield evolve(archive, period=Period.day(day))


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))
