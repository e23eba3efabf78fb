"""Keep a lake in shape: fewer and sorted files, no old snapshots, no orphans."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.files.partition_writer import PartitionWriter
from crypto_lakehouse.tables.iceberg.catalog import JOURNALS, LakeCatalog, as_lake_errors
from crypto_lakehouse.tables.iceberg.data_files import partition_of, rows_without
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.iceberg.orphans import sweep_table
from crypto_lakehouse.tables.ingest.commits import TableChange, commit_change
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.recovery import recover

__all__ = ["Compacted", "compact", "expire", "sweep"]

#: Rows of one partition that compaction may hold to sort them; a larger one is joined in the
#: order of its files.
_SORTED_ROWS = 8_000_000


@frozen
class Compacted:
    """What a compaction did to one table."""

    table: str
    files_before: int
    files_after: int
    rows: int


def compact(
    catalog: LakeCatalog, name: str, *, tool_version: str, layout: FileLayout | None = None
) -> Compacted:
    """Write the files of each partition that has several anew, as one, in the table's order.

    Only for who holds the lake's lock. Older snapshots keep their files until they expire.

    Raises:
        LakeError: The table cannot be read or written.
    """
    with as_lake_errors(str(catalog.root)):
        recover(catalog)
        table = catalog.catalog.load_table(name)
        by_partition: dict[tuple[Any, ...], list[DataFile]] = defaultdict(list)
        for file in live_files(table):
            by_partition[partition_of(file)].append(file)
        crowded = {key: files for key, files in by_partition.items() if len(files) > 1}
        before = sum(map(len, by_partition.values()))
        change = TableChange()
        if crowded:
            change = _join(catalog, table, name, crowded, layout or FileLayout(), tool_version)
        after = before - len(change.removed) + len(change.added)
        return Compacted(name, before, after, sum(each.record_count for each in change.added))


def _join(
    catalog: LakeCatalog,
    table: Table,
    name: str,
    crowded: dict[tuple[Any, ...], list[DataFile]],
    layout: FileLayout,
    tool_version: str,
) -> TableChange:
    commit = uuid.uuid4().hex
    journal = Journal(catalog.root / JOURNALS, commit, name)
    added: list[DataFile] = []
    removed: list[DataFile] = []
    try:
        for number, (partition, files) in enumerate(crowded.items()):
            stem = f"{commit}-compacted{number}"
            writer = PartitionWriter(table, partition, stem, journal.announce, layout)
            for rows in _sorted(table, files):
                writer.write(rows)
            added += writer.close()
            removed += files
        change = TableChange(tuple(added), tuple(removed))
        catalog.make_durable(added)
        journal.intend(())
        commit_change(table, change, commit=commit, tool_version=tool_version)
    except BaseException:
        journal.close()
        raise
    journal.forget()
    return change


def _sorted(table: Table, files: list[DataFile]) -> Iterator[pa.Table]:
    """Rows of a partition's files in the table's order, as far as memory allows."""
    order = [table.schema().find_column_name(each.source_id) for each in table.sort_order().fields]
    files = sorted(files, key=lambda file: sorted((file.lower_bounds or {}).items()))
    if sum(file.record_count for file in files) > _SORTED_ROWS:
        for file in files:
            yield from rows_without(table, file.file_path)
        return
    held = [rows for file in files for rows in rows_without(table, file.file_path)]
    if held:
        joined = pa.concat_tables(held).unify_dictionaries().combine_chunks()
        keys: list[tuple[str, Literal["ascending", "descending"]]] = [
            (name, "ascending") for name in order if name
        ]
        yield joined.take(pc.sort_indices(_plain(joined), sort_keys=keys))


def _plain(rows: pa.Table) -> pa.Table:
    """With text in place of dictionaries, whose order is not that of their texts."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            rows = rows.set_column(place, field.name, rows[field.name].cast(pa.string()))
    return rows


def expire(catalog: LakeCatalog, name: str, *, before: datetime) -> int:
    """Forget snapshots made before an instant, and delete the files that only they knew.

    The newest snapshot always stays. Only for who holds the lake's lock.

    Returns:
        How many snapshots were forgotten.
    """
    with as_lake_errors(str(catalog.root)):
        recover(catalog)
        table = catalog.catalog.load_table(name)
        count = len(table.metadata.snapshots)
        table.maintenance.expire_snapshots().older_than(before.astimezone(UTC)).commit()
        table = catalog.catalog.load_table(name)
        if not catalog.is_shared:
            sweep_table(table)
        return count - len(table.metadata.snapshots)


def sweep(catalog: LakeCatalog, name: str, *, before: datetime | None) -> list[str]:
    """Delete files in a table's folder that no snapshot knows.

    Args:
        catalog: The lake's tables.
        name: The table.
        before: Only files last changed before; None where nobody else can be writing.
    """
    with as_lake_errors(str(catalog.root)):
        recover(catalog)
        return sweep_table(catalog.catalog.load_table(name), before=before)
