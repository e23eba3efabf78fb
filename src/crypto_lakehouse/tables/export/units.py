"""What an export writes: one unit for each file, of one series and perhaps one year or month."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import MINYEAR, UTC, datetime, timedelta

from attrs import evolve, field, frozen
from pyiceberg.manifest import DataFile

from crypto_lakehouse.core.archive import INTERVALS, check_symbol
from crypto_lakehouse.core.errors import LakeError, QueryError
from crypto_lakehouse.core.messages import existing_values, shown, with_nearest
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.tables.iceberg.data_files import identity_values, values_in
from crypto_lakehouse.tables.lake.contents import WantedSeries
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.scan import Scan
from crypto_lakehouse.tables.lake.scanned_files import time_bounds
from crypto_lakehouse.tables.lake.time_range import Instant, TimeRange
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["ExportSelection", "Selected", "Unit", "selected_of"]


@frozen(kw_only=True)
class ExportSelection:
    """What is exported; None selects all.

    Attributes:
        markets: Markets, as `spot`.
        data_types: Data types, as `klines`.
        symbols: Symbols and globs, as `BTC*`.
        intervals: Intervals of klines, as `1h`.
        start: The first instant or day, in UTC.
        end: The first instant after the selected ones, or the last selected day.
        as_of: Read the tables as of this time.
        origins: Only rows of these origins, as `archive`.
    """

    markets: Collection[str] | None = None
    data_types: Collection[str] | None = None
    symbols: Sequence[str] | None = None
    intervals: Collection[str] | None = None
    start: Instant | None = None
    end: Instant | None = None
    as_of: Instant | None = None
    origins: Sequence[str] | None = None


@frozen(kw_only=True)
class Unit:
    """The rows of one file.

    Attributes:
        schema: The table.
        symbol: The symbol.
        interval: The interval of klines; None for other types.
        period: The year or month, as `2024` or `2024-01`; empty for all times.
        scan: The rows, of one snapshot of the table.
    """

    schema: TableSchema
    symbol: str
    interval: str | None
    period: str
    scan: Scan = field(repr=False, eq=False)

    @property
    def name(self) -> str:
        """Its name in the record of an export, as `spot.klines/BTCUSDT/1h/2024`."""
        parts = (self.schema.name, self.symbol, self.interval, self.period)
        return "/".join(part for part in parts if part)

    @property
    def row_key(self) -> tuple[str, ...]:
        """The columns that give the order of its rows."""
        return tuple(name for name in self.schema.sort_key if name not in {"symbol", "interval"})

    def source(self) -> str:
        """A digest of what its rows are: another one means that the rows may have changed.

        Data files are never changed, and their names are unique.
        """
        files = sorted(
            (file.file_path.rsplit("/", 1)[-1], file.file_size_in_bytes, file.record_count)
            for file in self.scan.files
        )
        times = (self.scan.times.start, self.scan.times.end)
        told = (files, self.symbol, self.interval, times, self.scan.origins, self.scan.columns)
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def first_and_last(self) -> tuple[datetime, datetime]:
        """The first and the last time of its rows, by the bounds of its files."""
        bounds = [*map(time_bounds(self.scan.iceberg, self.scan.time_column), self.scan.files)]
        return min(low for low, _ in bounds), max(high for _, high in bounds)


@frozen
class _Table:
    """A table of a selection.

    Attributes:
        schema: The table.
        scan: Its selected rows, of one snapshot.
        wanted: How each symbol that is given is looked for.
    """

    schema: TableSchema
    scan: Scan = field(repr=False)
    wanted: dict[str, WantedSeries]

    @property
    def identifier(self) -> str:
        """What tells it from a table of this name in another lake."""
        return str(self.scan.iceberg.metadata.table_uuid)


@frozen(kw_only=True)
class Selected:
    """What a lake has of a selection.

    Attributes:
        selection: What is selected.
        units: A unit for each file, by name.
    """

    selection: ExportSelection
    units: tuple[Unit, ...]
    _tables: dict[str, _Table]

    def identifier(self, unit: str) -> str:
        """What tells the table of a unit from one of the same name in another lake."""
        table = self._tables.get(unit.partition("/")[0])
        return "" if table is None else table.identifier

    def covers(self, unit: str, identifier: str) -> bool:
        """Whether a unit that an earlier export has written is selected, of a table of this lake.

        If it is none of the units, the table has no such rows.
        """
        if identifier != self.identifier(unit) or not identifier:
            return False
        name, symbol, *rest = unit.split("/")
        interval = rest.pop(0) if rest and rest[0] in INTERVALS else None
        selection, wanted = self.selection, self._tables[name].wanted
        if selection.intervals is not None and interval not in (None, *selection.intervals):
            return False
        if selection.symbols is not None and not _named(symbol, wanted):
            return False
        if not rest:
            return True
        begin, monthly = _period(rest[0])
        times = TimeRange.of(selection.start, selection.end)
        return _within(times, begin, _next(begin, monthly=monthly)) is not None


def selected_of(
    lake: Lake, selection: ExportSelection, data_types: Collection[str] | None, *, by_period: bool
) -> Selected:
    """Split what is selected; each table is read at the snapshot that is its newest now.

    Args:
        lake: The lake.
        selection: What is selected.
        data_types: The data types that the target has files for; None for all.
        by_period: Whether a file has a year or a month of a series, as the table's partitions do.

    Raises:
        QueryError: The lake has no rows of what is selected.
        LakeError: The metadata of a table cannot be read.
    """
    tables = [
        _Table(schema, _scan(lake, schema, selection), _wanted(schema, selection.symbols))
        for schema in _tables(lake, selection, data_types)
    ]
    units: list[Unit] = []
    seen: set[str] = set()
    absent = dict.fromkeys(selection.symbols or ())
    for each in tables:
        for (symbol, interval), files in _by_series(each.scan).items():
            seen.add(symbol)
            if selection.intervals is not None and interval not in (None, *selection.intervals):
                continue
            fitting = _named(symbol, each.wanted)
            if selection.symbols is not None and not fitting:
                continue
            absent = {name: None for name in absent if name not in fitting}
            series = evolve(each.scan, files=tuple(files), symbols=(symbol,), interval=interval)
            units += _split(each.schema, symbol, interval, series, by_period=by_period)
    if absent:
        named = ", ".join(with_nearest(each, sorted(seen)) for each in absent)
        there = existing_values(sorted(seen), "symbols")
        raise QueryError("export", f"the lake has no such rows of {named}; {there}")
    if not units:
        raise QueryError("export", "the lake has no rows of what is selected; see `lake tables`")
    return Selected(
        selection=selection,
        units=tuple(sorted(units, key=lambda unit: unit.name)),
        tables={each.schema.name: each for each in tables},
    )


def _scan(lake: Lake, schema: TableSchema, selection: ExportSelection) -> Scan:
    return lake.scan(
        schema.name, start=selection.start, end=selection.end, as_of=selection.as_of,
        origins=selection.origins,
    )  # fmt: skip


def _tables(
    lake: Lake, selection: ExportSelection, data_types: Collection[str] | None
) -> Iterator[TableSchema]:
    """The tables that are selected and that the target has files for."""
    for name in lake.tables:
        schema = lake.schema(name)
        if (
            schema is not None
            and (selection.markets is None or schema.market in selection.markets)
            and (selection.data_types is None or schema.data_type in selection.data_types)
            and (data_types is None or schema.data_type in data_types)
        ):
            yield schema


def _wanted(schema: TableSchema, symbols: Iterable[str] | None) -> dict[str, WantedSeries]:
    """How each symbol that is given is looked for among those of a table."""
    row = load_matrix().row(schema.market, schema.data_type)
    return {
        given: WantedSeries.of(schema.name, given, None).in_folders(row) for given in symbols or ()
    }


def _named(symbol: str, wanted: dict[str, WantedSeries]) -> list[str]:
    """Those of the symbols given that select a symbol of the table."""
    return [
        given
        for given, series in wanted.items()
        if any(series.matching({symbol}, each) for each in series.symbols or ())
    ]


def _by_series(scan: Scan) -> dict[tuple[str, str | None], list[DataFile]]:
    """The files of each symbol and interval."""
    found: dict[tuple[str, str | None], list[DataFile]] = {}
    for file in scan.files:
        known = identity_values(scan.iceberg, file)
        interval = known.get("interval")
        if interval not in (None, *INTERVALS):
            raise LakeError(scan.table, f"`{shown(interval)}` is no interval of klines")
        named = "symbol" in known
        for symbol in [known["symbol"]] if named else values_in(scan.iceberg, file, "symbol"):
            check_symbol(symbol)  # it becomes the name of a file
            found.setdefault((symbol, interval), []).append(file)
    return found


def _split(
    schema: TableSchema, symbol: str, interval: str | None, scan: Scan, *, by_period: bool
) -> Iterator[Unit]:
    """The units of one series."""
    unit = Unit(schema=schema, symbol=symbol, interval=interval, period="", scan=scan)
    if not by_period:
        yield unit
        return
    monthly = any(each.transform == "month" for each in schema.partitioning)
    bounds = time_bounds(scan.iceberg, scan.time_column)
    found: dict[datetime, list[DataFile]] = {}
    for file in scan.files:
        low, high = bounds(file)
        if low.year == MINYEAR:
            reason = f"a data file has no bounds of `{scan.time_column}`; run `lake compact`"
            raise LakeError(scan.table, reason)
        begin = _start_of(low, monthly=monthly)
        while begin <= high:
            found.setdefault(begin, []).append(file)
            begin = _next(begin, monthly=monthly)
    for begin, files in sorted(found.items()):
        times = _within(scan.times, begin, _next(begin, monthly=monthly))
        if times is not None:
            period = f"{begin:%Y-%m}" if monthly else f"{begin:%Y}"
            part = evolve(scan, files=tuple(files), times=times)
            yield evolve(unit, period=period, scan=part)


def _period(text: str) -> tuple[datetime, bool]:
    """The begin of a year or month that is written as in the name of a unit, and which it is."""
    year, _, month = text.partition("-")
    return datetime(int(year), int(month or 1), 1, tzinfo=UTC), bool(month)


def _start_of(time: datetime, *, monthly: bool) -> datetime:
    return datetime(time.year, time.month if monthly else 1, 1, tzinfo=UTC)


def _next(begin: datetime, *, monthly: bool) -> datetime:
    return _start_of(begin + timedelta(days=31 if monthly else 366), monthly=monthly)


def _within(times: TimeRange, begin: datetime, end: datetime) -> TimeRange | None:
    """The part of a year or month that is selected; None for none."""
    begin = begin if times.start is None else max(begin, times.start)
    end = end if times.end is None else min(end, times.end)
    return TimeRange(begin, end) if begin < end else None
