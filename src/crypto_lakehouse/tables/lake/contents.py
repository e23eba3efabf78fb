"""Which symbols and intervals a snapshot has rows of, and the files of those that a scan selects.

They are known from the partitions of the files. In the few tables that are not partitioned by
symbol, the column `symbol` of the files is read, alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from attrs import define, evolve, field, frozen
from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import INTERVALS
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.core.messages import (
    MOST_NAMED,
    allowed_values,
    existing_values,
    shown,
    with_nearest,
)
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.tables.iceberg.catalog_errors import as_lake_errors
from crypto_lakehouse.tables.iceberg.column_names import check_names
from crypto_lakehouse.tables.iceberg.data_files import identity_values, values_in
from crypto_lakehouse.tables.iceberg.filters import ALWAYS, all_of, among, equals
from crypto_lakehouse.tables.iceberg.live_files import live_files

__all__ = ["SnapshotContents", "WantedSeries"]

#: pyiceberg compares each file with each name; from here on it is faster to list all files.
_MOST_COMPARED = 8

#: A symbol and its interval, None in a table without intervals.
_Series = tuple[str, str | None]


@frozen
class WantedSeries:
    """The symbols and the interval that a scan selects.

    Attributes:
        symbols: Symbols and globs, None for all.
        interval: The interval, None for all.
        row: The row of the matrix that knows which symbols a glob stands for; None compares names.
    """

    symbols: tuple[str, ...] | None = None
    interval: str | None = None
    row: MatrixRow | None = field(default=None, eq=False, repr=False)

    @classmethod
    def of(
        cls, table: str, symbols: Iterable[str] | str | None, interval: str | None
    ) -> WantedSeries:
        """Take what the caller of a scan gives; `1M` means `1mo`, as in configurations.

        Raises:
            QueryError: A symbol or the interval is not text.
        """
        given = (symbols,) if isinstance(symbols, str) else symbols
        names = None if given is None else tuple(given)
        texts: tuple[object, ...] = (*(names or ()), "" if interval is None else interval)
        for value in texts:
            if not isinstance(value, str):
                what = f"`{shown(value)}` is {type(value).__name__}"
                raise QueryError(table, f"{what}; give each symbol, and one interval, as text")
        if names is not None:
            names = tuple(dict.fromkeys(unicodedata.normalize("NFC", name) for name in names))
        return cls(names, "1mo" if interval == "1M" else interval)

    def in_folders(self, row: MatrixRow | None) -> WantedSeries:
        """Return the same selection by the symbols under which a row's archives are stored.

        Source: docs/archive.md#pair-folders.
        """
        if row is None or self.symbols is None:
            return self
        names = (each if is_glob(each) else row.folder_symbol(each) or each
                 for each in self.symbols)  # fmt: skip
        return evolve(self, symbols=tuple(dict.fromkeys(names)), row=row)

    def matching(self, names: Collection[str], symbol: str) -> list[str]:
        """Return the names that a symbol or glob stands for, as in a collection's selection."""
        if not is_glob(symbol):
            return [symbol] if symbol in names else []
        if self.row is None:
            return [name for name in names if fnmatchcase(name, symbol)]
        return [name for name in names if self.row.fits(name, symbol)]

    @property
    def is_listed(self) -> bool:
        """Whether a few symbols are named exactly, or none is named."""
        names = self.symbols or ()
        return len(names) <= _MOST_COMPARED and not any(map(is_glob, names))

    @property
    def row_filter(self) -> BooleanExpression:
        """The filter on the table's rows; it must not be used with globs."""
        wanted = ALWAYS
        if self.symbols:
            several = len(self.symbols) > 1
            wanted = among("symbol", self.symbols) if several else equals("symbol", self.symbols[0])
        return (
            wanted if self.interval is None else all_of(wanted, equals("interval", self.interval))
        )


