"""What other machines have recorded since an ingestion was planned, and what it changes.

Two machines that share a catalog may read the same archives at the same time. The one that commits
second leaves out what the first one has recorded in the same version: its rows are in the table,
and each archive counts in one of the two reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.files.series_writer import Written
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.data_files import (
    archives_in,
    partition_of,
    rows_without,
    values_in,
)
from crypto_lakehouse.tables.iceberg.key_ranges import KeyRanges
from crypto_lakehouse.tables.iceberg.live_files import archives_between
from crypto_lakehouse.tables.ingest.ingest_plan import is_settled
from crypto_lakehouse.tables.ingest.items import ItemResult
from crypto_lakehouse.tables.ingest.merge_outcome import MergeOutcome
from crypto_lakehouse.tables.ingest.provenance import (
    ARCHIVES,
    NOT_TAKEN,
    PRESENT,
    Standing,
    standings_between,
)

__all__ = ["Recorded", "RecordedMeanwhile", "recorded_since", "recorded_while_mended"]


@frozen(kw_only=True)
class Recorded:
    """Archives of a plan that another run has recorded, in the same version, since it was made.

    Attributes:
        table: Their table.
        unchanged: How many have rows in it.
        covered: How many have none under their own name: their month has the same rows.
        refused: The keys of those that the other run did not take.
    """

    table: str
    unchanged: int = 0
    covered: int = 0
    refused: frozenset[str] = frozenset()

    def plus(self, other: Recorded) -> Recorded:
        """Add other archives of the same table."""
        return Recorded(
            table=self.table,
            unchanged=self.unchanged + other.unchanged,
            covered=self.covered + other.covered,
            refused=self.refused | other.refused,
        )


def recorded_since(
    catalog: LakeCatalog, table: str, sequence: int, keys: Iterable[str]
) -> Mapping[str, Standing]:
    """Return how some archives stand now, of those that were recorded after a plan was made.

    Args:
        catalog: The lake's tables.
        table: The full name of the archives' table.
        sequence: The sequence number of `lakehouse.archives` when the plan was made.
        keys: The archives.
    """
    archives = catalog.find(ARCHIVES)
    if archives is None:
        return {}
    newer = frozenset[str]().union(
        *(
            values_in(archives, file, "archive")
            for file in _added_since(archives, sequence)
            if partition_of(file) == (table,)
        )
    )
    found = newer.intersection(keys)
    return standings_between(archives, KeyRanges.exactly(found), table)


def recorded_while_mended(lake: str, keys: Iterable[str]) -> LakeError:
    """Return the error of a run that writes rows of damaged files again, and is not alone.

    Another run may have recorded an archive again although its rows are lost, because of a finding
    at its seams. So no archive may be left out here.
    """
    reason = (
        f"another run recorded `{min(keys)}` while its rows were written again, so nothing was "
        "committed: run the command again"
    )
    return LakeError(lake, reason)


def _added_since(table: Table, sequence: int) -> Iterator[DataFile]:
    """The data files that the table has got after a sequence number."""
    snapshot = table.current_snapshot()
    for manifest in () if snapshot is None else snapshot.manifests(table.io):
        if (manifest.sequence_number or 0) <= sequence:
            continue
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            if (entry.sequence_number or 0) > sequence:
                yield entry.data_file


@frozen
class RecordedMeanwhile:
    """Takes archives out of what was written for a commit.

    Attributes:
        standings: How archives stand now that others have recorded meanwhile, by key.
        files: Rewrites the data files that have rows of these archives, and of others.
        lake: The lake, for messages.
    """

    standings: Mapping[str, Standing]
    files: WriterFactory
    lake: str

    def left_out(self, result: ItemResult) -> tuple[ItemResult, Recorded]:
        """Leave out what is recorded in the same version; the data files with its rows are deleted.

        Returns:
            What is left to commit, and what was left out.

        Raises:
            LakeError: A merge was made with archives that have changed.
        """
        settled = frozenset(
            each.source.archive.key
            for each in result.written
            if each.is_new and is_settled(each.source, self.standings)
        )
        gone = set(settled)
        merges: list[MergeOutcome] = []
        for merge in result.merges:
            new = {source.archive.key for source in merge.rebuild.changed}
            if new <= settled:
                gone |= {archive.key for archive in merge.rebuild.archives}
                continue
            self._check_current(merge, settled)
            gone -= new  # the merge has written the rows of all of them
            merges.append(_without_changes(merge, settled, self.standings))
        left = ItemResult(
            files=tuple(self._files_without(frozenset(gone), result.files)),
            written=tuple(
                _not_new(each, settled)
                for each in result.written
                if each.source.archive.key not in gone
            ),
            merges=tuple(merges),
        )
        return left, self._recorded(settled)

    def _check_current(self, merge: MergeOutcome, settled: frozenset[str]) -> None:
        rebuild = merge.rebuild
        for archive in rebuild.archives:
            now = self.standings.get(archive.key)
            if archive.key in settled or now is None:
                continue
            then = rebuild.standings.get(archive.key)
            if then is None or _rows_of(then) != _rows_of(now):
                table = ".".join(self.files.table.name())
                reason = (
                    f"another run recorded another version of `{archive.key}` for `{table}` at the "
                    "same time, so nothing was committed: run the command again"
                )
                raise LakeError(self.lake, reason)

    def _recorded(self, settled: Iterable[str]) -> Recorded:
        states = {key: self.standings[key].state for key in settled}
        return Recorded(
            table=".".join(self.files.table.name()),
            unchanged=sum(state == "ingested" for state in states.values()),
            covered=sum(state == "superseded" for state in states.values()),
            refused=frozenset(key for key, state in states.items() if state in NOT_TAKEN),
        )

    def _files_without(
        self, archives: frozenset[str], written: Iterable[DataFile]
    ) -> Iterator[DataFile]:
        table, keys = self.files.table, sorted(archives)
        for number, file in enumerate(written):
            may_hold = keys and archives_between(table, file, keys)
            held = archives_in(table, file) & archives if may_hold else frozenset()
            if not held:
                yield file
                continue
            writer = self.files.open(partition_of(file), number)
            try:
                for rows in rows_without(table, file.file_path, held):
                    writer.write(rows)
                yield from writer.close()
            except BaseException:
                writer.abandon()
                raise
            table.io.delete(file.file_path)

    def present(self, written: Iterable[Written]) -> frozenset[str]:
        """Return the keys of those of which another version has got into the table meanwhile."""
        keys = {each.source.archive.key for each in written if each.is_new}
        return frozenset(
            key for key, each in self.standings.items() if key in keys and each.state in PRESENT
        )


def _rows_of(standing: Standing) -> tuple[Any, ...]:
    return standing.state, standing.sha256, standing.rows


def _not_new(written: Written, settled: frozenset[str]) -> Written:
    return evolve(written, is_new=False) if written.source.archive.key in settled else written


def _without_changes(
    merge: MergeOutcome, settled: frozenset[str], now: Mapping[str, Standing]
) -> MergeOutcome:
    """The same merge, to which some archives have come unchanged."""
    rebuild = merge.rebuild
    same = tuple(each for each in rebuild.changed if each.archive.key in settled)
    if not same:
        return merge
    known = {each.archive.key: now[each.archive.key] for each in same}
    return evolve(
        merge,
        rebuild=evolve(
            rebuild,
            changed=tuple(each for each in rebuild.changed if each not in same),
            others=(*rebuild.others, *same),
            standings={**rebuild.standings, **known},
        ),
        changes={key: each for key, each in merge.changes.items() if key not in known},
    )
