"""Checks the ids at the seams between archives that are ingested and archives in the lake.

A finding belongs to the later of two archives. If the earlier one comes into the lake after it, the
later one's record is written again with the finding, so the records say the same in any order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import evolve

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.files.series_writer import Written
from crypto_lakehouse.tables.ingest.provenance import plain_finding
from crypto_lakehouse.tables.quality.findings import Finding, verdict_of
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.quality.seams import SEAM_CHECK, ArchiveIds, ids_of, seam_findings

__all__ = ["check_seams"]

_TIMES = ("first_at", "last_at", "recorded_at")

#: `record` numbers the rows again.
_NUMBERS = ("table_sequence", "sequence")


def check_seams(
    written: Iterable[Written],
    there: Mapping[str, Mapping[str, Any]],
    replaced: Callable[[str], Iterable[Archive]],
) -> tuple[list[Written], list[dict[str, Any]]]:
    """Add the findings at the seams.

    Args:
        written: The archives of a commit.
        there: The newest rows of `lakehouse.archives`, by key, before the commit.
        replaced: The archives whose rows an archive of the commit replaces, by its key.

    Returns:
        The archives of the commit with their findings, and the rows to record again.
    """
    all_written = [*written]
    new = [each for each in all_written if each.state == "ingested"]
    gone = {archive.key for each in new for archive in replaced(each.quality.key)}
    gone |= {each.quality.key for each in new}
    series = {each.source.archive.series for each in new}
    stay = {
        key: row
        for key, row in there.items()
        if row["state"] == "ingested" and key not in gone and Archive.parse(key).series in series
    }
    ids = [*ids_of(each.quality for each in new), *_recorded_ids(stay)]
    found = seam_findings(ids, load_known_row_holes())
    rows = [_with_seam(row, found.get(key)) for key, row in stay.items()]
    return [_with(each, found) for each in all_written], [row for row in rows if row is not None]


def _recorded_ids(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[ArchiveIds]:
    for key, row in rows.items():
        # Earlier versions of this program did not record ids.
        first, last = row.get("first_id"), row.get("last_id")
        if first is not None and last is not None:
            yield ArchiveIds(Archive.parse(key), first, last, row["first_at"], row["last_at"])


def _with(written: Written, found: Mapping[str, Finding]) -> Written:
    finding = found.get(written.quality.key)
    if written.state != "ingested" or finding is None:
        return written
    findings = (*written.quality.findings, finding)
    return evolve(written, quality=evolve(written.quality, findings=findings))


def _with_seam(row: Mapping[str, Any], found: Finding | None) -> dict[str, Any] | None:
    """An archive's row with another finding at its seam; None if the finding is the same."""
    before = json.loads(row["findings"])
    now = [each for each in before if each["check"] != SEAM_CHECK]
    if found is not None:
        now.append(plain_finding(found))
    if now == before:
        return None
    plain = {name: value for name, value in row.items() if name not in _NUMBERS}
    plain |= {
        "findings": json.dumps(now, ensure_ascii=False),
        "verdict": verdict_of(each["severity"] for each in now),
        "recorded_at": datetime.now(UTC),
    }
    return plain | {name: plain[name] and plain[name].isoformat() for name in _TIMES}
