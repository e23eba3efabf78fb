"""Makes the metadata of a lake name the place where the lake is now.

Iceberg's metadata has absolute locations. This program resolves them in the lake that is open, but
other engines follow them, and would read the original of a copy. Here every file of metadata that
names another place is written again under a new name: those of all snapshots, so that each can be
read, and earlier versions of the table's metadata. One change of the catalog then makes them
current, so a run that is killed leaves the table as it was.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.stores.confined import has_link, open_folder
from crypto_lakehouse.stores.disk import NO_LINK
from crypto_lakehouse.tables.iceberg.avro_file import AvroError, AvroFile
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog, as_lake_errors
from crypto_lakehouse.tables.iceberg.local_io import (
    DISK,
    WAREHOUSE,
    delete_below,
    location_of,
    path_in_lake,
)

__all__ = ["Relocated", "made_in", "relocate"]

#: Properties of a table that are locations.
_PLACES = (
    "write.data.path",
    "write.metadata.path",
    "write.object-storage.path",
    "write.folder-storage.path",
)

_VERSION = re.compile(r"([0-9]+)-")
_PACKED = ".gz.metadata.json"

#: What a data file's `content` is if it has positions of deleted rows, with the paths of the files.
_POSITION_DELETES = 1


@frozen
class Relocated:
    """The result for one table.

    Attributes:
        table: Its full name.
        made_in: The directory of the lake that its metadata named.
        files: How many files of metadata were written, or would be.
    """

    table: str
    made_in: str
    files: int


def made_in(catalog: LakeCatalog, name: str) -> str | None:
    """The directory where a table was made, if its metadata names that and not this lake.

    Only the newest metadata is read. For a shared catalog it is None, as its locations are the
    catalog's.
    """
    table = None if catalog.is_shared else catalog.find(name)
    if table is None:
        return None
    here = f"{location_of(catalog.root.resolve())}/{WAREHOUSE}/"
    named = (table.location(), table.metadata_location)
    return next((_directory(each) for each in named if not each.startswith(here)), None)


def relocate(catalog: LakeCatalog, name: str, *, dry_run: bool = False) -> Relocated | None:
    """Make all metadata of a table name this lake; the caller must hold the lake's lock.

    Data files are not read, and stay as they are.

    Args:
        catalog: The lake's tables.
        name: The table.
        dry_run: Whether only to find out what there is to do.

    Returns:
        What was done; None if the metadata names this lake already.

    Raises:
        LakeError: The catalog is shared; or a file cannot be read, names a place outside a lake,
            or has paths that cannot be changed. The table is as it was.
    """
    if catalog.is_shared:
        reason = "the locations of a catalog from pyiceberg's configuration are that catalog's"
        raise LakeError(str(catalog.root), f"nothing is relocated: {reason}")
    with as_lake_errors(str(catalog.root)):
        return _Relocation(catalog, name, dry_run).run()


def _directory(location: str) -> str:
    return location.rpartition(f"/{WAREHOUSE}/")[0].removeprefix("file://")


@define(eq=False)
class _Relocation:
    """The relocation of one table.

    Attributes:
        dry_run: Whether nothing is written.
        moved: The new locations of the files of metadata, by the old ones.
        written: The paths of the new files.
        replaced: The paths of the files of which they are new versions.
    """

    catalog: LakeCatalog
    name: str
    dry_run: bool
    root: str = field(init=False)
    moved: dict[str, str] = field(init=False, factory=dict)
    written: list[str] = field(init=False, factory=list)
    replaced: list[str] = field(init=False, factory=list)
    _lengths: dict[str, int] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.root = str(self.catalog.root.resolve())

    def run(self) -> Relocated | None:
        now = self.catalog.locations(self.name)
        try:
            named, new = self._take_along(*now)
            if new == now and not self.written:
                return None
            if not self.dry_run:
                DISK.sync(self.root, self.written)
                self.catalog.set_locations(self.name, now, new)
        except BaseException:
            with suppress(Exception):
                # An interrupt may come when the change is made already.
                if not self.dry_run and self.catalog.locations(self.name) == now:
                    self._remove(self.written)
            raise
        if not self.dry_run:
            self._remove(self.replaced)
        return Relocated(self.name, named, len(self.written))

    def _take_along(self, now: str, before: str | None) -> tuple[str, tuple[str, str | None]]:
        """Write all metadata again; return what it named, and what the catalog is to name."""
        plain = self._read_json(now)
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

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            delete_below(self.root, path)

    # -- finding out what changes

    def _here(self, location: str) -> str:
        """The location of the file of the same name in this lake."""
        return location_of(Path(path_in_lake(location, self.root)))

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
        is_packed = location.endswith(_PACKED)
        ending = _PACKED if is_packed else ".metadata.json"
        stem = f"{int(number[1]) if number else 0:05d}-{uuid.uuid4()}"
        return self._put(location, f"{stem}{ending}", gzip.compress(data) if is_packed else data)

    def _manifest_list(self, location: str) -> str:
        if location in self.moved:
            return self.moved[location]
        file = self._read_avro(location)
        changed = False
        for manifest in (each for block in file.records for each in block):
            path = manifest["manifest_path"]
            new, length = self._manifest(path)
            changed |= new != path
            if self.moved[path] != self._here(path):  # it is a new file
                manifest["manifest_length"] = length
            manifest["manifest_path"] = new
        if not changed:
            return self._keep(location)
        return self._put(location, f"snap-{uuid.uuid4()}.avro", file.encoded())

    def _manifest(self, location: str) -> tuple[str, int]:
        if location not in self.moved:
            file = self._read_avro(location)
            changed = False
            for entry in (each for block in file.records for each in block):
                changed |= self._data_file(location, entry["data_file"])
            if changed:
                data = file.encoded()
                self._put(location, f"{uuid.uuid4()}-m0.avro", data)
                self._lengths[location] = len(data)
            else:
                self._keep(location)
        return self.moved[location], self._lengths.get(location, 0)

    def _data_file(self, manifest: str, entry: dict[str, Any]) -> bool:
        """Change the location of a file; return whether it was another one."""
        if entry.get("content", 0) == _POSITION_DELETES:
            reason = "names files of deleted rows, which have paths of data files in them"
            raise self._refusal(manifest, reason)
        path = entry["file_path"]
        entry["file_path"] = self._here(path)
        return bool(entry["file_path"] != path)

    def _keep(self, location: str) -> str:
        self.moved[location] = self._here(location)
        return self.moved[location]

    def _put(self, location: str, name: str, data: bytes) -> str:
        """Write a new version of a file, and return its location."""
        old = path_in_lake(location, self.root)
        path = f"{old.rpartition('/')[0]}/{name}"
        self.written.append(path)
        if not self.dry_run:
            self._create(path, data)
        self.replaced.append(old)
        self.moved[location] = location_of(Path(path))
        return self.moved[location]

    # -- reading and writing

    def _is_there(self, location: str) -> bool:
        return os.path.isfile(path_in_lake(location, self.root))  # noqa: PTH113 - the path is text

    def _read(self, location: str) -> bytes:
        path = path_in_lake(location, self.root)
        if has_link(self.root, path):
            raise LakeError(path, "a symbolic link is on the path, and it is not followed")
        try:
            return Path(path).read_bytes()
        except FileNotFoundError:
            raise self._refusal(location, "is not there; copy the lake again") from None

    def _read_json(self, location: str) -> dict[str, Any]:
        data = self._read(location)
        plain = json.loads(gzip.decompress(data) if location.endswith(_PACKED) else data)
        if not isinstance(plain, dict):
            raise self._refusal(location, "is no metadata of a table")
        return plain

    def _read_avro(self, location: str) -> AvroFile:
        try:
            return AvroFile.read(self._read(location))
        except AvroError as error:
            raise self._refusal(location, f"cannot be read: {error}") from error

    def _refusal(self, location: str, reason: str) -> LakeError:
        name = path_in_lake(location, self.root)
        return LakeError(self.root, f"`{self.name}` is not relocated: `{name}` {reason}")

    def _create(self, path: str, data: bytes) -> None:
        folder, _, name = path.rpartition("/")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK
        try:
            with open_folder(self.root, folder) as descriptor:
                at = path if descriptor is None else name
                with os.fdopen(os.open(at, flags, 0o666, dir_fd=descriptor), "wb") as file:
                    file.write(data)
        except StoreError as error:
            raise LakeError(path, f"nothing is written: {error.reason}") from error
