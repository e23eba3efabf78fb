"""What is written is read again as it was."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from tests.matrix.matrices import matrices

from crypto_lakehouse.core.archive import Market, Partition
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.matrix.load import load_matrix, parse_matrix
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.matrix.writer import matrix_text

FILE = Path(__file__).parents[2] / "matrix" / "binance.json"
OLDER = Path(__file__).parents[1] / "data" / "matrices"


def read_back(matrix: Matrix) -> Matrix:
    return parse_matrix(matrix_text(matrix), matrix.origin)


def with_symbols(matrix: Matrix, **changes: Any) -> Matrix:
    """The matrix with its first row changed."""
    return evolve(matrix, rows=(evolve(matrix.rows[0], **changes), *matrix.rows[1:]))


def test_the_shipped_matrix_is_written_as_it_stands_in_the_repository() -> None:
    matrix = load_matrix()
    assert matrix_text(matrix) == FILE.read_text(encoding="utf-8")
    assert read_back(matrix) == matrix
    assert (matrix.publisher, matrix.observed) == ("binance", date(2026, 11, 23))


@pytest.mark.parametrize("path", sorted(OLDER.rglob("*.json")), ids=lambda path: path.name)
def test_an_older_matrix_is_written_in_the_current_format(path: Path) -> None:
    try:
        matrix = load_matrix(path)
    except MatrixError:
        pytest.skip("it is there to be refused")
    assert read_back(matrix) == evolve(matrix, corrections=())


@given(matrices())
def test_every_matrix_is_read_back_and_only_single_values_are_long(matrix: Matrix) -> None:
    assert read_back(matrix) == matrix
    for line in matrix_text(matrix).splitlines():
        if len(line) > 100:
            value = line.strip().partition(": ")[2].rstrip(",") or line.strip().rstrip(",")
            assert not isinstance(json.loads(value), list)


def test_many_symbols_fill_lines() -> None:
    names = tuple(f"COIN{number:04}USDT" for number in range(100))
    matrix = with_symbols(load_matrix(), symbols=names, partition_symbols={Partition.DAILY: names})
    text = matrix_text(matrix)
    assert read_back(matrix) == matrix
    filled = [line for line in text.splitlines() if "COIN" in line]
    assert len(filled) == 2 * 20
    assert all(80 <= len(line) <= 100 for line in filled)


def test_what_is_not_known_is_left_out() -> None:
    matrix = evolve(load_matrix(), publisher="", observed=None, listing_url=None, rows=())
    assert json.loads(matrix_text(matrix)) == {
        "format": 3,
        "source_url": "https://data.binance.vision",
        "listing_url": None,
        "availability_matrix": [],
    }
    assert "partition_symbols" not in matrix_text(load_matrix())


def test_text_that_utf_8_has_no_bytes_for_is_escaped() -> None:
    matrix = with_symbols(load_matrix(), notes=("lone \ud800 surrogate, 币",))
    text = matrix_text(matrix)
    assert "lone \\ud800 surrogate, 币" in text
    assert parse_matrix(text.encode(), matrix.origin) == matrix


def faults(**changes: Any) -> dict[str, str]:
    """Place and message of each fault of a matrix whose first row is changed."""
    data = json.loads(FILE.read_text(encoding="utf-8"))
    data["availability_matrix"][0] |= changes
    with pytest.raises(MatrixError) as refused:
        parse_matrix(json.dumps(data), "m")
    return {problem.path: problem.message for problem in refused.value.problems}


def test_symbols_of_one_partition_are_the_rows_own() -> None:
    place = "$.availability_matrix[0].partition_symbols"
    assert faults(symbols=["AUSDT"], partition_symbols={"daily": ["AUSDT", "BUSDT"]}) == {
        f"{place}.daily": "['BUSDT']: not among the row's `symbols`"
    }
    assert faults(partition_symbols={"daily": ["AUSDT"]}) == {
        f"{place}.daily": "['AUSDT']: not among the row's `symbols`"
    }
    both = {"daily": ["AUSDT"], "monthly": ["AUSDT"]}
    assert faults(symbols=["AUSDT"], partition_symbols=both) == {
        f"{place}.monthly": "['AUSDT']: in another partition as well"
    }


def test_symbols_of_one_partition_are_in_a_partition_of_the_row() -> None:
    place = "$.availability_matrix[0].partition_symbols"
    daily = json.loads(FILE.read_text(encoding="utf-8"))["availability_matrix"][0]["partitions"]
    del daily["monthly"]
    assert faults(
        partitions=daily, symbols=["AUSDT"], partition_symbols={"monthly": ["AUSDT"]}
    ) == {f"{place}.monthly": "the row has no `monthly` partition"}
    assert list(faults(partition_symbols={"weekly": []})) == [f"{place}.weekly"]
    assert list(faults(partitions=7, symbols=["A"], partition_symbols={"daily": ["A"]})) == [
        "$.availability_matrix[0].partitions"
    ]


def test_a_row_knows_which_symbols_are_in_one_partition_only() -> None:
    alone = {Partition.MONTHLY: ("BUSDT",)}
    matrix = with_symbols(load_matrix(), symbols=("AUSDT", "BUSDT"), partition_symbols=alone)
    row = read_back(matrix).rows[0]
    assert row.market is Market.SPOT
    assert row.partition_symbols == alone
