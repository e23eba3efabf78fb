"""A plan of archives that are named one by one."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import archives

from crypto_lakehouse.core.archive import Archive, Market, Partition
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.planning.explicit_plan import ExplicitPlan, is_selected

TODAY = date(2026, 11, 23)
MATRIX = load_matrix()
DAY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"
MONTH = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07.zip"
TRADES = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-07-15.zip"
INDEX = "data/futures/cm/daily/indexPriceKlines/BTCUSD/1h/BTCUSD-1h-2025-07-15.zip"


def plan_of(*keys: str, matrix: Matrix = MATRIX) -> ExplicitPlan:
    return ExplicitPlan.of((Archive.parse(key) for key in keys), TODAY, matrix)


def keys_of(plan: ExplicitPlan) -> list[str]:
    return [item.archive.key for planned in plan.each_series() for item in planned.archives()]


def config(**values: Any) -> WorkflowConfig:
    return WorkflowConfig({"output_directory": "o", "only": "failed", **values}, environ={})


def selects(key: str, **values: Any) -> bool:
    return is_selected(config(**values), Archive.parse(key))


@given(st.lists(archives, max_size=20))
def test_exactly_the_archives_are_planned_once_and_a_series_at_a_time(found: list[Archive]) -> None:
    plan = ExplicitPlan.of([*found, *found[:3]], TODAY, MATRIX)
    planned = [item.archive for one in plan.each_series() for item in one.archives()]
    assert planned == sorted(set(found))
    series = [one.series for one in plan.each_series()]
    assert len(series) == len(set(series))
    totals = plan.totals()
    assert totals.archives == totals.due == len(planned)
    assert totals.size_bytes is None, "nobody asked how large they are"
    assert bool(plan.why_empty()) is not bool(found)


async def test_both_ways_to_enumerate_are_the_same() -> None:
    plan = plan_of(TRADES, MONTH, DAY)
    assert [planned async for planned in plan.series()] == list(plan.each_series())
    assert keys_of(plan) == [MONTH, DAY, TRADES], "by series, and by first day"


def test_nothing_is_said_of_them_but_how_late_they_may_be() -> None:
    periods = [item for one in plan_of(DAY, MONTH).each_series() for item in one.periods]
    assert {(item.period.text, item.lag_days) for item in periods} == {
        ("2025-07-15", 3), ("2025-07", 35),
    }  # fmt: skip
    assert not any(item.not_published or item.unlisted or item.listed for item in periods)


@pytest.mark.parametrize("rows", [(), tuple(row for row in MATRIX.rows if row.market != "spot")])
def test_what_the_matrix_does_not_have_may_not_be_late(rows: Any) -> None:
    plan = plan_of(DAY, matrix=evolve(MATRIX, rows=rows))
    (one,) = plan.each_series()
    assert [item.lag_days for item in one.periods] == [0]


def test_a_partition_that_the_row_lacks_may_not_be_late() -> None:
    key = "data/futures/um/daily/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2025-07-15.zip"
    (one,) = plan_of(key).each_series()
    assert [item.lag_days for item in one.periods] == [0]


def test_an_empty_plan_says_why() -> None:
    plan = plan_of()
    assert plan.why_empty() == "the ledger has nothing of that kind"
    assert (plan.notes, plan.failures, plan.today) == ((), (), TODAY)


# Which archives a configuration's selection holds ------------------------------------------------


@given(archives)
def test_without_a_selection_every_archive_is_selected(archive: Archive) -> None:
    assert is_selected(config(), archive)


@given(archives)
def test_an_archive_is_selected_by_its_own_names_and_by_no_others(archive: Archive) -> None:
    own: dict[str, Any] = {
        "markets": [archive.market],
        "data_types": [archive.data_type],
        "symbols": {archive.market: [archive.symbol]},
        "partitions": [archive.partition],
        "date_range": {
            "start": str(archive.period.first_day), "end": str(archive.period.last_day),
        },
    }  # fmt: skip
    if archive.interval:
        own["intervals"] = {archive.data_type: [archive.interval]}
    assert is_selected(config(**own), archive)
    others = {
        "markets": [market for market in Market if market is not archive.market],
        "data_types": [kind for kind in PUBLISHED_TYPES if kind is not archive.data_type],
        "symbols": [f"{archive.symbol}X", f"{archive.symbol}X*"],
        "partitions": [part for part in Partition if part is not archive.partition],
        "default_date": "2016-01-01",
    }
    for name, value in others.items():
        assert not is_selected(config(**{name: value}), archive), name


@pytest.mark.parametrize(
    ("days", "chosen"),
    [
        ({"default_date": "2025-07-01"}, True),
        ({"default_date": "2025-07-31"}, True),
        ({"default_date": "2025-06-30"}, False),
        ({"default_date": "2025-08-01"}, False),
        ({"date_range": {"start": "2025-06-01", "end": "2025-07-01"}}, True),
        ({"date_range": {"start": "2025-06-01"}}, True),
        ({"date_range": {"start": "2025-09-01"}}, False),
        ({"date_range": {"start": "2025-07-31", "end": "2025-09-01"}}, True),
        ({"date_range": {"start": "2025-07-10", "end": "2025-07-11"}}, True),
    ],
)
def test_a_month_is_selected_by_any_of_its_days(days: dict[str, Any], *, chosen: bool) -> None:
    assert selects(MONTH, **days) is chosen


def test_symbols_of_one_market_select_nothing_of_another() -> None:
    assert selects(DAY, symbols={"spot": ["BTC*"], "futures_um": ["ETHUSDT"]})
    assert not selects(DAY, symbols={"spot": ["ETH*"], "futures_um": ["BTCUSDT"]})
    assert not selects(DAY, symbols={"futures_um": ["BTCUSDT"]})


def test_intervals_of_one_type_leave_the_others_alone() -> None:
    assert selects(DAY, intervals={"markPriceKlines": ["1d"]})
    assert not selects(DAY, intervals={"klines": ["1d"]})
    assert selects(TRADES, intervals=["1d"])


def test_filters_select_too() -> None:
    assert selects(DAY, quote_assets=["USDT"])
    assert not selects(DAY, quote_assets=["BTC"])
    assert not selects(DAY, symbols=["BTCUSDT"], stable_pairs="only")
