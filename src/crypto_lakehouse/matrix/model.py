"""The matrix: what the publisher offers, with methods that answer questions about it.

`matrix/binance.json` is the shipped one. Every fact in it comes from docs/archive.md#the-tree,
docs/archive-rows.md#data-types and docs/archive-faults.md#archive-faults; its `notes` say where a
fact is only a lower bound or where sources disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TypeVar

from attrs import field, frozen

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition, Series
from crypto_lakehouse.core.config.values import is_glob
from crypto_lakehouse.matrix.contract_globs import fits_contract

__all__ = ["HeaderEra", "Matrix", "MatrixRow", "PartitionFacts", "SymbolLife", "TimeUnitEra"]


_PAIR_SUFFIX = re.compile(r"_(PERP|\d{6})\Z", re.ASCII)
_DELIVERY = re.compile(r".*_(\d{2})(\d{2})(\d{2})", re.ASCII)


@frozen(kw_only=True)
class HeaderEra:
    """From which day of data on files have a header line; None means from the beginning.

    A hint only: the header came with the day of upload (docs/archive-rows.md#headers).
    """

    since: date | None
    header: bool


@frozen(kw_only=True)
class TimeUnitEra:
    """From which day of data on times are in `ms` or `us`; None means from the beginning."""

    since: date | None
    unit: str


_Era = TypeVar("_Era", HeaderEra, TimeUnitEra)


@frozen(kw_only=True)
class PartitionFacts:
    """What one row offers in one partition.

    Attributes:
        intervals: Interval folders; empty if the type has no intervals.
        available_from: First day of the first published period.
        available_to: Last day that was published, None while the feed is live.
        lag_days: For how many days after a period's last day its absence is normal.
    """

    intervals: tuple[str, ...] = ()
    available_from: date
    available_to: date | None = None
    lag_days: int


@frozen(kw_only=True)
class SymbolLife:
    """The life of one symbol, if it is known to differ from its row's."""

    available_from: date | None = None
    available_to: date | None = None


@frozen(kw_only=True)
class MatrixRow:
    """What is published of one data type in one market.

    Attributes:
        state: `live`; `retired`: nothing new is published; `removed`: all archives are deleted.
        key_pattern: The object key, with placeholders.
        symbol_pattern: What a whole folder symbol must match, as a regular expression.
        symbol_form: `symbol`, or `pair` if the folder is named after the pair.
        symbol_lives: Exceptions from the lives of the partitions.
        symbols: All symbols; empty if they are not known.
        partition_symbols: Those of `symbols` that are in one partition only, by partition.
        columns: The CSV columns, in order.
        sidecar_newline: Whether published sidecars end with a line feed.
        notes: Remarks on the facts, a sentence each.
    """

    market: Market
    data_type: DataType
    state: str = "live"
    key_pattern: str
    partitions: Mapping[Partition, PartitionFacts]
    symbol_pattern: str
    symbol_form: str = "symbol"
    symbol_lives: Mapping[str, SymbolLife] = field(factory=dict)
    symbols: tuple[str, ...] = ()
    partition_symbols: Mapping[Partition, tuple[str, ...]] = field(factory=dict)
    header_eras: tuple[HeaderEra, ...]
    time_unit_eras: tuple[TimeUnitEra, ...]
    columns: tuple[str, ...]
    sidecar_newline: bool = False
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The row's name, for example `spot klines`."""
        return f"{self.market} {self.data_type}"

    def has_only_months(self, interval: str | None) -> bool:
        """Whether series with an interval are published by the month only."""
        days = self.partitions.get(Partition.DAILY)
        return days is None or (interval is not None and interval not in days.intervals)

    def folder_symbol(self, symbol: str) -> str | None:
        """Return the folder of `symbol`, None if the row cannot have such a symbol."""
        if self.symbol_form == "pair":
            symbol = _PAIR_SUFFIX.sub("", symbol)
        return symbol if re.fullmatch(self.symbol_pattern, symbol) else None

    def fits(self, folder: str, glob: str) -> bool:
        """Whether a glob stands for a folder: by its name, or by a contract of the pair.

        Source: docs/archive.md#pair-folders.
        """
        return fnmatchcase(folder, glob) or self.files_under_pair(folder, (glob,))

    def files_under_pair(self, folder: str, symbols: Iterable[str]) -> bool:
        """Whether the folder is of a pair, and one of these symbols and globs is a contract's."""
        return self.symbol_form == "pair" and any(
            fits_contract(folder, symbol)
            if is_glob(symbol)
            else self.folder_symbol(symbol) == folder
            for symbol in symbols
        )

    def lacks(self, symbol: str, partition: Partition) -> bool:
        """Whether a symbol is known to be published in other partitions only."""
        others = (other for other in self.partition_symbols if other is not partition)
        return any(symbol in self.partition_symbols[other] for other in others)

    def life(self, symbol: str, partition: Partition) -> tuple[date, date | None]:
        """Return the first and last day of a symbol; the last is None while it is traded.

        A symbol ends on the delivery date in its name; a pair does not end with its contracts.

        Raises:
            KeyError: The row has no such partition.
        """
        facts = self.partitions[partition]
        symbol = self.folder_symbol(symbol) or symbol
        first, last = facts.available_from, facts.available_to
        known = self.symbol_lives.get(symbol, SymbolLife())
        first = max(first, known.available_from or first)
        ends = [day for day in (last, known.available_to, delivery_day(symbol)) if day is not None]
        return first, min(ends, default=None)

    def has_header(self, day: date) -> bool:
        """Whether a file of this day of data is expected to begin with a header line."""
        return _era(self.header_eras, day).header

    def time_unit(self, day: date) -> str:
        """Return the unit of a row's times on this day of data, `ms` or `us`."""
        return _era(self.time_unit_eras, day).unit

    def intervals(self) -> tuple[str, ...]:
        """Every interval of any partition, shortest first."""
        offered = {interval for facts in self.partitions.values() for interval in facts.intervals}
        return tuple(interval for interval in INTERVALS if interval in offered)


def _era(eras: tuple[_Era, ...], day: date) -> _Era:
    """The last era that has begun; eras are sorted, and the first has no beginning."""
    return [era for era in eras if era.since is None or era.since <= day][-1]


@frozen(kw_only=True)
class Matrix:
    """All rows, by market and data type.

    Attributes:
        origin: The name of the file.
        publisher: The publisher of the archive.
        observed: The date of the facts.
        corrections: The corrections made to a file of an older format, a sentence each.
    """

    origin: str
    rows: tuple[MatrixRow, ...]
    source_url: str
    listing_url: str | None = None
    publisher: str = ""
    observed: date | None = None
    corrections: tuple[str, ...] = ()

    def files_under_pair(self, series: Series, symbol: str) -> bool:
        """Whether a series is of a pair, and the symbol or glob is that of a contract of it."""
        row = self.row(series.market, series.data_type)
        return row is not None and row.files_under_pair(series.symbol, (symbol,))

    def row(self, market: Market, data_type: DataType) -> MatrixRow | None:
        """Return the row of a data type in a market, None where it is not published."""
        for row in self.rows:
            if row.market is market and row.data_type is data_type:
                return row
        return None

    def markets(self) -> tuple[Market, ...]:
        """Every market that has a row."""
        return tuple(dict.fromkeys(row.market for row in self.rows))

    def data_types(self, market: Market) -> tuple[DataType, ...]:
        """Every data type of a market."""
        return tuple(row.data_type for row in self.rows if row.market is market)


@lru_cache(maxsize=4096)
def delivery_day(symbol: str) -> date | None:
    """Return the day that a dated contract's name ends with (`_YYMMDD`), None for others."""
    match = _DELIVERY.fullmatch(symbol)
    if match is None:
        return None
    year, month, day = (int(part) for part in match.groups())
    try:
        return date(2000 + year, month, day)
    except ValueError:
        return None
