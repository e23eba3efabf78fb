"""Plan an ingestion: which archives are new, and which must be merged with others.

A monthly archive and the daily archives of that month hold the same rows, or should. If there are
both, they are merged (`merging`), and merged again whenever one of them changes. So are an archive
and the fill and the recordings of its day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date

from attrs import frozen
from pyiceberg.manifest import DataFile

from crypto_lakehouse.core.archive import Archive, Series
from crypto_lakehouse.core.file_identity import StoredFiles
from crypto_lakehouse.tables.ingest.excerpts import are_excerpts, overlaps_of, read_again
from crypto_lakehouse.tables.ingest.overlaps import (
    DAY_RANK,
    LIVE_RANK,
    Unit,
    has_fixed_day,
    rank,
    unit_of,
)
from crypto_lakehouse.tables.ingest.provenance import NOT_TAKEN, PRESENT, Standing
from crypto_lakehouse.tables.reading.batch import Source

__all__ = ["IngestPlan", "Rebuild", "ZipFinder", "is_settled", "plan_ingestion"]

#: Finds the zip of an archive in the version that the lake has; None if it is not there any more.
#: The last argument is another archive of the same tree.
ZipFinder = Callable[[Archive, Standing, StoredFiles], Source | None]


@frozen(kw_only=True, eq=False)
class Rebuild:
    """Archives of one series whose rows are read, merged and written again.

    Attributes:
        changed: Archives in a version that the lake does not have.
        others: Archives in the version that the lake has, whose zips are there.
        stored: Archives whose rows are taken from the table: their zips are not there any more, or
            they are excerpts that no archive is merged with.
        standings: How these archives stand in the lake, by key; new ones are left out.
    """

    changed: tuple[Source, ...]
    others: tuple[Source, ...] = ()
    stored: tuple[Archive, ...] = ()
    standings: Mapping[str, Standing]

    @property
    def series(self) -> Series:
        """The series of the archives."""
        return self.changed[0].archive.series

    @property
    def first_day(self) -> date:
        """The first day that is read."""
        return self.changed[0].archive.period.first_day

    @property
    def size_bytes(self) -> int:
        """Bytes of the zips to read."""
        return sum(source.size_bytes for source in (*self.changed, *self.others))

    @property
    def archives(self) -> tuple[Archive, ...]:
        """All of the archives."""
        return (*(source.archive for source in (*self.changed, *self.others)), *self.stored)

    @property
    def replaced(self) -> tuple[Archive, ...]:
        """The archives with rows in the table, all of which are written again."""
        return tuple(
            archive
            for archive in self.archives
            if archive.key in self.standings and self.standings[archive.key].state == "ingested"
        )


@frozen(kw_only=True)
class IngestPlan:
    """What to do for one table.

    Attributes:
        ingest: Archives to read and archives to merge, sorted by series and period.
        again: Archives of `ingest` that are in the table already, in the same version.
        kept: Keys of archives whose older version stays if the new one is refused.
        refused: Keys of archives that an earlier run did not take, in this version. They are not
            read again.
        unchanged: How many archives are in the lake already, in this version.
        covered: How many more are, none of whose rows is in the table under its own name: their
            month has the same rows.
        damaged: Data files that leave the table, in one commit with all of `ingest`: rows of these
            archives were in them.
        sequence: The sequence number of `lakehouse.archives` when the plan was made.
        known: Keys of the archives of the months concerned that the lake had then.
    """

    ingest: tuple[Source | Rebuild, ...]
    again: frozenset[str]
    kept: frozenset[str]
    refused: frozenset[str]
    unchanged: int
    covered: int
    damaged: tuple[DataFile, ...] = ()
    sequence: int = 0
    known: frozenset[str] = frozenset()

    @property
    def has_merges(self) -> bool:
        """Whether rows of the table are written again."""
        return bool(self.again) or any(isinstance(each, Rebuild) for each in self.ingest)

    @property
    def archives(self) -> Iterator[Archive]:
        """All archives of `ingest`."""
        for work in self.ingest:
            yield from (work.archive,) if isinstance(work, Source) else work.archives


def plan_ingestion(
    sources: Iterable[Source],
    standings: Mapping[str, Standing],
    find_zip: ZipFinder,
    *,
    again: bool = False,
) -> IngestPlan:
    """Compare archives with the contents of their table.

    Args:
        sources: Archives of one table, in any order, each once.
        standings: How archives stand in the lake, by key.
        find_zip: Called for archives that must be merged with changed ones, and are not among the
            sources.
        again: Whether to ingest archives again that are in the table, or were refused.
    """
    by_unit: dict[Unit, list[Source]] = defaultdict(list)
    unchanged = covered = 0
    for source in sources:
        by_unit[unit_of(source.archive)].append(source)
    known: Mapping[Unit, Mapping[str, Standing]] | None = None
    ingest: list[Source | Rebuild] = []
    repeated: set[str] = set()
    kept: set[str] = set()
    refused: set[str] = set()
    for unit, here in by_unit.items():
        changed = [each for each in here if again or not is_settled(each, standings)]
        settled = {each.archive.key for each in here} - {each.archive.key for each in changed}
        same = sum(standings[key].state == "superseded" for key in settled)
        covered += same
        outside = {key for key in settled if standings[key].state in NOT_TAKEN}
        refused |= outside
        unchanged += len(settled) - same - len(outside)
        if changed:
            changed.sort(key=_order)
            known = _known(standings) if known is None else known
            there = known.get(unit, {})
            plain: list[Source] = []
            for some, standing in _apart(changed, there):
                alone, rebuilds = _for_unit(some, here, standing, find_zip)
                plain += alone
                ingest += [*alone, *rebuilds]
            keys = {each.archive.key for each in changed} & there.keys()
            kept |= keys
            repeated |= keys & {each.archive.key for each in plain}
    return IngestPlan(
        ingest=tuple(sorted(ingest, key=_place)),
        again=frozenset(repeated),
        kept=frozenset(kept),
        refused=frozenset(refused),
        unchanged=unchanged,
        covered=covered,
        known=frozenset(standings),
    )


def _apart(
    changed: list[Source], known: Mapping[str, Standing]
) -> Iterator[tuple[list[Source], Mapping[str, Standing]]]:
    """Divide a month's archives: without a month, a fill or excerpt concerns its day alone."""
    others = [Archive.parse(key) for key in known]
    archives = [*(each.archive for each in changed), *others]
    if not has_fixed_day(changed[0].series):
        yield changed, known
        return
    found = {rank(each) for each in archives}
    if min(found) < DAY_RANK or (len(found) == 1 and found != {LIVE_RANK}):
        yield changed, known
        return
    ranks: dict[date, set[int]] = defaultdict(set)
    for each in archives:
        ranks[each.period.first_day].add(rank(each))

    def group_of(archive: Archive) -> date | int:
        """The day if it has several ranks, or recordings alone; else the rank."""
        day = archive.period.first_day
        is_alone = len(ranks[day]) == 1 and ranks[day] != {LIVE_RANK}
        return rank(archive) if is_alone else day

    groups: dict[date | int, list[Source]] = defaultdict(list)
    for source in changed:
        groups[group_of(source.archive)].append(source)
    for name, some in groups.items():
        yield some, {each.key: known[each.key] for each in others if group_of(each) == name}


