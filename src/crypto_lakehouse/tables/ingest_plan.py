"""What an ingestion has to do: which archives are new, which replace others, which are covered.

A month's archive and the archives of its days hold the same rows. The month's wins where there
is one, so that no row is ever in a table twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, Partition, Series
from crypto_lakehouse.tables.batch import Source
from crypto_lakehouse.tables.provenance import Standing

__all__ = ["IngestPlan", "RowCounter", "plan_ingestion"]

#: How many rows an archive has, read from its zip.
RowCounter = Callable[[Source], int]

_Month = tuple[Series, int, int]


@frozen(kw_only=True)
class IngestPlan:
    """What is to be done for one table.

    Attributes:
        ingest: Archives to read, sorted by series and period.
        removals: Archives whose rows go once those of `ingest` come: the same ones in an older
            version, and days of months.
        unchanged: How many archives are in the table already, in this version.
        covered: Archives of days whose month is in the table, or comes with this run.
        held_back: Archives of months that have fewer rows than the days they would replace,
            each with a sentence.
    """

    ingest: tuple[Source, ...]
    removals: Mapping[str, tuple[Archive, ...]]
    unchanged: int
    covered: tuple[Archive, ...]
    held_back: tuple[tuple[Source, str], ...]


def plan_ingestion(
    sources: Iterable[Source],
    standings: Mapping[str, Standing],
    count_rows: RowCounter,
    *,
    again: bool = False,
) -> IngestPlan:
    """Compare archives with what is in their table.

    Args:
        sources: Archives of one table, in any order, each once.
        standings: How archives stand in the lake, by key.
        count_rows: Called for a month's archive that would replace days in the table.
        again: Whether to read archives once more that are in the table, or were refused.
    """
    present = _days_present(standings)
    wanted, unchanged = [], 0
    months: set[_Month] = {
        month
        for key, standing in standings.items()
        if standing.state == "ingested" and (month := _month_of_monthly(Archive.parse(key)))
    }
    removals: dict[str, tuple[Archive, ...]] = {}
    held_back: list[tuple[Source, str]] = []
    days: list[Source] = []
    for source in sources:
        archive = source.archive
        standing = standings.get(archive.key)
        if standing and not again and standing.state in _SETTLED and _same(standing, source):
            unchanged += 1
        elif archive.partition is Partition.DAILY:
            days.append(source)
        else:
            replaced = present.get(_month(archive), ())
            lost = _rows_lost(source, replaced, standings, count_rows)
            if lost:
                held_back.append((source, lost))
                continue
            months.add(_month(archive))
            wanted.append(source)
            removals[archive.key] = (*_itself(archive, standing), *replaced)
    covered = []
    for source in days:
        if _month(source.archive) in months:
            covered.append(source.archive)
            continue
        wanted.append(source)
        removals[source.archive.key] = _itself(source.archive, standings.get(source.archive.key))
    wanted.sort(key=_order)
    return IngestPlan(
        ingest=tuple(wanted),
        removals=removals,
        unchanged=unchanged,
        covered=tuple(covered),
        held_back=tuple(held_back),
    )


_SETTLED = frozenset({"ingested", "refused", "quarantined"})


def _same(standing: Standing, source: Source) -> bool:
    return standing.sha256 == source.sha256


def _order(source: Source) -> tuple[str, str, date, bool]:
    archive = source.archive
    # A stray key without padding names the same month as the padded one: the padded one first.
    return (archive.symbol, archive.interval or "", archive.period.first_day,
            not archive.period.padded)  # fmt: skip


def _itself(archive: Archive, standing: Standing | None) -> tuple[Archive, ...]:
    return (archive,) if standing is not None and standing.state == "ingested" else ()


def _month(archive: Archive) -> _Month:
    day = archive.period.first_day
    return archive.series, day.year, day.month


def _month_of_monthly(archive: Archive) -> _Month | None:
    return _month(archive) if archive.partition is Partition.MONTHLY else None


def _days_present(standings: Mapping[str, Standing]) -> Mapping[_Month, tuple[Archive, ...]]:
    present: dict[_Month, tuple[Archive, ...]] = defaultdict(tuple)
    for key, standing in standings.items():
        archive = Archive.parse(key)
        if standing.state == "ingested" and archive.partition is Partition.DAILY:
            present[_month(archive)] += (archive,)
    return present


def _rows_lost(
    source: Source,
    replaced: tuple[Archive, ...],
    standings: Mapping[str, Standing],
    count_rows: RowCounter,
) -> str:
    """Why a month's archive must not replace its days; empty where it may.

    Months have been published with a part of their days (archive-facts 4.3, #320, #359).
    """
    if not replaced:
        return ""
    there = sum(standings[archive.key].rows for archive in replaced)
    comes = count_rows(source)
    if comes >= there:
        return ""
    return (
        f"the month's archive has {comes} rows and the {len(replaced)} days of it in the table "
        f"have {there}: the days stay"
    )
