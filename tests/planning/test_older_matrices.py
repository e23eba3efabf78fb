"""The two older formats load, corrected; each correction is told once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.planning.matrix import Matrix, load_matrix, parse_matrix

FOLDER = Path(__file__).parents[1] / "data" / "matrices"
DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY


@pytest.fixture(params=[1, 2])
def older(request: pytest.FixtureRequest) -> Matrix:
    return load_matrix(FOLDER / f"format-{request.param}.json")


def named(matrix: Matrix) -> set[str]:
    return {row.name for row in matrix.rows}


def read(rows: list[dict[str, Any]], **more: Any) -> Matrix:
    return parse_matrix(json.dumps({"availability_matrix": rows, **more}), "old.json")


def row(**changes: Any) -> dict[str, Any]:
    return {
        "market": "spot",
        "data_type": "klines",
        "intervals": ["1h"],
        "partitions": ["daily"],
        "url_pattern": "s3://data.binance.vision/data/spot/{partition}/klines/{symbol}/{interval}/",
        "filename_pattern": "{symbol}-{interval}-{date}.zip",
        **changes,
    }


def test_an_older_format_has_only_what_the_archive_has(older: Matrix) -> None:
    shipped = load_matrix()
    assert older.corrections
    for item in older.rows:
        fact = shipped.row(item.market, item.data_type)
        assert fact is not None
        assert set(item.partitions) <= set(fact.partitions)
        for partition, facts in item.partitions.items():
            assert set(facts.intervals) <= set(fact.partitions[partition].intervals)
            assert facts.available_from == fact.partitions[partition].available_from
        assert item.key_pattern == fact.key_pattern


def test_each_correction_is_told_once(older: Matrix) -> None:
    assert len(set(older.corrections)) == len(older.corrections) <= 25


def test_format_1_is_completed_by_what_its_flat_rows_leave_out() -> None:
    matrix = load_matrix(FOLDER / "format-1.json")
    assert {"futures_um trades", "futures_um metrics", "futures_cm aggTrades"} <= named(matrix)
    spot = matrix.row(Market.SPOT, DataType.KLINES)
    assert spot is not None
    assert spot.partitions[DAILY].intervals == INTERVALS[:13]
    assert spot.partitions[MONTHLY].intervals == INTERVALS
    text = "\n".join(matrix.corrections)
    assert "futures_um fundingRate 8h" in text
    assert "options EOHSummary hourly" in text
    assert "futures_um trades" in text
    assert "not the archive's: options BVOLIndex; options EOHSummary" in text


def test_format_2_loses_what_never_was() -> None:
    matrix = load_matrix(FOLDER / "format-2.json")
    assert "spot bookDepth" not in named(matrix)
    funding = matrix.row(Market.FUTURES_UM, DataType.FUNDING_RATE)
    assert funding is not None
    assert list(funding.partitions) == [MONTHLY]
    premium = matrix.row(Market.FUTURES_UM, DataType.PREMIUM_INDEX_KLINES)
    assert premium is not None
    assert premium.intervals() == INTERVALS[1:]
    text = "\n".join(matrix.corrections)
    for part in (
        "spot bookDepth; spot bookTicker",
        "1M is written 1mo",
        "futures_um klines 1s",
        "options BVOLIndex 1m 5m 1h 1d",
        "futures_um fundingRate daily",
        "spot trades 2017-08-17, not 2019-08-01",
        "futures_cm liquidationSnapshot 2024-10-14",
        "removed the feed: futures_um liquidationSnapshot",
        "not under: BTC; ETH",
    ):
        assert part in text


def test_a_row_keeps_its_authors_selection() -> None:
    matrix = read([row(intervals=["1h", "1d"])])
    assert named(matrix) == {"spot klines"}
    assert matrix.rows[0].partitions.keys() == {DAILY}
    assert matrix.rows[0].partitions[DAILY].intervals == ("1h", "1d")
    assert matrix.corrections == ()


def test_a_row_that_is_not_available_is_left_out() -> None:
    assert named(read([row(), row(data_type="trades", available=False)])) == {"spot klines"}


def test_a_row_whose_partitions_never_were_gets_those_that_are() -> None:
    url = "s3://data.binance.vision/data/futures/um/{partition}/fundingRate/{symbol}/"
    matrix = read(
        [row(market="futures_um", data_type="fundingRate", intervals=[None], url_pattern=url)]
    )
    assert list(matrix.rows[0].partitions) == [MONTHLY]
    assert any("no such partition" in text for text in matrix.corrections)


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"market": "spott"}, "market", "did you mean `spot`?"),
        ({"data_type": "kline"}, "data_type", "did you mean `klines`?"),
        ({"intervals": "1h"}, "intervals", "required: a list"),
        ({"partitions": None}, "partitions", "required: a list"),
        ({"partitions": ["weekly"]}, "partitions", "unknown partition `weekly`"),
        ({"url_pattern": "s3://data.binance.vision/../x"}, "url_pattern", "holds `..`"),
        ({"url_pattern": "/etc"}, "url_pattern", "absolute path"),
        ({"filename_pattern": "a\0b"}, "filename_pattern", "control character"),
        ({"filename_pattern": 7}, "filename_pattern", "must be text"),
    ],
)
def test_what_cannot_be_corrected_is_refused(
    changes: dict[str, Any], place: str, message: str
) -> None:
    with pytest.raises(MatrixError) as caught:
        read([row(), row(**changes)])
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert message in found[f"$.availability_matrix[1].{place}"]


def test_a_row_that_is_no_object_is_refused() -> None:
    with pytest.raises(MatrixError, match=r"availability_matrix\[1\]: must be an object"):
        read([row(), 7])  # type: ignore[list-item]


def test_symbol_lists_of_any_kind_are_no_fault() -> None:
    for symbols in (7, {"options": 7}, {"options": ["BTCBVOLUSDT"]}, {"spot": ["X"]}):
        assert read([row()], symbols=symbols).corrections == ()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(row())), values), values)
def test_any_older_file_is_a_matrix_or_a_matrix_error(changes: dict[str, Any], more: Any) -> None:
    try:
        read([row(), row(**changes)], symbols=more, markets=more)
    except MatrixError as error:
        assert error.problems
