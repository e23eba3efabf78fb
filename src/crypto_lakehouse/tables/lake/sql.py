"""SQL over the lake: DuckDB in memory, with a view for each table.

A view reads the data files of one snapshot, as the table's metadata names them. If their folders
name the same partitions as the metadata, DuckDB skips files by symbol and interval before it opens
them; it always skips row groups by their statistics.
A session reads only these files: it has no access to other files or the network, and cannot write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import duckdb
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError, QueryError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog, as_lake_errors
from crypto_lakehouse.tables.iceberg.damage import with_remedy
from crypto_lakehouse.tables.iceberg.data_files import partition_of, partition_path
from crypto_lakehouse.tables.ingest.differences import DIFFERENCES, no_differences
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, ORDER
from crypto_lakehouse.tables.lake.connection import explained, open_connection
from crypto_lakehouse.tables.lake.scan import (
    Instant,
    TimeRange,
    dataset_of,
    literal_glob,
    local_path,
)
from crypto_lakehouse.tables.lake.spill import release_spill_folder, spill_folder
from crypto_lakehouse.tables.schema.table_types import arrow_schema

__all__ = ["QueriedLake", "QuerySession"]

#: Statements that a session may run: they read, or create objects in memory. All others could write
#: files, including those of the tables, or hide such a statement, as PREPARE does.
_ALLOWED = frozenset(
    {"SELECT", "CREATE", "CREATE_FUNC", "DROP", "INSERT", "UPDATE", "DELETE", "SET",
     "VARIABLE_SET", "PRAGMA", "TRANSACTION", "ANALYZE", "CALL", "MULTI"}
)  # fmt: skip

#: What DuckDB takes from the name of a folder as it is.
_PLAIN = re.compile(r"[\w=./-]+")

#: What DuckDB could take for a partition, or for the end of a path, in a folder above a table's.
_MISLEADING = re.compile(r"[=?%\\\n]")

_WRITING = re.compile(r"\b(copy|export|attach|prepare|execute|load|install)\b", re.IGNORECASE)

#: Functions that read any file that the session can open, which includes its temporary ones, or run
#: a statement that is put together from texts.
_READING = re.compile(
    r"""\b(read_\w+|parquet_scan|sniff_csv|query|json_execute_serialized_sql)"?
    (?:\s|/\*.*?\*/|--[^\n]*\n)*\(""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)

#: What DuckDB says about a table that has no view.
_NO_TABLE = re.compile(r'Table with name "?([\w.]+)"? does not exist')

#: The namespace of what is recorded about the archives.
RECORDS = "lakehouse"

#: All rows of the table of archives; the view of the archives has only the newest row of each.
_HISTORY = "lakehouse.archive_history"


class QueriedLake(Protocol):
    """The part of a lake that a session uses.

    Attributes:
        catalog: The lake's tables.
    """

    catalog: LakeCatalog

    @property
    def tables(self) -> list[str]:
        """Full names of the tables."""
        ...

    def data_files(
        self, name: str, as_of: Instant | None = None
    ) -> tuple[Table, tuple[DataFile, ...]]:
        """A table and all its data files, now or as of a time."""
        ...


