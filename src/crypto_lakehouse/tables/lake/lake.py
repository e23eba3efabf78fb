"""The Python interface of a lake: open it, list its tables, scan them, query them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.data_types import kind_of
from crypto_lakehouse.core.errors import NoLakeError, QueryError
from crypto_lakehouse.core.html_tables import html_table
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.stores.output import Output, Place, output_of
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.lake_formats import NO_LAKE, mixture_note
from crypto_lakehouse.tables.lake.contents import WantedSeries
from crypto_lakehouse.tables.lake.found_tables import FoundTables
from crypto_lakehouse.tables.lake.not_ingested import NoTables
from crypto_lakehouse.tables.lake.origins import chosen_origins, may_have
from crypto_lakehouse.tables.lake.panel import Panel
from crypto_lakehouse.tables.lake.panel_making import Length, panel_of
from crypto_lakehouse.tables.lake.places import lake_place, place_within
from crypto_lakehouse.tables.lake.recorded import (
    LakeRecordings,
    added_columns,
    no_output,
    output_around,
)
from crypto_lakehouse.tables.lake.scan import Scan, chosen_columns
from crypto_lakehouse.tables.lake.scanned_files import time_bounds
from crypto_lakehouse.tables.lake.time_range import Instant, TimeRange
from crypto_lakehouse.tables.lake.uncommitted import Uncommitted
from crypto_lakehouse.tables.lake.universe import universe_of
from crypto_lakehouse.tables.lake.versions import (
    LakeSnapshot,
    described,
    snapshot_at,
    table_sizes,
    totals_of,
)
from crypto_lakehouse.tables.schema.received import RECEIVED_AT
from crypto_lakehouse.tables.schema.schemas import TableSchema

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from crypto_lakehouse.stores.objects.opening import Connection

__all__ = ["Lake", "LakeSnapshot"]


class Lake:
    """Tables of archives, for reading.

    Use `Lake.open`. Threads may share a lake; each scan sees the snapshot that is the newest when
    the scan is made.

    Examples:
        >>> lake = Lake.open("data")  # doctest: +SKIP
        >>> bars = lake.scan("spot.klines", symbols=["BTCUSDT"], interval="1m", start="2024-01-01")
        ... # doctest: +SKIP
        >>> bars.polars().select("open_time", "close").collect()  # doctest: +SKIP
    """

    def __init__(self, catalog: LakeCatalog, output: Output | None = None) -> None:
        self.catalog = catalog
        self._recordings = None if output is None else LakeRecordings(catalog, output)
        self._tables = FoundTables(catalog)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        catalog: str | None = None,
        storage: Mapping[str, Any] | None = None,
        state_directory: str | None = None,
        connection: Connection | None = None,
        output: Place | None = None,
        live: bool = False,
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
            output: The output with the recordings that `live` adds; by default the one that the
                lake is in.
            live: Whether an output may have no lake yet: queries with `live` read its recordings.

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
        around = output_around(place, storage, state_directory, connection)
        recorded = around if output is None else output_of(output)
        try:
            return cls(LakeCatalog(place, catalog), recorded)
        except NoLakeError as error:
            if not live or catalog is not None or error.reason != NO_LAKE:
                raise
            place = place_within(path, storage, state_directory, connection)
            around = output_around(place, storage, state_directory, connection)
            if around is None or (recorded is not None and recorded.place != around.place):
                raise  # the path is that of a lake, which is elsewhere or has another name
            return cls(NoTables(place), around)

    def close(self) -> None:
        """Close the catalog's connections."""
        self.catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Lake {self.catalog.place}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the tables, with their rows and files."""
        sizes = table_sizes((name, self.data_files(name)[1]) for name in self.tables)
        return html_table(repr(self)[1:-1], sizes, ("table", "rows", "files", "MB"))

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the reader, one sentence each: plain Parquet files beside the tables."""
        note = "" if self.catalog.is_shared else mixture_note(self.catalog.place.folder.absolute())
        return (note,) if note else ()

    @property
    def tables(self) -> list[str]:
        """Full names of the tables, sorted."""
        return self.catalog.names()

    def queried_tables(self, *, live: bool) -> list[str]:
        """Full names of the tables that a query finds, sorted.

        Args:
            live: Whether it has rows of recordings, so also those that nothing is ingested into.

        Raises:
            QueryError: The output of the recordings is not known.
            StoreError: They cannot be listed.
        """
        return sorted({*self.tables, *(self.recordings.tables() if live else ())})

    def schema(self, name: str) -> TableSchema | None:
        """The schema of a table; None for a table that is not of a data type."""
        return self._tables.schemas.get(self.resolve(name))

    def resolve(self, name: str) -> str:
        """A table's name as the catalog has it; `spot.aggTrades` finds `spot.agg_trades`."""
        return self._tables.resolve(name)

    def _readable(self, name: str, *, live: bool) -> Table:
        """A table; or one without rows, if only recordings have rows of it, which are added."""
        schema = self.schema(name)
        if not live or schema is None or self._tables.find(schema.name) is not None:
            return self.table(name)
        if schema.name not in self.recordings.tables():
            return self.table(name)
        return self._tables.blank(schema)

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
        return self._tables.existing(names)

    def snapshots(self, name: str) -> list[LakeSnapshot]:
        """Versions of a table, oldest first."""
        return [described(snapshot) for snapshot in self.table(name).metadata.snapshots]

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
        live: bool = False,
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
                tables do not store: `archive`, `fill` for rows that came over REST, or `live`.
            as_of: Read the table as of this time; a day means the end of the day.
            origins: Only rows of these origins: `["archive"]` leaves provisional ones out.
            live: Add the selected rows of recordings that are not ingested yet, up to the last
                sync, except for keys that the table has. They are read by this call, into a file
                without a name, and have the column `received_at`.

        Returns:
            A scan, to be read with Polars, Arrow or DuckDB.

        Raises:
            QueryError: There is no such table, column or origin, or no snapshot at `as_of`; or
                there are no rows of a symbol, of any symbol like a glob, or of the interval. Times
                without rows are not an error. Or `live` is asked for with `as_of`, or of a lake
                whose output is not known.
            SegmentError: A segment of a recording is damaged.
            StoreError: A segment of a recording cannot be read.
        """
        settled = self.recordings.settled(name, as_of) if live else frozenset[str]()
        table = self._readable(name, live=live)
        schema = self._data_schema(name)
        if interval is not None and not schema.has_interval:
            raise QueryError(schema.name, "the table has no intervals; leave `interval` out")
        row = load_matrix().row(schema.market, schema.data_type)
        wanted = WantedSeries.of(schema.name, symbols, interval).in_folders(row)
        times = TimeRange.of(start, end)
        live = live and kind_of(schema.market, schema.data_type) is not None
        chosen = chosen_columns(table, columns, (RECEIVED_AT,) if live else ())
        wanted_origins = chosen_origins(schema.name, origins)
        snapshot = snapshot_at(table, name, as_of)
        contents = self._tables.contents(table, snapshot)
        added = Uncommitted(added_columns(table).empty_table())
        if live and (wanted_origins is None or Origin.LIVE in wanted_origins):
            added = self.recordings.rows(schema, contents, wanted, times, settled)
        files, names = contents.chosen(wanted, added.series)
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
            totals=totals_of(snapshot),
            lake=self.catalog.place.folder,
            origins=wanted_origins,
            added=added.rows if live else None,
        )

    def panel(
        self,
        columns: Mapping[str, str],
        *,
        every: Length,
        symbols: Iterable[str] | str | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        max_age: Length | Mapping[str, Length] | None = None,
        as_of: Instant | None = None,
        origins: Iterable[str] | str | None = None,
    ) -> Panel:
        """Put columns of several tables on one grid of times, without a look into the future.

        At a time of the grid a value is that of the last row that was known then. A bar is known
        once it has ended, everything else at its time: a funding rate some milliseconds after its
        hour. docs/how-to/joins.md explains the traps.

        Args:
            columns: What the panel has, by labels: `spot.klines.close` for bars as long as a step,
                `spot.klines[4h].close` for others. Every table has `known_at`, too, from when on
                the row was known, and funding rates have `settled_at`, their full hour.
            every: The step, as `15m`, `1h` or `1d`; the grid has its multiples in UTC.
            symbols: Symbols and globs as for `scan`, in any of the tables; None for all, whether
                they are traded today or not. Contracts have the values of their pair.
            start: The first instant or day; by default the first time that all tables have.
            end: The end, as for `scan`; by default after the last time that all tables have.
            max_age: How long a value stands without a newer row, that end excluded, for all columns
                or by label. By default until the next row is due (bars: one interval; funding
                rates: 8 h; metrics: 10 min), and at least one step: a symbol has no values after
                its last row.
            as_of: Read the tables as of this time.
            origins: Only rows of these origins.

        Raises:
            QueryError: A name, a length or a symbol is wrong, no symbol is selected, a table may
                have several rows of a symbol at a time, tables have no common time or one has no
                row in that time, or the panel would have more than 2^30 values.
        """
        return panel_of(
            self, columns, every=every, symbols=symbols, start=start, end=end, max_age=max_age,
            as_of=as_of, origins=origins,
        )  # fmt: skip

    def universe(
        self,
        start: Instant,
        end: Instant | None = None,
        *,
        tables: Iterable[str] | str | None = None,
        interval: str | None = None,
        as_of: Instant | None = None,
    ) -> pl.DataFrame:
        """The symbols that have rows on each day, whether they are traded today or not.

        Args:
            start: The day, or the first of several.
            end: The last day.
            tables: The tables; by default those of klines of all markets.
            interval: Only bars of this interval, which is faster.
            as_of: Read the tables as of this time.

        Returns:
            The columns `date`, `market`, `data_type` and `symbol`, one row for each of a day, in
            this order.

        Raises:
            QueryError: There is no such day or table, or no symbol has rows on any of the days.
        """
        return universe_of(self, start, end, tables=tables, interval=interval, as_of=as_of)

    def series(
        self, name: str, *, as_of: Instant | None = None
    ) -> frozenset[tuple[str, str | None]]:
        """Each symbol that a table has rows of, with the interval; None in one without intervals.

        Raises:
            QueryError: There is no such table, or no snapshot at `as_of`.
        """
        table = self.table(name)
        return self._tables.contents(table, snapshot_at(table, name, as_of)).series()

    def data_schema(self, name: str) -> TableSchema:
        """The schema of a table that has rows of archives.

        Raises:
            QueryError: The lake has no such table, or it is not of a data type.
        """
        self.table(name)
        return self._data_schema(name)

    def _data_schema(self, name: str) -> TableSchema:
        schema = self.schema(name)
        if schema is None:
            raise QueryError(name, "not a table of a data type; read it with `sql`")
        return schema

    def sql(
        self, query: str, *, as_of: Instant | None = None, live: bool = False
    ) -> duckdb.DuckDBPyRelation:
        """Run SQL; tables are named `spot.klines`, `lakehouse.archives`, and so on.

        Args:
            query: The SQL.
            as_of: Read the tables as of this time.
            live: Add to the tables that it names the rows of recordings that are not ingested yet,
                as `scan` does; of all symbols and times.

        Raises:
            QueryError: DuckDB rejects the query, or a table does not exist.
            SegmentError, StoreError: As `scan`.
        """
        from crypto_lakehouse.tables.lake.sql import QuerySession

        return QuerySession(self, as_of=as_of, live=live).sql(query)

    def data_files(
        self, name: str, as_of: Instant | None = None
    ) -> tuple[Table, tuple[DataFile, ...]]:
        """A table and all its data files, now or as of a time."""
        table = self.table(name)
        return table, self._tables.contents(table, snapshot_at(table, name, as_of)).files()

    def live_files(self, name: str) -> tuple[Table, tuple[DataFile, ...], pa.Table | None]:
        """As `data_files` now, with the rows of recordings beside it that are not ingested yet.

        Raises:
            QueryError, SegmentError, StoreError: As `scan`.
        """
        settled = self.recordings.settled(name)
        table = self._readable(name, live=True)
        contents = self._tables.contents(table, table.current_snapshot())
        schema = self.schema(name)
        if schema is None or kind_of(schema.market, schema.data_type) is None:
            return table, contents.files(), None
        added = self.recordings.rows(schema, contents, WantedSeries(), TimeRange(), settled)
        return table, contents.files(), added.rows

    @property
    def recordings(self) -> LakeRecordings:
        """The recordings of the output.

        Raises:
            QueryError: The output is not known.
        """
        if self._recordings is None:
            raise no_output(self.catalog)
        return self._recordings


def _has_exact_files(schema: TableSchema) -> bool:
    """Whether each data file has rows of one symbol, and of one interval."""
    named = ("symbol", "interval") if schema.has_interval else ("symbol",)
    return all(each in schema.partition for each in named)
