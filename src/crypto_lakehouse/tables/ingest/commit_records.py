"""The rows of `lakehouse.archives` that one commit records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.tables.files.series_writer import Written
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.key_ranges import KeyRanges
from crypto_lakehouse.tables.ingest.ingest_plan import Rebuild
from crypto_lakehouse.tables.ingest.provenance import (
    ARCHIVES,
    newest_between,
    provenance_row,
    recorded_again,
)

__all__ = ["CommitRecords"]


@frozen
class CommitRecords:
    """Makes the rows that a commit records.

    Attributes:
        catalog: The lake's tables.
        table: The table of the archives.
        commit: The commit's name.
        tool_version: Recorded with each archive.
    """

    catalog: LakeCatalog
    table: str
    commit: str
    tool_version: str

    def of(self, written: Iterable[Written], merges: Sequence[Rebuild]) -> list[dict[str, Any]]:
        """The rows of archives that are new, or stand otherwise than before.

        Args:
            written: The archives of the commit.
            merges: What was merged.
        """
        rows: list[dict[str, Any]] = []
        moved: dict[str, Written] = {}
        for each in written:
            if each.state in {"held_back", "arriving"}:
                continue  # the next run tries it again
            if not each.is_new and _is_recorded(each, merges):
                continue
            if each.quality is None:
                moved[each.source.archive.key] = each
                continue
            row = provenance_row(
                self.table, each.state, each.source.sha256, each.rows, each.quality,
                not_in_archive=each.not_in_archive, commit=self.commit,
                tool_version=self.tool_version,
            )  # fmt: skip
            rows.append(row)
        return rows + self._moved(moved)

    def _moved(self, moved: Mapping[str, Written]) -> list[dict[str, Any]]:
        """The rows of archives that were not read: what is known of them does not change."""
        if not moved:
            return []
        archives = self.catalog.find(ARCHIVES)
        rows = []
        for key, row in newest_between(archives, KeyRanges.exactly(moved), self.table).items():
            stands = moved[key]
            now = {"state": stands.state, "rows": stands.rows, "commit": self.commit}
            if stands.source.archive.origin is not Origin.ARCHIVE:
                now["not_in_archive"] = stands.not_in_archive
            rows.append(recorded_again(row, **now))
        return rows


def _is_recorded(written: Written, merges: Iterable[Rebuild]) -> bool:
    """Whether an archive that was merged with changed ones stands as it stood before."""
    key = written.source.archive.key
    found = (merge.standings.get(key) for merge in merges)
    known = next((standing for standing in found if standing is not None), None)
    if known is None or bool(known.not_in_archive) != written.not_in_archive:
        return False
    return (known.state, known.rows) == (written.state, written.rows)
