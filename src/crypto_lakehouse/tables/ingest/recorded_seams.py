"""Checks the ids at the seams between archives that are ingested and archives in the lake.

A finding belongs to the later of two archives. If the earlier one comes into the lake after it, the
later one's record is written again with the finding, so the records say the same in any order,
and the run tells of it (`Reviewed`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from attrs import evolve, frozen

from crypto_lakehouse.core.archive import Archive, Origin, Series
from crypto_lakehouse.tables.files.series_writer import Written
from crypto_lakehouse.tables.ingest.provenance import PRESENT, plain_finding, recorded_again
from crypto_lakehouse.tables.quality.findings import Finding, verdict_of
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.quality.seams import SEAM_CHECKS, ids_of, seam_findings

__all__ = ["Reviewed", "Seams", "check_seams", "days_at_seams", "sentence_of"]

_DAY = timedelta(days=1)


@frozen
class Reviewed:
    """An archive that was in the lake before, and has other findings since its neighbour is there.

    Attributes:
        archive: The archive.
        verdict: What the checks say now.
        reason: What they found at its seam, in a sentence.
    """

    archive: Archive
    verdict: str
    reason: str


@frozen
class Seams:
    """The outcome of the checks at the seams.

    Attributes:
        written: The archives of the commit, with their findings.
        rows: The rows of `lakehouse.archives` to record.
        reviewed: The other archives whose findings change.
    """

    written: list[Written]
    rows: list[dict[str, Any]]
    reviewed: list[Reviewed]


def days_at_seams(archives: Iterable[Archive]) -> Iterator[tuple[Series, date]]:
    """The series and days of the archives that have seams with some archives, and of these."""
    for archive in archives:
        first, last = archive.period.first_day, archive.period.last_day
        yield archive.series, first
        yield archive.series, last
        yield archive.series, first - _DAY if first > date.min else first
        yield archive.series, last + _DAY if last < date.max else last


def check_seams(
    written: Iterable[Written],
    rows: Iterable[Mapping[str, Any]],
    there: Mapping[str, Mapping[str, Any]],
) -> Seams:
    """Add the findings at the seams.

    Archives that have the same rows, as a month and its days do, are checked each. Excerpts are
    not: where one begins is by chance, and a recording names its own holes. Only the archives of
    the commit and those that begin behind them can have other findings now; of others, the archives
    before them may not be among those that were read.

    Args:
        written: The archives of a commit.
        rows: The rows of `lakehouse.archives` that the commit records, one for each archive.
        there: The newest rows of `lakehouse.archives`, by key, before the commit.
    """
    all_written = [*written]
    new = {str(row["archive"]): dict(row) for row in rows}
    series = {each.source.archive.series for each in all_written}
    present = {
        key: row
        for key, row in {**there, **new}.items()
        if row["state"] in PRESENT and _is_of(series, Archive.parse(key))
    }
    ids = (each for key, row in present.items() for each in ids_of(*_recorded(key, row)))
    found = seam_findings(ids, load_known_row_holes())
    read = {each.source.archive.key for each in all_written if each.quality is not None}
    reviewed = []
    concerned = _concerned(each.source.archive for each in all_written)
    for key, row in present.items():
        changes = _changes(row, found.get(key, ())) if concerned(Archive.parse(key)) else {}
        if changes:
            new[key] = new[key] | changes if key in new else recorded_again(row, **changes)
            if key not in read:
                reason = sentence_of(found.get(key, ()))
                reviewed.append(Reviewed(Archive.parse(key), changes["verdict"], reason))
    return Seams([_with(each, found) for each in all_written], [*new.values()], reviewed)


def _concerned(written: Iterable[Archive]) -> Callable[[Archive], bool]:
    """Return whether an archive is one of these, or begins on the day after one of them."""
    keys: set[str] = set()
    ends: set[tuple[Series, date]] = set()
    for each in written:
        keys.add(each.key)
        ends.add((each.series, each.period.last_day))

    def is_concerned(archive: Archive) -> bool:
        first = archive.period.first_day
        return archive.key in keys or (first > date.min and (archive.series, first - _DAY) in ends)

    return is_concerned


def _is_of(series: Container[Series], archive: Archive) -> bool:
    return archive.series in series and archive.origin is not Origin.LIVE


def _recorded(key: str, row: Mapping[str, Any]) -> tuple[Archive, Callable[[str], Any]]:
    def value_of(name: str) -> Any:
        value = row.get(name)  # earlier versions of this program did not record ids
        return _time(value) if name.endswith("_at") and value is not None else value

    return Archive.parse(key), value_of


def sentence_of(found: Sequence[Finding]) -> str:
    """What an archive's seam is like now."""
    return "; ".join(each.sentence for each in found) or "its ids follow those before it now"


def _time(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _with(written: Written, found: Mapping[str, tuple[Finding, ...]]) -> Written:
    more = found.get(written.source.archive.key)
    if written.state not in PRESENT or written.quality is None or not more:
        return written
    findings = (*written.quality.findings, *more)
    return evolve(written, quality=evolve(written.quality, findings=findings))


def _changes(row: Mapping[str, Any], found: Iterable[Finding]) -> dict[str, Any]:
    """What an archive's row must have instead, for other findings at its seam."""
    before = json.loads(row["findings"])
    now = [each for each in before if each["check"] not in SEAM_CHECKS]
    now += map(plain_finding, found)
    if now == before:
        return {}
    return {
        "findings": json.dumps(now, ensure_ascii=False),
        "verdict": verdict_of(each["severity"] for each in now),
    }
