"""Table maintenance: merge and sort files, expire old snapshots, delete orphan files."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.types import IcebergType, PrimitiveType

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.stores.objects.store_time import store_time
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.column_names import check_names
from crypto_lakehouse.tables.iceberg.data_files import partition_of, rows_without
from crypto_lakehouse.tables.iceberg.file_check import refuse_gone
from crypto_lakehouse.tables.iceberg.inner_names import from_bytes
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.iceberg.orphans import refuse_foreign, sweep_table
from crypto_lakehouse.tables.ingest.commits import TableChange, commit_change
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.records import RECORD_LAYOUT
from crypto_lakehouse.tables.ingest.recovery import recover

__all__ = ["Choose", "Compacted", "compact", "expire", "sweep", "sweep_before"]

#: Returns which files of a partition are merged, a list for each new file.
Choose = Callable[[list[DataFile]], Iterable[list[DataFile]]]

#: How many days old a file must be by default to be swept, if other machines may write: the data
#: files of a commit under way are in no snapshot.
_SHARED_DAYS = 1.0

#: The most rows of one partition that compaction sorts in memory; the files of a larger partition
#: are concatenated in order.
_SORTED_ROWS = 8_000_000


@frozen
class Compacted:
    """The result of compacting one table.

    Attributes:
        table: Its name.
        files_before: How many data files it had.
        files_after: How many it has.
        rows_rewritten: How many rows the new files have; 0 if no partition had two.
    """

    table: str
    files_before: int
    files_after: int
    rows_rewritten: int


def _all_of_several(files: list[DataFile]) -> Iterable[list[DataFile]]:
    return (files,) if len(files) > 1 else ()


def compact(
    catalog: LakeCatalog,
    name: str,
    *,
    tool_version: str,
    layout: FileLayout | None = None,
    choose: Choose = _all_of_several,
    sorted_rows: int = _SORTED_ROWS,
) -> Compacted:
    """Merge the files of each partition that has several into one, in the table's order.

    The caller must hold the lake's lock. Older snapshots keep their files until they expire.

    Args:
        catalog: The lake's tables.
        name: The table.
        tool_version: Recorded in the snapshot.
        layout: How data files are written.
        choose: Returns which files of a partition are merged, a list for each new file; by default
            all of a partition that has two.
        sorted_rows: Up to this number, the rows of a new file are sorted in memory; the files of
            more rows are written one after another.

    Raises:
        LakeError: The table cannot be read or written.
    """
    with catalog.errors():
        recover(catalog)
        table = catalog.catalog.load_table(name)
        there = [*live_files(table)]
        check_names(table, there)
        by_partition: dict[tuple[Any, ...], list[DataFile]] = defaultdict(list)
        for file in there:
            by_partition[partition_of(file)].append(file)
        crowded = [(key, each) for key, files in by_partition.items() for each in choose(files)]
        before = sum(map(len, by_partition.values()))
        change = TableChange()
        if crowded:
            journal = Journal(catalog.place.journals, uuid.uuid4().hex, name)
            files = WriterFactory(
                table=table, layout=layout or _layout_of(name), stem=journal.commit,
                announce=journal.announce,
            )  # fmt: skip
            with journal:
                change = _join(files, crowded, sorted_rows)
                catalog.make_durable(change.added)
                refuse_gone(table, change.added)
                journal.intend(())
                try:
                    commit_change(
                        table, change, commit=journal.commit, tool_version=tool_version,
                        purpose=catalog.purpose,
                    )  # fmt: skip
                except LakeError:
                    journal.refused()
                    raise
        after = before - len(change.removed) + len(change.added)
        return Compacted(name, before, after, sum(each.record_count for each in change.added))


def _layout_of(name: str) -> FileLayout:
    return RECORD_LAYOUT if name.startswith("lakehouse.") else FileLayout()


def _join(
    files: WriterFactory, crowded: list[tuple[tuple[Any, ...], list[DataFile]]], sorted_rows: int
) -> TableChange:
    added: list[DataFile] = []
    removed: list[DataFile] = []
    for number, (partition, old) in enumerate(crowded):
        writer = files.open(partition, f"compacted{number}")
        for rows in _sorted(files.table, old, sorted_rows):
            writer.write(rows)
        added += writer.close()
        removed += old
    return TableChange(tuple(added), tuple(removed))


def _sorted(table: Table, files: list[DataFile], sorted_rows: int) -> Iterator[pa.Table]:
    """Read the rows of a partition's files, in the table's order if they fit in memory."""
    order = [table.schema().find_column_name(each.source_id) for each in table.sort_order().fields]
    files = sorted(files, key=lambda file: _begin(table, file))
    if sum(file.record_count for file in files) > sorted_rows:
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


def _begin(table: Table, file: DataFile) -> tuple[tuple[bool, Any], ...]:
    """The smallest values of a file, by which files come in the table's order."""
    bounds = file.lower_bounds or {}
    fields = [table.schema().find_field(each.source_id) for each in table.sort_order().fields]
    return tuple(
        (each.field_id in bounds, _value(each.field_type, bounds.get(each.field_id)))
        for each in fields
    )


def _value(kind: IcebergType, bound: bytes | None) -> Any:
    if bound is None or not isinstance(kind, PrimitiveType):
        return None
    return from_bytes(kind, bound)


def _plain(rows: pa.Table) -> pa.Table:
    """Decode dictionary columns, which Arrow would sort by index instead of by text."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            rows = rows.set_column(place, field.name, rows[field.name].cast(pa.string()))
    return rows


def expire(catalog: LakeCatalog, name: str, *, before: datetime) -> int:
    """Expire snapshots made before an instant, and delete the files that only they refer to.

    The newest snapshot always stays. The caller must hold the lake's lock.

    Returns:
        How many snapshots expired.

    Raises:
        LakeError: The table cannot be read or written, or another table is in its folder.
    """
    with catalog.errors():
        recover(catalog)
        table = catalog.catalog.load_table(name)
        if not catalog.is_shared:
            refuse_foreign(table)
        count = len(table.metadata.snapshots)
        table.maintenance.expire_snapshots().older_than(before.astimezone(UTC)).commit()
        table = catalog.catalog.load_table(name)
        if not catalog.is_shared:
            sweep_table(table)
        return count - len(table.metadata.snapshots)


def sweep_before(catalog: LakeCatalog, days: float | None = None) -> datetime | None:
    """Return the time before which a file must have been changed to be swept.

    For a lake at a URL it is a time of the store's clock, which dates the files: that of this
    machine may be wrong, and then files of a commit under way would seem old.

    Args:
        catalog: The lake's tables.
        days: How many days old a file must be; by default one if other machines may write to the
            lake, and none otherwise.

    Returns:
        The time; None if the age does not matter.

    Raises:
        StoreError: The object store fails.
    """
    if days is None:
        days = _SHARED_DAYS if catalog.is_shared else None
    if days is None:
        return None
    if catalog.place.client is None:
        return datetime.now(UTC) - timedelta(days=days)
    return store_time(catalog.place.client) - timedelta(days=days) if days else None


def sweep(catalog: LakeCatalog, name: str, *, before: datetime | None) -> list[str]:
    """Delete files in a table's folder that no snapshot refers to.

    Args:
        catalog: The lake's tables.
        name: The table.
        before: Delete only files last changed before this time; None if no other writer exists.

    Returns:
        The paths deleted.

    Raises:
        LakeError: The table cannot be read, or another table is in its folder.
    """
    with catalog.errors():
        recover(catalog)
        return sweep_table(catalog.catalog.load_table(name), before=before)
