"""The check of ids from one archive to the next: trades and aggTrades are numbered consecutively.

Each archive may be sound, and ids be missing between two of them, or be in both
(docs/archive-faults.md#missing-ids). An archive's finding depends on the archives that end the day
before it begins, whether days or months, and not on the order in which they were read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta

from attrs import evolve, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Series
from crypto_lakehouse.core.messages import agreeing, plural
from crypto_lakehouse.tables.quality.findings import ArchiveQuality, Finding, Severity
from crypto_lakehouse.tables.quality.known_row_holes import KnownRowHoles

__all__ = ["ID_TYPES", "SEAM_CHECK", "ArchiveIds", "ids_of", "seam_findings", "with_seams"]

#: The types with ids of which each is one more than that before.
ID_TYPES = frozenset({DataType.TRADES, DataType.AGG_TRADES})

SEAM_CHECK = "id_seams"


@frozen
class ArchiveIds:
    """The edges of an archive with rows.

    Attributes:
        archive: The archive.
        first_id, last_id: Its smallest and largest id.
        first_at, last_at: Its first and last time.
    """

    archive: Archive
    first_id: int
    last_id: int
    first_at: datetime
    last_at: datetime


def seam_findings(archives: Iterable[ArchiveIds], known: KnownRowHoles) -> dict[str, Finding]:
    """Compare the first id of each archive with the last id before it.

    Args:
        archives: The archives of any series, in any order.
        known: Holes that are known upstream.

    Returns:
        A finding for each archive whose ids do not follow those of the archive before it, by key.
        An archive without an archive directly before it has none.
    """
    given = [*archives]
    ends: dict[tuple[Series, date], list[ArchiveIds]] = defaultdict(list)
    for each in given:
        ends[each.archive.series, each.archive.period.last_day].append(each)
    found: dict[str, Finding] = {}
    for each in given:
        day_before = each.archive.period.first_day - timedelta(days=1)
        before = ends.get((each.archive.series, day_before))
        if before:
            # A month and its last day may both end here: what one of them has is not missing.
            nearest = max(before, key=lambda one: (one.last_id, one.first_id))
            finding = _compare(nearest, each, known)
            if finding is not None:
                found[each.archive.key] = finding
    return found


def _compare(before: ArchiveIds, after: ArchiveIds, known: KnownRowHoles) -> Finding | None:
    step = after.first_id - before.last_id
    if step == 1:
        return None
    key, severity, source = after.archive.key, Severity.WARNING, "binance-public-data#190"
    name = before.archive.name
    where = f"begins at {after.first_id}, and `{name}` before it ends at {before.last_id}"
    if step > 1:
        rows = step - 1
        sentence = agreeing(rows, f"{rows:,} id[s] [is|are] missing") + f": the archive {where}"
        hole = known.explaining(after.archive, before.last_at, after.first_at)
        if hole is not None:
            severity, source = Severity.INFO, hole.source
            sentence = f"{sentence}; known: {hole.reason}"
    elif after.first_id < before.first_id:
        rows, source = 1, ""
        sentence = f"the ids begin again: the archive {where}"
        if after.first_id <= 1:  # a symbol that was listed again may name another asset
            severity = Severity.INFO
    else:
        rows = min(after.last_id, before.last_id) - after.first_id + 1
        source = "binance-public-data#353"
        sentence = f"{plural(rows, 'id', form=',')} may be in two archives: the archive {where}"
    return Finding(
        check=SEAM_CHECK, severity=severity, key=key, rows=rows, sentence=sentence, source=source
    )


def with_seams(qualities: Iterable[ArchiveQuality], known: KnownRowHoles) -> list[ArchiveQuality]:
    """Add the findings at the seams to those of the archives."""
    given = [*qualities]
    found = seam_findings(ids_of(given), known)
    return [_with(quality, found) for quality in given]


def ids_of(qualities: Iterable[ArchiveQuality]) -> Iterable[ArchiveIds]:
    """The edges of those archives that have ids."""
    for each in qualities:
        ids, times = (each.first_id, each.last_id), (each.first_at, each.last_at)
        if None not in ids and None not in times:
            archive = Archive.parse(each.key)
            yield ArchiveIds(archive, *ids, *times)  # type: ignore[arg-type]


def _with(quality: ArchiveQuality, found: Mapping[str, Finding]) -> ArchiveQuality:
    finding = found.get(quality.key)
    return quality if finding is None else evolve(quality, findings=(*quality.findings, finding))
