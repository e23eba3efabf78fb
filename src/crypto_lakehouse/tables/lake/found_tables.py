"""Finds the tables of a lake by name, and keeps what it has read until the next commit."""

from __future__ import annotations

from collections.abc import Iterable

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog, is_exact
from crypto_lakehouse.tables.ingest.differences import DIFFERENCES
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
from crypto_lakehouse.tables.lake.absent_tables import absent_tables
from crypto_lakehouse.tables.lake.contents import SnapshotContents
from crypto_lakehouse.tables.lake.not_ingested import blank_table
from crypto_lakehouse.tables.schema.schemas import TableSchema, load_schemas

__all__ = ["FoundTables"]


class FoundTables:
    """The tables of a catalog.

    Args:
        catalog: The catalog.
    """

    def __init__(self, catalog: LakeCatalog) -> None:
        self.catalog = catalog
        self.schemas = {schema.name: schema for schema in load_schemas().values()}
        self._found: tuple[int | None, dict[str, Table]] = (None, {})
        self._contents: dict[tuple[object, ...], SnapshotContents] = {}
        self._blanks: dict[str, Table] = {}

    def resolve(self, name: str) -> str:
        """A table's name as the catalog has it."""
        wanted = _folded(name)
        for known in (*self.schemas, ARCHIVES, DIFFERENCES):
            if _folded(known) == wanted:
                return known
        return name

    def existing(self, names: Iterable[str]) -> list[Table]:
        """Several tables, each once.

        Raises:
            QueryError: There are no such tables; the message names all of them.
        """
        found = {name: self.find(name) for name in map(self.resolve, dict.fromkeys(names))}
        absent = [name for name, table in found.items() if table is None]
        if absent:
            there = self.catalog.names()
            raise QueryError(str(self.catalog.place), absent_tables(absent, there))
        return [table for table in found.values() if table is not None]

    def find(self, name: str) -> Table | None:
        """Find a table; its metadata is read again only after a commit."""
        version = self.catalog.version()
        if version is None:
            return self.catalog.find(name)
        seen, tables = self._found
        if seen != version:
            tables = {}
            self._found = version, tables
        if name not in tables:
            table = self.catalog.find(name)
            if table is None:
                return None
            tables[name] = table
        return tables[name]

    def blank(self, schema: TableSchema) -> Table:
        """A table of a type without rows, as this lake would have it."""
        if schema.name not in self._blanks:
            names = self.catalog.names()
            there = (self.find(each) for each in names if each in self.schemas)
            exact = any(is_exact(table) for table in there if table is not None)
            self._blanks[schema.name] = blank_table(schema, exact=exact)
        return self._blanks[schema.name]

    def contents(self, table: Table, snapshot: Snapshot | None) -> SnapshotContents:
        """What a snapshot has; None is that of a table without any."""
        number = None if snapshot is None else snapshot.snapshot_id
        known = (table.metadata.table_uuid, number, table.metadata.current_schema_id)
        if known not in self._contents:
            self._contents[known] = SnapshotContents(table, number, str(self.catalog.place))
        return self._contents[known]


def _folded(name: str) -> str:
    return name.replace("_", "").lower()
