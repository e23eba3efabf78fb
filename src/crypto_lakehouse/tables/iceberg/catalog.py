"""The catalog of a lake's tables: embedded in SQLite, unless another one is named."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.io import PY_IO_IMPL
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from crypto_lakehouse.core.config.database_url import is_database_url
from crypto_lakehouse.core.errors import LakeError, NoLakeError
from crypto_lakehouse.core.hard_links import link_fault
from crypto_lakehouse.tables.iceberg.catalog_errors import as_lake_errors
from crypto_lakehouse.tables.iceberg.column_names import check_names, columns_fault
from crypto_lakehouse.tables.iceberg.damage import (
    metadata_fault,
    refuse_foreign_objects,
)
from crypto_lakehouse.tables.iceberg.interrupted_commit import rolled_back_copy
from crypto_lakehouse.tables.iceberg.lake_formats import (
    CATALOG,
    JOURNALS,
    NO_LAKE,
    NOT_RELOCATED,
    missing_lake,
)
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.iceberg.local_io import (
    LAKE_ROOT,
    WAREHOUSE,
    LocalIO,
    check_inside,
    check_text,
    location_of,
    sync_files,
)
from crypto_lakehouse.tables.iceberg.manifest_check import check_manifests
from crypto_lakehouse.tables.iceberg.orphans import refuse_foreign
from crypto_lakehouse.tables.schema.schemas import PartitionField, TableSchema
from crypto_lakehouse.tables.schema.table_types import iceberg_schema, partition_spec, sort_order

if TYPE_CHECKING:
    from crypto_lakehouse.tables.iceberg.embedded_catalog import EmbeddedCatalog

__all__ = ["LakeCatalog", "is_exact"]

#: The table property that says whether numbers are decimals.
EXACT = "crypto-lakehouse.exact"

_PROPERTIES = {
    # Truncated bounds of keys would be useless, because all keys begin alike.
    "write.metadata.metrics.column.archive": "full",
    "write.metadata.metrics.column.symbol": "full",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.manifest-merge.enabled": "true",
}


def is_exact(table: Table) -> bool:
    """Whether the numbers of a table are decimals."""
    return bool(table.properties.get(EXACT) == "true")


class LakeCatalog:
    """The tables of one lake.

    Args:
        place: Where the lake is; a path is that of its directory.
        name: A catalog of pyiceberg's configuration (`~/.pyiceberg.yaml`, `PYICEBERG_CATALOG__*`)
            to use instead of the embedded one: REST, Glue, Hive, SQL. Or the URL of a PostgreSQL
            database, without a password, for the catalog of this lake.
        create: Whether to create the lake if it does not exist.
        purpose: What the commits are made for, if that is no command of a user; each snapshot has
            it.

    Raises:
        LakeError: The catalog cannot be reached.
        NoLakeError: Its path is not UTF-8; or there is no lake, and `create` is false; or the place
            has tables that the catalog does not have.
    """

    def __init__(
        self,
        place: Path | LakePlace,
        name: str | None = None,
        *,
        create: bool = False,
        purpose: str = "",
    ) -> None:
        self.purpose = purpose
        self.place = LakePlace.of(place)
        folder = self.place.folder
        self.name = name
        if name is None:
            check_text(str(self.place.folder.resolve()))
        if create:
            with as_lake_errors(str(self.place)):
                self._refuse_other_lake()
            folder.mkdir(parents=True, exist_ok=True)
        self._copy: TemporaryDirectory[str] | None = None
        with as_lake_errors(str(self.place), name):
            if not create and name is None:
                self._check_there()
            if create:
                self.check_writable()
            self.catalog = self._open()
        self._watch: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        if name is not None and is_database_url(name):
            try:
                with self.errors():
                    self._check_named(create=create)
            except BaseException:
                self.close()
                raise

    def errors(self) -> AbstractContextManager[None]:
        """Convert the exceptions of the catalog and its storage; see `as_lake_errors`."""
        return as_lake_errors(str(self.place), self.name)

    def _check_named(self, *, create: bool) -> None:
        """Check that a catalog in PostgreSQL has tables of this lake, or that one may begin."""
        if self.names():
            return
        fault = self.place.tables_of_others() or ("" if create else NO_LAKE)
        if fault and not self.names():  # another machine may have begun the lake meanwhile
            raise NoLakeError(str(self.place), fault)

    def _check_there(self) -> None:
        place = self.place
        if not place.is_url:
            if fault := missing_lake(place.folder):
                raise NoLakeError(str(place.folder.absolute()), fault)
            return
        if not place.has_tables():
            if place.has_copied_tables():
                raise NoLakeError(str(place), NOT_RELOCATED)
            raise NoLakeError(str(place), place.lost_tables() or NO_LAKE)
        place.folder.mkdir(parents=True, exist_ok=True)

    def _refuse_other_lake(self) -> None:
        """Refuse to begin an empty lake where one lies, or to write to a part of a copy.

        Raises:
            NoLakeError: It is the copy of a lake of the other kind, which is not relocated; or the
                tables of a lake are there, and nothing names them.
        """
        if self.name is None and self.place.has_copied_tables():
            raise NoLakeError(self.place.root, NOT_RELOCATED)
        if self.name is None and (fault := self.place.lost_tables()):
            raise NoLakeError(self.place.root, fault)

    def check_writable(self) -> None:
        """Check that a write to the embedded catalog changes no file elsewhere.

        Raises:
            LakeError: The catalog's file has several names.
        """
        for suffix in ("", "-journal", "-wal", "-shm"):
            if self.name is None and (fault := link_fault(f"{self.place.catalog}{suffix}")):
                raise LakeError(str(self.place), fault)

    def _open(self) -> Catalog:
        if self.name is not None:
            return self._configured(self.name)
        from sqlalchemy.engine import URL

        folder = self.place.folder.resolve()
        for name in (CATALOG, WAREHOUSE, JOURNALS):
            check_inside(str(folder / name), str(folder))
        self._copy = rolled_back_copy(folder / CATALOG)
        refuse_foreign_objects(self._database())
        properties: dict[str, Any] = {
            # Not text: a URL cannot hold every path, and how it is quoted depends on the version.
            "uri": URL.create("sqlite", database=str(self._database())),
            LAKE_ROOT: self.place.root,
        }
        if self.place.client is not None:
            from crypto_lakehouse.tables.iceberg.stored_catalog import open_stored

            return open_stored(self.place.client, str(folder), properties)
        from crypto_lakehouse.tables.iceberg.embedded_catalog import EmbeddedCatalog
        from crypto_lakehouse.tables.iceberg.table_metadata import check_rows

        check_rows(self._database(), str(self.place))

        properties["warehouse"] = location_of(folder / WAREHOUSE)
        properties[PY_IO_IMPL] = f"{LocalIO.__module__}.{LocalIO.__name__}"
        return EmbeddedCatalog("lakehouse", **properties)

    def _database(self) -> Path:
        folder = self.place.folder.resolve() if self._copy is None else Path(self._copy.name)
        return folder / CATALOG

    def _configured(self, name: str) -> Catalog:
        if is_database_url(name):
            from crypto_lakehouse.tables.iceberg.server_catalog import open_server_catalog

            return open_server_catalog(name, self.place)
        try:
            return load_catalog(name)
        except Exception as error:
            reason = (
                f"catalog `{name}` cannot be opened: {error}; define it in ~/.pyiceberg.yaml, or "
                f"with PYICEBERG_CATALOG__{name.upper()}__URI and similar variables"
            )
            raise LakeError(str(self.place), reason) from error

    @property
    def embedded(self) -> EmbeddedCatalog:
        """The catalog of pyiceberg, if none is named."""
        return cast("EmbeddedCatalog", self.catalog)

    @property
    def is_shared(self) -> bool:
        """Whether other machines may write to the tables, whatever the lake's lock says."""
        return self.name is not None or self.place.is_url

    def committing(self, name: str, check: Callable[[], None]) -> AbstractContextManager[None]:
        """Keep the ingestions of other machines from committing to a table, if the catalog can.

        Only one in PostgreSQL can.

        Args:
            name: The table's full name.
            check: Called while another machine commits; may raise to cancel.
        """
        if self.name is None or not is_database_url(self.name):
            return nullcontext()
        from pyiceberg.catalog.sql import SqlCatalog

        from crypto_lakehouse.tables.iceberg.commit_lock import commit_lock

        assert isinstance(self.catalog, SqlCatalog)  # noqa: S101 - for the type checker
        return commit_lock(self.catalog, name, check)

    def make_durable(self, files: Iterable[DataFile]) -> None:
        """Sync data files to disk, before a commit names them."""
        is_own = self.name is None or is_database_url(self.name)
        if is_own and not self.place.is_url:
            sync_files(Path(self.place.root), [file.file_path for file in files])

    def close(self) -> None:
        """Close the catalog's connections."""
        close = getattr(self.catalog, "close", None)
        if close is not None:
            close()
        if self._watch is not None:
            self._watch.close()
        if self._copy is not None:
            self._copy.cleanup()

    def version(self) -> int | None:
        """A number that changes with every commit to any table; None for a shared catalog.

        Source: SQLite's `PRAGMA data_version`, which sees the commits of all other connections.
        """
        if self.is_shared:
            return None
        with self.errors(), self._lock:
            if self._watch is None:
                place = f"{self._database().as_uri()}?mode=ro"
                self._watch = sqlite3.connect(place, uri=True, check_same_thread=False)
            (number,) = self._watch.execute("PRAGMA data_version").fetchone()
            return int(number)

    def names(self) -> list[str]:
        """The tables' full names, sorted."""
        with self.errors():
            found = [
                ".".join(identifier)
                for namespace in self.catalog.list_namespaces()
                for identifier in self.catalog.list_tables(namespace)
            ]
        return sorted(found)

    def locations(self, name: str) -> tuple[str, str | None]:
        """The locations of a table's metadata and of the version before, in the embedded catalog.

        Raises:
            LakeError: There is no such table.
            StoreError: The object store fails.
        """
        found = self.embedded.locations(name)
        if found is None:
            raise LakeError(str(self.place), f"there is no table `{name}`")
        return found

    def set_locations(
        self, name: str, old: tuple[str, str | None], new: tuple[str, str | None]
    ) -> None:
        """Change what `locations` returns, in one transaction.

        Raises:
            LakeError: It is not `old` any more.
            StoreError: The object store fails.
        """
        if not self.embedded.set_locations(name, old, new):
            raise LakeError(str(self.place), f"another program has changed `{name}`; run it again")

    def settle(self, name: str) -> bool:
        """Make the outcome of all commits to a table final that were begun before.

        A request that commits may arrive after its answer was given up, or after its process was
        killed. What it names must not be deleted before this.

        Returns:
            Whether it is final; it never is in a store that ignores conditions, or in a catalog of
            pyiceberg's configuration, as these have no means for that.

        Raises:
            LakeError: The catalog fails; a commit may still arrive.
            StoreError: The object store fails; the same holds.
        """
        from crypto_lakehouse.tables.iceberg.embedded_catalog import EmbeddedCatalog

        if not isinstance(self.catalog, EmbeddedCatalog):
            return False
        with self.errors():
            if self.name is None and self.place.is_url and not self.place.has_conditions():
                return False
            self.catalog.settle(name)
        return True

    def find(self, name: str) -> Table | None:
        """Load a table; None if it does not exist.

        Raises:
            LakeError: Its metadata cannot be read, contradicts itself, or has a manifest that was
                cut; or another program has renamed or replaced columns of data files.
        """
        namespace, _, plain = name.partition(".")
        if not (namespace and plain):
            return None
        with self.errors():
            try:
                table = self.catalog.load_table(name)
            except (NoSuchTableError, NoSuchNamespaceError):
                return None
            if self.name is None and (fault := metadata_fault(table)):
                raise ValueError(f"table `{name}`: {fault}")
            check_manifests(table, table.current_snapshot())
            check_names(table, live_files(table))
            return table

    def table_for(self, schema: TableSchema, *, exact: bool) -> Table:
        """Load the table of a data type, or create it.

        Raises:
            LakeError: The table exists, and its numbers are of the other type, or another program
                has changed its columns; or it is new, and another table is in its folder.
        """
        table = self.find(schema.name)
        iceberg = iceberg_schema(schema, exact=exact)
        if table is None:
            table = self.create(
                schema.name, iceberg, schema.partitioning, schema.sort_key,
                {EXACT: str(exact).lower()},
            )  # fmt: skip
        if table.current_snapshot() is None:
            with self.errors():
                refuse_foreign(table)
        if is_exact(table) != exact:
            has, wants = ("decimals", "floats") if not exact else ("floats", "decimals")
            reason = f"table `{schema.name}` has {has}; {wants} cannot be added: use another lake"
            raise LakeError(str(self.place), reason)
        if fault := columns_fault(table, iceberg):
            reason = (
                f"table `{schema.name}` {fault}: another program has changed its columns, and "
                "nothing is added to it; change them back with that program"
            )
            raise LakeError(str(self.place), reason)
        return table

    def create(
        self,
        name: str,
        schema: Schema,
        partitioning: tuple[PartitionField, ...],
        order: tuple[str, ...],
        properties: dict[str, str],
    ) -> Table:
        """Create a table, or load it if another writer has just created it."""
        with self.errors():
            with suppress(NamespaceAlreadyExistsError):
                self.catalog.create_namespace(name.partition(".")[0])
            try:
                return self.catalog.create_table(
                    name,
                    schema,
                    partition_spec=partition_spec(partitioning, schema),
                    sort_order=sort_order(order, schema),
                    properties={**_PROPERTIES, **properties},
                )
            except TableAlreadyExistsError:
                return self.catalog.load_table(name)
