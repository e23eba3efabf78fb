"""What came, went and changed between two matrices is told, and nothing else."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from tests.matrix.matrices import matrices

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.matrix.diff import diff_matrices
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix, MatrixRow

DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY


def spot_klines() -> MatrixRow:
    row = load_matrix().row(Market.SPOT, DataType.KLINES)
    assert row is not None
    return evolve(row, symbols=("BTCUSDT", "LUNAUSDT"))


def only(row: MatrixRow, origin: str = "m") -> Matrix:
    return evolve(load_matrix(), rows=(row,), origin=origin)


def lines(old: MatrixRow, new: MatrixRow) -> list[str]:
    return list(diff_matrices(only(old), only(new)).lines())


def with_facts(row: MatrixRow, partition: Partition, **changes: Any) -> MatrixRow:
    facts = evolve(row.partitions[partition], **changes)
    return evolve(row, partitions={**row.partitions, partition: facts})


def test_the_same_matrix_differs_in_nothing() -> None:
    assert diff_matrices(load_matrix(), load_matrix()).changes == ()


def test_rows_come_and_go() -> None:
    whole = load_matrix()
    less = evolve(whole, rows=whole.rows[1:-1])
    assert list(diff_matrices(less, whole).lines()) == ["+ spot klines", "+ options EOHSummary"]
    assert list(diff_matrices(whole, less).lines()) == ["- spot klines", "- options EOHSummary"]


def test_partitions_and_intervals_come_and_go() -> None:
    row = spot_klines()
    daily = evolve(row, partitions={DAILY: row.partitions[DAILY]})
    assert lines(daily, row) == ["+ spot klines monthly"]
    assert lines(row, daily) == ["- spot klines monthly"]
    fewer = with_facts(row, MONTHLY, intervals=row.partitions[MONTHLY].intervals[1:-1])
    assert lines(fewer, row) == ["+ spot klines monthly 1s", "+ spot klines monthly 1mo"]
    assert lines(row, fewer) == ["- spot klines monthly 1s", "- spot klines monthly 1mo"]


def test_symbols_come_and_go() -> None:
    row = spot_klines()
    newer = evolve(row, symbols=("BTCUSDT", "NEWUSDT", "币安人生USDT"))
    assert lines(row, newer) == [
        "+ spot klines NEWUSDT", "+ spot klines 币安人生USDT", "- spot klines LUNAUSDT",
    ]  # fmt: skip


def test_a_list_of_symbols_that_was_not_there_is_one_change() -> None:
    row = spot_klines()
    unknown = evolve(row, symbols=())
    assert lines(unknown, row) == ["* spot klines symbols: not listed -> 2 listed"]
    assert lines(row, unknown) == ["* spot klines symbols: 2 listed -> not listed"]


def test_a_symbol_that_gets_its_months_is_told() -> None:
    row = spot_klines()
    younger = evolve(row, partition_symbols={DAILY: ("BTCUSDT",)})
    assert lines(younger, row) == ["* spot klines BTCUSDT partitions: daily -> daily monthly"]
    assert lines(younger, evolve(younger, symbols=("LUNAUSDT",), partition_symbols={})) == [
        "- spot klines BTCUSDT"
    ]


@pytest.mark.parametrize(
    ("fact", "value", "line"),
    [
        ("available_from", date(2017, 8, 16), "available_from: 2017-08-17 -> 2017-08-16"),
        ("available_to", date(2026, 1, 1), "available_to: - -> 2026-01-01"),
        ("lag_days", 0, "lag_days: 3 -> 0"),
    ],
)
def test_facts_of_partitions_change(fact: str, value: object, line: str) -> None:
    row = spot_klines()
    assert lines(row, with_facts(row, DAILY, **{fact: value})) == [f"* spot klines daily {line}"]


def test_states_change() -> None:
    row = spot_klines()
    assert lines(row, evolve(row, state="retired")) == ["* spot klines state: live -> retired"]


def test_changes_are_plain_json_types() -> None:
    row = spot_klines()
    newer = with_facts(evolve(row, symbols=(*row.symbols, "NEWUSDT")), DAILY, lag_days=0)
    assert diff_matrices(only(row, "a.json"), only(newer, "b.json")).to_mapping() == {
        "old": "a.json",
        "new": "b.json",
        "changes": [
            {
                "change": "changed", "what": "lag_days", "market": "spot", "data_type": "klines",
                "partition": "daily", "old": "3", "new": "0",
            },
            {
                "change": "added", "what": "symbol", "market": "spot", "data_type": "klines",
                "name": "NEWUSDT",
            },
        ],
    }  # fmt: skip


@given(matrices(), matrices())
def test_what_comes_one_way_goes_the_other(one: Matrix, other: Matrix) -> None:
    swapped = {"added": "removed", "removed": "added", "changed": "changed"}
    there, back = diff_matrices(one, other).changes, diff_matrices(other, one).changes
    turned = [
        evolve(each, change=swapped[each.change], old=each.new, new=each.old) for each in back
    ]
    assert sorted(map(repr, there)) == sorted(map(repr, turned))
    assert diff_matrices(one, one).changes == ()
