"""Recovers the lake after a run was killed, or ended without the answer to its commit.

The commit of such a run may still be under way. Its files are deleted only once it cannot arrive
any more (`LakeCatalog.settle`): else it would make the table name files that are gone. If the
catalog cannot tell, they stay, and `sweep` deletes them when they are old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from pyiceberg.table import Table

from crypto_lakehouse.tables.files.partition_writer import data_root
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.filters import equals
from crypto_lakehouse.tables.iceberg.orphans import refuse_foreign, sweep_table
from crypto_lakehouse.tables.ingest.commits import sequence_of
from crypto_lakehouse.tables.ingest.differences import DIFFERENCES
from crypto_lakehouse.tables.ingest.journal import Leftover, leftovers
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, can_be_recorded, record
from crypto_lakehouse.tables.ingest.recorded_days import RECORDED_DAYS

__all__ = ["recover"]


def recover(catalog: LakeCatalog) -> int:
    """Complete the commits that were made, and delete the files of those that were not.

    The caller must hold the lake's lock.

    Returns:
        How many runs were recovered.
    """
    count = 0
    for leftover in leftovers(catalog.place.journals):
        _recover_one(catalog, leftover)
        leftover.path.unlink(missing_ok=True)
        count += 1
    return count


def _recover_one(catalog: LakeCatalog, leftover: Leftover) -> None:
    table = catalog.find(leftover.table) if leftover.table else None
    if table is None:
        return
    sequence = _sequence(table, leftover)
    if sequence is None:
        refuse_foreign(table)  # the commit may have been one to that table
    is_open = sequence is None and leftover.files
    if is_open and (catalog.settle(leftover.table) or not leftover.may_arrive):
        table = catalog.catalog.load_table(leftover.table)
        sequence = _sequence(table, leftover)
        if sequence is None:
            _delete(table, leftover)
    if (
        sequence is not None
        and not _is_recorded(catalog, leftover.commit)
        and can_be_recorded(leftover.provenance)
    ):
        record(catalog, leftover.provenance, table_sequence=sequence)
    if not catalog.is_shared:
        for touched in _existing(catalog, (leftover.table, ARCHIVES, DIFFERENCES, RECORDED_DAYS)):
            sweep_table(touched)


def _sequence(table: Table, leftover: Leftover) -> int | None:
    """The sequence number of a run's commit; None if it was not made."""
    found = sequence_of(table, leftover.commit)
    if found is None:
        # Another machine may have expired the snapshot; its files belong to the table all the same.
        return max(_sequences(table, frozenset(leftover.files)), default=None)
    return found


def _sequences(table: Table, files: frozenset[str]) -> Iterator[int]:
    """The sequence numbers with which any snapshot of the table has any of these files."""
    snapshots = table.metadata.snapshots if files else ()
    manifests = {
        manifest.manifest_path: manifest
        for snapshot in snapshots
        for manifest in snapshot.manifests(table.io)
    }
    for manifest in manifests.values():
        for entry in manifest.fetch_manifest_entry(table.io):
            if entry.data_file.file_path in files and entry.sequence_number is not None:
                yield entry.sequence_number


def _is_recorded(catalog: LakeCatalog, commit: str) -> bool:
    archives = catalog.find(ARCHIVES)
    if archives is None:
        return False
    found = archives.scan(row_filter=equals("commit", commit), selected_fields=("commit",))
    return bool(found.to_arrow().num_rows)


def _delete(table: Table, leftover: Leftover) -> None:
    """Delete the data files of a run; a line that names any other file is ignored."""
    root = f"{data_root(table)}/"
    for location in leftover.files:
        *folders, name = location.removeprefix(root).split("/")
        is_below = location.startswith(root) and not {"", ".", ".."} & {*folders}
        if is_below and name.startswith(f"{leftover.commit}-") and name.endswith(".parquet"):
            with suppress(FileNotFoundError):
                table.io.delete(location)


def _existing(catalog: LakeCatalog, names: Iterable[str]) -> Iterator[Table]:
    for name in names:
        table = catalog.find(name)
        if table is not None:
            yield table
