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
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError, QueryError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.column_names import has_one_schema
from crypto_lakehouse.tables.iceberg.damage import with_remedy
from crypto_lakehouse.tables.iceberg.data_files import partition_of, partition_path
from crypto_lakehouse.tables.ingest.differences import DIFFERENCES, no_differences
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, ORDER
from crypto_lakehouse.tables.lake.absent_tables import absent_table, absent_tables
from crypto_lakehouse.tables.lake.connection import QueryLimits, explained, open_connection
from crypto_lakehouse.tables.lake.object_system import DataObjects, objects_source, reads_objects
from crypto_lakehouse.tables.lake.origins import has_origin, sql_origin
from crypto_lakehouse.tables.lake.recorded import LIVE_IS_NOW
from crypto_lakehouse.tables.lake.scanned_files import (
    dataset_of,
    has_pattern,
    literal_glob,
    local_path,
)
from crypto_lakehouse.tables.lake.spill import release_spill_folder, spill_folder
from crypto_lakehouse.tables.lake.statements import (
    HARMLESS,
    READING,
    check_nesting,
    check_statements,
    check_text,
)
from crypto_lakehouse.tables.lake.time_range import Instant, TimeRange
from crypto_lakehouse.tables.schema.table_types import arrow_schema

__all__ = ["HISTORY", "QueriedLake", "QuerySession"]

#: What DuckDB takes from the name of a folder as it is.
_PLAIN = re.compile(r"[\w=./-]+")

#: What DuckDB could take for a partition, or for the end of a path, in a folder above a table's.
_MISLEADING = re.compile(r"[=?%\\\n]")

#: Statements about the tables themselves, which may name none.
_ABOUT_TABLES = ("show", "describe", "summarize")

#: DuckDB's statement names what is in its current schema, which has none of the lake's tables.
_SHOW_TABLES = re.compile(r"\s*show\s+tables\s*;?\s*", re.IGNORECASE)
_SHOW_ALL_TABLES = re.compile(r"\s*show\s+all\s+tables\s*;?\s*", re.IGNORECASE)

_FULL_NAMES = """
SELECT CASE WHEN schema = 'main' THEN name ELSE schema || '.' || name END AS name
FROM (SHOW ALL TABLES) WHERE name NOT LIKE '{internal}%' ORDER BY 1"""

_ALL_TABLES = "FROM (SHOW ALL TABLES) WHERE name NOT LIKE '{internal}%'"

#: How names begin of what the session reads for its views.
_INTERNAL = "files of "

#: The namespace of what is recorded about the archives.
RECORDS = "lakehouse"

#: All rows of the table of archives; the view of the archives has only the newest row of each.
HISTORY = "lakehouse.archive_history"


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

    def queried_tables(self, *, live: bool) -> list[str]:
        """The same, and with `live` those that only recordings have rows of."""
        ...

    def data_files(
        self, name: str, as_of: Instant | None = None
    ) -> tuple[Table, tuple[DataFile, ...]]:
        """A table and all its data files, now or as of a time."""
        ...

    def live_files(self, name: str) -> tuple[Table, tuple[DataFile, ...], pa.Table | None]:
        """The same now, and the rows of recordings that the table does not have; None for none."""
        ...


