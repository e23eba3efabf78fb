"""Checks that the manifests of a snapshot are whole, before anything trusts what they list.

pyiceberg takes the end of the bytes for the end of the records. A manifest that was cut where one
of its blocks begins has fewer data files, without an error: a query would return too few rows, a
commit would drop the other files from the table, and a sweep would delete them.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestContent, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.tables.iceberg.avro_file import AvroError, check_end
from crypto_lakehouse.tables.iceberg.damage import BUILD_AGAIN
from crypto_lakehouse.tables.iceberg.inner_names import file_system_of, path_of
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT

__all__ = ["check_manifests", "length_fault"]

#: In the summary of a snapshot: how many data files the table has.
_TOTAL = "total-data-files"

_RESTORE = "restore the file from a backup, or roll the table back to a snapshot without it"


def check_manifests(table: Table, snapshot: Snapshot | None) -> None:
    """Check the sizes of a snapshot's manifests, and that its manifest list is whole.

    Only sizes are looked at, not what the manifests hold. Nothing is checked in an object store,
    in which no object is ever half written.

    Args:
        table: The table.
        snapshot: One of its snapshots; None for a table that has none.

    Raises:
        LakeError: A file is gone or cut; it is named, with what to do.
    """
    if snapshot is None or not _is_local(snapshot.manifest_list, table.io):
        return
    root = table.io.properties.get(LAKE_ROOT)
    for location, fault in _faults(table.io, snapshot):
        name = ".".join(table.name())
        reason = (
            f"table `{name}`: `{path_of(location, table.io)}` is damaged: {fault}; "
            f"{_RESTORE if root is None else BUILD_AGAIN}"
        )
        raise LakeError(root or table.location(), reason)


def length_fault(size: int, recorded: int) -> str:
    """Say that a manifest has another size than its manifest list records; empty if it has not."""
    if size == recorded:
        return ""
    return f"it has {plural(size, 'byte', form=',')} instead of {recorded:,}"


def _is_local(location: str, io: FileIO) -> bool:
    return bool(file_system_of(location, io).type_name == "local")


def _faults(io: FileIO, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """The damaged files of a snapshot, and what is wrong with each."""
    listing = snapshot.manifest_list
    try:
        with io.new_input(listing).open() as stream:
            check_end(stream.read())
    except FileNotFoundError:
        yield listing, "it is gone"
    except AvroError as error:
        yield listing, str(error)
    manifests = snapshot.manifests(io)
    listed, total = _data_files(manifests), _recorded_files(snapshot)
    if listed is not None and total is not None and listed < total:
        has = plural(listed, "data file", form=",")
        yield listing, f"its manifests have {has} instead of {total:,}"
    for manifest in manifests:
        try:
            size = len(io.new_input(manifest.manifest_path))
        except FileNotFoundError:
            yield manifest.manifest_path, "it is gone"
        else:
            if fault := length_fault(size, manifest.manifest_length):
                yield manifest.manifest_path, fault


def _data_files(manifests: list[ManifestFile]) -> int | None:
    """How many data files some manifests have; None if one does not say, as in format 1."""
    count = 0
    for manifest in manifests:
        if manifest.content != ManifestContent.DATA:
            continue
        if manifest.added_files_count is None or manifest.existing_files_count is None:
            return None
        count += manifest.added_files_count + manifest.existing_files_count
    return count


def _recorded_files(snapshot: Snapshot) -> int | None:
    """How many data files the table has by the summary of a snapshot; None if it does not say."""
    summary = snapshot.summary
    text = None if summary is None else summary.additional_properties.get(_TOTAL)
    return int(text) if text is not None and text.isdecimal() else None
