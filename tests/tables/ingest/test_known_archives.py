"""An ingestion reads of `lakehouse.archives` what concerns its series, whatever else is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from attrs import evolve
from tests.tables.sample_data import days, ingest, month_of, put

from crypto_lakehouse.core.archive import Archive, DataType, Market, Origin, Period, Series
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.key_ranges import KeyRanges
from crypto_lakehouse.tables.ingest import provenance
from crypto_lakehouse.tables.ingest.known_archives import known_archives
from crypto_lakehouse.tables.ingest.overlaps import keys_of_months, overlapping
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, provenance_row, record, standings
from crypto_lakehouse.tables.lake.maintenance import compact
from crypto_lakehouse.tables.quality.findings import ArchiveQuality
from crypto_lakehouse.tables.reading.batch import Source

TABLE = "spot.agg_trades"
FIRST = date(2023, 8, 30)


def trades(day: date, symbol: str = "BTCUSDT") -> Archive:
    return Archive(Series(Market.SPOT, DataType.AGG_TRADES, symbol), Period.day(day))


def know(catalog: LakeCatalog, symbols: int) -> None:
    """Record 100 days of each of some symbols."""
    others = (
        trades(day, f"S{number}USDT") for number in range(symbols) for day in days(FIRST, 100)
    )
    add(catalog, *others)


def add(catalog: LakeCatalog, *archives: Archive) -> None:
    """Record archives."""
    rows = [
        provenance_row(
            TABLE, "ingested", "0" * 64, 1, ArchiveQuality(key=each.key, rows=1),
            commit="known", tool_version="test",
        )
        for each in archives
    ]  # fmt: skip
    record(catalog, rows, table_sequence=1)


class _Counts:
    """Counts the rows that are decoded of Parquet files, and those that become Python objects."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.decoded = self.made = 0
        read: Callable[..., Any] = pq.ParquetFile.read_row_group
        newest: Callable[..., Any] = provenance.newest_of

        def counted_read(*args: Any, **named: Any) -> Any:
            found = read(*args, **named)
            self.decoded += found.num_rows
            return found

        def counted_newest(rows: Any, columns: Any) -> Any:
            there = [*rows]
            self.made += len(there)
            return newest(there, columns)

        patch.setattr(pq.ParquetFile, "read_row_group", counted_read)
        patch.setattr(provenance, "newest_of", counted_newest)


@pytest.mark.parametrize("compacted", [False, True])
def test_an_ingestion_does_not_read_what_is_known_of_other_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compacted: bool
) -> None:
    counts: list[tuple[int, int]] = []
    for symbols in (1, 60):
        root = tmp_path / str(symbols)
        catalog = LakeCatalog(root / "lake", create=True)
        know(catalog, symbols)
        assert len(ingest(catalog, [put(root, trades(FIRST))])) == 1
        if compacted:
            compact(catalog, ARCHIVES, tool_version="test")
        with monkeypatch.context() as patch:
            found = _Counts(patch)
            told = ingest(catalog, [put(root, trades(FIRST)), put(root, trades(FIRST + _DAY))])
            counts.append((found.decoded, found.made))
        assert [each.archive for each in told] == [trades(FIRST + _DAY)]
        known = standings(catalog.find(ARCHIVES), TABLE)
        assert len(known) == 100 * symbols + 2
        catalog.close()
    (few, made), (many, made_of_many) = counts
    assert made_of_many == made
    assert many <= few + 4 * 1024


_DAY = timedelta(days=1)


def test_an_excerpt_concerns_its_day_unless_there_is_an_archive_of_the_month(
    tmp_path: Path,
) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    of_days = [
        evolve(trades(FIRST + number * _DAY), origin=origin, segment=segment)
        for number in (0, 1)
        for origin, segment in (
            (Origin.ARCHIVE, ""), (Origin.FILL, ""), (Origin.LIVE, "2023-08-30T12-0000-9f3c01ab"),
        )
    ]  # fmt: skip
    new = evolve(of_days[2], segment="2023-08-30T13-0000-9f3c01ab")
    whole, others = month_of(trades(FIRST)), [trades(FIRST, "ETHUSDT"), trades(FIRST - 30 * _DAY)]

    def wanted(*archives: Archive) -> set[str]:
        sources = (Source(each, LocalFiles(tmp_path)) for each in archives)
        return {*known_archives(catalog.find(ARCHIVES), TABLE, sources)}

    def keys(*archives: Archive) -> set[str]:
        return {each.key for each in archives}

    add(catalog, *of_days, *others)
    assert wanted(new) == keys(*of_days[:3])
    assert wanted(new, of_days[3]) == keys(*of_days)
    add(catalog, whole)
    assert wanted(new) == keys(*of_days, whole)
    catalog.close()


def test_the_keys_of_a_month_are_those_of_all_archives_that_may_have_its_rows() -> None:
    day = trades(FIRST)
    months = keys_of_months([(day.series, FIRST)])
    for archive in (*overlapping(month_of(day)), *overlapping(day)):
        assert archive.key in months
    next_month = FIRST + 2 * _DAY
    others = (trades(next_month), trades(FIRST, "BTCUSDTX"), month_of(trades(next_month)))
    assert not any(each.key in months for each in others)
    assert evolve(month_of(day), period=Period.month(date(2023, 12, 1))).key not in months


def test_ranges_that_overlap_are_one() -> None:
    ranges = KeyRanges([("f", "k"), ("a", "b"), ("c", "g"), ("x", "x")])
    assert ranges.pairs == (("a", "b"), ("c", "k"), ("x", "x"))
    assert [each in ranges for each in "`abcgklxy"] == [
        False, True, True, True, True, True, False, True, False,
    ]  # fmt: skip
    assert ranges.meets("l", "z")
    assert not ranges.meets("l", "w")
    assert not KeyRanges([]).meets("a", "z")
