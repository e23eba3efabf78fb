"""SQL over the lake: DuckDB in memory, with a view for each table.

A view reads the data files of one snapshot. Their folders carry the partition's values, so DuckDB
leaves files out by symbol and interval before it opens them, and row groups by their statistics.
A session reads these files and nothing else: no other file, no network, nothing written.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import duckdb
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError, QueryError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
from crypto_lakehouse.tables.lake.scan import Instant, dataset_of, local_path
from crypto_lakehouse.tables.schema.table_types import arrow_schema

__all__ = ["QueriedLake", "QuerySession"]

#: What a session may do: read, and make things of its own in memory. All else could write files,
#: the tables' own among them, or be a cover for it, as PREPARE is.
_ALLOWED = frozenset(
    {"SELECT", "CREATE", "CREATE_FUNC", "DROP", "INSERT", "UPDATE", "DELETE", "SET",
     "VARIABLE_SET", "PRAGMA", "TRANSACTION", "ANALYZE", "CALL", "MULTI"}
)  # fmt: skip

_WRITING = re.compile(r"\b(copy|export|attach|prepare|execute|load|install)\b", re.IGNORECASE)

#: The newest row of each archive; its history is a table of its own.
_HISTORY = "lakehouse.archive_history"


class QueriedLake(Protocol):
    """What a session needs of a lake.

    Attributes:
        catalog: Where its tables are.
    """

    catalog: LakeCatalog

    @property
    def tables(self) -> list[str]:
        """Full names of the tables."""
        ...

    def data_files(
        self, name: str, as_of: Instant | None = None
    ) -> tuple[Table, tuple[DataFile, ...]]:
        """A table and all its data files, now or then."""
        ...


class QuerySession:
    """A DuckDB connection that knows the lake's tables.

    Args:
        lake: The lake.
        as_of: Every table as it was then.
        tables: The tables to have views of; None finds those that each query names.
    """

    def __init__(
        self, lake: QueriedLake, *, as_of: Instant | None = None, tables: list[str] | None = None
    ) -> None:
        self._lake = lake
        self._as_of = as_of
        self._known = lake.tables
        self._paths: list[str] = []
        self._viewed: set[str] = set()
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        self._locked = False
        for name in tables or ():
            self._view(name)

    def close(self) -> None:
        """Close the connection; relations made of it are void."""
        self.connection.close()

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Ask; the result is read as it is fetched. Other statements have an empty one.

        Raises:
            QueryError: DuckDB does not understand it, some table or column is not there, or it
                is a statement that reads or writes files of its own.
        """
        if not self._locked:
            folded = query.casefold()
            for name in self._known:
                if name.partition(".")[2] in folded or (name == ARCHIVES and "archive" in folded):
                    self._view(name)
            self._lock()
        try:
            for statement in self.connection.extract_statements(query):
                _check_statement(statement.type.name, statement.query)
            return self.connection.sql(query)
        except duckdb.Error as error:
            raise QueryError("query", self._explained(str(error))) from error

    def _explained(self, reason: str) -> str:
        if "does not exist" in reason and self._known:
            return f"{reason}\nThe lake has: {', '.join(self._known)}"
        return reason

    def _lock(self) -> None:
        """From now on the session reads the views' files only."""
        paths = ", ".join(_quoted(path) for path in self._paths)
        self.connection.execute(f"SET allowed_paths = [{paths}]")
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")
        self._locked = True

    def _view(self, name: str) -> None:
        if name in self._viewed:
            return
        self._viewed.add(name)
        table, files = self._lake.data_files(name, self._as_of)
        namespace, _, plain = name.partition(".")
        self.connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"')
        columns = ", ".join(f'"{field.name}"' for field in table.schema().fields)
        paths = [local_path(file.file_path) for file in files]
        target = _HISTORY if name == ARCHIVES else f'"{namespace}"."{plain}"'
        source = self._source(name, table, paths)
        try:
            self.connection.execute(f"CREATE VIEW {target} AS SELECT {columns} FROM {source}")
        except duckdb.Error as error:
            reason = f"table `{name}` cannot be read: {error}"
            raise LakeError(str(self._lake.catalog.root), reason) from error
        if name == ARCHIVES:
            newest = "row_number() OVER (PARTITION BY archive ORDER BY recorded_at DESC) = 1"
            self.connection.execute(
                f"CREATE VIEW {ARCHIVES} AS SELECT * FROM {_HISTORY} QUALIFY {newest}"
            )

    def _source(self, name: str, table: Any, paths: list[str]) -> str:
        if paths and all("://" not in path for path in paths):
            self._paths += paths
            listed = ", ".join(_quoted(path) for path in paths)
            return (
                f"read_parquet([{listed}], hive_partitioning = true, hive_types_autocast = false)"
            )
        registered = f"files of {name}"
        if paths:
            self.connection.register(registered, dataset_of(table, paths))
        else:
            self.connection.register(registered, arrow_schema(table.schema()).empty_table())
        return f'"{registered}"'


def _check_statement(kind: str, text: str) -> None:
    # EXPLAIN ANALYZE does what it explains.
    if kind == "EXPLAIN" and _WRITING.search(text):
        kind = "EXPLAIN of what writes"
    if kind != "EXPLAIN" and kind not in _ALLOWED:
        raise QueryError("query", f"{kind} is refused: a query reads the tables only")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