def _for_unit(
    changed: list[Source],
    here: list[Source],
    known: Mapping[str, Standing],
    find_zip: ZipFinder,
) -> tuple[list[Source], list[Rebuild]]:
    """The archives of one unit, or of a day of it, to read alone, and those to merge."""
    keys = {each.archive.key for each in changed}
    others = {key: Archive.parse(key) for key in known if key not in keys}
    all_of_them = (*others.values(), *(each.archive for each in changed))
    # Rows that a new version of an excerpt lacks may be in others, which have none in the table.
    if are_excerpts(all_of_them) and not any(_is_newer(each, known) for each in changed):
        return _of_day(changed, known)
    if len({rank(each) for each in all_of_them}) == 1 and not are_excerpts(all_of_them):
        newer = [each for each in changed if _is_newer(each, known)]
        plain = [each for each in changed if each not in newer]
        mine = {each.archive.key: known[each.archive.key] for each in newer}
        return plain, [Rebuild(changed=tuple(newer), standings=mine)] if newer else []
    again = frozenset(others)
    if not has_fixed_day(changed[0].series):
        again, beyond = read_again(changed, known)
        others = {key: each for key, each in others.items() if key in again | beyond}
    at_hand = {each.archive.key: each for each in here}
    found: list[Source] = []
    stored: list[Archive] = []
    for key, archive in others.items():
        source = None
        if key in again:
            source = at_hand.get(key) or find_zip(archive, known[key], changed[0].files)
        if source is not None:
            found.append(source)
        else:
            stored.append(archive)
    found.sort(key=_order)
    stored.sort(key=lambda archive: (rank(archive), archive.period.first_day))
    return [], [
        Rebuild(changed=tuple(changed), others=tuple(found), stored=tuple(stored), standings=known)
    ]


def _of_day(
    changed: list[Source], known: Mapping[str, Standing]
) -> tuple[list[Source], list[Rebuild]]:
    """The excerpts of a day without archives to read alone, and those to merge."""
    plain: list[Source] = []
    rebuilds: list[Rebuild] = []
    for overlap in overlaps_of(changed, known):
        some = overlap.changed
        others = overlap.known.keys() - {each.archive.key for each in some}
        if len(some) == 1 and not others:
            plain += some
            continue
        stored = tuple(Archive.parse(key) for key in sorted(others))
        rebuilds.append(Rebuild(changed=tuple(some), stored=stored, standings=overlap.known))
    return plain, rebuilds


#: `superseded` rows of version 0.1.0 have no digest: the archive was never compared.
_SETTLED = PRESENT | NOT_TAKEN


def is_settled(source: Source, standings: Mapping[str, Standing]) -> bool:
    """Whether an archive needs no work: it was read in this version, whatever it came to."""
    standing = standings.get(source.archive.key)
    if standing is None or standing.state not in _SETTLED or not standing.sha256:
        return False
    return standing.sha256 == source.sha256


def _is_newer(source: Source, known: Mapping[str, Standing]) -> bool:
    standing = known.get(source.archive.key)
    return standing is not None and standing.sha256 != source.sha256


def _known(standings: Mapping[str, Standing]) -> Mapping[Unit, dict[str, Standing]]:
    """The archives whose rows the lake has, under their own names or another's, by unit."""
    known: dict[Unit, dict[str, Standing]] = defaultdict(dict)
    for key, standing in standings.items():
        if standing.state == "ingested" or (standing.state == "superseded" and standing.sha256):
            known[unit_of(Archive.parse(key))][key] = standing
    return known


def _order(source: Source) -> tuple[int, date]:
    return rank(source.archive), source.archive.period.first_day


def _place(work: Source | Rebuild) -> tuple[str, str, date]:
    day = work.first_day if isinstance(work, Rebuild) else work.archive.period.first_day
    return work.series.symbol, work.series.interval or "", day