class QuerySession:
    """A DuckDB connection with views of the lake's tables.

    Args:
        lake: The lake.
        as_of: Read every table as of this time.
        tables: The tables to make views of; None for those that the queries name.

    Raises:
        QueryError: `as_of` is a text that is not an ISO date or time.
    """

    def __init__(
        self, lake: QueriedLake, *, as_of: Instant | None = None, tables: list[str] | None = None
    ) -> None:
        TimeRange.of(None, as_of)  # a query without a table would not notice a wrong time
        self._lake = lake
        self._as_of = as_of
        self._known = lake.tables
        self._paths: list[str] = []
        self._viewed: set[str] = set()
        self._absent: dict[str, QueryError] = {}
        self._temporary: str | None = spill_folder(lake.catalog.root)
        self.connection = open_connection(temporary=self._temporary)
        self._locked = False
        for name in tables or ():
            self._view(name)

    def close(self) -> None:
        """Close the connection; its relations can no longer be used."""
        self.connection.close()
        if self._temporary is not None:
            release_spill_folder(self._temporary)
            self._temporary = None

    def interrupt(self) -> None:
        """End the statement that runs, from another thread; it raises QueryError."""
        self.connection.interrupt()

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Run a query; its result is read lazily. The result of other statements is empty.

        Raises:
            QueryError: DuckDB rejects the query, it is empty, a table or column does not exist, or
                the statement would read or write files.
        """
        if not self._locked:
            folded = query.casefold()
            for name in self._known:
                if name.partition(".")[2] in folded or (name == ARCHIVES and "archive" in folded):
                    self._view(name)
            if DIFFERENCES not in self._known and "differences" in folded:
                self._view_none()
            self._lock()
        try:
            statements = self.connection.extract_statements(query)
            if not statements:
                raise QueryError("query", "there is no statement in it")
            for statement in statements:
                _check_statement(statement.type.name, statement.query)
            return self.connection.sql(query)
        except duckdb.Error as error:
            reason = explained(error)
            self._refuse_absent(reason, query)
            raise QueryError("query", self._explained(reason)) from error

    def _refuse_absent(self, reason: str, query: str) -> None:
        """Raise the error of a table that had no snapshot then, if the query failed for it."""
        found = _NO_TABLE.search(reason)
        if found is None:
            return
        missing = found[1].casefold()
        for name in sorted(self._absent, key=lambda name: name not in query.casefold()):
            if missing in {name, name.partition(".")[2]}:
                raise self._absent[name]

    def _explained(self, reason: str) -> str:
        if "does not exist" in reason and self._known:
            return f"{reason}\nThe lake has: {', '.join(self._known)}"
        return reason

    def _lock(self) -> None:
        """Restrict the session to the files of its views, for good."""
        paths = ", ".join(_quoted(path) for path in self._paths)
        self.connection.execute(f"SET allowed_paths = [{paths}]")
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")
        self._locked = True

    def _view(self, name: str) -> None:
        if name in self._viewed:
            return
        self._viewed.add(name)
        namespace, _, plain = name.partition(".")
        try:
            table, files = self._lake.data_files(name, self._as_of)
        except QueryError as absence:
            recorded = self._lake.catalog.find(name) if namespace == RECORDS else None
            if recorded is None or not self._has_rows_then():
                # The query may only have a longer name that this one is part of.
                self._absent[name] = absence
                return
            table, files = recorded, ()
        self.connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"')
        columns = ", ".join(f'"{field.name}"' for field in table.schema().fields)
        target = _HISTORY if name == ARCHIVES else f'"{namespace}"."{plain}"'
        root = str(self._lake.catalog.root)
        with as_lake_errors(root):
            source = self._source(name, table, files)
        try:
            self.connection.execute(f"CREATE VIEW {target} AS SELECT {columns} FROM {source}")
        except duckdb.Error as error:
            reason = f"table `{name}` cannot be read: {explained(error)}"
            if explained(error) == str(error):
                # DuckDB goes on with the statement, which is none of the user's.
                reason = with_remedy(root, reason.splitlines()[0])
            raise LakeError(root, reason) from error
        if name == ARCHIVES:
            known = table.schema().column_names
            order = ", ".join(f"{each} DESC NULLS LAST" for each in ORDER if each in known)
            newest = f"row_number() OVER (PARTITION BY archive ORDER BY {order}) = 1"
            self.connection.execute(
                f"CREATE VIEW {ARCHIVES} AS SELECT * FROM {_HISTORY} QUALIFY {newest}"
            )

    def _has_rows_then(self) -> bool:
        """Whether a table of the archives' rows had a snapshot at the time of the session."""
        return any(map(self._was_there, self._known))

    def _was_there(self, name: str) -> bool:
        if name.startswith(f"{RECORDS}."):
            return False
        try:
            self._lake.data_files(name, self._as_of)
        except QueryError:
            return False
        return True

    def _view_none(self) -> None:
        """Make a view of the differences between archives, of which none was found so far."""
        self.connection.execute("CREATE SCHEMA IF NOT EXISTS lakehouse")
        self.connection.register("no differences", no_differences())
        self.connection.execute(f'CREATE VIEW {DIFFERENCES} AS SELECT * FROM "no differences"')

    def _source(self, name: str, table: Table, files: Sequence[DataFile]) -> str:
        paths = [local_path(table, file.file_path) for file in files]
        # Files of earlier versions lack columns that the table of archives has got since.
        if paths and name != ARCHIVES and all("://" not in path for path in paths):
            patterns = [literal_glob(path) for path in paths]
            self._paths += sorted({*paths, *patterns})
            listed = ", ".join(map(_quoted, patterns))
            by_folder = "true" if _folders_repeat_metadata(table, files, paths) else "false"
            folders = f"hive_partitioning = {by_folder}, hive_types_autocast = false"
            return f"read_parquet([{listed}], {folders})"
        registered = f"files of {name}"
        if paths:
            locations = [file.file_path for file in files]
            self.connection.register(registered, dataset_of(table, locations))
        else:
            self.connection.register(registered, arrow_schema(table.schema()).empty_table())
        return f'"{registered}"'


def _folders_repeat_metadata(table: Table, files: Sequence[DataFile], paths: list[str]) -> bool:
    """Whether the folders of each file name the values of its partition, and nothing else.

    Only then may DuckDB read values from folders, by which it skips files without opening them.
    Otherwise it would take `symbol=ETHUSDT` above a lake for the symbol of the lake's rows.
    """
    spec = table.spec().spec_id
    folders: dict[tuple[Any, ...], str] = {}
    for file, path in zip(files, paths, strict=True):
        partition = partition_of(file)
        if partition not in folders:
            own = f"/{partition_path(table, partition)}"
            if None in partition or not _PLAIN.fullmatch(own):
                return False
            folders[partition] = own
        folder, slash, name = path.rpartition("/")
        above = f"{folder}{slash}".removesuffix(folders[partition])
        if file.spec_id != spec or above == f"{folder}{slash}":
            return False
        if "=" in name or _MISLEADING.search(above):
            return False
    return True


def _check_statement(kind: str, text: str) -> None:
    # EXPLAIN ANALYZE executes the statement.
    if kind == "EXPLAIN" and _WRITING.search(text):
        kind = "EXPLAIN of what writes"
    if kind != "EXPLAIN" and kind not in _ALLOWED:
        raise QueryError("query", f"{kind} is refused: a query reads the tables only")
    reading = _READING.search(text)
    if reading:
        function = reading.group(1)
        raise QueryError("query", f"{function}() is refused: a query reads the tables only")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
