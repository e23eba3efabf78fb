"""The two older formats load, corrected; each correction is told once."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.matrix.load import load_matrix, parse_matrix
from crypto_lakehouse.matrix.model import Matrix, MatrixRow

FOLDER = Path(__file__).parents[1] / "data" / "matrices"
BUCKET = "s3://data.binance.vision/"
DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY
LONG = ("3d", "1w", "1mo")

#: What the first format's rows leave out, and its tree of markets has
#: (docs/archive-older-formats.md#errors).
OMITTED_UM = ("trades", "aggTrades", "bookTicker", "metrics")
OMITTED_CM = (
    "trades", "aggTrades", "indexPriceKlines", "markPriceKlines", "premiumIndexKlines",
    "fundingRate", "bookDepth", "bookTicker", "metrics",
)  # fmt: skip


@pytest.fixture(params=[1, 2])
def older(request: pytest.FixtureRequest) -> Matrix:
    return load_matrix(FOLDER / f"format-{request.param}.json")


def named(matrix: Matrix) -> set[str]:
    return {row.name for row in matrix.rows}


def row_of(matrix: Matrix, market: str, data_type: str) -> MatrixRow:
    row = matrix.row(Market(market), DataType(data_type))
    assert row is not None
    return row


def intervals_of(matrix: Matrix) -> dict[str, tuple[str, ...]]:
    """The intervals of each partition of a matrix with one row."""
    (row,) = matrix.rows
    return {partition: facts.intervals for partition, facts in row.partitions.items()}


def told(matrix: Matrix, about_absence: bool = False) -> str:
    """What was corrected; that most rows are absent from a small file is left unsaid."""
    return "\n".join(
        text for text in matrix.corrections if about_absence or "the file has no row" not in text
    )


def read(rows: list[Any], **more: Any) -> Matrix:
    return parse_matrix(json.dumps({"availability_matrix": rows, **more}), "old.json")


def first(market: str = "spot", data_type: str = "klines", **changes: Any) -> dict[str, Any]:
    """A row of the first format, as right as that can be."""
    kind = DataType(data_type)
    tail = "{symbol}/{interval}/" if kind.has_interval else "{symbol}/"
    return {
        "market": market,
        "data_type": data_type,
        "intervals": ["1h"] if kind.has_interval else ["raw"],
        "partitions": ["daily"],
        "available": True,
        "path_pattern": f"{BUCKET}data/{Market(market).path}/{{partition}}/{{data_type}}/{tail}",
        **changes,
    }


def second(market: str = "spot", data_type: str = "klines", **changes: Any) -> dict[str, Any]:
    """A row of the second format, as right as that can be."""
    has_interval = DataType(data_type).has_interval
    folder = "{symbol}/{interval}" if has_interval else "{symbol}"
    root = f"{BUCKET}data/{Market(market).path}/{{partition}}"
    stem = "{symbol}-{interval}" if has_interval else f"{{symbol}}-{data_type}"
    return {
        "market": market,
        "data_type": data_type,
        "intervals": ["1h"] if has_interval else [None],
        "partitions": ["daily"],
        "url_pattern": f"{root}/{data_type}/{folder}/{{filename}}",
        "filename_pattern": f"{stem}-{{date}}.zip",
        **changes,
    }


def test_an_older_format_has_only_what_the_archive_has(older: Matrix) -> None:
    shipped = load_matrix()
    assert older.corrections
    assert (older.source_url, older.listing_url) == (shipped.source_url, shipped.listing_url)
    order = [row.name for row in shipped.rows if row.name in named(older)]
    assert [row.name for row in older.rows] == order
    for item in older.rows:
        fact = row_of(shipped, item.market, item.data_type)
        assert set(item.partitions) <= set(fact.partitions)
        for partition, facts in item.partitions.items():
            assert set(facts.intervals) <= set(fact.partitions[partition].intervals)
            assert facts.available_from == fact.partitions[partition].available_from
            assert facts.available_to == fact.partitions[partition].available_to
        assert item.key_pattern == fact.key_pattern


def test_each_correction_is_told_once(older: Matrix) -> None:
    assert len(set(older.corrections)) == len(older.corrections) <= 25
    assert all(len(text) < 500 and "\n" not in text for text in older.corrections)


def test_format_1_is_completed_by_what_its_flat_rows_leave_out() -> None:
    matrix, shipped = load_matrix(FOLDER / "format-1.json"), load_matrix()
    assert named(shipped) - named(matrix) == {"futures_um liquidationSnapshot"}
    assert row_of(matrix, "spot", "klines") == row_of(shipped, "spot", "klines")
    assert matrix.corrections == (
        "ignored, as the type has no interval folders: futures_um fundingRate (8h); "
        "options EOHSummary (hourly)",
        "3d, 1w and 1mo are published by the month only: futures_um klines, indexPriceKlines, "
        "markPriceKlines, premiumIndexKlines; futures_cm klines",
        "3d, 1w and 1mo are published by the month, and were added: spot klines",
        "the archive's path and file name take the place of the file's: options BVOLIndex, "
        "EOHSummary",
        "these feeds have ended, with the last day of data: "
        "futures_cm liquidationSnapshot (2024-10-14); options EOHSummary (2023-10-23)",
        "added, as the rows lack what the file's own tree of markets has: "
        f"futures_um {', '.join(OMITTED_UM)}; futures_cm {', '.join(OMITTED_CM)}",
    )


def test_format_2_loses_what_never_was() -> None:
    matrix, shipped = load_matrix(FOLDER / "format-2.json"), load_matrix()
    assert named(shipped) - named(matrix) == {"futures_cm metrics"}
    for item in matrix.rows:
        assert item == row_of(shipped, item.market, item.data_type)
    text = told(matrix, about_absence=True)
    for part in (
        "never had them: spot bookDepth, bookTicker",
        "premiumIndex is called premiumIndexKlines",
        "the interval 1M is spelled 1mo: spot klines; futures_um klines,",
        "not published: futures_um klines, indexPriceKlines, markPriceKlines (1s); futures_cm",
        "futures_um bookDepth (1s 5s 10s 1m 5m 1h)",
        "options BVOLIndex (1m 5m 1h 1d)",
        "by the month only: spot klines; futures_um klines,",
        "by the month as well, which was added: futures_um bookTicker; futures_cm bookTicker",
        "not published: futures_um fundingRate (daily); futures_cm fundingRate (daily)",
        "spot begins as the shipped matrix has it: trades, aggTrades (2017-08-17, not 2019-08-01)",
        "metrics (2020-09-01, not 2020-01-01)",
        "futures_um bookTicker (2024-03-30)",
        "futures_cm liquidationSnapshot (2024-10-14)",
        "removed these feeds: futures_um liquidationSnapshot",
        "no row for what is published: futures_cm metrics",
        "options BTC, ETH",
    ):
        assert part in text
    assert "path and file name" not in text  # wrong names and intervals say that already


@pytest.mark.parametrize("make", [first, second])
def test_a_row_keeps_its_authors_selection(make: Any) -> None:
    matrix = read([make(intervals=["1h", "1d"])])
    assert named(matrix) == {"spot klines"}
    assert intervals_of(matrix) == {"daily": ("1h", "1d")}
    assert matrix.corrections == (
        "left out, as the file has no row for what is published: spot trades, aggTrades; "
        "futures_um altogether; futures_cm altogether; options altogether",
    )


@pytest.mark.parametrize("intervals", [["raw"], [None], []])
def test_a_row_that_names_no_interval_has_all(intervals: list[str | None]) -> None:
    matrix = read([second(intervals=intervals, partitions=["daily", "monthly"])])
    assert intervals_of(matrix) == {"daily": INTERVALS[:13], "monthly": INTERVALS}
    assert told(matrix) == ""


@pytest.mark.parametrize(
    ("intervals", "partitions", "expected"),
    [
        (["1d", "1M"], ["daily", "monthly"], {"daily": ("1d",), "monthly": ("1d", "1mo")}),
        (["1d", "1w"], ["daily"], {"daily": ("1d",), "monthly": ("1w",)}),
        (["1mo"], ["daily"], {"monthly": ("1mo",)}),
        (["1mo"], ["monthly"], {"monthly": ("1mo",)}),
        (["1h"], ["monthly"], {"monthly": ("1h",)}),
    ],
)
def test_long_klines_move_to_the_months(
    intervals: list[str], partitions: list[str], expected: dict[str, tuple[str, ...]]
) -> None:
    matrix = read([second(intervals=intervals, partitions=partitions)])
    assert intervals_of(matrix) == expected
    has_moved = "daily" in partitions
    assert ("by the month only: spot klines" in told(matrix)) == has_moved
    assert ("1M is spelled 1mo" in told(matrix)) == ("1M" in intervals)


def test_long_klines_are_added_only_to_a_row_of_format_1_that_has_all_others() -> None:
    both = ["daily", "monthly"]
    short = list(INTERVALS[:13])
    complete = read([first(intervals=short, partitions=both)])
    assert intervals_of(complete) == {"daily": INTERVALS[:13], "monthly": INTERVALS}
    assert "were added: spot klines" in told(complete)
    for row in (
        first(intervals=["1h"], partitions=both),
        first(intervals=short, partitions=["daily"]),
        second(intervals=short, partitions=both),
        first("futures_um", intervals=short[1:], partitions=both),
    ):
        matrix = read([row])
        assert not set(LONG) & set(matrix.rows[0].intervals())
        assert told(matrix) == ""


def test_a_row_whose_intervals_are_not_published_is_left_out() -> None:
    matrix = read([second("futures_um", intervals=["1s"]), second()])
    assert named(matrix) == {"spot klines"}
    assert told(matrix) == (
        "left out, as none of the intervals named is published: futures_um klines (1s)"
    )
    assert "futures_um trades, aggTrades" in told(matrix, about_absence=True)


def test_a_row_that_is_not_available_is_left_out_unsaid() -> None:
    rows = [
        second(),
        second(data_type="trades", available=False),
        second(data_type="bookDepth", available=False),
    ]
    matrix = read(rows)
    assert named(matrix) == {"spot klines"}
    assert matrix.corrections[0].startswith(
        "left out, as the file has no row for what is published: spot aggTrades; futures_um"
    )


def test_a_row_whose_partitions_never_were_gets_those_that_are() -> None:
    matrix = read([second("futures_um", "fundingRate")])
    assert list(matrix.rows[0].partitions) == [MONTHLY]
    assert "not published: futures_um fundingRate (daily)" in told(matrix)


@pytest.mark.parametrize(("make", "months"), [(first, False), (second, True)])
def test_format_2_alone_is_wrong_about_book_tickers_by_the_day(make: Any, months: bool) -> None:
    matrix = read([make("futures_um", "bookTicker")])
    assert (MONTHLY in matrix.rows[0].partitions) == months
    assert ("which was added: futures_um bookTicker" in told(matrix)) == months
    assert matrix.rows[0].partitions[DAILY].available_to == date(2024, 3, 30)


def test_a_first_day_of_either_partition_is_no_error() -> None:
    right = second(available_from="2017-08-17"), second(available_from="2017-08-01")
    assert [told(read([row])) for row in right] == ["", ""]
    wrong = read([second("futures_um", "fundingRate", available_from="2019-09-08")])
    assert (
        "futures_um begins as the shipped matrix has it: fundingRate (2020-01-01, not 2019-09-08)"
        in told(wrong)
    )


@pytest.mark.parametrize(
    ("row", "is_wrong"),
    [
        (second(url_pattern="data/spot/{partition}/klines/{symbol}/{interval}"), False),
        (second(url_pattern="https://data.binance.vision/data/spot/{partition}/klines/{symbol}/"
                "{interval}/{filename}"), False),
        (second(url_pattern=None), False),
        (second(url_pattern="data/spot/{partition}/klines/{interval}/{symbol}/"), True),
        (second(filename_pattern="{symbol}-{data_type}-{date}.zip"), True),
        (first(path_pattern="data/spot/{partition}/klines/"), True),
    ],
)  # fmt: skip
def test_a_wrong_layout_is_told(row: dict[str, Any], is_wrong: bool) -> None:
    matrix = read([row])
    assert matrix.rows[0].key_pattern == row_of(load_matrix(), "spot", "klines").key_pattern
    assert ("path and file name take the place" in told(matrix)) == is_wrong


UM_TREE: dict[str, Any] = {"futures": {"um": {"data_types": {"trades": {}, "klines": {}}}}}


@pytest.mark.parametrize(
    ("rows", "tree", "added"),
    [
        ([first("futures_um")], {"futures": {"um": {}}}, OMITTED_UM),
        ([first("futures_um")], UM_TREE, ("trades",)),
        ([first("futures_um")], {"futures": {"um": {"data_types": []}}}, OMITTED_UM),
        ([first("futures_um"), first("futures_um", "trades")], UM_TREE, ()),
        ([first("futures_um"), first("futures_um", "trades", available=False)], UM_TREE, ()),
        ([first("futures_um")], {"spot": {}}, ()),
        ([first("futures_um")], None, ()),
        ([first()], {"spot": {}, "futures": {"um": {}, "cm": {}}, "options": {}}, ()),
        ([second("futures_um")], {"futures": {"um": {}}}, ()),
    ],
)
def test_what_the_tree_of_markets_has_is_added(
    rows: list[dict[str, Any]], tree: object, added: tuple[str, ...]
) -> None:
    matrix = read(rows, markets=tree)
    stated = {f"{row['market']} {row['data_type']}" for row in rows if row.get("available", True)}
    assert named(matrix) - stated == {f"futures_um {name}" for name in added}
    assert ("the file's own tree" in told(matrix)) == bool(added)


def test_a_format_number_of_their_own_is_no_fault() -> None:
    assert named(read([second()], format=2)) == {"spot klines"}
    with pytest.raises(MatrixError, match="unknown key `url_pattern`"):
        read([second()], format=3)


def test_symbol_lists_of_any_kind_are_no_fault() -> None:
    for symbols in (7, {"options": 7}, {"options": ["BTCBVOLUSDT", "BTCUSDT"]}, {"spot": ["X"]}):
        assert told(read([second()], symbols=symbols)) == ""
    assert "options BTC, 7, a\\nb" in told(
        read([second()], symbols={"options": ["BTC", 7, "BTC", "a\nb"]})
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted({**first(), **second()})), values), values)
def test_any_older_file_is_a_matrix_or_a_matrix_error(changes: dict[str, Any], more: Any) -> None:
    try:
        read([first(), {**second(data_type="trades"), **changes}], symbols=more, markets=more)
    except MatrixError as error:
        assert error.problems


@given(
    st.lists(st.sampled_from([*INTERVALS, "1M", "raw", None]), unique=True),
    st.lists(st.sampled_from(["daily", "monthly"]), min_size=1, unique=True),
    st.sampled_from(["spot", "futures_um", "futures_cm"]),
    st.sampled_from([first, second]),
)
def test_a_row_never_gets_an_interval_that_its_partition_lacks(
    intervals: list[str | None], partitions: list[str], market: str, make: Any
) -> None:
    facts = row_of(load_matrix(), market, "klines").partitions
    for row in read([make(market, intervals=intervals, partitions=partitions)]).rows:
        assert row.partitions
        for partition, given_facts in row.partitions.items():
            assert given_facts.intervals
            assert set(given_facts.intervals) <= set(facts[partition].intervals)
