"""The tables of a lake that was copied from a directory to an object store, or back.

A lake in a directory has its catalog in `catalog.db`; a lake at a URL has a record for each table
below `.lakehouse/tables/`. A copy to the other kind of place brings the one along that is not used
there. A relocation makes the other one from it, and removes it last: while it is there, no table is
created, so that no empty lake begins where one lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.stores.confined import files_below, remove_empty
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.bounded_files import MOST_BYTES, read_whole
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.lake_formats import CATALOG
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.local_io import DISK, check_inside, delete_below
from crypto_lakehouse.tables.iceberg.table_records import (
    RECORDS,
    parsed_record,
    record_bytes,
    table_of,
)

__all__ = ["Locations", "copied_tables", "forget_copied", "write_copied"]

#: The location of a table's metadata, and that of the version before.
Locations = tuple[str, str | None]

#: The files of a catalog in SQLite, the catalog itself first.
_DATABASE = (CATALOG, f"{CATALOG}-journal", f"{CATALOG}-wal", f"{CATALOG}-shm")


def copied_tables(place: LakePlace) -> Mapping[str, Locations] | None:
    """Return the tables that a copy brought along, by name; None if this is no such copy; blocking.

    Raises:
        LakeError: What it brought along is damaged.
        StoreError: The object store fails.
    """
    if place.client is not None:
        return _in_catalog(place.client)
    return _in_records(place) or None


def _in_catalog(client: ObjectClient) -> Mapping[str, Locations] | None:
    with TemporaryDirectory(prefix="crypto-lakehouse-") as folder:
        for name in reversed(_DATABASE):
            found = client.read_small(name, MOST_BYTES)
            if found is not None and found[1] is None:
                reason = f"it has more than {MOST_BYTES >> 20} MiB, and is not read"
                raise LakeError(client.place(name), reason)
            if found is not None and found[1] is not None:
                Path(folder, name).write_bytes(found[1])
        if not Path(folder, CATALOG).is_file():
            return None
        try:
            catalog = LakeCatalog(Path(folder))
            try:
                tables = {name: catalog.locations(name) for name in catalog.names()}
            finally:
                catalog.close()
        except LakeError as error:
            reason = f"`{CATALOG}`, which was copied here, is damaged: {error.reason}"
            raise LakeError(client.url, reason) from error
    if not tables:
        raise LakeError(client.url, f"`{CATALOG}`, which was copied here, has no tables; remove it")
    return tables


def _in_records(place: LakePlace) -> Mapping[str, Locations]:
    found: dict[str, Locations] = {}
    for path in _records_in(place):
        name = table_of(path.removeprefix(f"{place.root}/"))
        if name is not None:
            metadata, previous, _ = parsed_record(place.root, path, name, read_whole(path))
            found[name] = (metadata, previous)
    return found


def _records_in(place: LakePlace) -> list[str]:
    try:
        found = files_below(place.root, f"{place.root}/{RECORDS}".rstrip("/"))
        return [entry.path for entry in found]
    except StoreError as error:
        raise LakeError(place.root, f"it is not read: {error.reason}") from error


def write_copied(place: LakePlace, tables: Mapping[str, Locations]) -> None:
    """Write at a place what a copy would bring along, before any other file is copied; blocking.

    Raises:
        StoreError: The object store fails.
        OSError: A file cannot be written.
    """
    if place.client is not None:
        with TemporaryDirectory(prefix="crypto-lakehouse-") as folder:
            catalog = LakeCatalog(Path(folder), create=True)
            catalog.embedded.register(tables, {})
            catalog.close()
            place.client.put(CATALOG, Path(folder, CATALOG).read_bytes())
        return
    records = Path(place.root, RECORDS)
    check_inside(str(records), place.root)
    records.mkdir(parents=True, exist_ok=True)
    paths = {name: f"{records}/{name}.json" for name in tables}
    for name, locations in tables.items():
        DISK.write(paths[name], record_bytes(*locations), f"{paths[name]}.part")
    DISK.sync(place.root, [*paths.values()])


def forget_copied(place: LakePlace) -> None:
    """Remove what a copy brought along, the last step of its relocation; blocking.

    Raises:
        StoreError: The object store fails.
        OSError: A file cannot be removed.
    """
    if place.client is not None:
        place.client.delete(*reversed(_DATABASE))
        return
    for path in _records_in(place):
        delete_below(place.root, path)
    with suppress(OSError):
        remove_empty(place.root, f"{place.root}/{RECORDS}".rstrip("/"), up_to=place.root)
