"""Divides the work of a plan by the Parquet files that it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from crypto_lakehouse.core.archive import Archive, Partition, Period
from crypto_lakehouse.tables.ingest.ingest_plan import Rebuild
from crypto_lakehouse.tables.ingest.overlaps import rank
from crypto_lakehouse.tables.ingest.provenance import Standing
from crypto_lakehouse.tables.reading.batch import Source

__all__ = ["alone", "archives_in", "by_day", "has_month", "is_merged", "works_of"]


def is_merged(rebuild: Rebuild) -> bool:
    """Whether its archives are of several kinds, whose rows are in one file."""
    return len({rank(each) for each in rebuild.archives}) > 1


def has_month(rebuild: Rebuild) -> bool:
    """Whether a month is among its archives."""
    return any(each.partition is Partition.MONTHLY for each in rebuild.archives)


def by_day(rebuild: Rebuild) -> Iterator[Source | Rebuild]:
    """The new versions of days and segments of a merge, without its months."""

    def at(day: date, some: Iterable[Source]) -> tuple[Source, ...]:
        return tuple(each for each in some if each.archive.period == Period.day(day))

    for day in sorted({each.archive.period.first_day for each in rebuild.changed}):
        changed, others = at(day, rebuild.changed), at(day, rebuild.others)
        stored = tuple(each for each in rebuild.stored if each.period == Period.day(day))
        if len(changed) == 1 and not others and not stored:
            yield alone(changed[0], rebuild.standings)
        elif changed:
            yield Rebuild(
                changed=changed, others=others, stored=stored, standings=rebuild.standings
            )


def works_of(work: Source | Rebuild) -> Iterator[Source | Rebuild]:
    """Divide work by file: new versions of several days concern a file each."""
    if isinstance(work, Source) or is_merged(work):
        yield work
        return
    for source in work.changed:
        yield alone(source, work.standings)


def archives_in(work: Source | Rebuild) -> Iterable[Archive]:
    """The archives of some work."""
    return [work.archive] if isinstance(work, Source) else work.archives


def alone(source: Source, standings: Mapping[str, Standing]) -> Source | Rebuild:
    """The work of one archive that is merged with nothing; a new version replaces the older one."""
    key = source.archive.key
    if key not in standings:
        return source
    return Rebuild(changed=(source,), standings={key: standings[key]})