@define(eq=False)
class SnapshotContents:
    """The files and series of one snapshot; what is read is kept.

    Attributes:
        table: The table.
        snapshot_id: The snapshot; None if the table has none yet.
        lake: The lake's directory, for errors.
    """

    table: Table
    snapshot_id: int | None
    lake: str
    _planned: dict[WantedSeries, tuple[DataFile, ...]] = field(init=False, factory=dict)
    _series: dict[str, frozenset[_Series]] = field(init=False, factory=dict)

    def files(self, wanted: WantedSeries | None = None) -> tuple[DataFile, ...]:
        """The files that may have rows of the series, by the table's metadata alone.

        Args:
            wanted: The series, without globs; None for all.

        Raises:
            LakeError: The metadata cannot be read, the table has delete files, or another program
                has renamed or replaced columns of the files.
        """
        wanted = wanted or WantedSeries()
        if self.snapshot_id is None or wanted.symbols == ():
            return ()
        if wanted not in self._planned:
            with as_lake_errors(self.lake):
                found = live_files(self.table, wanted.row_filter, self.snapshot_id)
                files = tuple(found)
                check_names(self.table, files)
                self._planned[wanted] = files
        return self._planned[wanted]

    def series(self) -> frozenset[_Series]:
        """Each symbol that the snapshot has rows of, with the interval, None without intervals.

        Raises:
            LakeError: The metadata cannot be read.
        """
        return frozenset(each for file in self.files() for each in self._series_in(file))

    def chosen(
        self, wanted: WantedSeries, beside: Collection[_Series] = frozenset()
    ) -> tuple[tuple[DataFile, ...], tuple[str, ...] | None]:
        """The files that may have the selected rows, and the selected symbols, None for all.

        Args:
            wanted: The selection.
            beside: Symbol and interval of each selected series that has rows beside the snapshot.

        Raises:
            QueryError: The snapshot has no rows of a symbol, of any symbol like a glob, or of the
                interval; all of them are named.
            LakeError: The metadata cannot be read.
        """
        if wanted.symbols == ():
            return (), ()
        files = self.files(wanted) if wanted.is_listed else ()
        if wanted.is_listed and self._has_all(files, wanted, beside):
            return files, wanted.symbols
        every = self.files()
        series = {*self.series(), *beside}
        if faults := list(_faults(series, wanted)):
            raise QueryError(".".join(self.table.name()), "; ".join(faults))
        there = {symbol for symbol, interval in series if wanted.interval in (None, interval)}
        names = dict.fromkeys(
            name
            for symbol in wanted.symbols or ()
            for name in sorted(wanted.matching(there, symbol))
        )
        chosen = {(name, interval) for name, interval in series if name in names}
        if wanted.interval is not None:
            chosen = {each for each in chosen if each[1] == wanted.interval}
        return tuple(file for file in every if self._series_in(file) & chosen), tuple(names)

    def _has_all(
        self, files: Sequence[DataFile], wanted: WantedSeries, beside: Collection[_Series]
    ) -> bool:
        """Whether there are rows of each wanted symbol, or any, if none is named."""
        if wanted.symbols is None:
            return bool(files or beside) or wanted.interval is None
        missing = {*wanted.symbols} - {symbol for symbol, _ in beside}
        for file in files:
            if not missing:
                break
            missing -= {symbol for symbol, _ in self._series_in(file)}
        return not missing

    def _series_in(self, file: DataFile) -> frozenset[_Series]:
        place = file.file_path
        if place not in self._series:
            known = identity_values(self.table, file)
            interval = known.get("interval")
            with as_lake_errors(self.lake):
                named = "symbol" in known
                names = [known["symbol"]] if named else values_in(self.table, file, "symbol")
            self._series[place] = frozenset((name, interval) for name in names)
        return self._series[place]


def _faults(series: set[_Series], wanted: WantedSeries) -> Iterator[str]:
    """Say what is wanted and not there."""
    if not series:
        yield "the table has no rows yet"
        return
    intervals = {interval for _, interval in series if interval is not None}
    is_absent = wanted.interval is not None and wanted.interval not in intervals
    if is_absent:
        yield _interval_fault(str(wanted.interval), intervals)
    if wanted.symbols is None:
        return
    within = None if is_absent else wanted.interval
    names = {symbol for symbol, interval in series if within in (None, interval)}
    absent = [symbol for symbol in wanted.symbols if not wanted.matching(names, symbol)]
    if absent:
        of = f" of interval `{within}`" if within else ""
        ordered = sorted(names)
        first = ", ".join(with_nearest(symbol, ordered) for symbol in absent[:MOST_NAMED])
        rest = len(absent) - MOST_NAMED
        more = f", and {rest:,} more" if rest > 0 else ""
        yield f"no rows{of} of {first}{more}; {existing_values(ordered, 'symbols')}"


def _interval_fault(interval: str, there: set[str]) -> str:
    if interval not in INTERVALS:
        return f"no interval `{shown(interval)}`; {allowed_values(interval, INTERVALS)}"
    ordered = [each for each in INTERVALS if each in there]
    return f"no rows of interval `{interval}`; {existing_values(ordered, 'intervals')}"
