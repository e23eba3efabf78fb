"""Finds the archives of a lake that an ingestion must know: those that may have the same rows."""

from __future__ import annotations

from collections.abc import Iterable

from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive, Partition
from crypto_lakehouse.tables.ingest.excerpts import are_excerpts
from crypto_lakehouse.tables.ingest.overlaps import keys_of_days, keys_of_months, month_of
from crypto_lakehouse.tables.ingest.provenance import Standing, standings_between

__all__ = ["known_archives"]


def known_archives(
    archives: Table | None, table: str, wanted: Iterable[Archive]
) -> dict[str, Standing]:
    """Return how the archives of the months concerned stand, by key.

    Of a month of which only excerpts are wanted, and that has no monthly archive, only those of the
    days concerned are returned: what an excerpt costs does not depend on the rest of its month.

    Args:
        archives: The table `lakehouse.archives`; None if there is none yet.
        table: The table of the archives.
        wanted: The archives that are planned.
    """
    by_month: dict[tuple[object, ...], list[Archive]] = {}
    for each in wanted:
        by_month.setdefault(month_of(each), []).append(each)
    alone = [some for some in by_month.values() if are_excerpts(some)]
    others = [some[0] for some in by_month.values() if not are_excerpts(some)]
    days = keys_of_days(each for some in alone for each in some)
    known = standings_between(archives, days, table)
    monthly = {
        month_of(archive)
        for archive in map(Archive.parse, known)
        if archive.partition is Partition.MONTHLY
    }
    others += (some[0] for some in alone if month_of(some[0]) in monthly)
    months = keys_of_months((each.series, each.period.first_day) for each in others)
    return known | standings_between(archives, months, table)
