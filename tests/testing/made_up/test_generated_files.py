"""The contents of made-up archives, data type by data type (docs/archive-rows.md#data-types)."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from crypto_lakehouse.core.archive import Archive, DataType, Market, Partition, Period, Series
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.made_up.catalog import DEFAULT_SYMBOLS

SERVER = ArchiveServer(today=date(2026, 9, 2))
DAY_MS = 86_400_000

Rows = list[list[str]]


def make(
    market: str, data_type: str, symbol: str, period: str, interval: str | None = None
) -> Archive:
    """The archive with these coordinates."""
    series = Series(Market(market), DataType(data_type), symbol, interval)
    return Archive(series, Period.parse(period))


def text_of(archive: Archive) -> str:
    """The text of the one CSV file in an archive."""
    with zipfile.ZipFile(io.BytesIO(SERVER.read(archive.key))) as file:
        return file.read(archive.member).decode()


def rows_of(archive: Archive) -> Rows:
    """The rows of an archive without its header, if it has one."""
    rows = list(csv.reader(io.StringIO(text_of(archive))))
    row = matrix_row(archive)
    return rows[row.has_header(archive.period.last_day) :]


def column(rows: Rows, index: int) -> list[Decimal]:
    """One column as numbers."""
    return [Decimal(row[index]) for row in rows]


def start_ms(archive: Archive) -> int:
    """The first millisecond of an archive's period."""
    first = archive.period.first_day
    return int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) * 1000


def matrix_row(archive: Archive) -> MatrixRow:
    """The matrix row of an archive."""
    row = load_matrix().row(archive.market, archive.data_type)
    assert row is not None
    return row


def one_of_each() -> Iterator[Archive]:
    """One archive for each market, data type and partition that is published."""
    for row in load_matrix().rows:
        if row.state == "removed":
            continue
        folders = [row.folder_symbol(symbol) for symbol in DEFAULT_SYMBOLS[row.market]]
        symbol = next(name for name in folders if name and name in (row.symbols or folders))
        for partition, facts in row.partitions.items():
            day = facts.available_to or date(2026, 5, 8)
            period = Period.day(day) if partition is Partition.DAILY else Period.month(day)
            series = Series(row.market, row.data_type, symbol, *facts.intervals[-1:])
            yield Archive(series, period)


def test_all_thirteen_data_types_are_made() -> None:
    assert {archive.data_type for archive in one_of_each()} == set(PUBLISHED_TYPES)


@pytest.mark.parametrize("archive", list(one_of_each()), ids=str)
def test_every_archive_has_the_published_shape(archive: Archive) -> None:
    body = SERVER.read(archive.key)
    row = matrix_row(archive)
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        (member,) = file.infolist()
        assert file.testzip() is None
    after = archive.period.last_day + timedelta(days=1)
    assert member.filename == archive.member
    assert member.compress_type == zipfile.ZIP_DEFLATED
    assert member.date_time == (after.year, after.month, after.day, 0, 13, 0)
    assert member.external_attr >> 16 == 0o100644
    text = text_of(archive)
    assert text.endswith("\n")
    assert not set('"\r') & set(text)
    lines = text.splitlines()
    assert {line.count(",") for line in lines} == {len(row.columns) - 1}
    assert (lines[0] == ",".join(row.columns)) is row.has_header(archive.period.last_day)
    digest, name = SERVER.read(archive.sidecar_key).decode().split("  ")
    assert digest == hashlib.sha256(body).hexdigest()
    assert name == archive.name + "\n" * row.sidecar_newline


@pytest.mark.parametrize(
    ("market", "period", "header"),
    [
        ("spot", "2018-06-01", False),
        ("spot", "2026-05-08", False),
        ("futures_um", "2022-08-10", False),
        ("futures_um", "2022-08-11", True),
        ("futures_um", "2022-07", False),
        ("futures_um", "2022-08", True),
    ],
)
def test_the_header_came_in_august_2022(market: str, period: str, header: bool) -> None:
    lines = text_of(make(market, "trades", "BTCUSDT", period)).splitlines()
    assert lines[0].startswith("id,price,") is header


@pytest.mark.parametrize(
    ("market", "period", "digits"),
    [
        ("spot", "2024-12-31", 13),
        ("spot", "2024-12", 13),
        ("spot", "2025-01-01", 16),
        ("spot", "2025-01", 16),
        ("futures_um", "2025-01-01", 13),
    ],
)
def test_spot_counts_microseconds_from_2025(market: str, period: str, digits: int) -> None:
    klines = rows_of(make(market, "klines", "BTCUSDT", period, "1h"))
    assert {len(row[place]) for row in klines for place in (0, 6)} == {digits}
    trades = rows_of(make(market, "trades", "BTCUSDT", period))
    assert {len(row[4]) for row in trades} == {digits}


