"""Deletes orphan files: those in a table's folder that no snapshot refers to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pyarrow import fs
from pyiceberg.table import Table

from crypto_lakehouse.tables.iceberg.inner_names import file_system_of, path_of

__all__ = ["sweep_table"]


def sweep_table(table: Table, *, before: datetime | None = None) -> list[str]:
    """Delete the files of a table that no snapshot refers to.

    Args:
        table: The table, in its current state.
        before: Delete only files last changed before this time; None if no other writer exists.

    Returns:
        The paths deleted.
    """
    filesystem = file_system_of(table.location(), table.io)
    root = path_of(table.location())
    known = {path_of(location) for location in _referenced(table)}
    gone: list[str] = []
    for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True)):
        if info.type != fs.FileType.File or info.path in known:
            continue
        if before is not None and _changed_at(info) >= before:
            continue
        filesystem.delete_file(info.path)
        gone.append(info.path)
    return gone


def _changed_at(info: fs.FileInfo) -> datetime:
    changed = info.mtime
    if not isinstance(changed, datetime):
        return datetime.now(UTC)  # the storage gives no time: never delete
    return changed if changed.tzinfo else changed.replace(tzinfo=UTC)


def _referenced(table: Table) -> Iterator[str]:
    yield table.metadata_location
    for older in table.metadata.metadata_log:
        yield older.metadata_file
    for statistics in (*table.metadata.statistics, *table.metadata.partition_statistics):
        yield statistics.statistics_path
    manifests: dict[str, object] = {}
    for snapshot in table.metadata.snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in manifests:
                continue
            manifests[manifest.manifest_path] = manifest
            yield manifest.manifest_path
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                yield entry.data_file.file_path
