"""What a ledger holds, read series by series, also while a collection writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.stores.conftest import NOON, finished

from crypto_lakehouse.core.archive import Archive, DataType, Market, Partition, Period, Series
from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import ArchiveFinished, FolderListed
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.records import FolderRecord, SeriesRecord
from crypto_lakehouse.ledger.coverage_view import recorded_series
from crypto_lakehouse.ledger.place import LedgerPlace, RunLedger
from crypto_lakehouse.ledger.sqlite import SqliteLedger

DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY
TRADES = Series(Market.SPOT, DataType.TRADES, "BTCUSDT")
HOURS = Series(Market.FUTURES_UM, DataType.KLINES, "币安人生USDT", "1h")
MINUTES = Series(Market.FUTURES_UM, DataType.KLINES, "币安人生USDT", "12h")


def settled(
    period: str, verdict: Verdict = Verdict.VERIFIED, series: Series = TRADES, **more: object
) -> ArchiveFinished:
    return finished(verdict, Archive(series, Period.parse(period)), **more)


def listed(
    series: Series, partition: Partition, first: str | None, last: str | None
) -> FolderListed:
    def name(period: str | None) -> str | None:
        return f"{series.stem}{period}.zip" if period else None

    return FolderListed(
        folder=series.folder(partition), first=name(first), last=name(last), archives=2,
        size_bytes=9, at=NOON,
    )  # fmt: skip


def only(place: LedgerPlace, **window: Any) -> SeriesRecord:
    (record,) = recorded_series(place, **window)
    return record


def spans(folder: FolderRecord) -> list[tuple[str, str, str]]:
    return [(str(run.first_day), str(run.last_day), run.verdict) for run in folder.runs]


def test_days_and_months_of_a_series_are_put_together_in_a_stable_order(
    place: LedgerPlace,
    of_run: RunLedger,
) -> None:
    of_run.write(
        settled(period, series=series)
        for series in (HOURS, TRADES, MINUTES)
        for period in ("2025-07", "2025-07-15")
    )
    records = list(recorded_series(place))
    assert [record.series for record in records] == [TRADES, HOURS, MINUTES]
    for record in records:
        assert record.used == {DAILY, MONTHLY}
        assert spans(record.folders[DAILY]) == [("2025-07-15", "2025-07-15", "verified")]
        assert spans(record.folders[MONTHLY]) == [("2025-07-01", "2025-07-31", "verified")]


def test_neighbours_that_fared_the_same_are_one_run(place: LedgerPlace, of_run: RunLedger) -> None:
    of_run.write(
        [
            settled("2025-07-15"),
            settled("2025-07-14"),
            settled("2025-07-17"),
            settled("2025-07-18", Verdict.FAILED, reason="timed out", size_bytes=None),
            settled("2025-07-19", Verdict.FAILED, reason="timed out", size_bytes=None),
            settled("2025-07-20", Verdict.FAILED, reason="answered 500", size_bytes=None),
            settled("2025-07-22", Verdict.FAILED, reason="answered 500", size_bytes=None),
            settled("2025-07-23", Verdict.SIDECAR_MISSING),
        ]
    )
    folder = only(place).folders[DAILY]
    assert spans(folder) == [
        ("2025-07-14", "2025-07-15", "verified"),
        ("2025-07-17", "2025-07-17", "verified"),
        ("2025-07-18", "2025-07-19", "failed"),
        ("2025-07-20", "2025-07-20", "failed"),
        ("2025-07-22", "2025-07-22", "failed"),
        ("2025-07-23", "2025-07-23", "sidecar_missing"),
    ]
    assert [run.reason for run in folder.runs[2:5]] == ["timed out", *["answered 500"] * 2]
    assert folder.size_bytes == 4 * 7, "of what stands here"
    assert folder.refused_newer == 0


def test_months_follow_each_other_whatever_their_length_and_spelling(
    place: LedgerPlace,
    of_run: RunLedger,
) -> None:
    of_run.write(settled(period) for period in
                 ("2020-1", "2020-02", "2020-3", "2020-03", "2020-10", "2020-04"))  # fmt: skip
    assert spans(only(place).folders[MONTHLY]) == [
        ("2020-01-01", "2020-04-30", "verified"),
        ("2020-10-01", "2020-10-31", "verified"),
    ]


def test_a_window_holds_what_touches_it(place: LedgerPlace, of_run: RunLedger) -> None:
    of_run.write(settled(f"2025-07-{number:02d}") for number in range(1, 32))
    of_run.write(settled(period) for period in ("2025-5", "2025-06", "2025-07", "2025-08"))
    record = only(place, start=date(2025, 6, 30), end=date(2025, 7, 2))
    assert spans(record.folders[DAILY]) == [("2025-07-01", "2025-07-02", "verified")]
    assert spans(record.folders[MONTHLY]) == [("2025-06-01", "2025-07-31", "verified")]
    assert (record.folders[DAILY].size_bytes, record.folders[MONTHLY].size_bytes) == (14, 14)
    late = only(place, start=date(2025, 7, 31))
    assert spans(late.folders[DAILY]) == [("2025-07-31", "2025-07-31", "verified")]
    assert spans(late.folders[MONTHLY]) == [("2025-07-01", "2025-08-31", "verified")]
    early = only(place, end=date(2025, 5, 31))
    assert spans(early.folders[DAILY]) == []
    assert spans(early.folders[MONTHLY]) == [("2025-05-01", "2025-05-31", "verified")]
    assert early.used == {MONTHLY}


def test_a_newer_version_that_was_refused_is_counted(place: LedgerPlace, of_run: RunLedger) -> None:
    of_run.write([settled("2025-07-14"), settled("2025-07-15")])
    of_run.write([settled("2025-07-15", Verdict.CORRUPT, stands=True, reason="not a zip")])
    folder = only(place).folders[DAILY]
    assert spans(folder) == [("2025-07-14", "2025-07-15", "verified")]
    assert folder.refused_newer == 1


def test_what_a_policy_let_in_is_told_from_what_it_did_not(
    place: LedgerPlace, of_run: RunLedger
) -> None:
    mismatch = Verdict.UPSTREAM_MISMATCH
    of_run.write(
        [
            settled("2025-07-14", mismatch, accepted=True),
            settled("2025-07-15", mismatch, size_bytes=None),
            settled("2025-07-16", mismatch, accepted=True),
        ]
    )
    of_run.write([settled("2025-07-16", mismatch, size_bytes=None)])
    runs = only(place).folders[DAILY].runs
    assert [run.is_let_in for run in runs] == [True, False]
    assert runs[1].last_day == date(2025, 7, 16), "once let in, and replaced since"


def test_what_the_source_listed_is_told(place: LedgerPlace, of_run: RunLedger) -> None:
    of_run.write(
        [
            settled("2025-07-15"),
            listed(TRADES, DAILY, "2017-08-17", "2025-07-20"),
            listed(TRADES, MONTHLY, None, "2025-06"),
        ]
    )
    record = only(place)
    daily, monthly = record.folders[DAILY], record.folders[MONTHLY]
    assert (daily.first_listed, daily.last_listed) == (
        Period.parse("2017-08-17"),
        Period.parse("2025-07-20"),
    )
    assert (monthly.first_listed, monthly.last_listed) == (None, Period.parse("2025-06"))
    assert daily.listed_on == monthly.listed_on == date(2025, 7, 15)
    assert record.used == {DAILY}, "the months were only listed"
    of_run.write([settled("2025-07-15", series=HOURS)])
    assert [*recorded_series(place)][1].folders[DAILY].listed_on is None


def test_only_what_is_wanted_is_read(place: LedgerPlace, of_run: RunLedger) -> None:
    of_run.write([settled("2025-07-15"), settled("2025-07-15", series=HOURS)])
    records = recorded_series(place, lambda series: series.market is Market.SPOT)
    assert [record.series for record in records] == [TRADES]


def test_an_empty_ledger_has_no_series(place: LedgerPlace, of_run: RunLedger) -> None:
    assert list(recorded_series(place)) == []


def test_reading_and_writing_go_on_at_the_same_time(ledger: SqliteLedger) -> None:
    ledger.write([settled("2025-07-15"), settled("2025-07-15", series=HOURS)])
    records = recorded_series(ledger.path)
    assert spans(next(records).folders[DAILY]) == [("2025-07-15", "2025-07-15", "verified")]
    ledger.write([settled("2025-07-16"), settled("2025-07-16", series=HOURS)])
    with closing(sqlite3.connect(ledger.path)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM archives")
        assert spans(next(records).folders[DAILY]) == [("2025-07-15", "2025-07-16", "verified")]
        writer.rollback()
    assert next(records, None) is None


def test_a_reader_that_stops_early_lets_go_of_the_file(ledger: SqliteLedger) -> None:
    ledger.write([settled("2025-07-15")])
    records = recorded_series(ledger.path)
    next(records)
    assert isinstance(records, Iterator)
    records.close()  # type: ignore[attr-defined]
    assert next(records, None) is None


# What cannot be read ------------------------------------------------------------------------------


def test_no_ledger_and_a_damaged_one_are_errors(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="the ledger cannot be read: unable to open"):
        list(recorded_series(tmp_path / "absent.sqlite"))
    (tmp_path / "bad.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(LedgerError, match="damaged: file is not a database; the next `coll"):
        list(recorded_series(tmp_path / "bad.sqlite"))


def test_a_ledger_of_an_earlier_version_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(LedgerError, match="`collect` upgrades it"):
        list(recorded_series(path))


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("data/spot/daily/trades/BTCUSDT", "BTCUSDT-trades-2025-07-15.zip"),
        ("data/spot/daily/BTCUSDT/", "BTCUSDT-trades-2025-07-15.zip"),
        ("data/spot/weekly/trades/BTCUSDT/", "BTCUSDT-trades-2025-07-15.zip"),
        ("elsewhere/", "x.zip"),
        ("data/spot/daily/trades/BTCUSDT/", "BTCUSDT-trades-2025-07-32.zip"),
        ("data/spot/daily/trades/BTCUSDT/", "x"),
    ],
)
def test_what_is_no_archive_is_said(ledger: SqliteLedger, folder: str, name: str) -> None:
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.execute(
            "INSERT INTO archives (folder, name, verdict, reason, first_seen_at, last_seen_at)"
            " VALUES (?, ?, 'verified', '', '', '')",
            (folder, name),
        )
        connection.commit()
    with pytest.raises(LedgerError, match="damaged: it has a row that is not an archive"):
        list(recorded_series(ledger.path))
