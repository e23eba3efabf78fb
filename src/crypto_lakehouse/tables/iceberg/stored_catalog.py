"""The catalog of a lake at a URL: in the local folder, following the records in the store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.io import PY_IO_IMPL, FileIO
from pyiceberg.table import CommitTableResponse, Table

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.embedded_catalog import EmbeddedCatalog
from crypto_lakehouse.tables.iceberg.inner_names import (
    TableRequirement,
    TableUpdate,
    staged_table,
)
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT, WAREHOUSE
from crypto_lakehouse.tables.iceberg.lost_tables import committed_metadata
from crypto_lakehouse.tables.iceberg.object_io import CLIENT, TEMPORARY, ObjectIO
from crypto_lakehouse.tables.iceberg.table_records import TableRecord, TableRecords

__all__ = ["StoredCatalog", "object_properties", "open_stored"]


def open_stored(client: ObjectClient, folder: str, properties: Mapping[str, Any]) -> StoredCatalog:
    """Open the catalog of a lake at a URL.

    Args:
        client: The objects below the URL.
        folder: The local folder, for temporary files.
        properties: The other properties of the catalog.
    """
    return StoredCatalog("lakehouse", **properties, **object_properties(client, folder))


def object_properties(client: ObjectClient, folder: str) -> dict[str, Any]:
    """Return the properties of a catalog that say how the files of a lake at a URL are accessed."""
    return {
        "warehouse": f"{client.url}/{WAREHOUSE}",
        PY_IO_IMPL: f"{ObjectIO.__module__}.{ObjectIO.__name__}",
        CLIENT: client,
        TEMPORARY: folder,
    }


class StoredCatalog(EmbeddedCatalog):
    """pyiceberg's catalog in SQLite, which follows the records of a lake's tables in its store.

    A commit counts once it is recorded in the store. What the database says otherwise, because a
    run was killed, the database is new, or another machine has committed, is changed to what the
    record says before a table is used.
    """

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        self.records = TableRecords(properties[CLIENT])

    def _load_file_io(self, *_properties: Any, **_location: Any) -> FileIO:
        return ObjectIO(self.properties)

    def list_namespaces(self, namespace: str | tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        """List namespaces, those of other machines' tables included.

        Raises:
            LakeError: The record of a table is gone.
            StoreError: The store fails.
        """
        known = {
            ".".join(table)
            for each in super().list_namespaces()
            for table in self.list_tables(each)
        }
        for name in sorted({*known, *self.records.names()}):
            self._follow(name)
        return super().list_namespaces(namespace)

    def load_table(self, identifier: str | tuple[str, ...]) -> Table:
        """Load a table as the store records it.

        Raises:
            LakeError: Its metadata decides how or where files are read or written; or its record
                is gone.
            StoreError: The store fails.
        """
        self._follow(_name(identifier))
        return super().load_table(identifier)

    def _follow(self, name: str) -> TableRecord | None:
        """Make the database say what a table's record says, and return the record."""
        record = self.records.read(name)
        here = super().locations(name)
        if record is None:
            if here is not None:
                raise self._lost(name)
        elif here is None:
            with suppress(NamespaceAlreadyExistsError):
                self.create_namespace(name.rpartition(".")[0])
            with suppress(TableAlreadyExistsError):  # by another thread or process
                super().register_table(name, record.metadata)
        elif here != (record.metadata, record.previous):
            # If another process changes the database now, it does so to follow a record, too.
            now = record.metadata, record.previous
            super().set_locations(name, here, now)
        return record

    def locations(self, name: str) -> tuple[str, str | None] | None:
        """Return the locations of a table's metadata and of the version before, as recorded.

        Raises:
            LakeError: The record of the table is gone.
            StoreError: The store fails.
        """
        self._follow(name)
        return super().locations(name)

    def set_locations(
        self, name: str, old: tuple[str, str | None], new: tuple[str, str | None]
    ) -> bool:
        """Change what is recorded of a table; return whether it was still `old`.

        Raises:
            StoreError: The store failed, and it is not known whether they are recorded.
        """
        record = self.records.read(name)
        if record is None or (record.metadata, record.previous) != old:
            return False
        is_recorded = self.records.replace(name, *new, record)
        self._follow(name)
        return is_recorded

    def settle(self, name: str) -> None:
        """Make the outcome of all commits to a table final that were begun before.

        Raises:
            LakeError: Its record is no record.
            StoreError: The store failed; a commit may still arrive.
        """
        self.records.settle(name)

    def _lost(self, name: str) -> LakeError:
        reason = (
            f"`{self.records.place(name)}`, which says which metadata of `{name}` is the current "
            "one, is gone; restore that object, or, if the lake was removed on purpose, remove "
            f"`{self.engine.url.database}`, too"
        )
        return LakeError(self.properties[LAKE_ROOT], reason)

    def create_table(self, identifier: str | tuple[str, ...], *given: Any, **named: Any) -> Table:
        """Create a table, unless the store has a record of one with its name.

        Raises:
            TableAlreadyExistsError: It has.
            LakeError: The table had commits, and its record is gone.
            StoreError: The store fails.
        """
        if self._follow(_name(identifier)) is not None:
            raise TableAlreadyExistsError(f"the table `{_name(identifier)}` exists")
        self._refuse_lost(_name(identifier))
        try:
            return self._created(identifier, *given, **named)
        except CommitFailedException as error:
            raise TableAlreadyExistsError(str(error)) from error

    def _refuse_lost(self, name: str) -> None:
        key = committed_metadata(self.records.client, name.replace(".", "/"))
        if key is not None:
            reason = (
                f"`{self.records.place(name)}`, which says which metadata of `{name}` is the "
                f"current one, is gone, and its metadata is there (`{key}`); restore that object"
            )
            raise LakeError(self.properties[LAKE_ROOT], reason)

    def _created(self, identifier: str | tuple[str, ...], *given: Any, **named: Any) -> Table:
        with self.create_table_transaction(identifier, *given, **named):
            pass
        return self.load_table(identifier)

    def commit_table(
        self,
        table: Table,
        requirements: tuple[TableRequirement, ...],
        updates: tuple[TableUpdate, ...],
    ) -> CommitTableResponse:
        """Commit updates to a table: write its metadata, and record it in the store.

        Raises:
            CommitFailedException: Another writer committed first; nothing is changed.
            ValidationException: The table was relocated after it was loaded; nothing is changed.
            StoreError: The store failed. If it is not known whether the commit was made, the
                record says so to the next one who loads the table.
        """
        name = ".".join(table.name())
        record = self._follow(name)
        current = None if record is None else super().load_table(table.name())
        if current is not None and record is not None:
            self._check_base(name, current.metadata_location, record)
            _refuse_relocated(name, table, current)
        staged = staged_table(self, current, table.name(), requirements, updates)
        if current is not None and staged.metadata == current.metadata:
            return _response(current)
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        if not self.records.write(name, staged.metadata_location, record):
            raise CommitFailedException(f"another writer has changed `{name}` first")
        self._follow(name)
        return _response(staged)

    def _check_base(self, name: str, location: str, record: TableRecord) -> None:
        if location != record.metadata:  # another process followed a newer record in between
            raise CommitFailedException(f"another writer has changed `{name}` meanwhile")


def _refuse_relocated(name: str, base: Table, current: Table) -> None:
    """Refuse a commit of files that are named as before a relocation.

    A relocation writes the metadata of each snapshot again, and deletes the old files; the numbers
    of the snapshots stay, so that pyiceberg's own checks do not notice it.
    """
    if base.location() != current.location():
        raise ValidationException(f"`{name}` was relocated meanwhile")
    lists = {each.snapshot_id: each.manifest_list for each in base.metadata.snapshots}
    for each in current.metadata.snapshots:
        if lists.get(each.snapshot_id, each.manifest_list) != each.manifest_list:
            raise CommitFailedException(f"`{name}` was relocated meanwhile")


def _response(table: Table) -> CommitTableResponse:
    location = {"metadata-location": table.metadata_location}
    return CommitTableResponse(metadata=table.metadata, **location)


def _name(identifier: str | tuple[str, ...]) -> str:
    return identifier if isinstance(identifier, str) else ".".join(identifier)
