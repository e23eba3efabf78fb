"""The Python interface of a lake: open it, list its tables, scan them, query them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from attrs import frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from crypto_lakehouse.core.config.own_folder import own_folder_fault
from crypto_lakehouse.core.config.storage import (
    StoreUrl,
    is_url,
    state_directory_fault,
    store_url_fault,
)
from crypto_lakehouse.core.errors import ConfigurationError, LakeError, Problem, QueryError
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.stores.confined import leads_out
from crypto_lakehouse.stores.state import LAKE_FOLDER
from crypto_lakehouse.stores.user_path import absolute_path
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.catalog_errors import as_lake_errors
from crypto_lakehouse.tables.iceberg.lake_formats import CATALOG, mixture_note
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.ingest.commits import COMMIT
from crypto_lakehouse.tables.ingest.differences import DIFFERENCES
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
from crypto_lakehouse.tables.lake.absent_tables import absent_tables
from crypto_lakehouse.tables.lake.contents import SnapshotContents, WantedSeries
from crypto_lakehouse.tables.lake.origins import chosen_origins, may_have
from crypto_lakehouse.tables.lake.scan import Scan, chosen_columns, time_bounds
from crypto_lakehouse.tables.lake.time_range import Instant, TimeRange
from crypto_lakehouse.tables.schema.schemas import TableSchema, load_schemas

if TYPE_CHECKING:
    import duckdb

    from crypto_lakehouse.stores.objects.opening import Connection

__all__ = ["Lake", "LakeSnapshot", "lake_folder", "lake_place"]


@frozen
class LakeSnapshot:
    """One version of a table.

    Attributes:
        at: When it was made.
        rows: Rows of the whole table in this snapshot.
        files: Data files of the whole table in this snapshot.
        added, removed: Rows that it added and removed.
        commit: The run's commit, as in `lakehouse.archives`; empty if another program made it.
    """

    snapshot_id: int
    at: datetime
    operation: str
    rows: int
    files: int
    added: int
    removed: int
    commit: str


def lake_folder(path: str | os.PathLike[str]) -> Path:
    """The directory of a lake: the path itself if it holds a catalog, else its lake folder.

    Raises:
        LakeError: The path cannot be read, or the lake folder leads out of it by a symbolic link,
            and its owner may not want its files changed.
    """
    root = absolute_path(path)
    inside = root / LAKE_FOLDER
    with as_lake_errors(str(root)):
        if (root / CATALOG).is_file() or not inside.is_dir():
            return root
    if leads_out(str(root), str(inside)):
        reason = f"it leads out of `{root}` by a symbolic link; name the directory that it leads to"
        raise LakeError(str(inside), reason)
    return inside


def lake_place(
    path: str | os.PathLike[str],
    *,
    catalog: str | None = None,
    storage: Mapping[str, Any] | None = None,
    state_directory: str | None = None,
    connection: Connection | None = None,
) -> LakePlace:
    """Return where a lake is; the arguments and errors are those of `Lake.open`.

    There need not be a lake.
    """
    if not is_url(os.fspath(path)):
        return LakePlace(lake_folder(path))
    text = os.fspath(path)
    if fault := store_url_fault(text) or own_folder_fault(text, is_lake=True):
        raise ConfigurationError([Problem("lake", fault)])
    if fault := state_directory_fault(state_directory):
        raise ConfigurationError([Problem("state_directory", fault)])
    url = StoreUrl.parse(text)
    place = LakePlace.at_url(url, storage, connection, state_directory)
    if catalog is None and not place.is_used():
        inside = StoreUrl.parse(f"{url}/{LAKE_FOLDER}")
        inner = LakePlace.at_url(inside, storage, connection, state_directory)
        return inner if inner.is_used() else place
    return place


class Lake:
    """Tables of archives, for reading.

    Use `Lake.open`. Threads may share a lake; each scan sees the snapshot that is the newest when
    the scan is made.

    Example:
        >>> lake = Lake.open("data")  # doctest: +SKIP
        >>> bars = lake.scan("spot.klines", symbols=["BTCUSDT"], interval="1m", start="2024-01-01")
        ... # doctest: +SKIP
        >>> bars.polars().select("open_time", "close").collect()  # doctest: +SKIP
    """

    def __init__(self, catalog: LakeCatalog) -> None:
        self.catalog = catalog
        self._schemas = {schema.name: schema for schema in load_schemas().values()}
        self._found: tuple[int | None, dict[str, Table]] = (None, {})
        self._contents: dict[tuple[Any, ...], SnapshotContents] = {}

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        catalog: str | None = None,
        storage: Mapping[str, Any] | None = None,
        state_directory: str | None = None,
        connection: Connection | None = None,
    ) -> Lake:
        """Open a lake.

        Args:
            path: An output, or the lake itself: a directory, or the URL of a prefix in an object
                store. With `catalog`, a URL must be that of the lake itself.
            catalog: The name of a catalog in pyiceberg's configuration, to use instead of the
                embedded one.
            storage: Settings of the object store, as in the configuration of a collection.
            state_directory: The directory of the local folder of a lake at a URL; by default the
                user's one for states.
            connection: How an object store is connected to.

        Raises:
            ConfigurationError: The URL or a setting of its store is wrong.
            ExtraMissing: It is a URL, and the extra `stores` is not installed.
            LakeError: Its catalog cannot be reached.
            NoLakeError: The directory is absent, or there is no lake.
            StoreError: The object store fails.
        """
        place = lake_place(
            path,
            catalog=catalog,
            storage=storage,
            state_directory=state_directory,
            connection=connection,
        )
        return cls(LakeCatalog(place, catalog))

    def close(self) -> None:
        """Close the catalog's connections."""
        self.catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the reader, one sentence each: plain Parquet files beside the tables."""
        note = "" if self.catalog.is_shared else mixture_note(self.catalog.place.folder.absolute())
        return (note,) if note else ()

    @property
    def tables(self) -> list[str]:
        """Full names of the tables, sorted."""
        return self.catalog.names()

    def schema(self, name: str) -> TableSchema | None:
        """The schema of a table; None for a table that is not of a data type."""
        return self._schemas.get(self.resolve(name))

    def resolve(self, name: str) -> str:
        """A table's name as the catalog has it; `spot.aggTrades` finds `spot.agg_trades`."""
        wanted = _folded(name)
        for known in (*self._schemas, ARCHIVES, DIFFERENCES):
            if _folded(known) == wanted:
                return known
        return name

    def table(self, name: str) -> Table:
        """The Iceberg table, in its current state.

        Raises:
            QueryError: There is no such table; the message names the existing ones.
        """
        (found,) = self.existing([name])
        return found

    def existing(self, names: Iterable[str]) -> list[Table]:
        """Several tables, each once.

        Raises:
            QueryError: There are no such tables; the message names all of them.
        """
        found = {name: self._find(name) for name in map(self.resolve, dict.fromkeys(names))}
        absent = [name for name, table in found.items() if table is None]
        if absent:
            raise QueryError(str(self.catalog.place), absent_tables(absent, self.tables))
        return [table for table in found.values() if table is not None]

    def _find(self, name: str) -> Table | None:
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

    def snapshots(self, name: str) -> list[LakeSnapshot]:
        """Versions of a table, oldest first."""
        return [_described(snapshot) for snapshot in self.table(name).metadata.snapshots]

    def scan(
        self,
        name: str,
        *,
        symbols: Iterable[str] | str | None = None,
        interval: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        columns: Sequence[str] | None = None,
        as_of: Instant | None = None,
        origins: Iterable[str] | str | None = None,
    ) -> Scan:
        """Select rows of one table.

        Args:
            name: The table, for example `spot.klines`.
            symbols: Symbols and globs such as `BTC*`, one or several; None for all, an empty list
                for none. Contracts select the rows of their pair, if the type is stored by pair:
                `BTCUSD_PERP` selects `BTCUSD` of `futures_cm.index_price_klines`.
            interval: The interval of klines; None for all.
            start: The first instant or day.
            end: The first instant after the selected ones, or the last selected day.
            columns: The columns; None for all but `archive`. The last one is `origin`, which
                tables do not store: `archive`, or `fill` for rows that came over REST.
            as_of: Read the table as of this time; a day means the end of the day.
            origins: Only rows of these origins: `["archive"]` leaves provisional ones out.

        Returns:
            A scan, to be read with Polars, Arrow or DuckDB.

        Raises:
            QueryError: There is no such table, column or origin, or no snapshot at `as_of`; or
                there are no rows of a symbol, of any symbol like a glob, or of the interval. Times
                without rows are not an error.
        """
        schema = self.data_schema(name)
        if interval is not None and not schema.has_interval:
            raise QueryError(schema.name, "the table has no intervals; leave `interval` out")
        row = load_matrix().row(schema.market, schema.data_type)
        wanted = WantedSeries.of(schema.name, symbols, interval).in_folders(row)
        table = self.table(schema.name)
        times = TimeRange.of(start, end)
        chosen = chosen_columns(table, columns)
        wanted_origins = chosen_origins(schema.name, origins)
        snapshot = self._snapshot(table, name, as_of)
        files, names = self._contents_of(table, snapshot).chosen(wanted)
        bounds = time_bounds(table, schema.time)
        return Scan(
            table=schema.name,
            iceberg=table,
            files=tuple(
                file
                for file in files
                if times.overlaps(*bounds(file))
                and (wanted_origins is None or may_have(table, file) & {*wanted_origins})
            ),
            symbols=names,
            interval=wanted.interval,
            times=times,
            time_column=schema.time,
            columns=chosen,
            exact=_has_exact_files(schema),
            totals=_totals(snapshot),
            lake=self.catalog.place.folder,
            origins=wanted_origins,
        )

    def data_schema(self, name: str) -> TableSchema:
        """The schema of a table that has rows of archives.

        Raises:
            QueryError: The lake has no such table, or it is not of a data type.
        """
        self.table(name)
        schema = self.schema(name)
        if schema is None:
            raise QueryError(name, "not a table of a data type; read it with `sql`")
        return schema

    def sql(self, query: str, *, as_of: Instant | None = None) -> duckdb.DuckDBPyRelation:
        """Run SQL; tables are named `spot.klines`, `lakehouse.archives`, and so on.

        Raises:
            QueryError: DuckDB rejects the query, or a table does not exist.
        """
        from crypto_lakehouse.tables.lake.sql import QuerySession

        return QuerySession(self, as_of=as_of).sql(query)

    def data_files(
        self, name: str, as_of: Instant | None = None
    ) -> tuple[Table, tuple[DataFile, ...]]:
        """A table and all its data files, now or as of a time."""
        table = self.table(name)
        return table, self._contents_of(table, self._snapshot(table, name, as_of)).files()

    def _snapshot(self, table: Table, name: str, as_of: Instant | None) -> Snapshot | None:
        if as_of is None:
            return table.current_snapshot()
        until = TimeRange.of(None, as_of).end
        assert until is not None  # noqa: S101 - an end was given
        found = table.snapshot_as_of_timestamp(int(until.timestamp() * 1000) - 1)
        if found is None:
            raise QueryError(name, f"the table had no snapshot before {until.isoformat()}")
        return found

    def _contents_of(self, table: Table, snapshot: Snapshot | None) -> SnapshotContents:
        number = None if snapshot is None else snapshot.snapshot_id
        known = (table.metadata.table_uuid, number, table.metadata.current_schema_id)
        if known not in self._contents:
            self._contents[known] = SnapshotContents(table, number, str(self.catalog.place))
        return self._contents[known]


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _has_exact_files(schema: TableSchema) -> bool:
    """Whether each data file has rows of one symbol, and of one interval."""
    named = ("symbol", "interval") if schema.has_interval else ("symbol",)
    return all(each in schema.partition for each in named)


def _totals(snapshot: Snapshot | None) -> tuple[int, int]:
    if snapshot is None or snapshot.summary is None:
        return 0, 0
    summary = snapshot.summary.additional_properties
    return int(summary.get("total-data-files", 0)), int(summary.get("total-records", 0))


def _described(snapshot: Snapshot) -> LakeSnapshot:
    summary = snapshot.summary.additional_properties if snapshot.summary else {}
    return LakeSnapshot(
        snapshot_id=snapshot.snapshot_id,
        at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
        operation=str(snapshot.summary.operation.value) if snapshot.summary else "",
        rows=int(summary.get("total-records", 0)),
        files=int(summary.get("total-data-files", 0)),
        added=int(summary.get("added-records", 0)),
        removed=int(summary.get("deleted-records", 0)),
        commit=summary.get(COMMIT, ""),
    )