@pytest.mark.parametrize(
    ("market", "data_type", "symbol", "interval", "days"),
    [
        ("spot", "klines", "BTCUSDT", "12h", 31),
        ("spot", "trades", "BTCUSDT", None, 31),
        ("futures_cm", "aggTrades", "BTCUSD_PERP", None, 31),
    ],
)
def test_a_month_is_its_days_joined(
    market: str, data_type: str, symbol: str, interval: str | None, days: int
) -> None:
    month = rows_of(make(market, data_type, symbol, "2026-05", interval))
    parts = [
        rows_of(make(market, data_type, symbol, f"2026-05-{day + 1:02d}", interval))
        for day in range(days)
    ]
    assert month == [row for part in parts for row in part]


@pytest.mark.parametrize("market", ["spot", "futures_um", "futures_cm"])
def test_trades(market: str) -> None:
    symbol = "BTCUSD_PERP" if market == "futures_cm" else "BTCUSDT"
    archive = make(market, "trades", symbol, "2026-05-08")
    rows = rows_of(archive)
    first = int(rows[0][0])
    assert [int(row[0]) for row in rows] == list(range(first, first + 1000))
    check_moments(archive, [int(row[4]) for row in rows])
    for row in rows:
        price, quantity, other = (Decimal(text) for text in row[1:4])
        if market == "futures_cm":  # contracts of 100 USD, and their worth in the base asset
            assert abs(quantity * 100 / price - other) < Decimal("1e-8")
        else:
            assert price * quantity == other
    check_flags(market, rows, 5)
    following = rows_of(make(market, "trades", symbol, "2026-05-09"))
    assert int(following[0][0]) == int(rows[-1][0]) + 1


def check_flags(market: str, rows: Rows, place: int) -> None:
    """Spot writes True and False and has one flag more, futures write true and false."""
    if market == "spot":
        assert {row[place] for row in rows} == {"True", "False"}
        assert {row[place + 1] for row in rows} == {"True"}
    else:
        assert {row[place] for row in rows} == {"true", "false"}


def check_moments(archive: Archive, moments: list[int]) -> None:
    """Check that times do not go back and are in the archive's day."""
    unit = 1000 if archive.market is Market.SPOT else 1
    assert moments == sorted(moments)
    start = start_ms(archive)
    assert start * unit <= moments[0]
    assert moments[-1] < (start + DAY_MS) * unit


@pytest.mark.parametrize("market", ["spot", "futures_um", "futures_cm"])
def test_agg_trades(market: str) -> None:
    symbol = "BTCUSD_PERP" if market == "futures_cm" else "BTCUSDT"
    archive = make(market, "aggTrades", symbol, "2026-05-08")
    rows = rows_of(archive) + rows_of(make(market, "aggTrades", symbol, "2026-05-09"))
    first = int(rows[0][0])
    assert [int(row[0]) for row in rows] == list(range(first, first + 1200))
    assert all(int(row[3]) <= int(row[4]) for row in rows)
    assert [int(row[3]) for row in rows[1:]] == [int(row[4]) + 1 for row in rows[:-1]]
    check_moments(archive, [int(row[5]) for row in rows[:600]])
    assert all(Decimal(row[1]) > 0 and Decimal(row[2]) > 0 for row in rows)
    check_flags(market, rows, 6)


def test_book_ticker() -> None:
    archive = make("futures_um", "bookTicker", "BTCUSDT", "2024-03-30")
    rows = rows_of(archive)
    assert len(rows) == 500
    ids = [int(row[0]) for row in rows]
    assert ids == sorted(set(ids))
    assert all(bid < ask for bid, ask in zip(column(rows, 1), column(rows, 3), strict=True))
    check_moments(archive, [int(row[5]) for row in rows])
    assert all(0 <= int(row[6]) - int(row[5]) <= 5 for row in rows)


def test_funding_rates_come_every_eight_hours_and_a_little_late() -> None:
    archive = make("futures_um", "fundingRate", "BTCUSDT", "2026-04")
    rows = rows_of(archive)
    assert {row[1] for row in rows} == {"8"}
    step = 8 * 3_600_000
    due = [start_ms(archive) + place * step for place in range(90)]
    late = [int(row[0]) - moment for row, moment in zip(rows, due, strict=True)]
    assert min(late) == 0 < max(late) <= 11
    assert any(rate < 0 for rate in column(rows, 2))


