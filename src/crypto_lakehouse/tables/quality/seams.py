"""The checks of ids from one archive to the next: trades and aggTrades are numbered consecutively.

aggTrades have two kinds of ids, their own and those of their trades. Each archive may be sound, and
ids be missing between two of them, or be in both (docs/archive-faults.md#missing-ids). An archive's
finding depends on the archives that end the day before it begins, whether days or months, and not
on the order in which they were read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from attrs import evolve, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Series
from crypto_lakehouse.core.messages import agreeing, plural
from crypto_lakehouse.tables.quality.findings import ArchiveQuality, Finding, Severity
from crypto_lakehouse.tables.quality.known_row_holes import KnownRowHole, KnownRowHoles, RowHole
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = [
    "ID_TYPES",
    "SEAM_CHECK",
    "SEAM_CHECKS",
    "TRADE_SEAM_CHECK",
    "ArchiveIds",
    "id_edges",
    "ids_of",
    "seam_findings",
    "with_seams",
]

#: The types with ids of which each is one more than that before.
ID_TYPES = frozenset({DataType.TRADES, DataType.AGG_TRADES})

SEAM_CHECK = "id_seams"
TRADE_SEAM_CHECK = "trade_id_seams"

#: The checks, each with the fields of the smallest and the largest id, and the name of such ids.
_KINDS = {
    SEAM_CHECK: ("first_id", "last_id", "id"),
    TRADE_SEAM_CHECK: ("first_trade_id", "last_trade_id", "trade id"),
}

SEAM_CHECKS = frozenset(_KINDS)


def id_edges(schema: TableSchema) -> dict[str, str]:
    """The fields of a table's smallest and largest ids, each with the column of these ids."""
    first = next(column for column in schema.columns if column.name == schema.key[0])
    if first.kind != "id":
        return {}
    own = {"first_id": first.name, "last_id": first.name}
    trades = {"first_trade_id": "first_trade_id", "last_trade_id": "last_trade_id"}
    return own | trades if schema.data_type is DataType.AGG_TRADES else own


@frozen
class ArchiveIds:
    """The edges of an archive with rows.

    Attributes:
        archive: The archive.
        first_id, last_id: Its smallest and largest id of one kind.
        first_at, last_at: Its first and last time.
        check: The check of this kind of ids.
    """

    archive: Archive
    first_id: int
    last_id: int
    first_at: datetime
    last_at: datetime
    check: str = SEAM_CHECK


def ids_of(archive: Archive, value_of: Callable[[str], Any]) -> Iterator[ArchiveIds]:
    """The edges of an archive, for each kind of ids that it has.

    Args:
        archive: The archive.
        value_of: Returns the value of a field, such as `first_id`; None if it is not known.
    """
    first_at, last_at = value_of("first_at"), value_of("last_at")
    for check, (first, last, _) in _KINDS.items():
        ids = value_of(first), value_of(last)
        # An aggregate without trades has -1 for their ids.
        if None not in (*ids, first_at, last_at) and ids[0] >= 0:
            yield ArchiveIds(archive, *ids, first_at, last_at, check)


def seam_findings(
    archives: Iterable[ArchiveIds], known: KnownRowHoles
) -> dict[str, tuple[Finding, ...]]:
    """Compare the first id of each archive with the last id before it.

    Args:
        archives: The archives of any series, in any order.
        known: Holes that are known upstream.

    Returns:
        The findings of each archive whose ids do not follow those of the archive before it, by
        key. An archive without an archive directly before it has none.
    """
    given = [*archives]
    ends: dict[tuple[Series, str, date], list[ArchiveIds]] = defaultdict(list)
    for each in given:
        ends[each.archive.series, each.check, each.archive.period.last_day].append(each)
    found: dict[str, tuple[Finding, ...]] = {}
    for each in given:
        day_before = each.archive.period.first_day - timedelta(days=1)
        before = ends.get((each.archive.series, each.check, day_before))
        if before:
            # A month and its last day may both end here: what one of them has is not missing.
            nearest = max(before, key=lambda one: (one.last_id, one.first_id))
            finding = _compare(nearest, each, known)
            if finding is not None:
                found[each.archive.key] = (*found.get(each.archive.key, ()), finding)
    return found


def _compare(before: ArchiveIds, after: ArchiveIds, known: KnownRowHoles) -> Finding | None:
    step = after.first_id - before.last_id
    if step == 1:
        return None
    key, severity, source = after.archive.key, Severity.WARNING, "binance-public-data#190"
    name, noun = before.archive.name, _KINDS[after.check][2]
    where = f"begins at {after.first_id}, and `{name}` before it ends at {before.last_id}"
    if step > 1:
        rows = step - 1
        sentence = agreeing(rows, f"{rows:,} {noun}[s] [is|are] missing") + f": the archive {where}"
        hole = _known(before, after, known)
        if hole is not None:
            severity, source = Severity.INFO, hole.source
            sentence = f"{sentence}; known: {hole.reason}"
    elif after.first_id < before.first_id:
        rows, source = 1, ""
        sentence = f"the {noun}s begin again: the archive {where}"
        if after.first_id <= 1:  # a symbol that was listed again may name another asset
            severity = Severity.INFO
    else:
        rows = min(after.last_id, before.last_id) - after.first_id + 1
        source = "binance-public-data#353"
        sentence = f"{plural(rows, noun, form=',')} may be in two archives: the archive {where}"
    return Finding(
        check=after.check, severity=severity, key=key, rows=rows, sentence=sentence, source=source
    )


def _known(before: ArchiveIds, after: ArchiveIds, known: KnownRowHoles) -> KnownRowHole | None:
    """The entry that explains the missing ids: either archive may be the one that lacks them."""
    start, end, rows = before.last_at, after.first_at, after.first_id - before.last_id - 1
    holes = (
        RowHole(archive=each.archive, start=start, end=end, rows=rows, of_ids=True)
        for each in (after, before)
    )
    return next(filter(None, map(known.explaining, holes)), None)


def with_seams(qualities: Iterable[ArchiveQuality], known: KnownRowHoles) -> list[ArchiveQuality]:
    """Add the findings at the seams to those of the archives."""
    given = [*qualities]
    ids = (each for one in given for each in ids_of(Archive.parse(one.key), partial(getattr, one)))
    found = seam_findings(ids, known)
    return [
        evolve(each, findings=(*each.findings, *found[each.key])) if each.key in found else each
        for each in given
    ]
