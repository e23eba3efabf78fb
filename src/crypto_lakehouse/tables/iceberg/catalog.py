"""The catalog of a lake's tables: embedded in SQLite, unless another one is named."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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

from crypto_lakehouse.core.errors import LakeError, LakehouseError
from crypto_lakehouse.stores.os_errors import REFUSALS, what_to_do
from crypto_lakehouse.tables.iceberg.damage import is_damage, metadata_fault, with_remedy
from crypto_lakehouse.tables.iceberg.inner_names import (
    metadata_locations,
    set_metadata_locations,
)
from crypto_lakehouse.tables.iceberg.interrupted_commit import rolled_back_copy
from crypto_lakehouse.tables.iceberg.local_io import (
    LAKE_ROOT,
    WAREHOUSE,
    LocalIO,
    check_inside,
    check_text,
    location_of,
    sync_files,
)
from crypto_lakehouse.tables.schema.schemas import PartitionField, TableSchema
from crypto_lakehouse.tables.schema.table_types import iceberg_schema, partition_spec, sort_order

__all__ = ["JOURNALS", "LakeCatalog", "as_lake_errors"]

#: The folder of journals in a lake's directory.
JOURNALS = "journal"

#: The embedded catalog's file in a lake's directory.
CATALOG = "catalog.db"

#: What SQLite cannot do with the catalog, by primary error code, and what to allow.
_REFUSED = {
    sqlite3.SQLITE_READONLY: ("written", "write"),
    sqlite3.SQLITE_CANTOPEN: ("opened", "read and write"),
    sqlite3.SQLITE_PERM: ("opened", "read and write"),
}

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


@contextmanager
def as_lake_errors(lake: str) -> Iterator[None]:
    """Convert the exceptions of a catalog and its storage to `LakeError`.

    Raises:
        LakeError: Instead of any exception that is not a `LakehouseError`.
    """
    try:
        yield
    except LakehouseError:
        raise
    except Exception as error:
        cause = getattr(error, "orig", error)  # SQLAlchemy wraps the errors of SQLite
        reason = _reason(cause)
        raise LakeError(lake, with_remedy(lake, reason) if is_damage(cause) else reason) from error


def _reason(cause: Exception) -> str:
    """Say why a catalog or its storage fails, and what to do if the system refuses a file."""
    text = (str(cause) or type(cause).__name__).splitlines()[0][:500]
    if isinstance(cause, OSError) and cause.errno in REFUSALS:
        return what_to_do(cause, "")
    if isinstance(cause, sqlite3.OperationalError):
        action = _REFUSED.get(int(getattr(cause, "sqlite_errorcode", 0)) & 0xFF)
        if action is not None:
            return (
                f"`{CATALOG}` cannot be {action[0]}: {text}; let this user {action[1]} it and the "
                "files beside it, or choose another directory with `--lake`"
            )
    return text


class LakeCatalog:
    """The tables of one lake.

    Args:
        root: The lake's directory, with the embedded catalog and its warehouse.
        name: A catalog of pyiceberg's configuration (`~/.pyiceberg.yaml`, `PYICEBERG_CATALOG__*`)
            to use instead of the embedded one: REST, Glue, Hive, SQL.
        create: Whether to create the directory if it does not exist.

    Raises:
        LakeError: There is no lake and `create` is false, its path is not UTF-8, or the catalog
            cannot be reached.
    """

    def __init__(self, root: Path, name: str | None = None, *, create: bool = False) -> None:
        self.root = root
        self.name = name
        if name is None:
            check_text(str(root.resolve()))
        if create:
            root.mkdir(parents=True, exist_ok=True)
        self._copy: TemporaryDirectory[str] | None = None
        with as_lake_errors(str(root)):
            if not create and name is None and not (root / CATALOG).is_file():
                raise LakeError(str(root), _no_lake(root))
            self.catalog = self._open()
        self._watch: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def _open(self) -> Catalog:
        if self.name is not None:
            return self._configured(self.name)
        from pyiceberg.catalog.sql import SqlCatalog
        from sqlalchemy.engine import URL

        root = self.root.resolve()
        for name in (CATALOG, WAREHOUSE, JOURNALS):
            check_inside(str(root / name), str(root))
        self._copy = rolled_back_copy(root / CATALOG)
        properties: dict[str, Any] = {
            # Not text: a URL cannot hold every path, and how it is quoted depends on the version.
            "uri": URL.create("sqlite", database=str(self._database())),
            "warehouse": location_of(root / WAREHOUSE),
            PY_IO_IMPL: f"{LocalIO.__module__}.{LocalIO.__name__}",
            LAKE_ROOT: str(root),
        }
        return SqlCatalog("lakehouse", **properties)

    def _database(self) -> Path:
        return (self.root.resolve() if self._copy is None else Path(self._copy.name)) / CATALOG

    def _configured(self, name: str) -> Catalog:
        try:
            return load_catalog(name)
        except Exception as error:
            reason = (
                f"catalog `{name}` cannot be opened: {error}; define it in ~/.pyiceberg.yaml, or "
                f"with PYICEBERG_CATALOG__{name.upper()}__URI and similar variables"
            )
            raise LakeError(str(self.root), reason) from error

    @property
    def is_shared(self) -> bool:
        """Whether other machines may write to the tables, whatever the lake's lock says."""
        return self.name is not None

    def make_durable(self, files: Iterable[DataFile]) -> None:
        """Sync data files to disk, before a commit names them."""
        if not self.is_shared:
            sync_files(self.root.resolve(), [file.file_path for file in files])

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
        with as_lake_errors(str(self.root)), self._lock:
            if self._watch is None:
                place = f"{self._database().as_uri()}?mode=ro"
                self._watch = sqlite3.connect(place, uri=True, check_same_thread=False)
            (number,) = self._watch.execute("PRAGMA data_version").fetchone()
            return int(number)

    def names(self) -> list[str]:
        """The tables' full names, sorted."""
        with as_lake_errors(str(self.root)):
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
        """
        namespace, _, table = name.rpartition(".")
        found = metadata_locations(self.catalog, namespace, table)
        if found is None:
            raise LakeError(str(self.root), f"there is no table `{name}`")
        return found

    def set_locations(
        self, name: str, old: tuple[str, str | None], new: tuple[str, str | None]
    ) -> None:
        """Change what `locations` returns, in one transaction.

        Raises:
            LakeError: It is not `old` any more.
        """
        namespace, _, table = name.rpartition(".")
        if not set_metadata_locations(self.catalog, namespace, table, old, new):
            raise LakeError(str(self.root), f"another program has changed `{name}`; run it again")

    def find(self, name: str) -> Table | None:
        """Load a table; None if it does not exist.

        Raises:
            LakeError: Its metadata cannot be read, or contradicts itself.
        """
        namespace, _, plain = name.partition(".")
        if not (namespace and plain):
            return None
        with as_lake_errors(str(self.root)):
            try:
                table = self.catalog.load_table(name)
            except (NoSuchTableError, NoSuchNamespaceError):
                return None
            if not self.is_shared and (fault := metadata_fault(table)):
                raise ValueError(f"table `{name}`: {fault}")
            return table

    def table_for(self, schema: TableSchema, *, exact: bool) -> Table:
        """Load the table of a data type, or create it.

        Raises:
            LakeError: The table exists, and its numbers are of the other type.
        """
        table = self.find(schema.name)
        if table is None:
            iceberg = iceberg_schema(schema, exact=exact)
            return self.create(
                schema.name, iceberg, schema.partitioning, schema.sort_key,
                {EXACT: str(exact).lower()},
            )  # fmt: skip
        if (table.properties.get(EXACT) == "true") != exact:
            has, wants = ("decimals", "floats") if not exact else ("floats", "decimals")
            reason = f"table `{schema.name}` has {has}; {wants} cannot be added: use another lake"
            raise LakeError(str(self.root), reason)
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
        with as_lake_errors(str(self.root)):
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

    def add_columns(self, table: Table, schema: Schema) -> None:
        """Add the columns that a table made by an earlier version lacks; they must be optional."""
        known = table.schema().column_names
        missing = [each for each in schema.fields if each.name not in known]
        if not missing:
            return
        with as_lake_errors(str(self.root)), table.update_schema() as update:
            for each in missing:
                update.add_column(each.name, each.field_type, each.doc)


def _no_lake(root: Path) -> str:
    """Why a directory cannot be opened as a lake."""
    plain = ("*/*/interval=*/symbol=*/*.parquet", "*/*/symbol=*/*.parquet")
    if any(any(root.glob(pattern)) for pattern in plain):
        return (
            "these are plain Parquet files, without tables: read them with another program, or "
            "make tables in another directory with `crypto-lakehouse ingest --lake DIR`"
        )
    return "there is no lake here yet; `crypto-lakehouse ingest` creates one"
