"""The contents of made-up files of the kline family.

Source: docs/archive-rows.md#klines and docs/archive-rows.md#price-klines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from tests.testing.made_up.test_generated_files import (
    DAY_MS,
    Rows,
    make,
    matrix_row,
    rows_of,
    start_ms,
)

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.testing.made_up.generator import csv_chunks


def check_bars(archive: Archive, rows: Rows, step_ms: int) -> None:
    """Check what holds for all bars of a fixed length."""
    unit = 1000 if len(rows[0][0]) == 16 else 1
    opened = [int(row[0]) for row in rows]
    days = (archive.period.last_day - archive.period.first_day).days + 1
    start = start_ms(archive)
    assert opened == [ms * unit for ms in range(start, start + days * DAY_MS, step_ms)]
    assert [int(row[6]) - int(row[0]) for row in rows] == [step_ms * unit - 1] * len(rows)
    check_prices(rows)


def check_prices(rows: Rows) -> None:
    """Check the order of prices, and that each bar opens at the last one's close."""
    for row in rows:
        low, high = Decimal(row[3]), Decimal(row[2])
        assert low <= Decimal(row[1]) <= high
        assert low <= Decimal(row[4]) <= high
    assert [row[4] for row in rows[:-1]] == [row[1] for row in rows[1:]]


@pytest.mark.parametrize(
    ("interval", "step_ms"),
    [
        ("1m", 60_000),
        ("3m", 180_000),
        ("5m", 300_000),
        ("15m", 900_000),
        ("30m", 1_800_000),
        ("1h", 3_600_000),
        ("2h", 7_200_000),
        ("4h", 14_400_000),
        ("6h", 21_600_000),
        ("8h", 28_800_000),
        ("12h", 43_200_000),
        ("1d", DAY_MS),
    ],
)
@pytest.mark.parametrize("market", ["spot", "futures_um", "futures_cm"])
def test_klines_fill_their_day(market: str, interval: str, step_ms: int) -> None:
    symbol = "BTCUSD_PERP" if market == "futures_cm" else "BTCUSDT"
    archive = make(market, "klines", symbol, "2026-05-08", interval)
    rows = rows_of(archive)
    check_bars(archive, rows, step_ms)
    for row in rows:
        volume, quote, count, taker, taker_quote = (
            Decimal(row[place]) for place in (5, 7, 8, 9, 10)
        )
        assert 0 <= taker <= volume
        assert 0 <= taker_quote <= quote
        assert (count == 0) is (volume == 0)
        assert row[11] == "0"
        if market != "futures_cm":  # there, quote_volume is the volume in the base asset
            assert Decimal(row[3]) * volume <= quote <= Decimal(row[2]) * volume


def test_a_day_of_seconds_has_86400_bars() -> None:
    archive = make("spot", "klines", "BTCUSDT", "2026-05-08", "1s")
    rows = rows_of(archive)
    assert len(rows) == 86_400
    check_bars(archive, rows, 1000)
    quiet = [row for row in rows if row[8] == "0"]
    assert 0 < len(quiet) < len(rows)
    assert all(Decimal(row[5]) == Decimal(row[7]) == Decimal(row[9]) == 0 for row in quiet)
    assert all(len(set(row[1:5])) == 1 for row in quiet)
    assert all(Decimal(row[5]) > 0 for row in rows if row[8] != "0")


def test_bars_go_on_over_the_edge_of_a_day() -> None:
    days = [make("spot", "klines", "BTCUSDT", f"2026-05-0{day}", "4h") for day in (8, 9)]
    check_prices(rows_of(days[0]) + rows_of(days[1]))


@pytest.mark.parametrize(
    ("interval", "opening_days"),
    [
        ("3d", range(1, 32, 3)),  # 2024-12-01 is day 20,058 since 1970-01-01
        ("1w", [2, 9, 16, 23, 30]),
        ("1mo", [1]),
    ],
)
def test_bars_longer_than_a_day_are_in_the_month_they_open_in(
    interval: str, opening_days: Sequence[int]
) -> None:
    """Weeks begin on Monday, 3d bars count from 1970-01-01, months are the calendar's."""
    rows = rows_of(make("spot", "klines", "BTCUSDT", "2024-12", interval))
    opened = [datetime.fromtimestamp(int(row[0]) / 1000, UTC) for row in rows]
    assert [moment.date() for moment in opened] == [date(2024, 12, day) for day in opening_days]
    assert all(moment.time().isoformat() == "00:00:00" for moment in opened)
    ends = [int(row[6]) + 1 for row in rows]
    assert ends[:-1] == [int(row[0]) for row in rows[1:]]
    following = {"3d": date(2025, 1, 3), "1w": date(2025, 1, 6), "1mo": date(2025, 1, 1)}[interval]
    assert datetime.fromtimestamp(ends[-1] / 1000, UTC).date() == following
    check_prices(rows)


@pytest.mark.parametrize("data_type", ["indexPriceKlines", "markPriceKlines", "premiumIndexKlines"])
def test_bars_of_what_is_not_traded_have_no_volume(data_type: str) -> None:
    archive = make("futures_um", data_type, "BTCUSDT", "2026-05-08", "1m")
    rows = rows_of(archive)
    check_bars(archive, rows, 60_000)
    assert {(row[5], row[7], row[8], row[9], row[10], row[11]) for row in rows} == {
        ("0", "0", "60", "0", "0", "0")
    }
    assert any(Decimal(row[1]) < 0 for row in rows) is (data_type == "premiumIndexKlines")
    weeks = rows_of(make("futures_um", data_type, "BTCUSDT", "2026-05", "1w"))
    assert {row[8] for row in weeks} == {"86400"}


def test_a_month_of_seconds_is_written_day_by_day() -> None:
    """All 2.7 million rows are made; here only the first two of 31 chunks."""
    archive = make("spot", "klines", "BTCUSDT", "2026-05", "1s")
    chunks = csv_chunks(archive, matrix_row(archive))
    first, second = next(chunks), next(chunks)
    assert first.count(b"\n") == second.count(b"\n") == 86_400
    assert int(second.split(b",", 1)[0]) == (start_ms(archive) + DAY_MS) * 1000
