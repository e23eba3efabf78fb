"""The result of an ingestion for each archive."""

from __future__ import annotations

from collections.abc import Container, Mapping

from attrs import evolve, frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.ingest.merge_outcome import MergeOutcome
from crypto_lakehouse.tables.ingest.overlaps import is_below
from crypto_lakehouse.tables.ingest.row_changes import NO_CHANGES, RowChanges
from crypto_lakehouse.tables.quality.findings import ArchiveQuality

__all__ = ["Ingested", "merged_result"]


@frozen
class Ingested:
    """The result for one archive.

    Attributes:
        state: `ingested`, `superseded`, `refused` or `quarantined`, as in `lakehouse.archives`; or
            `held_back` if it cannot be read at present, or `arriving` if another version has
            replaced it meanwhile: these are not recorded, and the next run tries them again.
        rows: Its rows that are in the table now.
        replaced: How many archives had their rows replaced by it.
        changes: What it changes in the table, if there was an older version of it, or of archives
            with the same rows.
        differing: How many rows differ between archives that were merged with it.
    """

    archive: Archive
    table: str
    state: str
    rows: int
    replaced: int
    quality: ArchiveQuality
    changes: RowChanges = NO_CHANGES
    differing: int = 0


def merged_result(
    ingested: Ingested, merge: MergeOutcome, states: Mapping[str, str], present: Container[str]
) -> Ingested:
    """Add what an archive replaced and changed; the first one of a merge tells of the others.

    Args:
        ingested: The result of an archive of the merge.
        merge: The merge.
        states: How the archives of the merge stand now, by key.
        present: The keys of new versions whose rows stand, under their names or others'.
    """
    archive = ingested.archive
    replaced = [each.key for each in merge.rebuild.replaced]
    own = archive.key in replaced
    lower = [each.key for each in merge.rebuild.replaced if is_below(each, archive)]
    covered = sum(states[key] == "superseded" for key in lower)
    new = [source.archive.key for source in merge.rebuild.changed]
    is_first = archive.key == next(key for key in new if key in present)
    changes = merge.changes.get(archive.key, NO_CHANGES)
    if is_first:
        for key, each in merge.changes.items():
            changes = changes if key in new else changes.plus(each)
    return evolve(
        ingested,
        replaced=own + covered,
        changes=changes,
        differing=merge.differing if is_first else 0,
    )
