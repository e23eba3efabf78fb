"""The part of a panel that comes from one table: its symbols, its times, and its aligned values."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import polars as pl
from attrs import evolve, frozen
from pyiceberg.manifest import DataFile

from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.tables.iceberg.data_files import identity_values
from crypto_lakehouse.tables.lake.alignment import Wanted, aligned
from crypto_lakehouse.tables.lake.grid import MICROSECOND, Grid
from crypto_lakehouse.tables.lake.panel_sources import KNOWN_AT, PanelSource
from crypto_lakehouse.tables.lake.scan import Scan
from crypto_lakehouse.tables.lake.scanned_files import time_bounds
from crypto_lakehouse.tables.lake.scanned_lake import ScannedLake
from crypto_lakehouse.tables.lake.time_range import Instant, TimeRange

__all__ = ["PanelPart", "Span"]

#: When the first of some rows was known, and the last one.
Span = tuple[datetime, datetime]

#: A label of its own: when the row of each time was known.
_ROW = "\0row"

_MOST_THREADS = 8

#: Rows of a time that is this part of the time that is read are read, too, and not filtered out.
_FEW = 1 / 8

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@frozen(eq=False)
class PanelPart:
    """A source of a panel in a lake.

    Attributes:
        source: The source.
        row: What the matrix says of its type; None if it does not have it.
        there: The symbols that the table has rows of, with the interval.
        scan: Scans the table for symbols and times.
    """

    source: PanelSource
    row: MatrixRow | None
    there: frozenset[str]
    scan: Callable[..., Scan]

    @classmethod
    def of(
        cls,
        lake: ScannedLake,
        source: PanelSource,
        *,
        as_of: Instant | None,
        origins: list[str] | None,
    ) -> PanelPart:
        """Find the symbols of a source.

        Raises:
            QueryError: The table has no rows, or none of the interval, or lacks a column.
        """
        schema, interval = source.schema, source.interval

        def scan(symbols: Iterable[str] | None, **times: Any) -> Scan:
            return lake.scan(
                schema.name, symbols=symbols, interval=interval, origins=origins, as_of=as_of,
                columns=tuple(dict.fromkeys([*source.columns, "symbol"])), **times,
            )  # fmt: skip

        there = {name for name, of in lake.series(schema.name, as_of=as_of) if of == interval}
        if not there:
            scan(None)  # names the intervals that there are
            raise QueryError(schema.name, "the table has no rows; ingest some first")
        row = load_matrix().row(schema.market, schema.data_type)
        return cls(source, row, frozenset(there), scan)

    @property
    def is_of_pairs(self) -> bool:
        """Whether its symbols are pairs, of which other types have several contracts."""
        return self.row is not None and self.row.symbol_form == "pair"

    def stored(self, symbol: str) -> str:
        """The symbol by which the table has the rows of a symbol: contracts have those of pairs."""
        return (self.row and self.row.folder_symbol(symbol)) or symbol

    def has(self, symbol: str) -> bool:
        """Whether the table has rows of a symbol."""
        return self.stored(symbol) in self.there

    def _stored_of(self, names: Iterable[str]) -> list[str]:
        return sorted({self.stored(each) for each in names if self.has(each)})

    def span(self, names: Iterable[str]) -> Span | None:
        """When the first row of some symbols was known, and the last one; None if there is none."""
        scan = self.scan(self._stored_of(names))
        when = pl.col(scan.time_column)
        if scan.exact:
            bounds = map(time_bounds(scan.iceberg, scan.time_column), scan.files)
            known = [each for bound in bounds for each in bound]
        if not scan.exact or any(each.year in {1, 9999} for each in known):
            row = scan.polars().select(when.min(), when.max().alias("last")).collect().row(0)
            known = [each for each in row if each is not None]
        if not known:
            return None
        return min(known) + self.source.duration, max(known) + self.source.duration

    def values(
        self, names: Sequence[str], grid: Grid, wanted: Sequence[Wanted]
    ) -> dict[str, pl.DataFrame]:
        """The aligned columns: a frame for each label, with a column for each symbol.

        Args:
            names: The symbols.
            grid: The times.
            wanted: The columns.

        Raises:
            QueryError: No row is known at any time of the grid.
        """
        back = max(each.max_age for each in wanted) + self.source.duration
        has_start = grid.first - _BEGINNING > back
        scan = self.scan(
            self._stored_of(names),
            start=grid.first - back if has_start else None,
            end=grid.last + MICROSECOND,
        )
        times, key = grid.times, self.source.schema.key
        known = Wanted(_ROW, KNOWN_AT, max(each.max_age for each in wanted))

        def align(rows: pl.DataFrame) -> pl.DataFrame:
            return aligned(rows, times, [*wanted, known], key)

        found = dict(_by_symbol(_without_end(scan), self.source, align))
        if all(each[_ROW].is_null().all() for each in found.values()):
            raise QueryError("panel", self._unknown(names, grid))
        none = evolve(scan, files=()).polars().with_columns(self.source.computed())
        nothing = align(none.collect())
        frames = {name: found.get(self.stored(name), nothing) for name in names}
        return {
            each.label: pl.DataFrame({name: frames[name][each.label] for name in names})
            for each in wanted
        }

    def _unknown(self, names: Sequence[str], grid: Grid) -> str:
        span = self.span(names)
        has = "there is none of these symbols" if span is None else (
            f"those of these symbols are known from {span[0].isoformat()} to {span[1].isoformat()}"
        )  # fmt: skip
        when = f"from {grid.first.isoformat()} to {grid.last.isoformat()}"
        return (
            f"no row of `{self.source.name}` is known {when}, or all are too old: {has}; choose "
            "times that all types have, or leave this one out"
        )


def _without_end(scan: Scan) -> Scan:
    """The scan without the end of its times, if its files have few rows from then on.

    No time of the grid takes such a row, and to filter them out costs more than to read them.
    """
    start, end = scan.times.start, scan.times.end
    if start is None or end is None or not scan.files:
        return scan
    bounds = time_bounds(scan.iceberg, scan.time_column)
    last = max(bounds(file)[1] for file in scan.files)
    few = last - end <= (end - start) * _FEW
    return evolve(scan, times=TimeRange(start, None)) if few else scan


def _by_symbol(
    scan: Scan, source: PanelSource, align: Callable[[pl.DataFrame], pl.DataFrame]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The aligned rows of each symbol of a scan.

    Where each file has one symbol, only the rows of a few symbols are in memory at a time.
    """
    computed = source.computed()
    files: dict[Any, list[DataFile]] = {}
    for file in scan.files:
        values = identity_values(scan.iceberg, file)
        files.setdefault(values.get("symbol"), []).append(file)

    def of_files(name: Any) -> tuple[str, pl.DataFrame]:
        # Without the column `symbol`, which would be the same text in every row.
        one = evolve(scan, files=tuple(files[name]), symbols=(name,), columns=source.columns)
        return name, align(one.polars().with_columns(computed).collect())

    def of_rows(part: tuple[tuple[Any, ...], pl.DataFrame]) -> tuple[str, pl.DataFrame]:
        return str(part[0][0]), align(part[1])

    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        if scan.exact and None not in files:
            yield from pool.map(of_files, files)
        else:
            rows = scan.polars().with_columns(computed).collect()
            yield from pool.map(of_rows, rows.partition_by("symbol", as_dict=True).items())
