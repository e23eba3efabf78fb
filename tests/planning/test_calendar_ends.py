"""The first and the last day that a calendar has, and what a matrix may say beyond them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.matrix.load import load_matrix, parse_matrix
from crypto_lakehouse.planning.calendar_plan import plan_collection

_MATRIX = Path(__file__).parents[2] / "matrix" / "binance.json"


def count(**values: object) -> int:
    """How many archives a configuration plans."""
    config = {
        "output_directory": "out",
        "markets": ["spot"],
        "symbols": ["BTCUSDT"],
        "data_types": ["klines"],
        "intervals": ["1h"],
        **values,
    }
    plan = plan_collection(WorkflowConfig(config, environ={}), load_matrix(), date(2025, 8, 1))
    return plan.totals().archives


@pytest.mark.parametrize(
    ("partitions", "archives"), [("auto", 31), (["daily"], 31), (["monthly"], 1)]
)
def test_a_range_may_end_on_the_calendars_last_day(partitions: object, archives: int) -> None:
    days = {"start": "9999-12-01", "end": "9999-12-31"}
    assert count(date_range=days, partitions=partitions) == archives


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_calendars_first_and_last_day_can_be_planned(day: str) -> None:
    assert count(default_date=day) == 1


def first_row(**values: object) -> str:
    """A matrix of one row, in which something is another."""
    matrix: dict[str, Any] = json.loads(_MATRIX.read_bytes())
    matrix["availability_matrix"] = [matrix["availability_matrix"][0] | values]
    return json.dumps(matrix)


@pytest.mark.parametrize("pattern", ["a{99999999999999999999}", "(" * 3000 + ")" * 3000])
def test_a_pattern_that_cannot_be_compiled_is_a_fault_of_its_row(pattern: str) -> None:
    with pytest.raises(MatrixError, match="not a regular expression") as refused:
        parse_matrix(first_row(symbol_pattern=pattern), "x")
    assert refused.value.problems[0].path == "$.availability_matrix[0].symbol_pattern"


def test_a_lag_longer_than_the_calendar_is_a_fault_of_its_row() -> None:
    facts = {"available_from": "2020-01-01", "intervals": ["1h"], "lag_days": 10**20}
    with pytest.raises(MatrixError, match="lag_days: must be at most"):
        parse_matrix(first_row(partitions={"daily": facts}), "x")
