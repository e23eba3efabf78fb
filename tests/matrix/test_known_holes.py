"""What the publisher is known to lack: the shipped file, its format, and what can be asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import DataType, Market, Period, Series
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.matrix.known_holes import (
    KINDS,
    KnownHole,
    KnownHoles,
    load_holes,
    parse_holes,
)
from crypto_lakehouse.matrix.load import load_matrix

FILE = Path(__file__).parents[2] / "matrix" / "holes.json"

BVOL = Series(Market.OPTIONS, DataType.BVOL_INDEX, "BTCBVOLUSDT")
OTHER_BVOL = Series(Market.OPTIONS, DataType.BVOL_INDEX, "ETHBVOLUSDT")
PREMIUM = Series(Market.FUTURES_UM, DataType.PREMIUM_INDEX_KLINES, "BTCUSDT", "1h")
SPOT = Series(Market.SPOT, DataType.TRADES, "BTCUSDT")


def hole(first: str, last: str, **changes: Any) -> KnownHole:
    known: dict[str, Any] = {
        "market": Market.SPOT,
        "data_type": DataType.TRADES,
        "symbol": "BTCUSDT",
        "kind": "missing",
        "source": "tracker#1",
    }
    days = {"first": date.fromisoformat(first), "last": date.fromisoformat(last)}
    return KnownHole(**(known | days | changes))


# The shipped file ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "day", "source"),
    [
        (BVOL, "2023-09-25", "#370"),
        (BVOL, "2023-10-24", "#370"),
        (BVOL, "2024-06-11", "#370"),
        (BVOL, "2024-06-12", "#370"),
        (BVOL, "2024-06-30", "#370"),
        (BVOL, "2025-12-15", "#499"),
        (BVOL, "2026-01-04", "#499"),
        (PREMIUM, "2021-01-24", "#335"),
        (PREMIUM, "2021-02-21", "#335"),
        (Series(Market.FUTURES_UM, DataType.KLINES, "NMRUSDT", "1m"), "2023-11-09", "#309"),
        (Series(Market.FUTURES_UM, DataType.KLINES, "NMRUSDT", "1h"), "2023-11-09", ""),
        (BVOL, "2023-09-26", ""),
        (BVOL, "2025-12-14", ""),
        (BVOL, "2026-01-05", ""),
        (OTHER_BVOL, "2025-12-20", ""),
        (SPOT, "2021-08-13", ""),
        (Series(Market.FUTURES_UM, DataType.TRADES, "BTCUSDT"), "2024-06-11", ""),
    ],
)
def test_the_shipped_file_knows_the_reported_holes(series: Series, day: str, source: str) -> None:
    reason = load_holes().reason(series, date.fromisoformat(day))
    expected = f"known upstream hole (binance-public-data{source})" if source else ""
    assert reason == expected


def test_the_hole_of_three_weeks_counts_21_days() -> None:
    days = [date(2025, 12, 1) + timedelta(days=number) for number in range(60)]
    assert sum(bool(load_holes().reason(BVOL, day)) for day in days) == 21


def test_every_entry_is_of_a_feed_that_the_matrix_has_and_names_its_report() -> None:
    known, matrix = load_holes(), load_matrix()
    assert known is load_holes(), "read once"
    assert known.origin == "holes.json (shipped)"
    assert {entry.kind for entry in known.entries} == set(KINDS)
    for entry in known.entries:
        assert entry.source.startswith("binance-public-data#")
        assert entry.market in matrix.markets()
        if entry.data_type is not None:
            row = matrix.row(entry.market, entry.data_type)
            assert row is not None
            assert entry.symbol is None or row.folder_symbol(entry.symbol) == entry.symbol
            days = [facts.available_from for facts in row.partitions.values()]
            assert min(days) <= entry.first


# What can be asked --------------------------------------------------------------------------------


def test_only_missing_archives_are_holes() -> None:
    known = KnownHoles(
        (
            hole("2024-01-01", "2024-01-01", kind="outage"),
            hole("2024-01-02", "2024-01-02", kind="truncated"),
            hole("2024-01-03", "2024-01-03"),
        )
    )
    days = [date(2024, 1, number) for number in (1, 2, 3)]
    assert [known.reason(SPOT, day) for day in days] == ["", "", "known upstream hole (tracker#1)"]


def test_an_entry_may_stand_for_all_symbols_or_all_data_types() -> None:
    known = KnownHoles(
        (
            hole("2024-01-05", "2024-01-05", symbol=None),
            hole("2024-01-03", "2024-01-03", data_type=None),
            hole("2024-01-01", "2024-01-01"),
        )
    )
    other = Series(Market.SPOT, DataType.TRADES, "ETHUSDT")
    klines = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1h")
    elsewhere = Series(Market.FUTURES_UM, DataType.TRADES, "BTCUSDT")
    assert [entry.first.day for entry in known.missing(SPOT)] == [1, 3, 5], "by their first day"
    assert [entry.first.day for entry in known.missing(other)] == [5]
    assert [entry.first.day for entry in known.missing(klines)] == [3]
    assert known.missing(elsewhere) == ()


@pytest.mark.parametrize(
    ("period", "is_hole"),
    [("2024-02-01", True), ("2024-03-01", False), ("2024-02", True), ("2024-01", False),
     ("2024-03", False)],
)  # fmt: skip
def test_a_month_is_a_hole_only_where_all_its_days_are(period: str, is_hole: bool) -> None:
    known = KnownHoles((hole("2024-01-31", "2024-02-10"), hole("2024-02-11", "2024-02-29")))
    assert bool(known.reason_for_period(SPOT, Period.parse(period))) is is_hole


@given(st.sets(st.dates(date(2024, 1, 1), date(2024, 3, 31)), max_size=60))
def test_a_month_agrees_with_its_days(days: set[date]) -> None:
    known = KnownHoles(tuple(hole(str(day), str(day)) for day in days))
    for month in ("2024-01", "2024-02", "2024-03"):
        period = Period.parse(month)
        count = (period.last_day - period.first_day).days + 1
        whole = {period.first_day + timedelta(days=number) for number in range(count)}
        assert bool(known.reason_for_period(SPOT, period)) is (whole <= days)


# The file's format --------------------------------------------------------------------------------


@pytest.fixture
def data() -> dict[str, Any]:
    """A good file, to be spoilt."""
    entry = {"market": "spot", "data_type": "trades", "symbol": "BTCUSDT", "first": "2024-01-02",
             "last": "2024-01-03", "kind": "missing", "source": "tracker#1"}  # fmt: skip
    return {"format": 1, "holes": [entry]}


def faults(data: object) -> dict[str, str]:
    """Every problem that loading finds, by its place."""
    with pytest.raises(MatrixError) as caught:
        parse_holes(json.dumps(data), "spoilt.json")
    assert caught.value.origin == "spoilt.json"
    return {problem.path: problem.message for problem in caught.value.problems}


SPOIL: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda d: d.update(format=2), "$.format", "must be 1"),
    (lambda d: d.pop("format"), "$.format", "required"),
    (lambda d: d.pop("holes"), "$.holes", "required"),
    (lambda d: d.update(hole=1), "$", "unknown key `hole`"),
    (lambda d: d["holes"][0].update(market="spott"), "$.holes[0].market", "did you mean `spot`?"),
    (lambda d: d["holes"][0].update(data_type="trade"), "$.holes[0].data_type", "`trades`"),
    (lambda d: d["holes"][0].update(symbol="../X"), "$.holes[0].symbol", "letters, digits"),
    (lambda d: d["holes"][0].update(first="2024-02-30"), "$.holes[0].first", "not a calendar day"),
    (lambda d: d["holes"][0].update(last="2024-01-01"), "$.holes[0].last", "is before first"),
    (lambda d: d["holes"][0].update(interval="1M"), "$.holes[0].interval", "unknown interval"),
    (lambda d: d["holes"][0].update(kind="gone"), "$.holes[0].kind", "allowed: missing, outage"),
    (lambda d: d["holes"][0].update(source=" "), "$.holes[0].source", "must not be empty"),
    (lambda d: d["holes"][0].pop("source"), "$.holes[0].source", "required"),
    (lambda d: d["holes"][0].pop("symbol"), "$.holes[0].symbol", "required"),
    (lambda d: d["holes"].append(7), "$.holes[1]", "must be an object"),
]


@pytest.mark.parametrize(("spoil", "place", "message"), SPOIL)
def test_a_fault_is_named_with_its_place(
    data: dict[str, Any], spoil: Callable[[Any], Any], place: str, message: str
) -> None:
    spoil(data)
    found = faults(data)
    assert list(found) == [place]
    assert message in found[place]


def test_all_faults_are_named_at_once(data: dict[str, Any]) -> None:
    data["holes"][0].update(market="x", kind="y", last="2023-01-01")
    data["format"] = 9
    places = {"$.format", "$.holes[0].market", "$.holes[0].kind", "$.holes[0].last"}
    assert set(faults(data)) == places


def test_null_stands_for_all(data: dict[str, Any]) -> None:
    data["holes"][0].update(data_type=None, symbol=None)
    known = parse_holes(json.dumps(data).encode(), "good.json")
    assert known.reason(SPOT, date(2024, 1, 3)) == "known upstream hole (tracker#1)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff", "not UTF-8: byte 0 is 0xff"),
        (b"{", "not JSON: "),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"format": 1, "format": 1, "holes": []}', "the key `format` is given twice"),
        (b"[]", "must be an object"),
    ],
)
def test_what_is_no_such_file_is_said(text: bytes, message: str) -> None:
    with pytest.raises(MatrixError, match=message):
        parse_holes(text, "spoilt.json")


def test_a_file_of_ones_own_can_be_loaded(tmp_path: Path, data: dict[str, Any]) -> None:
    file = tmp_path / "holes.json"
    file.write_text("\ufeff" + json.dumps(data), encoding="utf-8")
    assert len(load_holes(file).entries) == 1
    with pytest.raises(MatrixError, match="cannot be read: No such file"):
        load_holes(tmp_path / "absent.json")
    with pytest.raises(MatrixError, match="cannot be read"):
        load_holes("nul\0.json")


def test_the_documented_keys_are_those_of_the_format() -> None:
    from attrs import fields

    from crypto_lakehouse.matrix import known_holes

    assert known_holes.__doc__ is not None
    for field in fields(KnownHole):
        assert f"| `{field.name}`" in known_holes.__doc__
    assert json.loads(FILE.read_text(encoding="utf-8"))["format"] == 1
