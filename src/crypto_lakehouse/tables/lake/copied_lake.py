"""Relocates a lake that was copied from a directory to an object store, or back.

All metadata is written again first. Then the tables are made known at the new place, from what the
copy brought along: a directory gets its catalog, an object store a record for each table, that of
`lakehouse.archives` last, without which no ingestion begins. What the copy brought along goes last,
so a relocation that was killed is completed by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Protocol

from attrs import define, frozen

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.catalog_errors import as_lake_errors
from crypto_lakehouse.tables.iceberg.copied_tables import Locations, copied_tables, forget_copied
from crypto_lakehouse.tables.iceberg.lake_formats import CATALOG
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.local_io import DISK
from crypto_lakehouse.tables.iceberg.table_records import TableRecords
from crypto_lakehouse.tables.lake.lake_files import LakeFiles, files_of
from crypto_lakehouse.tables.lake.relocation import (
    Relocated,
    Relocation,
    check_there,
    relocate,
)

__all__ = ["check_lake", "relocate_lake"]

#: The table of the archives that are ingested.
_LAST = "lakehouse.archives"


def check_lake(place: LakePlace, catalog: str | None = None) -> None:
    """Check that there is a lake, or the copy of one.

    Raises:
        LakeError: Its catalog cannot be reached.
        NoLakeError: There is none.
        StoreError: The object store fails.
    """
    if catalog is not None or not place.has_copied_tables():
        LakeCatalog(place, catalog).close()


def relocate_lake(
    place: LakePlace, catalog: str | None = None, *, dry_run: bool = False
) -> list[Relocated]:
    """Make all metadata of a lake name this place, also that of a copy of another kind.

    The caller must hold the lake's lock, except for a dry run, which writes nothing.

    Args:
        place: Where the lake is now.
        catalog: The catalog that is used instead of the embedded one, which is refused.
        dry_run: Whether only to find out what there is to do.

    Returns:
        What was done for each table whose metadata did not name this place already.

    Raises:
        LakeError: As `relocate`; or what a copy brought along contradicts the tables that are here.
        NoLakeError: There is no lake.
        StoreError: The object store fails.
    """
    copied = None if catalog is not None else copied_tables(place)
    done = [] if copied is None else _relocate_copy(place, copied, dry_run=dry_run)
    if dry_run and copied is not None:
        return done
    opened = LakeCatalog(place, catalog)
    try:
        if not dry_run:
            opened.check_writable()
        names = [name for name in opened.names() if copied is None or name not in copied]
        return done + relocate(opened, names, dry_run=dry_run)
    finally:
        opened.close()


def _relocate_copy(
    place: LakePlace, copied: Mapping[str, Locations], *, dry_run: bool
) -> list[Relocated]:
    files = files_of(place)
    known = _known(place)
    left = {name: copied[name] for name in known.unfinished(copied)}
    with as_lake_errors(str(place)):
        new = _NewLocations({**left})
        planned = [Relocation(files, new, name, dry_run=True) for name in left]
        found = [each.run() for each in planned]
        check_there(files.root, [fault for each in planned for fault in each.faults])
        if not dry_run:
            found = _make(files, known, left)
            forget_copied(place)
    return [each or Relocated(name, files.root, 0) for name, each in zip(left, found, strict=True)]


def _make(files: LakeFiles, known: _Known, left: Mapping[str, Locations]) -> list[Relocated | None]:
    """Write all metadata again, add the tables, and delete the metadata that is replaced."""
    new = _NewLocations({**left})
    made = [Relocation(files, new, name, keeps_replaced=True) for name in left]
    is_begun = False
    try:
        found = [each.run() for each in made]
        if left:
            is_begun = known.may_add_later
            known.add(new.tables, {name: left[name][0] for name in left})
    except BaseException:
        with suppress(Exception):
            unfinished = () if is_begun else known.unfinished(left)
            for each in made:
                if each.name in unfinished:
                    each.discard()
        raise
    for each in made:
        for path in each.replaced:
            files.delete(path)
    return found


@define
class _NewLocations:
    """The locations of tables, as the catalog or the records are to have them."""

    tables: dict[str, Locations]

    def locations(self, name: str) -> Locations:
        return self.tables[name]

    def set_locations(self, name: str, old: Locations, new: Locations) -> None:  # noqa: ARG002
        self.tables[name] = new

    def settle(self, name: str) -> bool:  # noqa: ARG002
        return True


class _Known(Protocol):
    """The tables that are known at a place.

    Attributes:
        may_add_later: Whether a table that `add` failed to add may be added still, by a request
            whose answer did not arrive. What it names must not be deleted; `lake sweep` deletes
            what no table names once it is old.
    """

    may_add_later: ClassVar[bool]

    def unfinished(self, copied: Mapping[str, Locations]) -> list[str]:
        """Return the names of those that a killed relocation left to do, the last one last."""

    def add(self, tables: Mapping[str, Locations], copied_from: Mapping[str, str]) -> None:
        """Add tables, and remember where their metadata was before."""


def _known(place: LakePlace) -> _Known:
    return _InDirectory(place) if place.client is None else _AtUrl(TableRecords(place.client))


@frozen
class _AtUrl:
    may_add_later: ClassVar[bool] = True
    records: TableRecords

    def unfinished(self, copied: Mapping[str, Locations]) -> list[str]:
        place = self.records.client.url
        others = {*self.records.names()} - copied.keys()
        left = []
        for name in sorted(copied, key=lambda name: (name == _LAST, name)):
            record = self.records.read(name)
            if record is None:
                left.append(name)
            elif record.copied_from != copied[name][0]:
                others.add(name)
        if others:
            raise _contradiction(place, self.records.client.place(CATALOG), min(others))
        return left

    def add(self, tables: Mapping[str, Locations], copied_from: Mapping[str, str]) -> None:
        for name, (metadata, previous) in tables.items():
            if not self.records.replace(name, metadata, previous, None, copied_from[name]):
                reason = f"another program has recorded `{name}`; run it again"
                raise LakeError(self.records.client.url, reason)


@frozen
class _InDirectory:
    may_add_later: ClassVar[bool] = False
    place: LakePlace

    def unfinished(self, copied: Mapping[str, Locations]) -> list[str]:
        if not self.place.catalog.is_file():
            return sorted(copied)
        catalog = LakeCatalog(self.place)
        try:
            for name, (metadata, _) in sorted(copied.items()):
                if catalog.embedded.copied_from(name) != metadata:
                    raise _contradiction(
                        self.place.root, f"{self.place.root}/.lakehouse/tables", name
                    )
        finally:
            catalog.close()
        return []

    def add(self, tables: Mapping[str, Locations], copied_from: Mapping[str, str]) -> None:
        with TemporaryDirectory(prefix="crypto-lakehouse-") as folder:
            catalog = LakeCatalog(Path(folder), create=True)
            try:
                catalog.embedded.register(tables, copied_from)
            finally:
                catalog.close()
            data = Path(folder, CATALOG).read_bytes()
        path = str(self.place.catalog.resolve())
        DISK.write(path, data, f"{path}.part", sync=True)
        DISK.sync(self.place.root, [path])


def _contradiction(lake: str, copied: str, name: str) -> LakeError:
    reason = (
        f"nothing is relocated: it has tables already, and `{copied}` was copied here from a lake "
        f"with another version of `{name}`; to go on with the tables that are here, remove "
        f"`{copied}`; to use the copy, copy it to another place"
    )
    return LakeError(lake, reason)
