"""Deletes orphan files: those in a table's folder that no snapshot refers to.

Two catalogs may have tables in one folder, if the option that names the second one was forgotten
once; or one table, if it was registered in a second catalog or a database was copied. What the
other one has committed is no orphan.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from attrs import frozen
from pyarrow import fs
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.core.messages import some_of
from crypto_lakehouse.stores.confined import files_below
from crypto_lakehouse.tables.iceberg.bounded_files import (
    MOST_BYTES,
    check_whole,
    inflated,
    read_whole,
)
from crypto_lakehouse.tables.iceberg.inner_names import file_system_of, path_of
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT, check_read, delete_below
from crypto_lakehouse.tables.iceberg.manifest_check import check_manifests
from crypto_lakehouse.tables.iceberg.object_files import LakeObjects
from crypto_lakehouse.tables.iceberg.object_io import ObjectIO

__all__ = ["only_below", "refuse_foreign", "sweep_table"]

_METADATA = (".metadata.json", ".metadata.json.gz")

_GZIP = b"\x1f\x8b"

#: The name of a table's first metadata, which has no snapshots.
_FIRST = re.compile(r"0+-")

_IDENTITY = re.compile(rb'"table-uuid"\s*:\s*"([^"]*)"')


def sweep_table(table: Table, *, before: datetime | None = None) -> list[str]:
    """Delete the files of a table that no snapshot refers to.

    Args:
        table: The table, in its current state.
        before: Delete only files last changed before this time; None if no other writer exists.

    Returns:
        The paths deleted.

    Raises:
        LakeError: A manifest is gone or cut, so that files that it names would be deleted too; or
            what is listed is not in the table's folder; or another table is in the same folder.
        StoreError: The object store fails, or its answer is no listing.
    """
    refuse_foreign(table)
    files = _files_of(table)
    folder = path_of(table.location(), table.io)
    known = {path_of(location, table.io) for location in _referenced(table)}
    gone: list[str] = []
    for path, changed_at in only_below(folder, files.below(folder)):
        if path not in known and (before is None or changed_at < before):
            files.delete(path)
            gone.append(path)
    return gone


def refuse_foreign(table: Table) -> None:
    """Refuse to use a table, or to delete files, if another table has files in its folder.

    A table that was created at the same time as this one, and lost, has left metadata without
    snapshots. It is no other table. Later metadata that is cut short is that of the table which its
    beginning names, as what is cut off may have snapshots.

    A commit that was killed or overtaken leaves metadata, too, which follows metadata of this
    table. Metadata that follows other metadata is that of a catalog in which the table goes on
    otherwise: one commit of it looks like a killed one, two do not.

    Raises:
        LakeError: The folder has metadata with snapshots of another table, or of this one with
            commits that this catalog does not have, or metadata that cannot be read.
        StoreError: The object store fails, or its answer is no listing.
    """
    location, own = table.location().rstrip("/"), str(table.metadata.table_uuid)
    folder = path_of(location, table.io)
    files = _files_of(table)
    logged = {each.metadata_file for each in table.metadata.metadata_log}
    known = {path_of(each, table.io) for each in {table.metadata_location, *logged}}
    listed = only_below(folder, files.below(f"{folder}/metadata"))
    unknown = [path for path, _ in listed if path.endswith(_METADATA) and path not in known]
    found = {path: _with_snapshots(files, path) for path in unknown}
    foreign = [path for path, each in found.items() if each and each.table != own]
    elsewhere = [
        path
        for path, each in found.items()
        if each and each.table == own and _goes_on_elsewhere(table, each, known)
    ]
    if elsewhere:
        names = some_of([path.removeprefix(f"{folder}/") for path in elsewhere], 4)
        reason = (
            f"`{'.'.join(table.name())}` has metadata ({names}) of commits that this catalog does "
            "not have, and their files would be lost; nothing is changed. The table is in another "
            "catalog, too, or this one was restored from an earlier state: go on with the catalog "
            "that has these commits (`--catalog NAME`, or without `--catalog`); if none has them, "
            "remove these files"
        )
        raise LakeError(folder, reason, is_refused=True)
    if foreign:
        names = some_of([path.removeprefix(f"{folder}/") for path in foreign], 4)
        reason = (
            f"another table than `{'.'.join(table.name())}` has metadata in its folder ({names}), "
            "and its files would be lost; nothing is changed. If another catalog has that table, "
            "go on with that one (`--catalog NAME`, or without `--catalog`), and ingest what only "
            "this one has into another lake; if no catalog has it, remove these files"
        )
        raise LakeError(folder, reason, is_refused=True)


@frozen
class _Metadata:
    """What metadata says of the table that can be read by it.

    Attributes:
        table: Its identity.
        log: When each earlier metadata was written, in milliseconds, and where it is.
        snapshots: When each snapshot was made, in milliseconds, and its identity.
    """

    table: str
    log: tuple[tuple[int, str], ...] = ()
    snapshots: tuple[tuple[int, int], ...] = ()


def _goes_on_elsewhere(table: Table, found: _Metadata, known: set[str]) -> bool:
    """Whether metadata follows other metadata of the same table which its catalog never had.

    What is older than the log of the table may have been dropped from that, and what is elsewhere
    is from before the lake was relocated. A relocation that was killed leaves metadata that follows
    other metadata, without a snapshot that the table does not have or had before its oldest one.
    """
    own = {each.snapshot_id: each.timestamp_ms for each in table.metadata.snapshots}
    first = min(own.values(), default=0)
    if not any(at >= first and snapshot not in own for at, snapshot in found.snapshots):
        return False
    oldest = min((each.timestamp_ms for each in table.metadata.metadata_log), default=0)
    below = f"{table.location().rstrip('/')}/metadata/"
    return any(
        at >= oldest and location.startswith(below) and path_of(location, table.io) not in known
        for at, location in found.log
    )


def _with_snapshots(files: _LocalFiles | _RemoteFiles | LakeObjects, path: str) -> _Metadata | None:
    """The table that metadata is of; None if no table can be read by it.

    Raises:
        LakeError: It cannot be found out.
    """
    try:
        data = files.read(path)
        plain = inflated(path, data, is_partial=True) if data.startswith(_GZIP) else data
    except FileNotFoundError:  # deleted meanwhile
        return None
    except LakeError as error:
        reason = (
            f"nothing is changed, as it may be metadata of another table: {error.reason}; if no "
            "catalog has that table, remove this file"
        )
        raise LakeError(path, reason, is_refused=True) from error
    try:
        found = json.loads(plain)
    except (ValueError, RecursionError):  # cut, or damaged
        is_first = _FIRST.match(path.rpartition("/")[2])
        named = None if is_first else _IDENTITY.search(plain)
        return _Metadata(named[1].decode(errors="replace")) if named else None
    if not isinstance(found, dict) or not found.get("snapshots"):
        return None
    log, snapshots = tuple(_log_of(found)), tuple(_snapshots_of(found))
    return _Metadata(str(found.get("table-uuid", "")), log, snapshots)


def _log_of(found: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield the entries of the log in metadata; what is none is left out."""
    entries = found.get("metadata-log")
    for each in entries if isinstance(entries, list) else ():
        match each:
            case {"timestamp-ms": int(at), "metadata-file": str(location)}:
                yield at, location


