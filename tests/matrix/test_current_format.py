"""A faulty matrix file names every fault with its place, all of them at once."""

from __future__ import annotations

import doctest
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.matrix import json_reader
from crypto_lakehouse.matrix.load import load_matrix, parse_matrix
from crypto_lakehouse.matrix.model import Matrix

FILE = Path(__file__).parents[2] / "matrix" / "binance.json"


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
    (lambda d: d["availability_matrix"][0].update(key_pattern="data\\spot"),
     "$.availability_matrix[0].key_pattern", "holds a backslash"),
    (lambda d: d["availability_matrix"][0].update(symbol_pattern="("),
     "$.availability_matrix[0].symbol_pattern", "not a regular expression"),
    (lambda d: d["availability_matrix"][0].update(symbols=["../x"]),
     "$.availability_matrix[0].symbols[0]", "letters, digits"),
    (lambda d: d["availability_matrix"][0].update(symbol_lives={"../x": {}}),
     '$.availability_matrix[0].symbol_lives["../x"]', "letters, digits"),
    (lambda d: d["availability_matrix"][0].update(symbol_lives={"a @ b": 5}),
     '$.availability_matrix[0].symbol_lives["a @ b"]', "must be an object, not `5`"),
    (lambda d: d["availability_matrix"][0].update(
        symbol_lives={"X": {"available_from": "2021-01-01", "available_to": "2020-01-01"}}),
     "$.availability_matrix[0].symbol_lives.X.available_to", "is before available_from"),
    (lambda d: d["availability_matrix"][0].update(intervls=[]),
     "$.availability_matrix[0]", "unknown key `intervls`"),
    (lambda d: d["availability_matrix"].append(7),
     "$.availability_matrix[27]", "must be an object, not `7`"),
    (lambda d: d["availability_matrix"][0].update(sidecar_newline="no"),
     "$.availability_matrix[0].sidecar_newline", "must be true or false"),
    (lambda d: d["availability_matrix"][0].update(partitions=["daily"]),
     "$.availability_matrix[0].partitions", "must be an object"),
    (lambda d: d["availability_matrix"][0]["partitions"].update(dayly=_daily(d)),
     "$.availability_matrix[0].partitions.dayly", "did you mean `daily`?"),
    (lambda d: d["availability_matrix"][0].update(state="retired"),
     "$.availability_matrix[0].partitions.daily.available_to", "where the state is `retired`"),
    (lambda d: d.update(source_url="ftp://host"), "$.source_url", "http:// or https://"),
    (lambda d: d.update(source_url="https://[half"), "$.source_url", "http:// or https://"),
    (lambda d: d.update(listing_url="https://host/a b"), "$.listing_url", "http:// or https://"),
    (lambda d: d.update(listing_url="https://host?x=1"), "$.listing_url", "http:// or https://"),
    (lambda d: d.update(observed="yesterday"), "$.observed", "not a calendar day"),
    (lambda d: d["availability_matrix"][0].update(symbols="BTCUSDT"),
     "$.availability_matrix[0].symbols", "must be a list"),
    (lambda d: d["availability_matrix"][0].update(partitions={}),
     "$.availability_matrix[0].partitions", "must name daily"),
    (lambda d: d["availability_matrix"][0].update(header_eras=[]),
     "$.availability_matrix[0].header_eras", "must begin with"),
    (lambda d: d["availability_matrix"][0]["header_eras"][0].update(since="2020-01-01"),
     "$.availability_matrix[0].header_eras", "must begin with"),
    (lambda d: d["availability_matrix"][0]["header_eras"].append({"since": None, "header": True}),
     "$.availability_matrix[0].header_eras", "ever later days"),
    (lambda d: d["availability_matrix"][0]["time_unit_eras"].append(
        {"since": "2025-01-01", "unit": "ms"}),
     "$.availability_matrix[0].time_unit_eras", "ever later days"),
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
     "$.availability_matrix[0].partitions.daily.available_from", "not a calendar day"),
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


def test_one_row_tells_all_its_faults_whatever_their_kind(data: dict[str, Any]) -> None:
    row = data["availability_matrix"][0]
    row.update(market="spott", state="alive", key_pattern="/x", symbol_pattern="(", notess=[])
    del row["columns"]
    _daily(data).update(intervals=["1h", "1x"], lag_days="3", available_to="2000-01-01")
    data["availability_matrix"].append({**data["availability_matrix"][1], "notes": 5})
    data["source_url"] = 5
    assert sorted(faults(data)) == sorted(
        [
            "$.source_url",
            "$.availability_matrix[0]",
            "$.availability_matrix[0].columns",
            "$.availability_matrix[0].key_pattern",
            "$.availability_matrix[0].market",
            "$.availability_matrix[0].partitions.daily.available_to",
            "$.availability_matrix[0].partitions.daily.intervals[1]",
            "$.availability_matrix[0].partitions.daily.lag_days",
            "$.availability_matrix[0].state",
            "$.availability_matrix[0].symbol_pattern",
            "$.availability_matrix[27]",
            "$.availability_matrix[27].notes",
        ]
    )


def test_what_may_be_left_out_has_a_default(matrix: Matrix, data: dict[str, Any]) -> None:
    row = data["availability_matrix"][1]
    for name in ("state", "symbol_form", "symbol_lives", "symbols", "sidecar_newline", "notes"):
        del row[name]
    for facts in row["partitions"].values():
        del facts["intervals"], facts["available_to"]
    for name in ("publisher", "observed", "listing_url"):
        del data[name]
    changed = parse_matrix(json.dumps(data), matrix.origin)
    trades = changed.row(Market.SPOT, DataType.TRADES)
    assert trades is not None
    assert evolve(trades, notes=matrix.rows[1].notes) == matrix.rows[1]
    assert changed.listing_url is None


def test_examples_in_docstrings_are_true() -> None:
    assert doctest.testmod(json_reader) == (0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1, column 2"),
        ("[]", "must be an object"),
        ("{}", "required: the list of rows"),
        (b"\xff", "not UTF-8"),
        ('{"format": 3}'.encode("utf-16"), "not UTF-8"),
        ('{"format": 3, "format": 3}', "the key `format` is given twice"),
        ('{"format": ' + "9" * 5_000 + "}", "not a matrix"),
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
    with pytest.raises(MatrixError, match="null byte"):
        load_matrix("a\0b")


def test_a_byte_order_mark_is_no_fault(matrix: Matrix) -> None:
    assert parse_matrix(b"\xef\xbb\xbf" + FILE.read_bytes(), matrix.origin) == matrix


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
