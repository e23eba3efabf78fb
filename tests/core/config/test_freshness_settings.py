"""The key `freshness`: which groups of series have an objective, and which."""

from __future__ import annotations

import pytest

from crypto_lakehouse.core.config.freshness_settings import (
    GROUPS,
    freshness_age,
    freshness_group,
    named_groups,
    objective_of,
)
from crypto_lakehouse.matrix.load import load_matrix


def test_the_groups_are_those_of_the_shipped_matrix() -> None:
    known = {(market, each) for market, types in GROUPS.items() for each in types}
    assert known == {(row.market, row.data_type) for row in load_matrix(None).rows}


def test_the_most_exact_objective_counts() -> None:
    ages = {"*": 1.0, "*/klines": 2.0, "spot/*": 3.0, "spot/klines": 4.0}
    groups = [("spot", "klines"), ("spot", "trades"), ("futures_um", "klines"), ("options", "x")]
    assert [objective_of(ages, *group) for group in groups] == [4.0, 3.0, 2.0, 1.0]
    assert objective_of({}, "spot", "klines") is None
    assert named_groups(ages) == [("spot", "klines")]


@pytest.mark.parametrize(
    "given", ["", "spot", "spot/", "x/y", 1, None, "*/*", "spot/depth_updates"]
)
def test_a_key_that_names_no_series_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="names no series"):
        freshness_group(given)


@pytest.mark.parametrize("given", [0, -1, True, None, "0h", "36", "inf", float("nan"), [], 1e300])
def test_an_age_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="is not a duration above 0"):
        freshness_age(given)
