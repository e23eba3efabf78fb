"""One commit: data files come, and rows of archives that they replace go, at the same instant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from attrs import frozen
from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.data_files import (
    PartitionWriter,
    holds_any,
    partition_of,
    rows_without,
)
from crypto_lakehouse.tables.filters import ALWAYS, all_of, equals
from crypto_lakehouse.tables.parquet_options import FileLayout

__all__ = ["COMMIT", "Change", "commit_change", "has_commit", "live_files", "plan_removal"]

#: The snapshot property that names the commit.
COMMIT = "crypto-lakehouse.commit"

_TOOL = "crypto-lakehouse.version"


@frozen
class Change:
    """Files that come and files that go."""

    added: tuple[DataFile, ...] = ()
    removed: tuple[DataFile, ...] = ()


def live_files(
    table: Table, row_filter: BooleanExpression = ALWAYS, snapshot_id: int | None = None
) -> Iterator[DataFile]:
    """The table's data files that may have rows which pass a filter.

    Args:
        table: The table.
        row_filter: What rows are wanted.
        snapshot_id: The version; None is the newest.

    Raises:
        LakeError: Another program has added delete files, which are not understood here.
    """
    for task in table.scan(row_filter=row_filter, snapshot_id=snapshot_id).plan_files():
        if task.delete_files:
            reason = (
                f"`{'.'.join(table.name())}` has delete files of another program; "
                "rewrite its data files with that program first"
            )
            raise LakeError(table.location(), reason)
        yield task.file


def plan_removal(
    table: Table,
    archives: Iterable[Archive],
    *,
    stem: str,
    announce: Callable[[str], None],
    layout: FileLayout,
) -> Change:
    """Find the files with rows of some archives, and write them anew without those rows.

    Files that have no other rows just go. Rows are read and written a row group at a time.
    """
    by_series: dict[BooleanExpression, set[str]] = defaultdict(set)
    for archive in archives:
        by_series[_series_filter(archive)].add(archive.key)
    added: list[DataFile] = []
    removed: dict[str, DataFile] = {}
    unwanted: dict[str, set[str]] = defaultdict(set)
    for row_filter, keys in by_series.items():
        for file in live_files(table, row_filter):
            if _may_hold(table, file, keys) and holds_any(table, file, keys):
                removed[file.file_path] = file
                unwanted[file.file_path] |= keys
    for number, (location, file) in enumerate(removed.items()):
        writer = PartitionWriter(
            table, partition_of(file), f"{stem}-kept{number}", announce, layout
        )
        try:
            for rows in rows_without(table, location, frozenset(unwanted[location])):
                writer.write(rows)
            added += writer.close()
        except BaseException:
            writer.abandon()
            raise
    return Change(tuple(added), tuple(removed.values()))


def _series_filter(archive: Archive) -> BooleanExpression:
    symbol = equals("symbol", archive.symbol)
    return all_of(symbol, equals("interval", archive.interval)) if archive.interval else symbol


def _may_hold(table: Table, file: DataFile, keys: set[str]) -> bool:
    """Whether the bounds of the file's archives leave room for any of these."""
    number = table.schema().find_field("archive").field_id
    low = (file.lower_bounds or {}).get(number)
    high = (file.upper_bounds or {}).get(number)
    if low is None or high is None:
        return True
    return any(low <= key.encode() <= high for key in keys)


def commit_change(table: Table, change: Change, *, commit: str, tool_version: str) -> None:
    """Make a change visible, all of it at once.

    Where another writer was faster, pyiceberg puts the change on top of the other's snapshot, as
    long as no file that goes was touched.
    """
    properties = {COMMIT: commit, _TOOL: tool_version}
    with table.transaction() as transaction:
        update = transaction.update_snapshot(snapshot_properties=properties)
        producer = update.overwrite() if change.removed else update.merge_append()
        with producer:
            for file in change.added:
                producer.append_data_file(file)
            for file in change.removed:
                producer.delete_data_file(file)


def has_commit(table: Table, commit: str) -> bool:
    """Whether some snapshot of the table is that commit's."""
    return any(
        snapshot.summary is not None
        and snapshot.summary.additional_properties.get(COMMIT) == commit
        for snapshot in table.metadata.snapshots
    )
