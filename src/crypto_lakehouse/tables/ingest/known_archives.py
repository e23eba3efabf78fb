"""Finds the archives of a lake that an ingestion must know: those that may have the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive, Partition, Series
from crypto_lakehouse.tables.ingest.excerpts import are_excerpts, may_have_rows_of
from crypto_lakehouse.tables.ingest.overlaps import (
    days_near,
    has_fixed_day,
    keys_of_days,
    keys_of_months,
    unit_of,
)
from crypto_lakehouse.tables.ingest.provenance import Standing, standings_between
from crypto_lakehouse.tables.reading.batch import Source

__all__ = ["known_archives"]


def known_archives(
    archives: Table | None, table: str, wanted: Iterable[Source]
) -> dict[str, Standing]:
    """Return how the archives of the months concerned stand, by key.

    Of a month of which only excerpts are wanted, and that has no monthly archive, only those of the
    days concerned are returned: what an excerpt costs does not depend on the rest of its month.

    Args:
        archives: The table `lakehouse.archives`; None if there is none yet.
        table: The table of the archives.
        wanted: The archives that are planned.
    """
    by_unit: dict[tuple[object, ...], list[Source]] = {}
    for each in wanted:
        by_unit.setdefault(unit_of(each.archive), []).append(each)
    alone: list[list[Source]] = []
    others: list[list[Source]] = []
    for some in by_unit.values():
        (alone if are_excerpts(each.archive for each in some) else others).append(some)
    excerpts = [each for some in alone for each in some]
    days = {(each.series, day) for each in excerpts for day in days_near(each.archive)}
    known = standings_between(archives, keys_of_days(days), table)
    monthly = {
        unit_of(archive)
        for archive in map(Archive.parse, known)
        if archive.partition is Partition.MONTHLY
    }
    others += (some for some in alone if unit_of(some[0].archive) in monthly)
    firsts = [some[0].archive for some in others]
    months = keys_of_months((each.series, each.period.first_day) for each in firsts)
    known |= standings_between(archives, months, table)
    moving = [each for each in excerpts if not has_fixed_day(each.series)]
    return known | _of_other_days(archives, table, moving, days, known)


def _of_other_days(
    archives: Table | None,
    table: str,
    excerpts: list[Source],
    days: Iterable[tuple[Series, date]],
    known: Mapping[str, Standing],
) -> dict[str, Standing]:
    """How excerpts stand that have the rows of others, which have none of their own.

    A book may stay as it is for days: then its rows are those of its first snapshot.
    """
    read, found, reach = {*days}, {**known}, 1
    done: set[tuple[Series, date]] = set()
    while emptied := {*_emptied(excerpts, found)} - done:
        beside = {
            (series, day + timedelta(days=distance))
            for series, day in emptied
            for distance in range(-reach, reach + 1)
        }
        found |= standings_between(archives, keys_of_days(beside - read), table)
        read |= beside
        done |= emptied
        reach *= 2
    return found


def _emptied(
    excerpts: list[Source], known: Mapping[str, Standing]
) -> Iterator[tuple[Series, date]]:
    """The days of excerpts without rows that may have had rows of some others."""
    by_series: dict[Series, list[Source]] = {}
    for each in excerpts:
        by_series.setdefault(each.series, []).append(each)
    for key, standing in known.items():
        if standing.state == "superseded":
            archive = Archive.parse(key)
            if any(may_have_rows_of(each, standing) for each in by_series.get(archive.series, ())):
                yield archive.series, archive.period.first_day
