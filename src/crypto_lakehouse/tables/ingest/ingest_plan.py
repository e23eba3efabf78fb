"""Plan an ingestion: which archives are new, which replace others, which are covered by others.

A monthly archive and the daily archives of that month hold the same rows. The rows are taken from
one of the two, so no row is in a table twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

from attrs import define, field, frozen

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
    """What to do for one table.

    Attributes:
        ingest: Archives to read, sorted by series and period.
        removals: By key of an archive in `ingest`, the archives whose rows it replaces: its older
            version, and the days of its month.
        unchanged: How many archives are in the table already, in this version.
        covered: Daily archives whose month is in the table or in this plan, and monthly archives
            that are there under their padded name.
        held_back: Monthly archives with fewer rows than the days that they would replace, each
            with a sentence that says so.
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
    """Compare archives with the contents of their table.

    Args:
        sources: Archives of one table, in any order, each once.
        standings: How archives stand in the lake, by key.
        count_rows: Called for a monthly archive that would replace days in the table.
        again: Whether to ingest archives again that are in the table, or were refused.
    """
    planning = _Planning(standings, count_rows, again=again)
    for source in sorted(sources, key=lambda source: rank(source.archive)):
        planning.add(source)
    return IngestPlan(
        ingest=tuple(sorted(planning.wanted, key=_order)),
        removals=planning.removals,
        unchanged=planning.unchanged,
        covered=tuple(planning.covered),
        held_back=tuple(planning.held_back),
    )


@define
class _Planning:
    """Decides about one archive after another; those of the lowest rank must come first."""

    standings: Mapping[str, Standing]
    count_rows: RowCounter
    again: bool = field(kw_only=True)
    wanted: list[Source] = field(init=False, factory=list)
    removals: dict[str, tuple[Archive, ...]] = field(init=False, factory=dict)
    unchanged: int = field(init=False, default=0)
    covered: list[Archive] = field(init=False, factory=list)
    held_back: list[tuple[Source, str]] = field(init=False, factory=list)
    _present: Mapping[_Month, list[Archive]] = field(init=False)
    _best: dict[_Month, int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._present = _present(self.standings)
        self._best = {month: min(map(rank, each)) for month, each in self._present.items()}

    def add(self, source: Source) -> None:
        archive = source.archive
        standing, month, own = self.standings.get(archive.key), _month(archive), rank(archive)
        if standing and not self.again and standing.state in _SETTLED and _same(standing, source):
            self.unchanged += 1
            return
        if self._best.get(month, own) < own:
            self.covered.append(archive)
            return
        replaced = [each for each in self._present.get(month, ()) if rank(each) > own]
        lost = _rows_lost(source, replaced, self.standings, self.count_rows)
        if lost:
            self.held_back.append((source, lost))
            return
        if archive.partition is Partition.MONTHLY:
            self._best[month] = own
        self.wanted.append(source)
        self.removals[archive.key] = (*_itself(archive, standing), *replaced)


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
    """Why a monthly archive must not replace its days; empty if it may.

    Some months were published without some of their days (docs/archive-faults.md#partial-months).
    """
    days = [archive for archive in replaced if archive.partition is Partition.DAILY]
    if not days:
        return ""
    there = sum(standings[archive.key].rows for archive in days)
    comes = count_rows(source)
    if comes >= there:
        return ""
    return (
        f"the monthly archive has {comes} rows, fewer than the {there} of its {len(days)} days "
        "in the table: the days stay"
    )
