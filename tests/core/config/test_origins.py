"""A problem is named by the place that its value came from."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from crypto_lakehouse.core.config.origins import name_origins
from crypto_lakehouse.core.config.values import structure_value
from crypto_lakehouse.core.errors import Problem


def test_a_range_whose_edges_have_their_own_origins_keeps_its_path() -> None:
    problem = Problem("$.date_range", "start 2025-07-02 is after end 2025-07-01; swap them")
    origins = {"date_range": "start: mapping; end: override"}
    assert name_origins([problem], origins) == [problem]


@pytest.mark.parametrize("value", ["2025-07-15", date(2025, 7, 15)])
def test_a_day_is_a_date_or_its_text(value: object) -> None:
    assert structure_value(value, {"kind": date}, "$.day") == (date(2025, 7, 15), [])


@pytest.mark.parametrize("value", ["20250715", "2025-W29-2", 5, datetime(2025, 7, 15, tzinfo=UTC)])
def test_what_is_no_day_is_refused(value: object) -> None:
    _, problems = structure_value(value, {"kind": date}, "$.day")
    assert [problem.path for problem in problems] == ["$.day"]
    assert "day, YYYY-MM-DD" in str(problems[0])