@pytest.mark.parametrize(
    ("market", "symbol", "day", "first", "last"),
    [
        ("futures_um", "BTCUSDT", "2026-06-24", "2026-06-24 00:05:00", "2026-06-25 00:00:00"),
        ("futures_um", "BTCUSDT", "2026-06-25", "2026-06-25 00:00:00", "2026-06-25 23:55:00"),
        ("futures_cm", "BTCUSD_PERP", "2025-06-24", "2025-06-24 00:00:00", "2025-06-24 23:55:00"),
    ],
)
def test_metrics(market: str, symbol: str, day: str, first: str, last: str) -> None:
    """USD-M files moved their labels on 2026-06-25 (docs/archive-faults.md#metrics-labels)."""
    rows = rows_of(make(market, "metrics", symbol, day))
    moments = [datetime.fromisoformat(row[0]) for row in rows]
    assert (rows[0][0], rows[-1][0], len(rows)) == (first, last, 288)
    gaps = {after - before for before, after in pairwise(moments)}
    assert gaps == {timedelta(minutes=5)}
    assert {row[1] for row in rows} == {symbol}
    assert "" in {row[4] for row in rows}, "a ratio is blank now and then"
    assert all(Decimal(text) > 0 for row in rows for text in row[2:] if text)
    if market == "futures_um":
        assert {len(text.partition(".")[2]) for row in rows for text in row[2:] if text} == {16}


def test_book_depth() -> None:
    rows = rows_of(make("futures_um", "bookDepth", "BTCUSDT", "2026-05-08"))
    assert len(rows) == 288 * 12
    moments = [row[0] for row in rows]
    assert moments == sorted(moments)
    assert (moments[0], moments[-1]) == ("2026-05-08 00:00:08", "2026-05-08 23:55:08")
    for place in range(0, len(rows), 12):
        bands = [(Decimal(row[1]), Decimal(row[2]), Decimal(row[3])) for row in rows[place:][:12]]
        percentages = [-5, -4, -3, -2, -1, Decimal("-0.2"), Decimal("0.2"), 1, 2, 3, 4, 5]
        assert [band[0] for band in bands] == percentages
        for side in (bands[5::-1], bands[6:]):
            assert [band[1] for band in side] == sorted({band[1] for band in side})
            prices = [band[2] / band[1] for band in side]
            assert len(set(prices)) == 6
            assert sorted(prices, reverse=side[0][0] < 0) == prices


def test_liquidation_snapshot() -> None:
    archive = make("futures_cm", "liquidationSnapshot", "BTCUSD_PERP", "2024-07-10")
    rows = rows_of(archive)
    assert len(rows) == 48
    check_moments(archive, [int(row[0]) for row in rows])
    assert {row[1] for row in rows} == {"BUY", "SELL"}
    assert {(row[2], row[3], row[7]) for row in rows} == {("LIMIT", "IOC", "FILLED")}
    for row in rows:
        assert int(row[8]) <= int(row[9]) == int(row[4])
        assert Decimal(row[5]) > 0 < Decimal(row[6])


def test_bvol_index() -> None:
    archive = make("options", "BVOLIndex", "BTCBVOLUSDT", "2026-05-08")
    rows = rows_of(archive)
    assert len(rows) == 1440
    assert {tuple(row[1:4]) for row in rows} == {("BTCBVOLUSDT", "BTCBVOL", "USDT")}
    late = {int(row[0]) - start_ms(archive) - place * 60_000 for place, row in enumerate(rows)}
    assert late == {1, 2}
    assert all(value >= 10 for value in column(rows, 4))


def test_eoh_summary() -> None:
    rows = rows_of(make("options", "EOHSummary", "BTCUSDT", "2023-10-23"))
    assert len(rows) == 240
    assert [int(row[1]) for row in rows] == [hour for hour in range(24) for _ in range(10)]
    assert len({(row[1], row[2]) for row in rows}) == 240
    for row in rows:
        assert row[0] == "2023-10-23"
        assert row[2] == f"BTC-{row[5]}-{row[4]}"
        assert (row[3], row[4] in {"C", "P"}) == ("BTCUSDT", True)
        if row[6]:
            assert Decimal(row[8]) <= min(Decimal(row[6]), Decimal(row[9]))
            assert Decimal(row[7]) >= max(Decimal(row[6]), Decimal(row[9]))
    assert "" in {row[6] for row in rows}
    assert "" in {row[12] for row in rows}


def test_series_of_one_symbol_cost_about_the_same() -> None:
    klines = rows_of(make("spot", "klines", "BTCUSDT", "2026-05-08", "1d"))
    trades = rows_of(make("spot", "trades", "BTCUSDT", "2026-05-08"))
    marks = rows_of(make("futures_um", "markPriceKlines", "BTCUSDT", "2026-05-08", "1d"))
    prices = [Decimal(row[1]) for row in (klines[0], trades[0], marks[0])]
    assert max(prices) < Decimal("1.3") * min(prices)
