"""The shipped matrix says what the archive has; a faulty one names every fault."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import INTERVALS, Archive, DataType, Market, Partition
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.planning.matrix import Matrix, delivery_day, load_matrix, parse_matrix

FILE = Path(__file__).parents[2] / "matrix" / "binance.json"
DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY

#: The table of archive-facts 2.2: which partitions each market has of each type.
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


def faults(data: object) -> dict[str, str]:
    """Every problem that loading finds, by its place."""
    with pytest.raises(MatrixError) as caught:
        parse_matrix(json.dumps(data), "spoilt.json")
    assert caught.value.origin == "spoilt.json"
    assert "spoilt.json" in str(caught.value)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_the_shipped_file_is_the_one_of_the_repository(matrix: Matrix) -> None:
    assert parse_matrix(FILE.read_bytes(), matrix.origin) == matrix
    assert matrix.corrections == ()
    assert load_matrix(FILE).rows == matrix.rows


@pytest.mark.parametrize("data_type", DataType)
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


def test_lives_take_exceptions_and_deliveries_into_account(matrix: Matrix) -> None:
    metrics = matrix.row(Market.FUTURES_UM, DataType.METRICS)
    trades = matrix.row(Market.FUTURES_UM, DataType.TRADES)
    assert metrics is not None
    assert trades is not None
    assert metrics.life("BTCUSDT", DAILY) == (date(2020, 9, 1), None)
    assert metrics.life("ETHUSDT", DAILY) == (date(2021, 12, 1), None)
    assert trades.life("BTCUSDT_240628", DAILY) == (date(2019, 9, 1), date(2024, 6, 28))
    assert delivery_day("BTCUSD_209999") is None
    assert delivery_day("BTCUSDT") is None


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


def _daily(data: Any) -> Any:
    return data["availability_matrix"][0]["partitions"]["daily"]


SPOIL: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda d: d.update(format=4), "$.format", "must be 3"),
    (lambda d: d.pop("format"), "$.format", "must be 3"),
    (lambda d: d.pop("source_url"), "$.source_url", "required"),
    (lambda d: d.update(surce=1), "$", "unknown key `surce`"),
    (lambda d: d["availability_matrix"][0].pop("columns"),
     "$.availability_matrix[0].columns", "required"),
    (lambda d: d["availability_matrix"][0].update(market="spott"),
     "$.availability_matrix[0].market", "did you mean `spot`?"),
    (lambda d: d["availability_matrix"][0].update(data_type="kline"),
     "$.availability_matrix[0].data_type", "did you mean `klines`?"),
    (lambda d: d["availability_matrix"][0].update(state="alive"),
     "$.availability_matrix[0].state", "did you mean `live`?"),
    (lambda d: d["availability_matrix"][0].update(key_pattern="data/../../etc/{symbol}"),
     "$.availability_matrix[0].key_pattern", "holds `..`"),
    (lambda d: d["availability_matrix"][0].update(key_pattern="/etc/{symbol}.zip"),
     "$.availability_matrix[0].key_pattern", "absolute path"),
    (lambda d: d["availability_matrix"][0].update(key_pattern="C:{symbol}.zip"),
     "$.availability_matrix[0].key_pattern", "absolute path"),
    (lambda d: d["availability_matrix"][0].update(key_pattern="data\0x"),
     "$.availability_matrix[0].key_pattern", "control character"),
    (lambda d: d["availability_matrix"][0].update(key_pattern="data/{symbol}.zip"),
     "$.availability_matrix[0].key_pattern", "is not the archive's layout"),
    (lambda d: d["availability_matrix"][0].update(symbol_pattern="("),
     "$.availability_matrix[0].symbol_pattern", "not a regular expression"),
    (lambda d: d["availability_matrix"][0].update(symbols=["../x"]),
     "$.availability_matrix[0].symbols", "letters, digits"),
    (lambda d: d["availability_matrix"][0].update(symbols="BTCUSDT"),
     "$.availability_matrix[0].symbols", "must be a list"),
    (lambda d: d["availability_matrix"][0].update(partitions={}),
     "$.availability_matrix[0].partitions", "must name daily"),
    (lambda d: d["availability_matrix"][0].update(header_eras=[]),
     "$.availability_matrix[0].header_eras", "must begin with"),
    (lambda d: d["availability_matrix"][0]["time_unit_eras"][0].update(unit="s"),
     "$.availability_matrix[0].time_unit_eras[0].unit", "unknown value `s`"),
    (lambda d: _daily(d).update(intervals=[]),
     "$.availability_matrix[0].partitions.daily.intervals", "must name the interval folders"),
    (lambda d: d["availability_matrix"][1]["partitions"]["daily"].update(intervals=["1h"]),
     "$.availability_matrix[1].partitions.daily.intervals", "must be empty"),
    (lambda d: _daily(d).update(intervals=["1x"]),
     "$.availability_matrix[0].partitions.daily.intervals[0]", "unknown interval `1x`"),
    (lambda d: _daily(d).update(lag_days=-1),
     "$.availability_matrix[0].partitions.daily.lag_days", "at least 0"),
    (lambda d: _daily(d).update(available_to="2016-01-01"),
     "$.availability_matrix[0].partitions.daily.available_to", "is before available_from"),
    (lambda d: _daily(d).update(available_from="2016-13-01"),
     "$.availability_matrix[0].partitions['daily'].available_from", "no day of the calendar"),
    (lambda d: d["availability_matrix"].append(d["availability_matrix"][0]),
     "$.availability_matrix[27]", "stands at $.availability_matrix[0] already"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "path", "message"), SPOIL)
def test_each_fault_is_named_with_its_place(
    data: dict[str, Any], spoil: Callable[[Any], Any], path: str, message: str
) -> None:
    spoil(data)
    found = faults(data)
    assert message in found[path]


def test_all_faults_are_told_at_once(data: dict[str, Any]) -> None:
    data["availability_matrix"][0]["state"] = "alive"
    data["availability_matrix"][5]["symbol_pattern"] = "["
    data["availability_matrix"][9]["key_pattern"] = "../x"
    data["availability_matrix"][11]["market"] = "spott"
    data["availability_matrix"][12] = 7
    del data["source_url"]
    assert len(faults(data)) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1, column 2"),
        ("[]", "must be an object"),
        ("{}", "required: the list of rows"),
        (b"\xff", "not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_matrix_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(MatrixError, match=message):
        parse_matrix(text, "m.json")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match=r"(?s)absent\.json.*cannot be read"):
        load_matrix(tmp_path / "absent.json")
    with pytest.raises(MatrixError, match="directory"):
        load_matrix(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(INTERVALS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.data())
def test_any_spoilt_file_is_a_matrix_or_a_matrix_error(draw: st.DataObject) -> None:
    data: Any = json.loads(FILE.read_text(encoding="utf-8"))
    row = draw.draw(st.sampled_from(data["availability_matrix"]))
    target = draw.draw(st.sampled_from([data, row, *row["partitions"].values()]))
    key = draw.draw(st.sampled_from(sorted(target)))
    target[key] = draw.draw(json_values)
    try:
        parse_matrix(json.dumps(data), "m.json")
    except MatrixError as error:
        assert error.problems


def test_the_fixture_is_fresh_for_each_test(data: dict[str, Any]) -> None:
    assert copy.deepcopy(data)["format"] == 3
