"""When a series exists, according to the matrix, its name and the source's listing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, timedelta

from attrs import frozen

from crypto_lakehouse.core.archive import Partition, Period
from crypto_lakehouse.coverage.records import SeriesRecord
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.planning.calendar_plan import series_lives
from crypto_lakehouse.planning.listed_folders import is_silent
from crypto_lakehouse.planning.periods import Life

__all__ = ["SeriesLife", "life_of"]

#: How late archives of a feed may be that the matrix does not have
#: (docs/archive.md#publication-times).
_USUAL_LAG_DAYS = {Partition.DAILY: 3, Partition.MONTHLY: 35}

_DAY = timedelta(days=1)


@frozen(kw_only=True)
class SeriesLife:
    """The days on which a series has data, as known on one day.

    Attributes:
        first: First day that has data, None if it is not known.
        last: Last day that has data, None while the series is live.
        why_first, why_last: Where that is known from, a sentence each.
        retired_after: The last day of the whole feed, None while the feed is live; `date.min` if
            the publisher has removed all of it.
        sure_until: The last day whose archive should have been published by now.
        lag_days: For how many days after a period's end its absence is normal.
        partitions: The partitions that were considered.
    """

    first: date | None
    last: date | None
    why_first: str = ""
    why_last: str = ""
    retired_after: date | None
    sure_until: date
    lag_days: int
    partitions: frozenset[Partition]


def life_of(
    record: SeriesRecord,
    row: MatrixRow | None,
    today: date,
    partitions: Collection[Partition] = tuple(Partition),
) -> SeriesLife:
    """Determine when a series exists.

    The source's listing takes precedence over the matrix, whose days are lower bounds for all
    symbols. A series with no recent archive when it was listed has ended. If daily and monthly
    archives begin or end in the same month, the daily ones are more exact.

    Args:
        record: The ledger's record, with what was listed.
        row: The matrix row, None if there is none.
        today: The UTC day.
        partitions: The partitions to consider.
    """
    series = record.series
    lives = series_lives(row, series.symbol, series.interval) if row else {}
    lives = {partition: life for partition, life in lives.items() if partition in partitions}
    first, why_first = _first(record, lives, partitions)
    last, why_last = _last(record, lives, partitions)
    sure_until, lag_days = _sure_until(lives, today)
    return SeriesLife(
        first=first,
        last=last,
        why_first=why_first,
        why_last=why_last,
        retired_after=_retired_after(row, lives, last),
        sure_until=sure_until,
        lag_days=lag_days,
        partitions=frozenset(lives or partitions),
    )


def _first(
    record: SeriesRecord, lives: Mapping[Partition, Life], partitions: Collection[Partition]
) -> tuple[date | None, str]:
    listed = {
        partition: folder.first_listed.first_day
        for partition, folder in record.folders.items()
        if folder.first_listed is not None and partition in partitions
    }
    if listed:
        first = _better(listed, min(listed.values()))
        return first, f"the source lists this series from {first} on"
    if lives:
        firsts = {partition: life.first for partition, life in lives.items()}
        first = _better(firsts, min(firsts.values()))
        return first, f"the series begins on {first}"
    return None, ""


def _last(
    record: SeriesRecord, lives: Mapping[Partition, Life], partitions: Collection[Partition]
) -> tuple[date | None, str]:
    ends = {partition: life.last for partition, life in lives.items() if life.last is not None}
    by_matrix = _better(ends, max(ends.values())) if ends and len(ends) == len(lives) else None
    listed = {
        partition: folder.last_listed.last_day
        for partition, folder in record.folders.items()
        if folder.last_listed is not None and partition in partitions
    }
    if listed:
        last = _better(listed, max(listed.values()))
        looks = [record.folders[partition].listed_on or last for partition in listed]
        shortest = Partition.DAILY if Partition.DAILY in listed else Partition.MONTHLY
        if is_silent(last, shortest, min(looks)):
            return last, f"the source lists this series up to {last}"
        if by_matrix is not None and last > by_matrix:
            return None, ""
    return by_matrix, f"the series ended on {by_matrix}" if by_matrix else ""


def _better(days: Mapping[Partition, date], otherwise: date) -> date:
    """The day of the daily archives, if it is in the month of the monthly ones."""
    daily, monthly = days.get(Partition.DAILY), days.get(Partition.MONTHLY)
    if daily is None or monthly is None:
        return otherwise
    return daily if daily.replace(day=1) == monthly.replace(day=1) else otherwise


def _retired_after(
    row: MatrixRow | None, lives: Mapping[Partition, Life], last: date | None
) -> date | None:
    """The last day of an ended feed; None if the source lists later archives."""
    if row is None or row.state == "live":
        return None
    if row.state == "removed":
        return date.min
    ends = {
        partition: facts.available_to
        for partition, facts in row.partitions.items()
        if partition in lives and facts.available_to is not None
    }
    if not ends or last is None:
        return None
    return max(last, _better(ends, max(ends.values())))


def _sure_until(lives: Mapping[Partition, Life], today: date) -> tuple[date, int]:
    lags = {partition: life.lag_days for partition, life in lives.items()} or _USUAL_LAG_DAYS
    return max((_last_sure(partition, lag, today), lag) for partition, lag in lags.items())


def _last_sure(partition: Partition, lag_days: int, today: date) -> date:
    """The last day of the last period whose publication lag has passed."""
    day = today - timedelta(days=lag_days + 1)
    if partition is Partition.DAILY or Period.month(day).last_day == day:
        return day
    return day.replace(day=1) - _DAY
