"""From configuration and matrix to a lazy, stable plan."""

from __future__ import annotations

import itertools
import tracemalloc
from datetime import date
from typing import Any

import pytest
from attrs import evolve
from tests.examples import IS_THOROUGH

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.errors import ConfigurationError, SelectionError
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.planning.calendar_plan import CalendarPlan as Plan
from crypto_lakehouse.planning.calendar_plan import plan_collection

TODAY = date(2026, 11, 23)


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


@pytest.fixture(scope="module", name="plan")
def make_plan(matrix: Matrix) -> Any:
    def make(**config: Any) -> Plan:
        base = {"output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15"}
        if "date_range" in config:
            del base["default_date"]
        return plan_collection(WorkflowConfig({**base, **config}, environ={}), matrix, TODAY)

    return make


def keys(plan: Plan) -> list[str]:
    return [item.archive.key for item in plan if not item.not_published]


def problems(error: pytest.ExceptionInfo[ConfigurationError]) -> str:
    return str(error.value)


def test_a_day_of_every_interval_and_the_months_of_those_that_have_no_days(plan: Any) -> None:
    found = keys(plan(markets=["spot"], data_types=["klines"]))
    folder = "data/spot/daily/klines/BTCUSDT"
    assert found[0] == f"{folder}/1s/BTCUSDT-1s-2025-07-15.zip"
    assert len(found) == 16
    assert [key.split("/")[5] for key in found if "/monthly/" in key] == ["3d", "1w", "1mo"]


def test_daily_alone_is_13_intervals(plan: Any) -> None:
    wanted = plan(markets=["spot"], data_types=["klines"], partitions=["daily"])
    assert wanted.count() == len(keys(wanted)) == 13


def test_count_is_what_enumeration_gives(plan: Any) -> None:
    wanted = plan(date_range={"start": "2019-11-15", "end": "2026-12-05"}, intervals=["1h", "1w"])
    assert wanted.count() == sum(1 for _ in wanted)


def test_the_order_is_stable_and_nothing_is_planned_twice(plan: Any) -> None:
    wanted = plan(
        symbols=["BTCUSDT", "ETHUSDT"], markets=["spot", "futures_um"], intervals=["1h", "1d"],
        date_range={"start": "2024-02-10", "end": "2024-05-20"},
    )  # fmt: skip
    first = [item.archive for item in wanted]
    assert first == [item.archive for item in wanted]
    assert len(set(first)) == len(first)
    series = [archive.series for archive in first]
    assert len(list(itertools.groupby(series))) == len(set(series)), "a series at a time"


