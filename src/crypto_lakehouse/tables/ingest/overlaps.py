"""Archives that hold the same rows: a month's, and those of its days.

Days stay published beside their month (docs/archive.md#days-beside-months), and a few months lie
there under two names, `2020-08` and the stray `2020-8` (docs/archive.md#stray-keys,
binance-public-data#469). One of them gives the rows: the month before its days, the padded name
before the stray one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from attrs import evolve

from crypto_lakehouse.core.archive import Archive, Partition, Period

__all__ = ["above", "below", "overlapping", "rank"]


def rank(archive: Archive) -> int:
    """Whose rows are taken where several archives have them: the lowest."""
    if archive.partition is Partition.DAILY:
        return 2
    return 0 if archive.period.padded else 1


def above(archive: Archive) -> Iterator[Archive]:
    """The archives that take its place wherever they are."""
    return (each for each in overlapping(archive) if rank(each) < rank(archive))


def below(archive: Archive) -> Iterator[Archive]:
    """The archives whose place it takes."""
    return (each for each in overlapping(archive) if rank(each) > rank(archive))


def overlapping(archive: Archive) -> Iterator[Archive]:
    """Every archive that may hold rows of this one, itself among them."""
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
