"""The shipped matrix says what the archive has, and answers for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import INTERVALS, Archive, DataType, Market, Partition
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.matrix import files
from crypto_lakehouse.matrix.load import _shipped, load_matrix, parse_matrix
from crypto_lakehouse.matrix.model import Matrix, MatrixRow, delivery_day

FILE = Path(__file__).parents[2] / "matrix" / "binance.json"
DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY

#: The table of docs/archive.md#types-and-partitions: which partitions each market has of each type.
OFFERED = {
    "klines": ("DM", "DM", "DM", ""),
    "trades": ("DM", "DM", "DM", ""),
    "aggTrades": ("DM", "DM", "DM", ""),
    "indexPriceKlines": ("", "DM", "DM", ""),
    "markPriceKlines": ("", "DM", "DM", ""),
    "premiumIndexKlines": ("", "DM", "DM", ""),
    "fundingRate": ("", "M", "M", ""),
    "bookDepth": ("", "D", "D", ""),
    "bookTicker": ("", "DM", "DM", ""),
    "metrics": ("", "D", "D", ""),
    "liquidationSnapshot": ("", "D", "D", ""),
    "BVOLIndex": ("", "", "", "D"),
    "EOHSummary": ("", "", "", "D"),
}


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


@pytest.fixture
def data() -> dict[str, Any]:
    """The shipped file, to be spoilt."""
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def no_memory() -> Iterator[None]:
    """The shipped matrix is read anew in the test, and again after it."""
    _shipped.cache_clear()
    yield
    _shipped.cache_clear()


def row_of(matrix: Matrix, market: str, data_type: str) -> MatrixRow:
    row = matrix.row(Market(market), DataType(data_type))
    assert row is not None
    return row


def test_the_shipped_file_is_the_one_of_the_repository(matrix: Matrix) -> None:
    assert parse_matrix(FILE.read_bytes(), matrix.origin) == matrix
    assert matrix.corrections == ()
    assert load_matrix(FILE).rows == matrix.rows


def test_the_wheels_file_goes_before_the_repositorys(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_memory: None
) -> None:
    (tmp_path / "matrix").mkdir()
    text = FILE.read_text(encoding="utf-8").replace("data.binance.vision", "mirror.example")
    (tmp_path / "matrix" / "binance.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(files, "files", lambda _: tmp_path)
    shipped = load_matrix()
    assert shipped.source_url == "https://mirror.example"
    assert (shipped.origin, shipped.rows) == (matrix.origin, matrix.rows)


def test_an_installation_without_its_matrix_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_memory: None
) -> None:
    monkeypatch.setattr(files, "files", lambda _: tmp_path)
    monkeypatch.setattr(files, "__file__", str(tmp_path / "a" / "b" / "c" / "matrix.py"))
    with pytest.raises(MatrixError, match=r"(?s)binance\.json \(shipped\).*No such file"):
        load_matrix()


def test_rows_stand_in_the_order_of_markets_and_types(matrix: Matrix, data: dict[str, Any]) -> None:
    data["availability_matrix"].reverse()
    assert parse_matrix(json.dumps(data), matrix.origin) == matrix
    assert matrix.markets() == tuple(Market)
    assert [matrix.data_types(market) for market in Market] == [
        tuple(data_type for data_type in PUBLISHED_TYPES if OFFERED[data_type][number])
        for number in range(len(Market))
    ]


@pytest.mark.parametrize("data_type", PUBLISHED_TYPES)
def test_every_data_type_is_offered_where_the_archive_has_it(
    matrix: Matrix, data_type: DataType
) -> None:
    for market, expected in zip(Market, OFFERED[data_type], strict=True):
        row = matrix.row(market, data_type)
        found = "" if row is None else "".join(name[0].upper() for name in row.partitions)
        assert found == expected


def test_intervals_are_those_of_each_partition(matrix: Matrix) -> None:
    spot = matrix.row(Market.SPOT, DataType.KLINES)
    um = matrix.row(Market.FUTURES_UM, DataType.MARK_PRICE_KLINES)
    assert spot is not None
    assert um is not None
    assert spot.partitions[DAILY].intervals == INTERVALS[:13]
    assert spot.partitions[MONTHLY].intervals == INTERVALS
    assert um.partitions[DAILY].intervals == INTERVALS[1:13]
    assert um.partitions[MONTHLY].intervals == INTERVALS[1:]
    assert spot.intervals() == INTERVALS
    for row in matrix.rows:
        assert ("1s" in row.intervals()) == (row.name == "spot klines")


def test_retired_feeds_end(matrix: Matrix) -> None:
    ends = {
        (row.name, partition): (row.state, facts.available_to)
        for row in matrix.rows
        for partition, facts in row.partitions.items()
        if row.state != "live"
    }
    assert ends[("futures_um bookTicker", DAILY)] == ("retired", date(2024, 3, 30))
    assert ends[("futures_um liquidationSnapshot", DAILY)] == ("removed", date(2024, 3, 31))
    assert ends[("futures_cm liquidationSnapshot", DAILY)] == ("retired", date(2024, 10, 14))
    assert ends[("options EOHSummary", DAILY)] == ("retired", date(2023, 10, 23))


@pytest.mark.parametrize(
    ("market", "data_type", "symbol", "folder"),
    [
        ("spot", "klines", "1000000MOGUSDT", "1000000MOGUSDT"),
        ("spot", "klines", "币安人生USDT", "币安人生USDT"),
        ("spot", "klines", "BTCUSDT_240628", None),
        ("spot", "klines", "BTCUSD_PERP", None),
        ("futures_um", "trades", "BTCUSDT_240628", "BTCUSDT_240628"),
        ("futures_um", "trades", "ICPUSDT_SETTLED", "ICPUSDT_SETTLED"),
        ("futures_um", "trades", "CVCUSDTSETTLED1", "CVCUSDTSETTLED1"),
        ("futures_um", "trades", "BTCUSD_PERP", None),
        ("futures_cm", "trades", "BTCUSD_PERP", "BTCUSD_PERP"),
        ("futures_cm", "trades", "BTCUSD_200925", "BTCUSD_200925"),
        ("futures_cm", "trades", "BTCUSDT", None),
        ("futures_cm", "indexPriceKlines", "BTCUSD_PERP", "BTCUSD"),
        ("futures_cm", "indexPriceKlines", "BTCUSD_200925", "BTCUSD"),
        ("futures_cm", "indexPriceKlines", "BTCUSD", "BTCUSD"),
        ("futures_cm", "indexPriceKlines", "BTC_PERPUSD", None),
        ("futures_cm", "indexPriceKlines", "BTCUSD_PERP_PERP", None),
        ("futures_cm", "indexPriceKlines", "BTCUSDT", None),
        ("futures_cm", "premiumIndexKlines", "BTCUSD_PERP", "BTCUSD_PERP"),
        ("futures_cm", "premiumIndexKlines", "BTCUSD_200925", None),
        ("options", "BVOLIndex", "BTCBVOLUSDT", "BTCBVOLUSDT"),
    ],
)
def test_symbols_are_filed_where_the_market_files_them(
    matrix: Matrix, market: str, data_type: str, symbol: str, folder: str | None
) -> None:
    row = matrix.row(Market(market), DataType(data_type))
    assert row is not None
    assert row.folder_symbol(symbol) == folder


@pytest.mark.parametrize(
    ("glob", "fits"),
    [
        ("BTCUSD", True),
        ("BTC*", True),
        ("BTCUSD_*", True),
        ("*_PERP", True),
        ("*[!A-Z]PERP", True),
        ("?TC*_PE*", True),
        ("*_2[45]0628", True),
        ("BTCUSD_??????", True),
        ("*", True),
        ("BTCUSD_?????", False),
        ("BTCUSD_PERP?", False),
        ("*_[!0-9]*_*", False),
        ("*_24062x", False),
        ("BTCUSD_[]*", False),
        ("BTC_*", False),
        ("*USD_[A-O]*", False),
    ],
)
def test_a_glob_stands_for_a_pair_if_it_fits_a_contract(
    matrix: Matrix, glob: str, fits: bool
) -> None:
    row = matrix.row(Market.FUTURES_CM, DataType.INDEX_PRICE_KLINES)
    other = matrix.row(Market.FUTURES_CM, DataType.KLINES)
    assert row is not None
    assert other is not None
    assert row.fits("BTCUSD", glob) is fits
    assert other.fits("BTCUSD", glob) is (glob in {"BTCUSD", "BTC*", "*"})


def test_lives_take_exceptions_and_deliveries_into_account(matrix: Matrix) -> None:
    metrics = matrix.row(Market.FUTURES_UM, DataType.METRICS)
    trades = matrix.row(Market.FUTURES_UM, DataType.TRADES)
    assert metrics is not None
    assert trades is not None
    assert metrics.life("BTCUSDT", DAILY) == (date(2020, 9, 1), None)
    assert metrics.life("ETHUSDT", DAILY) == (date(2021, 12, 1), None)
    assert trades.life("BTCUSDT_240628", DAILY) == (date(2019, 9, 1), date(2024, 6, 28))
    with pytest.raises(KeyError):
        metrics.life("BTCUSDT", MONTHLY)
    assert delivery_day("BTCUSD_209999") is None
    assert delivery_day("BTCUSDT") is None


def test_a_pair_outlives_its_contracts(matrix: Matrix) -> None:
    index = row_of(matrix, "futures_cm", "indexPriceKlines")
    klines = row_of(matrix, "futures_cm", "klines")
    assert index.life("BTCUSD_200925", DAILY) == (date(2020, 8, 1), None)
    assert klines.life("BTCUSD_200925", DAILY) == (date(2020, 8, 1), date(2020, 9, 25))


def test_a_life_is_cut_at_both_ends(data: dict[str, Any]) -> None:
    data["availability_matrix"][3]["symbol_lives"] = {
        "AAAUSDT_240628": {"available_from": "2024-01-01", "available_to": "2024-05-01"},
        "BBBUSDT": {"available_from": "2000-01-01"},
    }
    klines = row_of(parse_matrix(json.dumps(data), "m"), "futures_um", "klines")
    assert klines.life("AAAUSDT_240628", MONTHLY) == (date(2024, 1, 1), date(2024, 5, 1))
    assert klines.life("BBBUSDT", DAILY) == (date(2019, 12, 31), None)


@given(st.dates(date(2020, 1, 1), date(2069, 12, 31)))
def test_a_delivery_day_is_read_as_it_is_written(day: date) -> None:
    assert delivery_day(f"BTCUSDT_{day:%y%m%d}") == day


def test_eras_are_those_of_the_archive(matrix: Matrix) -> None:
    spot = matrix.row(Market.SPOT, DataType.TRADES)
    um = matrix.row(Market.FUTURES_UM, DataType.TRADES)
    assert spot is not None
    assert um is not None
    assert spot.time_unit(date(2024, 12, 31)) == "ms"
    assert spot.time_unit(date(2025, 1, 1)) == "us"
    assert um.time_unit(date(2026, 1, 1)) == "ms"
    assert not spot.has_header(date(2026, 1, 1))
    assert not um.has_header(date(2022, 8, 10))
    assert um.has_header(date(2022, 8, 11))


@pytest.mark.parametrize(
    "key",
    [
        "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-05-08.zip",
        "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2026-04.zip",
        "data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2023-09-25.zip",
    ],
)
def test_key_patterns_write_the_keys_that_archives_have(matrix: Matrix, key: str) -> None:
    archive = Archive.parse(key)
    row = matrix.row(archive.market, archive.data_type)
    assert row is not None
    assert key == row.key_pattern.format(
        partition=archive.partition,
        symbol=archive.symbol,
        interval=archive.interval,
        period=archive.period,
    )
