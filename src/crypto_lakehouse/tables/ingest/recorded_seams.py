"""Checks the ids at the seams between archives that are ingested and archives in the lake.

A finding belongs to the later of two archives. If the earlier one comes into the lake after it, the
later one's record is written again with the finding, so the records say the same in any order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from attrs import evolve

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.files.series_writer import Written
from crypto_lakehouse.tables.ingest.provenance import PRESENT, plain_finding, recorded_again
from crypto_lakehouse.tables.quality.findings import Finding, verdict_of
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.quality.seams import SEAM_CHECK, ArchiveIds, seam_findings

__all__ = ["check_seams"]


def check_seams(
    written: Iterable[Written],
    rows: Iterable[Mapping[str, Any]],
    there: Mapping[str, Mapping[str, Any]],
) -> tuple[list[Written], list[dict[str, Any]]]:
    """Add the findings at the seams.

    Archives that have the same rows, as a month and its days do, are checked each.

    Args:
        written: The archives of a commit.
        rows: The rows of `lakehouse.archives` that the commit records, one for each archive.
        there: The newest rows of `lakehouse.archives`, by key, before the commit.

    Returns:
        The archives of the commit with their findings, and the rows to record.
    """
    all_written = [*written]
    new = {str(row["archive"]): dict(row) for row in rows}
    series = {each.source.archive.series for each in all_written}
    present = {
        key: row
        for key, row in {**there, **new}.items()
        if row["state"] in PRESENT and Archive.parse(key).series in series
    }
    found = seam_findings(_recorded_ids(present), load_known_row_holes())
    for key, row in present.items():
        changes = _changes(row, found.get(key))
        if changes:
            new[key] = new[key] | changes if key in new else recorded_again(row, **changes)
    return [_with(each, found) for each in all_written], [*new.values()]


def _recorded_ids(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[ArchiveIds]:
    for key, row in rows.items():
        # Earlier versions of this program did not record ids.
        first, last = row.get("first_id"), row.get("last_id")
        if first is not None and last is not None:
            times = (_time(row["first_at"]), _time(row["last_at"]))
            yield ArchiveIds(Archive.parse(key), first, last, *times)


def _time(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _with(written: Written, found: Mapping[str, Finding]) -> Written:
    finding = found.get(written.source.archive.key)
    if written.state not in PRESENT or written.quality is None or finding is None:
        return written
    findings = (*written.quality.findings, finding)
    return evolve(written, quality=evolve(written.quality, findings=findings))


def _changes(row: Mapping[str, Any], found: Finding | None) -> dict[str, Any]:
    """What an archive's row must have instead, for another finding at its seam."""
    before = json.loads(row["findings"])
    now = [each for each in before if each["check"] != SEAM_CHECK]
    if found is not None:
        now.append(plain_finding(found))
    if now == before:
        return {}
    return {
        "findings": json.dumps(now, ensure_ascii=False),
        "verdict": verdict_of(each["severity"] for each in now),
    }
