"""Deletes orphan files: those in a table's folder that no snapshot refers to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from attrs import frozen
from pyarrow import fs
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.stores.confined import files_below
from crypto_lakehouse.tables.iceberg.inner_names import file_system_of, path_of
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT, delete_below

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
    files = _LocalFiles.of(table) if filesystem.type_name == "local" else _RemoteFiles(filesystem)
    known = {path_of(location, table.io) for location in _referenced(table)}
    gone: list[str] = []
    for path, changed_at in files.below(path_of(table.location(), table.io)):
        if path not in known and (before is None or changed_at < before):
            files.delete(path)
            gone.append(path)
    return gone


@frozen
class _LocalFiles:
    """Files on a local disk; no symbolic link is followed, as it may lead anywhere.

    Attributes:
        root: The directory below which files are deleted.
    """

    root: str

    @classmethod
    def of(cls, table: Table) -> _LocalFiles:
        return cls(table.io.properties.get(LAKE_ROOT) or path_of(table.location(), table.io))

    def below(self, folder: str) -> Iterator[tuple[str, datetime]]:
        try:
            for entry in files_below(self.root, folder):
                changed = entry.stat(follow_symlinks=False).st_mtime
                yield entry.path, datetime.fromtimestamp(changed, UTC)
        except StoreError as error:
            raise LakeError(folder, f"nothing is deleted: {error.reason}") from error

    def delete(self, path: str) -> None:
        delete_below(self.root, path)


@frozen
class _RemoteFiles:
    """Files of an object store, which has no links."""

    filesystem: fs.FileSystem

    def below(self, folder: str) -> Iterator[tuple[str, datetime]]:
        for info in self.filesystem.get_file_info(fs.FileSelector(folder, recursive=True)):
            if info.type == fs.FileType.File:
                yield info.path, _changed_at(info)

    def delete(self, path: str) -> None:
        self.filesystem.delete_file(path)


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
