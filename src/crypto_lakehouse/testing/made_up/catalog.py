"""Which keys a made-up archive has: the matrix, a few symbols, and a window of days.

The tree is walked, never built: the daily 1m bars of one symbol alone are thousands of keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from crypto_lakehouse.core.archive import (
    SIDECAR_SUFFIX,
    Archive,
    Market,
    Partition,
    Period,
    Series,
)
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.matrix.model import Matrix, MatrixRow

__all__ = ["DEFAULT_SYMBOLS", "Catalog", "Symbols"]

#: One list for all markets, or one for each.
Symbols = Sequence[str] | Mapping[Market, Sequence[str]]

DEFAULT_SYMBOLS: Mapping[Market, Sequence[str]] = {
    Market.SPOT: ("BTCUSDT", "ETHUSDT", "1INCHBTC", "币安人生USDT"),
    Market.FUTURES_UM: ("BTCUSDT", "ETHUSDT", "BTCUSDT_240628"),
    Market.FUTURES_CM: ("BTCUSD_PERP", "ETHUSD_PERP", "BTCUSD_240628"),
    Market.OPTIONS: ("BTCUSDT", "ETHUSDT", "BTCBVOLUSDT", "ETHBVOLUSDT"),
}


class Catalog:
    """The keys that exist.

    Args:
        matrix: What the publisher offers.
        symbols: The symbols in listings. A GET finds every symbol that the matrix accepts.
        start: No period that ends before this day exists.
        end: No period that begins after this day exists.
        today: No period that has not ended before this day exists.
    """

    def __init__(
        self,
        matrix: Matrix,
        symbols: Symbols,
        *,
        start: date | None,
        end: date | None,
        today: date,
    ) -> None:
        self._matrix = matrix
        self._symbols = symbols
        self._start = start or date.min
        self._end = end or date.max
        self._today = today
        self._rows = dict(self._type_folders())
        self._upper = _upper_folders(self._rows)
        for folder, (row, _) in self._rows.items():
            self._upper[folder] = self._symbol_folders(row)

    def _type_folders(self) -> Iterator[tuple[str, tuple[MatrixRow, Partition]]]:
        for row in self._matrix.rows:
            if row.state == "removed":
                continue
            for partition in row.partitions:
                yield f"data/{row.market.path}/{partition}/{row.data_type}/", (row, partition)

    def find(self, archive: Archive) -> MatrixRow | None:
        """The matrix row of an archive; None if the archive does not exist."""
        row = self._matrix.row(archive.market, archive.data_type)
        if row is None or row.state == "removed" or not archive.period.padded:
            return None
        facts = row.partitions.get(archive.partition)
        if facts is None or (archive.interval and archive.interval not in facts.intervals):
            return None
        if not _accepts(row, archive.symbol):
            return None
        first, last = self._life(row, archive.symbol, archive.partition)
        period = archive.period
        return row if first <= period.last_day and self._is_over(period, last) else None

    def archive_of(self, key: str) -> tuple[Archive, MatrixRow] | None:
        """The archive of a key or of its sidecar's key; None if none exists."""
        try:
            archive = Archive.published(key.removesuffix(SIDECAR_SUFFIX))
        except ArchiveKeyError:
            return None
        row = self.find(archive)
        return None if row is None else (archive, row)

    def _life(self, row: MatrixRow, symbol: str, partition: Partition) -> tuple[date, date]:
        first, last = row.life(symbol, partition)
        return max(first, self._start), min(last or date.max, self._end)

    def _is_over(self, period: Period, last: date) -> bool:
        return period.first_day <= last and period.last_day < self._today

    def children(self, folder: str) -> Iterable[str]:
        """Names in a folder, sorted; those of folders end with a slash."""
        if folder in self._upper:
            return self._upper[folder]
        parts = folder.split("/")
        depth = 5 if parts[1:2] == ["futures"] else 4
        row, partition = self._rows["/".join(parts[:depth]) + "/"]
        below = parts[depth:-1]
        if len(below) == 1 and row.data_type.has_interval:
            return sorted(f"{name}/" for name in row.partitions[partition].intervals)
        series = Series(row.market, row.data_type, below[0], *below[1:])
        return self._files(row, series, partition)

    def _symbol_folders(self, row: MatrixRow) -> list[str]:
        if isinstance(self._symbols, Mapping):
            symbols = self._symbols.get(row.market, ())
        else:
            symbols = self._symbols
        folders = (row.folder_symbol(symbol) for symbol in symbols)
        return sorted({f"{name}/" for name in folders if name and _accepts(row, name)})

    def _files(self, row: MatrixRow, series: Series, partition: Partition) -> Iterator[str]:
        first, last = self._life(row, series.symbol, partition)
        period = Period(first, partition) if partition is Partition.DAILY else Period.month(first)
        while self._is_over(period, last):
            name = f"{series.stem}{period}.zip"
            yield name
            yield name + SIDECAR_SUFFIX
            following = period.last_day + timedelta(days=1)
            period = Period(following, partition)


def _accepts(row: MatrixRow, symbol: str) -> bool:
    """Whether `symbol` is a folder of the row."""
    return row.folder_symbol(symbol) == symbol and (not row.symbols or symbol in row.symbols)


def _upper_folders(type_folders: Mapping[str, object]) -> dict[str, list[str]]:
    """The folders above those of the data types, with their sorted children."""
    children: dict[str, set[str]] = {"": set()}
    for folder in type_folders:
        parent = ""
        for name in folder.split("/")[:-1]:
            children.setdefault(parent, set()).add(f"{name}/")
            parent += f"{name}/"
    return {folder: sorted(names) for folder, names in children.items()}
