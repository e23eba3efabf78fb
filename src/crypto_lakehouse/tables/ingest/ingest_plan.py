"""What an ingestion has to do: which archives are new, which replace others, which are covered.

A month's archive and the archives of its days hold the same rows. One of them gives them, so that
no row is ever in a table twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, Partition, Series
from crypto_lakehouse.tables.ingest.overlaps import rank
from crypto_lakehouse.tables.ingest.provenance import Standing
from crypto_lakehouse.tables.reading.batch import Source

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
        covered: Archives of days whose month is in the table, or comes with this run, and of
            months that are there under their better name.
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
    present = _present(standings)
    best = {month: min(map(rank, archives)) for month, archives in present.items()}
    wanted, covered, unchanged = [], [], 0
    removals: dict[str, tuple[Archive, ...]] = {}
    held_back: list[tuple[Source, str]] = []
    for source in sorted(sources, key=lambda source: rank(source.archive)):
        archive = source.archive
        standing, month, own = standings.get(archive.key), _month(archive), rank(archive)
        if standing and not again and standing.state in _SETTLED and _same(standing, source):
            unchanged += 1
            continue
        if best.get(month, own) < own:
            covered.append(archive)
            continue
        replaced = [each for each in present.get(month, ()) if rank(each) > own]
        lost = _rows_lost(source, replaced, standings, count_rows)
        if lost:
            held_back.append((source, lost))
            continue
        if archive.partition is Partition.MONTHLY:
            best[month] = own
        wanted.append(source)
        removals[archive.key] = (*_itself(archive, standing), *replaced)
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


def _order(source: Source) -> tuple[str, str, date]:
    archive = source.archive
    return archive.symbol, archive.interval or "", archive.period.first_day


def _itself(archive: Archive, standing: Standing | None) -> tuple[Archive, ...]:
    return (archive,) if standing is not None and standing.state == "ingested" else ()


def _month(archive: Archive) -> _Month:
    day = archive.period.first_day
    return archive.series, day.year, day.month


def _present(standings: Mapping[str, Standing]) -> Mapping[_Month, list[Archive]]:
    present: dict[_Month, list[Archive]] = defaultdict(list)
    for key, standing in standings.items():
        if standing.state == "ingested":
            archive = Archive.parse(key)
            present[_month(archive)].append(archive)
    return present


def _rows_lost(
    source: Source,
    replaced: Sequence[Archive],
    standings: Mapping[str, Standing],
    count_rows: RowCounter,
) -> str:
    """Why a month's archive must not replace its days; empty where it may.

    Months have been published with a part of their days (docs/archive-faults.md#partial-months).
    """
    days = [archive for archive in replaced if archive.partition is Partition.DAILY]
    if not days:
        return ""
    there = sum(standings[archive.key].rows for archive in days)
    comes = count_rows(source)
    if comes >= there:
        return ""
    return (
        f"the month's archive has {comes} rows and the {len(days)} days of it in the table "
        f"have {there}: the days stay"
    )
