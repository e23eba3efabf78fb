"""Makes the metadata of a lake name the place where the lake is now.

Iceberg's metadata has absolute locations. This program resolves them in the lake that is open, but
other engines follow them, and would read the original of a copy. Here every file of metadata that
names another place is written again under a new name: those of all snapshots, so that each can be
read, and earlier versions of the table's metadata. One change of the catalog, or of the table's
record in the object store, then makes them current, so a run that is killed leaves the table as it
was. If it is not known whether that change is made, the new files are deleted only once it cannot
be made any more.
"""

from __future__ import annotations

import gzip
import json
import re
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from attrs import define, field, frozen

from crypto_lakehouse.core.config.database_url import is_database_url
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.tables.iceberg.avro_file import AvroError, AvroFile
from crypto_lakehouse.tables.iceberg.bounded_files import PACKED, inflated
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.local_io import WAREHOUSE, path_in_lake
from crypto_lakehouse.tables.iceberg.manifest_check import length_fault
from crypto_lakehouse.tables.iceberg.table_metadata import check_metadata
from crypto_lakehouse.tables.lake.lake_files import LakeFiles, files_of

__all__ = ["Pointers", "Relocated", "Relocation", "check_there", "made_in", "relocate"]

#: Properties of a table that are locations.
_PLACES = (
    "write.data.path",
    "write.metadata.path",
    "write.object-storage.path",
    "write.folder-storage.path",
)

_VERSION = re.compile(r"([0-9]+)-")

#: What a data file's `content` is if it has positions of deleted rows, with the paths of the files.
_POSITION_DELETES = 1

#: How many data files an error names.
_MOST_NAMED = 5

#: The status of a manifest's entry of a file that is there since this snapshot, or until it.
_ADDED, _DELETED = 1, 2


@frozen
class Relocated:
    """The result for one table.

    Attributes:
        table: Its full name.
        made_in: The lake that its metadata named: a directory, or a URL.
        files: How many files of metadata were written, or would be.
    """

    table: str
    made_in: str
    files: int


def made_in(catalog: LakeCatalog, name: str) -> str | None:
    """The lake where a table was made, if its metadata names that and not this lake.

    Only the newest metadata is read. For a catalog that is not embedded it is None, as its
    locations are the catalog's.
    """
    table = None if catalog.name is not None else catalog.find(name)
    if table is None:
        return None
    files = files_of(catalog.place)
    here = f"{files.location(files.root)}/{WAREHOUSE}/"
    named = (table.location(), table.metadata_location)
    return next((_directory(each) for each in named if not each.startswith(here)), None)


def relocate(
    catalog: LakeCatalog, names: Iterable[str], *, dry_run: bool = False
) -> list[Relocated]:
    """Make all metadata of some tables name this lake.

    The caller must hold the lake's lock, except for a dry run, which writes nothing.

    All metadata are read first, and the size of each data file is compared with them: nothing is
    written if one is not there, or has another size. Data files stay as they are.

    Args:
        catalog: The lake's tables.
        names: The tables.
        dry_run: Whether only to find out what there is to do.

    Returns:
        What was done for each table whose metadata did not name this lake already.

    Raises:
        LakeError: The catalog is not embedded; data files are not there; or a file cannot be read,
            names a place outside a lake or properties that are not accepted, or has paths that
            cannot be changed. The table is as it was.
        StoreError: The object store fails.
    """
    if catalog.name is not None:
        reason = (
            "its locations are in PostgreSQL, with those of other lakes; to have the tables at "
            "another place, run `crypto-lakehouse ingest` with `--lake` and `--catalog` there"
            if is_database_url(catalog.name)
            else "the locations of a catalog from pyiceberg's configuration are that catalog's; "
            "change them with its own program"
        )
        raise LakeError(str(catalog.place), f"nothing is relocated: {reason}", is_refused=True)
    files, given = files_of(catalog.place), [*names]
    with catalog.errors():
        planned = [Relocation(files, catalog, name, dry_run=True) for name in given]
        found = [each.run() for each in planned]
        check_there(files.root, [fault for each in planned for fault in each.faults])
        if not dry_run:
            found = [Relocation(files, catalog, name).run() for name in given]
    return [each for each in found if each is not None]


def check_there(root: str, faults: Sequence[str]) -> None:
    """Refuse a lake of which data files are not there, or have another size.

    Raises:
        LakeError: There are such files; some are named.
    """
    if not faults:
        return
    named = "; ".join([*faults[:_MOST_NAMED], *(["..."] if len(faults) > _MOST_NAMED else [])])
    reason = (
        f"nothing is relocated, as not all data files that the metadata names are here: {named} "
        f"({plural(len(faults), 'data file', form=',')}); copy the lake again, or, if they are "
        "gone for good, run `crypto-lakehouse ingest`, which writes their rows again, and "
        "`crypto-lakehouse lake expire` for those of older snapshots"
    )
    raise LakeError(root, reason)


