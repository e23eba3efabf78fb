"""The lake as Python uses it: open, look, scan, ask."""

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
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.messages import allowed_values
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog, as_lake_errors
from crypto_lakehouse.tables.iceberg.filters import ALWAYS, all_of, among, equals
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.ingest.commits import COMMIT
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
from crypto_lakehouse.tables.lake.scan import Instant, Scan, TimeRange, chosen_columns, time_bounds
from crypto_lakehouse.tables.schema.schemas import TableSchema, load_schemas

if TYPE_CHECKING:
    import duckdb

__all__ = ["Lake", "LakeSnapshot", "lake_folder"]

#: Where the lake of an output directory lies in it (ARCHITECTURE.md#disk).
LAKE_FOLDER = Path(".lakehouse") / "lake"


@frozen
class LakeSnapshot:
    """One version of a table.

    Attributes:
        at: When it was made.
        rows: Rows of the whole table then.
        files: Data files then.
        added, removed: Rows that came and went with it.
        commit: The run's commit, as in `lakehouse.archives`; empty for other programs' snapshots.
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
    """The lake's directory: the path itself where a catalog lies in it, else that of its output."""
    root = Path(path)
    inside = root / LAKE_FOLDER
    return inside if not (root / "catalog.db").is_file() and inside.is_dir() else root


class Lake:
    """Tables of archives, for reading.

    Use `Lake.open`. One lake may be used by several threads; each scan sees the newest snapshot
    at the time it is made.

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
            catalog: A catalog of pyiceberg's configuration to use in place of the embedded one.

        Raises:
            LakeError: There is none, or its catalog cannot be reached.
        """
        return cls(LakeCatalog(lake_folder(path), catalog))

    def close(self) -> None:
        """Let go of the catalog's connections."""
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
        """What a table's columns mean; None for tables of no data type."""
        return self._schemas.get(self.resolve(name))

    def resolve(self, name: str) -> str:
        """A table's name as the catalog has it; `spot.aggTrades` finds `spot.agg_trades`."""
        wanted = _folded(name)
        for known in (*self._schemas, ARCHIVES):
            if _folded(known) == wanted:
                return known
        return name

    def table(self, name: str) -> Table:
        """The Iceberg table, as it is now.

        Raises:
            QueryError: There is none of that name; those there are are named.
        """
        found = self._find(self.resolve(name))
        if found is None:
            there = allowed_values(name, self.tables) if self.tables else "it has no table yet"
            raise QueryError(str(self.catalog.root), f"no table `{name}`; {there}")
        return found

    def _find(self, name: str) -> Table | None:
        """Read a table's metadata only where something was committed since the last time."""
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
        """Choose rows of one table.

        Args:
            name: The table, as `spot.klines`.
            symbols: One symbol or several; None is all.
            interval: For the kline family; None is all.
            start: The first instant, or the first day.
            end: The first instant after the last, or the last day.
            columns: Columns wanted; None is all but `archive`.
            as_of: The table as it was then; a day stands for its end.

        Returns:
            A scan, to be read with Polars, Arrow or DuckDB.

        Raises:
            QueryError: No such table, column or interval, or no snapshot of that time.
        """
        resolved = self.resolve(name)
        schema = self._schemas.get(resolved)
        if schema is None:
            raise QueryError(
                name, f"not a table of a data type; {allowed_values(name, self._schemas)}"
            )
        if interval is not None and not schema.has_interval:
            raise QueryError(name, "the table has no intervals")
        if interval is not None and interval not in INTERVALS:
            raise QueryError(
                name, f"no interval `{interval}`; {allowed_values(interval, INTERVALS)}"
            )
        table = self.table(resolved)
        wanted = (symbols,) if isinstance(symbols, str) else tuple(symbols or ()) or None
        times = TimeRange.of(start, end)
        snapshot = self._snapshot(table, name, as_of)
        known = [field.name for field in table.schema().fields]
        files = self._files(table, snapshot, wanted, interval)
        bounds = time_bounds(table, schema.time)
        return Scan(
            resolved,
            table,
            tuple(file for file in files if times.overlaps(*bounds(file))),
            wanted,
            interval,
            times,
            schema.time,
            chosen_columns(resolved, known, columns, {"archive": True}),
            all(each in schema.partition for each in ("symbol", *_interval(schema))),
            _totals(snapshot),
        )

    def sql(self, query: str, *, as_of: Instant | None = None) -> duckdb.DuckDBPyRelation:
        """Ask in SQL; tables are `spot.klines`, `lakehouse.archives`, and so on.

        Raises:
            QueryError: DuckDB does not understand it, or some table is not there.
        """
        from crypto_lakehouse.tables.lake.sql import QuerySession

        return QuerySession(self, as_of=as_of).sql(query)

    def data_files(
        self, name: str, as_of: Instant | None = None
    ) -> tuple[Table, tuple[DataFile, ...]]:
        """A table and all its data files, now or then."""
        table = self.table(name)
        return table, self._files(table, self._snapshot(table, name, as_of), None, None)

    def _snapshot(self, table: Table, name: str, as_of: Instant | None) -> Snapshot | None:
        if as_of is None:
            return table.current_snapshot()
        until = TimeRange.of(None, as_of).end
        assert until is not None  # noqa: S101 - an end was given
        found = table.snapshot_as_of_timestamp(int(until.timestamp() * 1000) - 1)
        if found is None:
            raise QueryError(name, f"there was no snapshot of it at {until.isoformat()}")
        return found

    def _files(
        self,
        table: Table,
        snapshot: Snapshot | None,
        symbols: tuple[str, ...] | None,
        interval: str | None,
    ) -> tuple[DataFile, ...]:
        if snapshot is None:
            return ()
        known = (table.metadata.table_uuid, snapshot.snapshot_id, symbols, interval)
        if known not in self._planned:
            with as_lake_errors(str(self.catalog.root)):
                wanted = _filter(symbols, interval)
                self._planned[known] = tuple(live_files(table, wanted, snapshot.snapshot_id))
        return self._planned[known]


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _interval(schema: TableSchema) -> tuple[str, ...]:
    return ("interval",) if schema.has_interval else ()


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