class QuerySession:
    """A DuckDB connection with views of the lake's tables.

    Args:
        lake: The lake.
        as_of: Read every table as of this time.
        tables: The tables to make views of; None for those that the queries name.
        live: Add the rows of recordings that are not ingested yet.
        limits: Bounds for queries of unknown origin: these only read, and their temporary files are
            outside the lake. None for the user's own queries.

    Raises:
        QueryError: `as_of` is a text that is not an ISO date or time, or is given with `live`.
    """

    def __init__(
        self,
        lake: QueriedLake,
        *,
        as_of: Instant | None = None,
        tables: list[str] | None = None,
        live: bool = False,
        limits: QueryLimits | None = None,
    ) -> None:
        TimeRange.of(None, as_of)  # a query without a table would not notice a wrong time
        self._lake = lake
        self._as_of = as_of
        self._is_live = live
        if live and as_of is not None:
            raise QueryError("query", LIVE_IS_NOW)
        self._known = lake.queried_tables(live=live)
        self._paths: list[str] = []
        self._objects: DataObjects | None = None
        self._viewed: set[str] = set()
        self._absent: dict[str, QueryError] = {}
        self._allowed = HARMLESS if limits is None else READING
        folder = lake.catalog.place.folder if limits is None else None
        self._temporary: str | None = spill_folder(folder)
        self.connection = open_connection(temporary=self._temporary, limits=limits)
        self._encrypt_temporary_files()
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
            QueryError: DuckDB rejects the query, it is empty or cannot be written in UTF-8, a table
                or column does not exist, or the statement would read or write files.
        """
        check_text(query)
        if self._allowed == READING:
            check_nesting(query)
        if not self._locked:
            folded = query.casefold()
            wants_all = folded.lstrip().startswith(_ABOUT_TABLES)
            for name in self._known:
                plain = "archive" if name == ARCHIVES else name.partition(".")[2]
                if wants_all or plain in folded:
                    self._view(name)
            if DIFFERENCES not in self._known and "differences" in folded:
                self._view_none()
            self._lock()
        try:
            check_statements(self.connection.extract_statements(query), self._allowed)
            return self.connection.sql(_without_internals(query))
        except duckdb.Error as error:
            reason = explained(error)
            self._refuse_absent(reason, query)
            raise QueryError("query", reason) from error

    def _refuse_absent(self, reason: str, query: str) -> None:
        """Raise an error if the query failed for a table that is absent, or was so at that time."""
        missing = absent_table(reason, query)
        if missing is None:
            return
        for name in sorted(self._absent, key=lambda name: name not in query.casefold()):
            if missing.casefold() in {name, name.partition(".")[2]}:
                raise self._absent[name]
        raise QueryError("query", absent_tables([missing], self._known))

    def _encrypt_temporary_files(self) -> None:
        """Make temporary files useless to a query that reads them.

        DuckDB lets every query open the files in its own temporary directory, by functions and as
        `FROM 'path'`, also if it denies access to all other files. Their key is in memory only. The
        DuckDB without extensions calls its random numbers unsafe for files that are kept; these are
        removed with the session.
        """
        self.connection.execute("SET force_mbedtls_unsafe = true")
        self.connection.execute("SET temp_file_encryption = true")

    def _lock(self) -> None:
        """Restrict the session to the files of its views, for good."""
        self.connection.execute("SET python_enable_replacements = false")
        paths = ", ".join(_quoted(path) for path in self._paths)
        self.connection.execute(f"SET allowed_paths = [{paths}]")
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")
        self._locked = True

    def _view(self, name: str) -> None:
        if name in self._viewed:
            return
        self._viewed.add(name)
        found = self._rows_then(name)
        if found is None:
            return
        table, files, added = found
        namespace, _, plain = name.partition(".")
        self.connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"')
        if name == ARCHIVES:
            self._create_view(HISTORY, name, table, files)
            self._view_newest(table)
        else:
            self._create_view(f'"{namespace}"."{plain}"', name, table, files, added)

    def _rows_then(self, name: str) -> tuple[Table, Sequence[DataFile], pa.Table | None] | None:
        """The table and its files at the time of the session; None if it had no snapshot then.

        The last one is the rows beside the files; None for none.
        """
        try:
            if self._is_live and not name.startswith(f"{RECORDS}."):
                return self._lake.live_files(name)
            return *self._lake.data_files(name, self._as_of), None
        except QueryError as absence:
            is_record = name.startswith(f"{RECORDS}.")
            recorded = self._lake.catalog.find(name) if is_record else None
            if recorded is None or not self._has_rows_then():
                # The query may only have a longer name that this one is part of.
                self._absent[name] = absence
                return None
            return recorded, (), None

    def _create_view(
        self,
        target: str,
        name: str,
        table: Table,
        files: Sequence[DataFile],
        added: pa.Table | None = None,
    ) -> None:
        fields = ", ".join(f'"{field.name}"' for field in table.schema().fields)
        columns = fields
        if added is not None:
            columns = ", ".join(f'"{each}"' for each in added.column_names)
        if not name.startswith(f"{RECORDS}.") and has_origin(table.schema()):
            columns += f", {sql_origin()}"
        with self._lake.catalog.errors():
            source = self._source(name, table, files)
        if added is not None:
            registered = f"{_INTERNAL}recordings of {name}"
            self.connection.register(registered, added)
            source = f'(SELECT {fields} FROM {source} UNION ALL BY NAME FROM "{registered}")'
        try:
            self.connection.execute(f"CREATE VIEW {target} AS SELECT {columns} FROM {source}")
        except duckdb.Error as error:
            root = str(self._lake.catalog.place)
            reason = f"table `{name}` cannot be read: {explained(error)}"
            if explained(error) == str(error):
                # DuckDB goes on with the statement, which is none of the user's.
                reason = with_remedy(root, reason.splitlines()[0])
            raise LakeError(root, reason) from error

    def _view_newest(self, archives: Table) -> None:
        """Make a view of the newest row of each archive."""
        known = archives.schema().column_names
        order = ", ".join(f"{each} DESC NULLS LAST" for each in ORDER if each in known)
        newest = f"row_number() OVER (PARTITION BY archive ORDER BY {order}) = 1"
        self.connection.execute(
            f"CREATE VIEW {ARCHIVES} AS SELECT * FROM {HISTORY} QUALIFY {newest}"
        )

    def _has_rows_then(self) -> bool:
        """Whether a table of the archives' rows had a snapshot at the time of the session."""
        return any(map(self._was_there, self._known))

    def _objects_source(self, table: Table, files: Sequence[DataFile]) -> str:
        """The data files of a lake at a URL; no other object can be read by a query."""
        if self._objects is None:
            self._objects = DataObjects(table)
            self._objects.register(self.connection)
        paths = self._objects.add(table, files)
        self._paths += paths
        if has_one_schema(table):
            return _parquet(table, files, paths, paths)
        return objects_source(self.connection, table, paths)

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
        registered = f"{_INTERNAL}{DIFFERENCES}"
        self.connection.register(registered, no_differences())
        self.connection.execute(f'CREATE VIEW {DIFFERENCES} AS SELECT * FROM "{registered}"')

    def _source(self, name: str, table: Table, files: Sequence[DataFile]) -> str:
        if files and reads_objects(table):
            return self._objects_source(table, files)
        paths = [local_path(table, file.file_path) for file in files]
        # Files may lack columns that the table has got since.
        if paths and has_one_schema(table) and all(map(has_pattern, paths)):
            patterns = [literal_glob(path) for path in paths]
            self._paths += sorted({*paths, *patterns})
            return _parquet(table, files, paths, patterns)
        registered = f"{_INTERNAL}{name}"
        if paths:
            locations = [file.file_path for file in files]
            self.connection.register(registered, dataset_of(table, locations))
        else:
            self.connection.register(registered, arrow_schema(table.schema()).empty_table())
        return f'"{registered}"'


def _parquet(
    table: Table, files: Sequence[DataFile], paths: Sequence[str], patterns: Sequence[str]
) -> str:
    listed = ", ".join(map(_quoted, patterns))
    by_folder = "true" if _folders_repeat_metadata(table, files, paths) else "false"
    folders = f"hive_partitioning = {by_folder}, hive_types_autocast = false"
    return f"read_parquet([{listed}], {folders})"


def _folders_repeat_metadata(table: Table, files: Sequence[DataFile], paths: Sequence[str]) -> bool:
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


def _without_internals(query: str) -> str:
    """A query, in which a list of tables has full names, and not what the views read."""
    for pattern, instead in ((_SHOW_TABLES, _FULL_NAMES), (_SHOW_ALL_TABLES, _ALL_TABLES)):
        if pattern.fullmatch(query):
            return instead.format(internal=_INTERNAL)
    return query


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