class Pointers(Protocol):
    """Which metadata of a table is the current one, and which was before it."""

    def locations(self, name: str) -> tuple[str, str | None]:
        """Return the locations of a table's metadata and of the version before.

        Raises:
            LakeError: There is no such table.
        """

    def set_locations(
        self, name: str, old: tuple[str, str | None], new: tuple[str, str | None]
    ) -> None:
        """Change what `locations` returns.

        Raises:
            LakeError: It is not `old` any more.
        """

    def settle(self, name: str) -> bool:
        """Return whether no change that was begun before can be made any more."""


def _directory(location: str) -> str:
    return location.rpartition(f"/{WAREHOUSE}/")[0].removeprefix("file://")


@define(eq=False)
class Relocation:
    """The relocation of one table.

    Attributes:
        files: The files of the lake.
        pointers: Which metadata is the current one.
        name: The table.
        dry_run: Whether nothing is written.
        keeps_replaced: Whether the caller deletes the files of which there are new versions.
        moved: The new locations of the files of metadata, by the old ones.
        written: The paths of the new files.
        replaced: The paths of the files of which they are new versions.
        faults: What is wrong with data files.
    """

    files: LakeFiles
    pointers: Pointers
    name: str
    dry_run: bool = False
    keeps_replaced: bool = False
    root: str = field(init=False)
    moved: dict[str, str] = field(init=False, factory=dict)
    written: list[str] = field(init=False, factory=list)
    replaced: list[str] = field(init=False, factory=list)
    faults: list[str] = field(init=False, factory=list)
    _sizes: dict[str, int] = field(init=False, factory=dict)
    _lengths: dict[str, int] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.root = self.files.root

    def run(self) -> Relocated | None:
        """Relocate the table; return None if its metadata names this lake already."""
        now = self.pointers.locations(self.name)
        try:
            named, new = self._take_along(*now)
            if new == now and not self.written:
                return None
            if not self.dry_run:
                self.files.sync(self.written)
                self.pointers.set_locations(self.name, now, new)
        except BaseException:
            with suppress(Exception):
                if not self.dry_run:
                    self._discard_unless_made(now)
            raise
        if not (self.dry_run or self.keeps_replaced):
            self._remove(self.replaced)
        return Relocated(self.name, named, len(self.written))

    def _take_along(self, now: str, before: str | None) -> tuple[str, tuple[str, str | None]]:
        """Write all metadata again; return what it named, and what the catalog is to name."""
        plain = self._read_json(now)
        self._sizes = self.files.sizes(path_in_lake(plain["location"], self.root).rstrip("/"))
        check_metadata(self.root, self.name, plain["location"], plain.get("properties", {}))
        for snapshot in plain.get("snapshots", ()):
            if "manifest-list" not in snapshot:
                raise self._refusal(now, "has snapshots without a manifest list")
            self._manifest_list(snapshot["manifest-list"])
        older_ones = [entry["metadata-file"] for entry in plain.get("metadata-log", ())]
        for location in older_ones if before is None else [*older_ones, before]:
            if location not in self.moved and self._is_there(location):
                self._metadata(location, self._read_json(location))
        named = _directory(plain["location"])
        new = self._metadata(now, plain)
        return named, (new, None if before is None else self._moved(before))

    def _discard_unless_made(self, now: tuple[str, str | None]) -> None:
        """Delete what was written, unless the change is made: it may be, whatever the error is."""
        if self.pointers.settle(self.name) and self.pointers.locations(self.name) == now:
            self.discard()

    def discard(self) -> None:
        """Delete what was written, which nothing names."""
        self._remove(self.written)

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            self.files.delete(path)

    # -- finding out what changes

    def _here(self, location: str) -> str:
        """The location of the file of the same name in this lake."""
        return self.files.location(path_in_lake(location, self.root))

    def _moved(self, location: str) -> str:
        return self.moved.get(location) or self._here(location)

    def _metadata(self, location: str, plain: dict[str, Any]) -> str:
        """Take along a version of the table's metadata, once those before it are."""
        before = json.dumps(plain, ensure_ascii=False)
        plain["location"] = self._here(plain["location"])
        for name in _PLACES:
            if name in plain.get("properties", {}):
                plain["properties"][name] = self._here(plain["properties"][name])
        for snapshot in plain.get("snapshots", ()):
            if "manifest-list" in snapshot:  # it may have expired since
                snapshot["manifest-list"] = self._moved(snapshot["manifest-list"])
        for entry in plain.get("metadata-log", ()):
            entry["metadata-file"] = self._moved(entry["metadata-file"])
        for kind in ("statistics", "partition-statistics"):
            for entry in plain.get(kind, ()):
                entry["statistics-path"] = self._here(entry["statistics-path"])
        after = json.dumps(plain, ensure_ascii=False)
        if after == before:
            return self._keep(location)
        data = after.encode()
        number = _VERSION.match(location.rpartition("/")[2])
        is_packed = location.endswith(PACKED)
        ending = PACKED if is_packed else ".metadata.json"
        stem = f"{int(number[1]) if number else 0:05d}-{uuid.uuid4()}"
        return self._put(location, f"{stem}{ending}", gzip.compress(data) if is_packed else data)

    def _manifest_list(self, location: str) -> str:
        if location in self.moved:
            return self.moved[location]
        file = self._decoded(location, self._read(location))
        changed = False
        for manifest in (each for block in file.records for each in block):
            path = manifest["manifest_path"]
            new, length = self._manifest(path, manifest["manifest_length"])
            changed |= new != path
            if self.moved[path] != self._here(path):  # it is a new file
                manifest["manifest_length"] = length
            manifest["manifest_path"] = new
        if not changed:
            return self._keep(location)
        return self._put(location, f"snap-{uuid.uuid4()}.avro", file.encoded())

    def _manifest(self, location: str, recorded: int) -> tuple[str, int]:
        if location not in self.moved:
            before = self._read(location)
            file = self._decoded(location, before)
            changed = False
            for entry in (each for block in file.records for each in block):
                is_there = entry.get("status", _ADDED) != _DELETED
                changed |= self._data_file(location, entry["data_file"], is_there=is_there)
            if fault := length_fault(len(before), recorded):
                raise self._refusal(location, f"is damaged: {fault}")
            if changed:
                data = file.encoded()
                self._put(location, f"{uuid.uuid4()}-m0.avro", data)
                self._lengths[location] = len(data)
            else:
                self._keep(location)
        return self.moved[location], self._lengths.get(location, 0)

    def _data_file(self, manifest: str, entry: dict[str, Any], *, is_there: bool) -> bool:
        """Change the location of a file; return whether it was another one."""
        if entry.get("content", 0) == _POSITION_DELETES:
            reason = "names files of deleted rows, which have paths of data files in them"
            raise self._refusal(manifest, reason)
        path = entry["file_path"]
        entry["file_path"] = self._here(path)
        if is_there and self.dry_run:
            self._check_size(path_in_lake(path, self.root), entry["file_size_in_bytes"])
        return bool(entry["file_path"] != path)

    def _check_size(self, path: str, recorded: int) -> None:
        size = self._sizes.get(path)
        if size is None:
            size = self.files.size(path)
        if size is None:
            self.faults.append(f"`{path}` is absent")
        elif size != recorded:
            has = plural(size, "byte", form=",")
            self.faults.append(f"`{path}` has {has} instead of {recorded:,}")
        self._sizes[path] = recorded  # it is named once

    def _keep(self, location: str) -> str:
        self.moved[location] = self._here(location)
        return self.moved[location]

    def _put(self, location: str, name: str, data: bytes) -> str:
        """Write a new version of a file, and return its location."""
        old = path_in_lake(location, self.root)
        path = f"{old.rpartition('/')[0]}/{name}"
        self.written.append(path)
        if not self.dry_run:
            self.files.create(path, data)
        self.replaced.append(old)
        self.moved[location] = self.files.location(path)
        return self.moved[location]

    # -- reading and writing

    def _is_there(self, location: str) -> bool:
        return self.files.has(path_in_lake(location, self.root))

    def _read(self, location: str) -> bytes:
        path = path_in_lake(location, self.root)
        try:
            return self.files.read(path)
        except FileNotFoundError:
            raise self._refusal(location, "is not there; copy the lake again") from None

    def _read_json(self, location: str) -> dict[str, Any]:
        data = self._read(location)
        plain = json.loads(inflated(location, data) if location.endswith(PACKED) else data)
        if not isinstance(plain, dict):
            raise self._refusal(location, "is no metadata of a table")
        return plain

    def _decoded(self, location: str, data: bytes) -> AvroFile:
        try:
            return AvroFile.read(data)
        except AvroError as error:
            raise self._refusal(location, f"cannot be read: {error}") from error

    def _refusal(self, location: str, reason: str) -> LakeError:
        name = path_in_lake(location, self.root)
        return LakeError(self.root, f"`{self.name}` is not relocated: `{name}` {reason}")
