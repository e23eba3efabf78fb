"""The Python interface of a lake: open it, list its tables, scan them, query them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from attrs import frozen
from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from crypto_lakehouse.core.archive import INTERVALS
from crypto_lakehouse.core.errors import LakeError, QueryError
from crypto_lakehouse.core.messages import allowed_values
from crypto_lakehouse.stores.confined import leads_out
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog, as_lake_errors
from crypto_lakehouse.tables.iceberg.filters import ALWAYS, all_of, among, equals
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.ingest.commits import COMMIT
from crypto_lakehouse.tables.ingest.differences import DIFFERENCES
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
from crypto_lakehouse.tables.lake.scan import Instant, Scan, TimeRange, chosen_columns, time_bounds
from crypto_lakehouse.tables.schema.schemas import TableSchema, load_schemas

if TYPE_CHECKING:
    import duckdb

__all__ = ["Lake", "LakeSnapshot", "lake_folder"]

#: The path of the lake in an output directory (ARCHITECTURE.md#disk).
LAKE_FOLDER = Path(".lakehouse") / "lake"


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
        LakeError: The lake folder leads out of the path by a symbolic link, and its owner may not
            want its files changed.
    """
    root = Path(path).expanduser()
    inside = root / LAKE_FOLDER
    if (root / "catalog.db").is_file() or not inside.is_dir():
        return root
    if leads_out(str(root), str(inside)):
        reason = f"it leads out of `{root}` by a symbolic link; name the directory that it leads to"
        raise LakeError(str(inside), reason)
    return inside


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
        self._planned: dict[tuple[Any, ...], tuple[DataFile, ...]] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, catalog: str | None = None) -> Lake:
        """Open a lake.

        Args:
            path: An output directory, or the lake's own directory.
            catalog: The name of a catalog in pyiceberg's configuration, to use instead of the
                embedded one.

        Raises:
            LakeError: There is no lake, or its catalog cannot be reached.
        """
        return cls(LakeCatalog(lake_folder(path), catalog))

    def close(self) -> None:
        """Close the catalog's connections."""
        self.catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

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
        found = self._find(self.resolve(name))
        if found is None:
            there = (
                allowed_values(name, self.tables) if self.tables else "the lake has no table yet"
            )
            raise QueryError(str(self.catalog.root), f"no table `{name}`; {there}")
        return found

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
        symbols: Sequence[str] | str | None = None,
        interval: str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        columns: Sequence[str] | None = None,
        as_of: Instant | None = None,
    ) -> Scan:
        """Select rows of one table.

        Args:
            name: The table, for example `spot.klines`.
            symbols: One symbol or several; None for all, an empty list for none.
            interval: The interval of klines; None for all.
            start: The first instant or day.
            end: The first instant after the selected ones, or the last selected day.
            columns: The columns; None for all but `archive`.
            as_of: Read the table as of this time; a day means the end of the day.

        Returns:
            A scan, to be read with Polars, Arrow or DuckDB.

        Raises:
            QueryError: There is no such table, column or interval, or no snapshot at `as_of`.
        """
        schema = self._scanned_schema(name, interval)
        table = self.table(schema.name)
        given = (symbols,) if isinstance(symbols, str) else symbols
        wanted = None if given is None else tuple(given)
        times = TimeRange.of(start, end)
        snapshot = self._snapshot(table, name, as_of)
        files = self._files(table, snapshot, wanted, interval)
        bounds = time_bounds(table, schema.time)
        return Scan(
            table=schema.name,
            iceberg=table,
            files=tuple(file for file in files if times.overlaps(*bounds(file))),
            symbols=wanted,
            interval=interval,
            times=times,
            time_column=schema.time,
            columns=chosen_columns(table, columns),
            exact=_has_exact_files(schema),
            totals=_totals(snapshot),
            lake=self.catalog.root,
        )

    def _scanned_schema(self, name: str, interval: str | None) -> TableSchema:
        schema = self.schema(name)
        if schema is None:
            reason = f"not a table of a data type; {allowed_values(name, self._schemas)}"
            raise QueryError(name, reason)
        if interval is not None and not schema.has_interval:
            raise QueryError(name, "the table has no intervals; leave `interval` out")
        if interval is not None and interval not in INTERVALS:
            reason = f"no interval `{interval}`; {allowed_values(interval, INTERVALS)}"
            raise QueryError(name, reason)
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
        return table, self._files(table, self._snapshot(table, name, as_of), None, None)

    def _snapshot(self, table: Table, name: str, as_of: Instant | None) -> Snapshot | None:
        if as_of is None:
            return table.current_snapshot()
        until = TimeRange.of(None, as_of).end
        assert until is not None  # noqa: S101 - an end was given
        found = table.snapshot_as_of_timestamp(int(until.timestamp() * 1000) - 1)
        if found is None:
            raise QueryError(name, f"the table had no snapshot before {until.isoformat()}")
        return found

    def _files(
        self,
        table: Table,
        snapshot: Snapshot | None,
        symbols: tuple[str, ...] | None,
        interval: str | None,
    ) -> tuple[DataFile, ...]:
        if snapshot is None or symbols == ():
            return ()
        known = (table.metadata.table_uuid, snapshot.snapshot_id, symbols, interval)
        if known not in self._planned:
            with as_lake_errors(str(self.catalog.root)):
                wanted = _filter(symbols, interval)
                self._planned[known] = tuple(live_files(table, wanted, snapshot.snapshot_id))
        return self._planned[known]


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _has_exact_files(schema: TableSchema) -> bool:
    """Whether each data file has rows of one symbol, and of one interval."""
    named = ("symbol", "interval") if schema.has_interval else ("symbol",)
    return all(each in schema.partition for each in named)


def _filter(symbols: tuple[str, ...] | None, interval: str | None) -> BooleanExpression:
    wanted = ALWAYS
    if symbols is not None:
        wanted = among("symbol", symbols) if len(symbols) > 1 else equals("symbol", symbols[0])
    return wanted if interval is None else all_of(wanted, equals("interval", interval))


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