def _snapshots_of(found: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Yield the time and the identity of each snapshot; what is none is left out."""
    entries = found["snapshots"]
    for each in entries if isinstance(entries, list) else ():
        match each:
            case {"timestamp-ms": int(at), "snapshot-id": int(identity)}:
                yield at, identity


def only_below(
    folder: str, listed: Iterable[tuple[str, datetime]]
) -> Iterator[tuple[str, datetime]]:
    """Yield what is listed of a folder.

    Raises:
        LakeError: A path is not below it: it may be that of a file of another table.
    """
    for path, changed_at in listed:
        if not path.startswith(f"{folder.rstrip('/')}/"):
            reason = f"nothing more is deleted: its listing names `{path}`, which is not in it"
            raise LakeError(folder, reason)
        yield path, changed_at


def _files_of(table: Table) -> _LocalFiles | _RemoteFiles | LakeObjects:
    if isinstance(table.io, ObjectIO):
        return table.io.objects
    filesystem = file_system_of(table.location(), table.io)
    return _LocalFiles.of(table) if filesystem.type_name == "local" else _RemoteFiles(filesystem)


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
            reason = f"nothing is deleted: {error.reason}"
            raise LakeError(folder, reason, is_refused=error.exit_code == 2) from error

    def read(self, path: str) -> bytes:
        check_read(path, self.root)
        return read_whole(path)

    def delete(self, path: str) -> None:
        delete_below(self.root, path)


@frozen
class _RemoteFiles:
    """Files of an object store, which has no links."""

    filesystem: fs.FileSystem

    def below(self, folder: str) -> Iterator[tuple[str, datetime]]:
        for info in self.filesystem.get_file_info(_all_below(folder)):
            if info.type == fs.FileType.File:
                yield info.path, _changed_at(info)

    def read(self, path: str) -> bytes:
        with self.filesystem.open_input_file(path) as file:
            return check_whole(path, file.read(MOST_BYTES + 1))

    def delete(self, path: str) -> None:
        self.filesystem.delete_file(path)


def _all_below(folder: str) -> fs.FileSelector:
    return fs.FileSelector(folder, allow_not_found=True, recursive=True)


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
        check_manifests(table, snapshot)
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in manifests:
                continue
            manifests[manifest.manifest_path] = manifest
            yield manifest.manifest_path
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                yield entry.data_file.file_path
