"""Read what a ledger knows about each series, one at a time, even while a collection writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

from attrs import frozen

from crypto_lakehouse.core.acknowledged import NOTHING_ACKNOWLEDGED, Acknowledged
from crypto_lakehouse.core.archive import (
    INTERVALS,
    Archive,
    DataType,
    Market,
    Partition,
    Period,
    Series,
)
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.core.fills import FillRow, fill_folder
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.records import ArchiveRun, FolderRecord, SeriesRecord
from crypto_lakehouse.ledger.place import LedgerPlace, LedgerReading
from crypto_lakehouse.ledger.soundness import (
    VERDICTS,
    UnsoundRow,
    fill_rows,
    is_size,
    parse_archive,
)
from crypto_lakehouse.ledger.sqlite_file import ledger_place

__all__ = ["known_series", "parse_folder", "recorded_series"]

_MARKETS, _TYPES = tuple(Market), tuple(DataType)

#: Sorts after every name.
_BEHIND = chr(0x10FFFF)

#: First and last day, as ordinals.
_Span = tuple[int, int]

#: An archive's days, and its row from a query.
_Row = tuple[_Span, Sequence[Any]]

#: Returns the rows of a folder whose names are between two.
_Query = Callable[[str, str, str], Sequence[Sequence[Any]]]


def recorded_series(
    ledger: LedgerPlace | Path,
    wanted: Callable[[Series], bool] = lambda _: True,
    *,
    start: date | None = None,
    end: date | None = None,
    more: Iterable[Series] = (),
    with_filled: bool = False,
    acknowledged: Acknowledged = NOTHING_ACKNOWLEDGED,
) -> Iterator[SeriesRecord]:
    """Read a ledger without changing anything; blocking.

    Each series is read as it is at one moment, daily and monthly archives together. Memory is
    bounded by the names of all folders and the archives of one series.

    Args:
        ledger: A ledger that exists.
        wanted: Returns whether to read a series.
        start: Only archives that end on this day or later; None for all.
        end: Only archives that begin on this day or earlier; None for all.
        more: Series that are yielded even if the ledger has nothing of them.
        with_filled: Whether series are yielded of which only segments were filled.
        acknowledged: The archives that the user knows to be missing or damaged.

    Yields:
        Series in the order of markets, data types, symbols and intervals.

    Raises:
        LedgerError: The ledger cannot be read, or has a row that is not an archive.
    """
    place = ledger_place(ledger)
    with _translated(place), place.reading() as reading:
        filled = _filled_series(reading) if with_filled else ()
        for series, partitions in _by_series(reading.folders(), wanted, [*more, *filled]):
            reader = _RecordReader(reading, start, end, acknowledged)
            yield reader.record(series, partitions)


def known_series(ledger: LedgerPlace | Path) -> frozenset[Series]:
    """Return every series of a ledger; blocking.

    Raises:
        LedgerError: The ledger cannot be read, or has a row that is not an archive.
    """
    place = ledger_place(ledger)
    with _translated(place), place.reading() as reading:
        return frozenset(_parsed(folder)[0] for folder in reading.folders())


@contextmanager
def _translated(place: LedgerPlace) -> Iterator[None]:
    try:
        yield
    except UnsoundRow as error:
        raise place.damaged(str(error), error.key) from error


def _by_series(
    folders: Iterable[object], wanted: Callable[[Series], bool], more: Iterable[Series]
) -> Iterator[tuple[Series, list[Partition]]]:
    """Group the partitions of each series, which are apart in the order of folders."""
    found: dict[Series, list[Partition]] = {series: [] for series in more if wanted(series)}
    for folder in folders:
        series, partition = _parsed(folder)
        if wanted(series):
            found.setdefault(series, []).append(partition)
    for series in sorted(found, key=_place):
        yield series, found[series]


def _filled_series(reading: LedgerReading) -> Iterator[Series]:
    for folder in reading.filled_folders():
        for name in list(fill_rows(folder, reading.fills(folder)))[:1]:
            yield Archive.parse(folder + name).series


def _parsed(folder: object) -> tuple[Series, Partition]:
    try:
        return parse_folder(folder)
    except ArchiveKeyError as error:
        raise _no_archive(error, str(folder)) from error


def _no_archive(error: ArchiveKeyError, key: str) -> UnsoundRow:
    return UnsoundRow(f"it has a row that is not an archive, `{shown(key)}`: {error}", key)


def parse_folder(folder: object) -> tuple[Series, Partition]:
    """Parse a key prefix, by parsing an archive that it could contain.

    Raises:
        ArchiveKeyError: It is not a folder of archives.
    """
    if not isinstance(folder, str):
        raise ArchiveKeyError(repr(folder), "it is not a text")
    parts = folder.split("/")
    depth = 3 if parts[1:2] == ["futures"] else 2
    if not folder.endswith("/") or not depth + 4 <= len(parts) <= depth + 5:
        raise ArchiveKeyError(folder, "it is not a folder of archives")
    partition, data_type, symbol, *interval = parts[depth:-1]
    name = f"{symbol}-{(interval or [data_type])[0]}"
    period = "2020-01" if partition == Partition.MONTHLY else "2020-01-01"
    archive = Archive.published(f"{folder}{name}-{period}.zip")
    return archive.series, archive.partition


def _place(series: Series) -> tuple[int, int, str, int]:
    interval = INTERVALS.index(series.interval) if series.interval else 0
    return _MARKETS.index(series.market), _TYPES.index(series.data_type), series.symbol, interval


@frozen
class _RecordReader:
    """Reads the archives of folders that overlap a window."""

    reading: LedgerReading
    start: date | None
    end: date | None
    acknowledged: Acknowledged

    def record(self, series: Series, partitions: Iterable[Partition]) -> SeriesRecord:
        """Read a series as it is at one moment."""
        with self.reading.snapshot():
            filled = self._filled(series)
            stored = [day for day, row in filled.items() if row.sha256 is not None]
            return SeriesRecord(
                series,
                {partition: self._folder(series, partition) for partition in partitions},
                filled=[day for day, row in filled.items() if row.is_final],
                filled_span=(stored[0], stored[-1]) if stored else None,
            )

    def _filled(self, series: Series) -> dict[int, FillRow]:
        """Return the days of the window that have a verdict of a fill, in order."""
        folder = fill_folder(series)
        rows = fill_rows(folder, self.reading.fills(folder))
        days = {
            Archive.parse(folder + name).period.first_day.toordinal(): row
            for name, row in rows.items()
        }
        return {day: days[day] for day in sorted(days) if self._touches((day, day))}

    def _folder(self, series: Series, partition: Partition) -> FolderRecord:
        stem, folder = series.stem, series.folder(partition)
        verified = self._rows(self.reading.verified, stem, folder, partition)
        others = self._rows(self.reading.others, stem, folder, partition)
        first, last, listed_on = self._listed(stem, folder)
        return FolderRecord(
            runs=(*_verified_runs(verified), *_other_runs(others, folder, self.acknowledged)),
            size_bytes=_total_bytes(verified, folder) + _total_bytes(others, folder),
            refused_newer=sum([row[2] is not None for _, row in verified]),
            verdicts=_counted(verified, others),
            first_listed=first,
            last_listed=last,
            listed_on=listed_on,
        )

    def _rows(self, query: _Query, stem: str, folder: str, partition: Partition) -> list[_Row]:
        """Return rows of archives with their days, in the order of days."""
        low, high = "", _BEHIND
        is_daily = partition is Partition.DAILY
        if is_daily:  # unpadded months do not sort by time
            low = f"{stem}{self.start}" if self.start else low
            high = f"{stem}{self.end}{_BEHIND}" if self.end else high
        found = query(folder, low, high)
        try:
            rows = [(_days_of(row[0].removeprefix(stem)), row) for row in found]
        except ArchiveKeyError as error:
            wrong = next(row[0] for row in found if parse_archive(folder, row[0]) is None)
            raise _no_archive(error, f"{folder}{wrong}") from error
        return rows if is_daily else sorted(item for item in rows if self._touches(item[0]))

    def _touches(self, span: _Span) -> bool:
        first, last = span
        after = self.start is None or self.start.toordinal() <= last
        return after and (self.end is None or first <= self.end.toordinal())

    def _listed(self, stem: str, folder: str) -> tuple[Period | None, Period | None, date | None]:
        for first, last, listed_at in self.reading.listed(folder):
            with suppress(ValueError, TypeError):  # damaged: as if it had never been listed
                period = partial(_period, stem)
                return period(first), period(last), datetime.fromisoformat(listed_at).date()
        return None, None, None


def _period(stem: str, name: str | None) -> Period | None:
    return _parse_period(name.removeprefix(stem)) if name else None


def _parse_period(end: str) -> Period:
    return Period.parse(end.removesuffix(".zip"))


@lru_cache(maxsize=65_536)
def _days_of(end: str) -> _Span:
    """Parse the end of a file name; cached, as many archives share few periods."""
    parsed = _parse_period(end)
    return parsed.first_day.toordinal(), parsed.last_day.toordinal()


def _total_bytes(rows: Iterable[_Row], folder: str) -> int:
    total = 0
    for _, (name, size_bytes, *_) in rows:
        if not is_size(size_bytes or 0):
            reason = f"the size of `{name}` is {size_bytes!r}, which is not one that a run writes"
            raise UnsoundRow(reason, f"{folder}{name}")
        total += size_bytes or 0
    return total


def _counted(verified: Sequence[_Row], others: Iterable[_Row]) -> dict[Verdict, int]:
    counts = Counter(Verdict(row[2]) for _, row in others)
    if verified:
        counts[Verdict.VERIFIED] += len(verified)
    return dict(counts)


def _verified_runs(rows: Iterable[_Row]) -> Iterator[ArchiveRun]:
    for first, last in _merged([span for span, _ in rows]):
        yield ArchiveRun(
            first_day=date.fromordinal(first),
            last_day=date.fromordinal(last),
            verdict=Verdict.VERIFIED,
        )


def _other_runs(
    rows: Iterable[_Row], folder: str, acknowledged: Acknowledged
) -> Iterator[ArchiveRun]:
    def fate(item: _Row) -> tuple[str, str, bool, bool]:
        return *_fate(item, folder), acknowledged.holds(f"{folder}{item[1][0]}")

    for (verdict, reason, is_let_in, is_acknowledged), group in groupby(rows, key=fate):
        for first, last in _merged([span for span, _ in group]):
            yield ArchiveRun(
                first_day=date.fromordinal(first),
                last_day=date.fromordinal(last),
                verdict=Verdict(verdict),
                reason=reason,
                is_let_in=is_let_in,
                is_acknowledged=is_acknowledged,
            )


def _fate(item: _Row, folder: str) -> tuple[str, str, bool]:
    _, (name, size_bytes, verdict, reason, accepted_at) = item
    if verdict not in VERDICTS or not isinstance(reason, str):
        fault = f"the verdict on `{name}` is {verdict!r}, with the reason {reason!r}"
        raise UnsoundRow(fault, f"{folder}{name}")
    # An accepted archive stays marked, even if a later version was not accepted.
    return verdict, reason, accepted_at is not None and size_bytes is not None


def _merged(spans: Sequence[_Span]) -> Iterator[_Span]:
    """Merge spans without a gap between them."""
    if not spans:
        return
    begin, end = spans[0]
    for first, last in spans:
        if first > end + 1:
            yield begin, end
            begin = first
        end = last
    yield begin, end