def test_five_million_archives_are_enumerated_in_flat_memory(plan: Any) -> None:
    symbols = [f"COIN{number}USDT" for number in range(120)]
    wanted = plan(
        symbols=symbols, markets=["spot"], data_types=["klines"], partitions=["daily"],
        date_range={"start": "2017-08-17", "end": "2026-11-20"},
    )  # fmt: skip
    assert wanted.count() > 5_000_000
    stream = iter(wanted)
    next(stream)
    tracemalloc.start()
    try:
        taken = sum(1 for _ in itertools.islice(stream, 200_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken == 200_000
    assert peak < 5_000_000, "200,000 archives in a list would be 40 MB"


def test_all_are_distinct_without_a_list(plan: Any) -> None:
    symbols = [f"COIN{number}USDT" for number in range(120 if IS_THOROUGH else 12)]
    wanted = plan(
        symbols=symbols, markets=["spot"], data_types=["klines"], partitions=["daily"],
        date_range={"start": "2017-08-17", "end": "2026-11-20"},
    )  # fmt: skip
    assert sum(1 for _ in wanted) == wanted.count() > 41_000 * len(symbols)


def test_without_markets_all_of_the_matrix_are_taken(plan: Any, matrix: Matrix) -> None:
    wanted = plan(symbols=["BTCUSDT", "BTCUSD_PERP", "BTCBVOLUSDT"], intervals=["1h"])
    assert {item.archive.market for item in wanted} == set(matrix.markets())


def test_symbols_by_market_choose_the_markets(plan: Any) -> None:
    wanted = plan(symbols={"futures_cm": ["BTCUSD_PERP"]}, data_types=["trades"])
    assert keys(wanted) == [
        "data/futures/cm/daily/trades/BTCUSD_PERP/BTCUSD_PERP-trades-2025-07-15.zip"
    ]


def test_a_list_of_symbols_is_used_where_each_fits(plan: Any) -> None:
    wanted = plan(
        symbols=["BTCUSDT", "BTCUSD_PERP"], markets=["spot", "futures_cm"], data_types=["trades"]
    )
    assert [item.archive.symbol for item in wanted] == ["BTCUSDT", "BTCUSD_PERP"]


def test_index_prices_of_coin_margined_contracts_are_filed_under_the_pair(plan: Any) -> None:
    wanted = plan(
        symbols={"futures_cm": ["BTCUSD_PERP", "BTCUSD_250926"]},
        data_types=["indexPriceKlines"], intervals=["1h"],
    )  # fmt: skip
    assert keys(wanted) == [
        "data/futures/cm/daily/indexPriceKlines/BTCUSD/1h/BTCUSD-1h-2025-07-15.zip"
    ]


def test_a_delivered_contract_has_no_archives_after_its_delivery(plan: Any) -> None:
    wanted = plan(
        symbols={"futures_um": ["BTCUSDT_240628"]}, data_types=["trades"], partitions=["daily"],
        date_range={"start": "2024-06-27", "end": "2024-06-30"},
    )  # fmt: skip
    assert [bool(item.not_published) for item in wanted] == [False, False, True, True]


def test_a_removed_feed_is_planned_and_never_requested(plan: Any) -> None:
    wanted = plan(markets=["futures_um"], data_types=["liquidationSnapshot"])
    assert wanted.count() == 1
    assert keys(wanted) == []
    assert any("removed" in note for note in wanted.selection.notes)


def test_a_retired_feed_ends(plan: Any) -> None:
    wanted = plan(
        markets=["futures_um"], data_types=["bookTicker"], partitions=["daily"],
        date_range={"start": "2024-03-29", "end": "2024-04-02"},
    )  # fmt: skip
    assert [key[-14:-4] for key in keys(wanted)] == ["2024-03-29", "2024-03-30"]


def test_funding_rates_of_half_a_month_are_the_month(plan: Any) -> None:
    wanted = plan(
        markets=["futures_um"], data_types=["fundingRate"],
        date_range={"start": "2025-07-01", "end": "2025-07-15"},
    )  # fmt: skip
    assert keys(wanted) == [
        "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2025-07.zip"
    ]


def test_intervals_by_data_type_leave_the_others_whole(plan: Any) -> None:
    wanted = plan(
        markets=["futures_um"], data_types=["klines", "markPriceKlines"], partitions=["daily"],
        intervals={"klines": ["1h"]},
    )  # fmt: skip
    by_type = [item.archive.data_type for item in wanted]
    assert by_type.count("klines") == 1
    assert by_type.count("markPriceKlines") == 12


def test_a_type_without_the_partition_is_left_out_and_told(plan: Any) -> None:
    wanted = plan(
        markets=["futures_um"], data_types=["trades", "fundingRate"], partitions=["daily"]
    )
    assert len(keys(wanted)) == 1
    assert any("published only monthly" in note for note in wanted.selection.notes)


def test_an_interval_without_the_partition_is_left_out_and_told(plan: Any) -> None:
    chosen = {"markets": ["spot"], "data_types": ["klines"], "partitions": ["daily"]}
    wanted = plan(intervals=["1h", "3d"], **chosen)
    assert [item.archive.interval for item in wanted] == ["1h"]
    assert wanted.selection.notes == ("spot klines 3d: published only monthly, it is left out",)
    assert plan(**chosen).selection.notes == ()


def test_a_row_that_takes_none_of_the_symbols_is_left_out_and_told(plan: Any) -> None:
    wanted = plan(symbols=["BTCBVOLUSDT"], markets=["options"])
    assert [item.archive.data_type for item in wanted] == ["BVOLIndex"]
    assert any("EOHSummary: none of the symbols fits" in note for note in wanted.selection.notes)


def test_globs_match_what_the_matrix_lists(plan: Any) -> None:
    wanted = plan(symbols=["*BVOL*"], markets=["options"])
    assert {item.archive.symbol for item in wanted} == {"BTCBVOLUSDT", "ETHBVOLUSDT"}


def test_globs_without_a_list_are_refused(plan: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        plan(symbols=["BTC*"], markets=["spot"])
    assert "is a pattern, and the matrix lists no symbols" in problems(error)


def test_a_symbol_that_fits_nowhere_is_refused(plan: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        plan(symbols=["BTCUSD_PERP", "BTCUSDT"], markets=["spot"])
    assert "`BTCUSD_PERP` is not a symbol of spot" in problems(error)
    assert "`BTCUSDT`" not in problems(error)


def test_a_symbol_of_another_market_is_refused_by_market(plan: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"\$\.symbols\.futures_cm"):
        plan(symbols={"futures_cm": ["BTCUSDT"], "spot": ["BTCUSDT"]})


def test_a_symbol_misspelt_among_listed_ones_is_told_the_nearest(plan: Any) -> None:
    with pytest.raises(ConfigurationError, match="did you mean `BTCBVOLUSDT`"):
        plan(symbols=["BTCBVOLUSD"], markets=["options"])


def test_a_data_type_that_no_chosen_market_has_is_refused(plan: Any) -> None:
    with pytest.raises(ConfigurationError, match="spot has no `metrics`"):
        plan(markets=["spot"], data_types=["klines", "metrics"])


def test_an_interval_that_no_chosen_type_has_is_refused(plan: Any) -> None:
    with pytest.raises(ConfigurationError, match="futures_um has no interval `1s`"):
        plan(markets=["futures_um"], data_types=["klines"], intervals=["1s"])
    with pytest.raises(ConfigurationError, match="`trades` has no intervals"):
        plan(markets=["spot"], intervals={"trades": ["1h"]})


def test_intervals_mean_nothing_to_types_without_them(plan: Any) -> None:
    assert len(keys(plan(markets=["spot"], data_types=["trades"], intervals=["1h"]))) == 1


def test_a_market_that_the_matrix_lacks_is_refused(matrix: Matrix) -> None:
    spot = evolve(matrix, rows=tuple(row for row in matrix.rows if row.market == "spot"))
    config = WorkflowConfig(
        {"output_directory": "o", "symbols": ["BTCUSDT"], "markets": ["options"],
         "default_date": "2025-07-15"},
        environ={},
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="has no `options`; allowed: spot"):
        plan_collection(config, spot, TODAY)


def test_an_empty_plan_says_why(plan: Any) -> None:
    assert plan(markets=["spot"]).why_empty() == ""
    with pytest.raises(SelectionError, match=r"\$\.partitions: .*monthly only"):
        plan(markets=["spot"], data_types=["klines"], intervals=["1w"], partitions="daily")


def test_a_plan_of_nothing_selected_says_why(plan: Any) -> None:
    wanted = plan(markets=["spot"])
    nothing = Plan(evolve(wanted.selection, rows=()), wanted.window)
    assert "no series fits" in nothing.why_empty()


@pytest.mark.parametrize(
    ("selection", "fault"),
    [
        (
            {"quote_assets": ["usdt"]},
            "$.quote_assets: no selected symbol of futures_um or spot fits `usdt`; "
            "did you mean `USDT`?",
        ),
        (
            {"contracts": ["delivery"], "markets": ["futures_um"]},
            "$.contracts: no selected symbol of futures_um fits `delivery`",
        ),
        (
            {"leveraged_tokens": "only", "markets": ["spot"]},
            "$.leveraged_tokens: no selected symbol of spot fits `only`",
        ),
        (
            {"symbols": ["BTCUPUSDT", "ETHBTC"], "markets": ["spot"],
             "quote_assets": ["BTC"], "leveraged_tokens": "only"},
            "$.symbols: no selected symbol of spot fits all of `quote_assets`, `leveraged_tokens`",
        ),
    ],
)  # fmt: skip
def test_filters_that_reject_every_symbol_are_named(
    plan: Any, selection: dict[str, Any], fault: str
) -> None:
    with pytest.raises(SelectionError) as error:
        plan(**{"markets": ["spot", "futures_um"], "data_types": ["klines"], **selection})
    assert [str(problem) for problem in error.value.problems] == [fault]


def test_symbols_of_another_market_than_the_data_type_s_are_an_error(plan: Any) -> None:
    with pytest.raises(SelectionError, match="no series fits"):
        plan(
            markets=["spot", "futures_um"],
            symbols={"spot": ["BTCUSDT"]},
            data_types=["metrics"],
        )


def test_a_lower_case_symbol_is_told_the_upper_case_one(plan: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean `BTCUSD_PERP`\?"):
        plan(markets=["futures_cm"], symbols=["btcusd_perp"])


def test_a_long_list_of_symbols_is_not_printed(matrix: Matrix) -> None:
    names = tuple(f"COIN{number}USDT" for number in range(30))
    rows = tuple(evolve(row, symbols=names) for row in matrix.rows if row.market == "spot")
    config = WorkflowConfig(
        {"output_directory": "o", "symbols": ["coin7usdt"], "default_date": "2025-07-15"},
        environ={},
    )
    with pytest.raises(ConfigurationError) as error:
        plan_collection(config, evolve(matrix, rows=rows), TODAY)
    (problem,) = error.value.problems
    assert problem.message == "no such symbol in spot: `coin7usdt`; did you mean `COIN7USDT`?"


def test_an_open_end_is_yesterday(plan: Any) -> None:
    recent = plan(markets=["spot"], data_types=["trades"], date_range={"start": "2026-11-20"})
    assert [key[-14:-4] for key in keys(recent)] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    future = plan(markets=["spot"], data_types=["trades"], date_range={"start": "2027-01-01"})
    assert (future.count(), keys(future)) == (1, [])


def test_today_is_the_utc_day_by_default(matrix: Matrix) -> None:
    config = WorkflowConfig(
        {"output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15"},
        environ={},
    )
    assert plan_collection(config, matrix).today > date(2026, 1, 1)


def test_the_calendar_keeps_to_the_symbol_filters(plan: Any) -> None:
    chosen = ["BTCUSDT", "BTCUPUSDT", "USDCUSDT", "ETHBTC"]
    wanted = plan(
        markets=["spot"],
        symbols=chosen,
        data_types=["trades"],
        quote_assets=["USDT"],
        leveraged_tokens="exclude",
        stable_pairs="exclude",
    )
    assert {planned.archive.symbol for planned in wanted} == {"BTCUSDT"}


def test_a_symbol_that_has_months_only_is_not_asked_for_by_days() -> None:
    shipped = load_matrix()
    row = shipped.row(Market.SPOT, DataType.TRADES)
    assert row is not None
    row = evolve(
        row,
        symbols=("ADABKRW", "BTCUSDT"),
        partition_symbols={Partition.MONTHLY: ("ADABKRW",)},
    )
    config = WorkflowConfig(
        {
            "output_directory": "o",
            "symbols": ["ADABKRW", "BTCUSDT"],
            "default_date": "2020-08-10",
        },
        environ={},
    )
    plan = plan_collection(config, evolve(shipped, rows=(row,)), TODAY)
    assert [planned.archive.name for planned in plan] == [
        "ADABKRW-trades-2020-08.zip",
        "BTCUSDT-trades-2020-08-10.zip",
    ]
