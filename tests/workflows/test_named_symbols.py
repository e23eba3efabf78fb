"""What becomes of symbols and patterns that a configuration names and the source does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ListingError, SelectionError
from crypto_lakehouse.core.plan import PlannedSeries
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Status
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone

COIN = "data/futures/cm/daily"
DAY = "2025-07-15"


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """A day of a few series, and nothing else."""
    with ArchiveServer(generate=False) as server:
        for symbol in ("BTCUSDT", "ETHUSDT", "ETHBTC"):
            publish(server, f"data/spot/daily/klines/{symbol}/1h/{symbol}-1h-{DAY}.zip")
        for symbol in ("BTCUSD_PERP", "BTCUSD_250926", "XRPUSD_PERP"):
            publish(server, f"{COIN}/klines/{symbol}/1h/{symbol}-1h-{DAY}.zip")
        publish(server, f"{COIN}/indexPriceKlines/BTCUSD/1h/BTCUSD-1h-{DAY}.zip")
        publish(server, f"data/futures/um/daily/klines/BTCUSDT/1h/BTCUSDT-1h-{DAY}.zip")
        yield server


def publish(server: ArchiveServer, key: str) -> None:
    server.publish(key, key.encode())


@frozen
class Planned:
    """A plan that was read, and all that was said beside it."""

    each: list[PlannedSeries]
    notes: list[str]
    failures: list[str]

    @property
    def series(self) -> list[str]:
        return [str(one.series) for one in self.each]

    @property
    def missing(self) -> list[str]:
        """The series of which the source lacks what must exist."""
        lacking = (one for one in self.each if any(item.unlisted for item in one.periods))
        return [str(one.series) for one in lacking]


@pytest.fixture
def listed(collection: Collection) -> Collection:
    collection.config |= {"discovery": "listing", "listing_url": collection.server.url}
    del collection.config["markets"]
    return collection


async def plan(listed: Collection, **changes: Any) -> Planned:
    config = WorkflowConfig({**listed.config, **changes}, environ={})
    async with plan_alone(config, listed.retry) as (made, notes):
        return Planned(list(made.each_series()), list(notes), list(made.failures))


def unmatched(planned: Planned) -> list[str]:
    return [note for note in planned.notes if "no symbol like" in note]


async def test_a_pattern_that_fits_nothing_is_told_beside_those_that_fit(
    listed: Collection,
) -> None:
    planned = await plan(listed, symbols=["ETH*", "XYZ*", "?"])
    assert planned.series == ["spot klines ETHBTC 1h", "spot klines ETHUSDT 1h"]
    assert unmatched(planned) == [
        "the source lists no symbol like `?`",
        "the source lists no symbol like `XYZ*`",
    ]


async def test_a_pattern_that_fits_in_one_market_need_not_fit_in_all(listed: Collection) -> None:
    planned = await plan(listed, symbols=["*BTC", "*_PERP"])
    assert len(planned.series) == 3
    assert unmatched(planned) == []
    apart = {"spot": ["ETH*"], "futures_um": ["ETH*"]}
    assert len(unmatched(await plan(listed, symbols=apart))) == 1


async def test_a_pattern_that_is_filtered_fits_all_the_same(listed: Collection) -> None:
    planned = await plan(listed, symbols=["ETHB*", "BTC*"], quote_assets=["USDT"])
    assert planned.series == ["spot klines BTCUSDT 1h", "futures_um klines BTCUSDT 1h"]
    assert unmatched(planned) == []


async def test_nothing_is_said_of_patterns_where_not_all_symbols_are_known(
    listed: Collection,
) -> None:
    listed.server.inject("list:data/spot/monthly/klines/", Status(503), endless=True)
    planned = await plan(listed, symbols=["XYZ*", "ETH*"])
    assert len(planned.failures) == 1
    assert unmatched(planned) == []


@pytest.mark.parametrize("symbols", [["XRPUSD_PERP"], {"futures_cm": ["XRPUSD_PERP"]}])
async def test_a_contract_whose_pair_has_no_index_is_not_nowhere(
    listed: Collection, symbols: Any
) -> None:
    """Index prices are filed under the pair: the folder is `XRPUSD`.

    Source: docs/archive.md#pair-folders.
    """
    types = ["klines", "indexPriceKlines"]
    planned = await plan(listed, symbols=symbols, data_types=types)
    assert planned.missing == []
    assert "futures_cm klines XRPUSD_PERP 1h" in planned.series
    left_out = "futures_cm indexPriceKlines: 1 series is left out"
    assert any(note.startswith(left_out) for note in planned.notes)


async def faults(listed: Collection, **changes: Any) -> list[str]:
    """The faults of a selection that no plan can be made of."""
    with pytest.raises(SelectionError) as error:
        await plan(listed, **changes)
    assert error.value.exit_code == 2
    return [str(problem) for problem in error.value.problems]


async def test_a_symbol_that_does_not_exist_is_an_error_with_the_nearest(
    listed: Collection,
) -> None:
    assert await faults(listed, markets=["spot"], symbols=["btcusdt"]) == [
        "$.symbols: no such symbol in spot: `btcusdt`; did you mean `BTCUSDT`?"
    ]
    assert await faults(listed, symbols=["Q"]) == [
        "$.symbols: no such symbol in spot or futures_um: `Q`"
    ]


async def test_all_unknown_symbols_are_named_at_once_and_nothing_is_fetched(
    listed: Collection,
) -> None:
    listed.config |= {"symbols": {"spot": ["BTCUSDT", "X1USDT"], "futures_um": ["ETHUSDT"]}}
    with pytest.raises(SelectionError) as error:
        await listed.run(default_date=None)
    assert [problem.path for problem in error.value.problems] == [
        "$.symbols.futures_um",
        "$.symbols.spot",
    ]
    assert all(path.startswith("list:") for path in listed.requested())
    assert not (listed.root / "data").exists()


async def test_an_unknown_symbol_is_told_once_whatever_days_and_types_are_wanted(
    listed: Collection,
) -> None:
    days = {"start": "2024-07-01", "end": "2025-07-15"}
    wanted = {"default_date": None, "date_range": days, "data_types": ["klines", "trades"]}
    assert len(await faults(listed, markets=["spot"], symbols=["BTCUSTD"], **wanted)) == 1


async def test_a_contract_that_does_not_exist_is_told_once_for_contract_and_pair(
    listed: Collection,
) -> None:
    types = ["klines", "indexPriceKlines"]
    (fault,) = await faults(listed, symbols={"futures_cm": ["BTUSD_PERP"]}, data_types=types)
    assert fault == (
        "$.symbols.futures_cm: no such symbol in futures_cm: `BTUSD_PERP`; "
        "did you mean `BTCUSD_PERP`?"
    )


async def test_a_symbol_that_has_other_data_types_is_missing_and_not_unknown(
    listed: Collection,
) -> None:
    planned = await plan(listed, markets=["spot"], symbols=["ETHBTC"], data_types=["trades"])
    assert planned.missing == ["spot trades ETHBTC"]


async def test_a_symbol_is_not_unknown_if_the_symbols_cannot_be_listed(
    listed: Collection,
) -> None:
    listed.server.inject("list:data/spot/daily/klines/", Status(503), endless=True)
    planned = await plan(listed, markets=["spot"], symbols=["BTCUSTD"])
    assert planned.missing == ["spot klines BTCUSTD 1h"]


async def test_a_symbol_is_not_unknown_if_the_source_lists_none(listed: Collection) -> None:
    planned = await plan(listed, symbols={"options": ["BTCBVOLUSDT"]}, data_types=["BVOLIndex"])
    assert planned.series == []
    assert ["names no symbol" in reason for reason in planned.failures] == [True]


@pytest.mark.parametrize("days", [{"default_date": DAY}, {"default_date": None}])
async def test_filters_that_nothing_fits_are_an_error(
    listed: Collection, days: dict[str, Any]
) -> None:
    del listed.config["symbols"]
    assert await faults(listed, markets=["spot"], quote_assets=["usdt"], **days) == [
        "$.quote_assets: no selected symbol of spot fits `usdt`; did you mean `USDT`?"
    ]
    assert await faults(listed, contracts=["settled"], markets=["futures_cm"], **days) == [
        "$.contracts: no selected symbol of futures_cm fits `settled`"
    ]


async def test_patterns_that_nothing_fits_are_an_error(listed: Collection) -> None:
    assert await faults(listed, markets=["spot"], symbols=["BTCUSDTT*", "Q?"]) == [
        "$.symbols: the source lists no symbol like `BTCUSDTT*`; did you mean `BTCUSDT`?",
        "$.symbols: the source lists no symbol like `Q?`",
    ]


async def test_series_that_no_listed_symbol_has_are_an_error(listed: Collection) -> None:
    (fault,) = await faults(listed, markets=["spot"], symbols=["ETH*"], intervals=["1d"])
    assert fault == (
        "$.intervals: spot klines: 2 series are left out, the source lists nothing of them"
    )


async def test_a_known_symbol_without_the_interval_is_an_error_where_no_days_are_named(
    listed: Collection,
) -> None:
    wanted = {"symbols": ["ETHBTC"], "intervals": ["1d"], "default_date": None}
    assert await faults(listed, markets=["spot"], **wanted) == [
        "$.intervals: the source lists none of the selected series of `spot ETHBTC`"
    ]


async def test_a_known_symbol_without_the_data_type_is_an_error_where_no_days_are_named(
    listed: Collection,
) -> None:
    wanted = {"symbols": ["ETHBTC"], "data_types": ["aggTrades"], "default_date": None}
    assert await faults(listed, markets=["spot"], **wanted) == [
        "$.data_types: the source lists none of the selected series of `spot ETHBTC`"
    ]


@pytest.mark.parametrize(
    ("data_type", "partition"), [("metrics", "monthly"), ("fundingRate", "daily")]
)
@pytest.mark.parametrize(
    "symbols",
    [
        {"symbols": ["BTC*"]},
        {"symbols": ["BTCUSDT"]},
        {"symbols": None, "quote_assets": ["USDT"]},
        {"symbols": None, "contracts": ["perpetual"]},
        {"symbols": None},
    ],
)
async def test_partitions_that_the_data_types_do_not_have_are_an_error(
    listed: Collection, symbols: dict[str, Any], data_type: str, partition: str
) -> None:
    """The source is well: a later run would find no more."""
    listed.config |= {"data_types": [data_type], "partitions": [partition], **symbols}
    (other,) = {"daily", "monthly"} - {partition}
    assert await faults(listed, markets=["futures_um"]) == [
        f"$.partitions: futures_um {data_type}: published only {other}, it is left out"
    ]


async def test_intervals_that_the_partitions_do_not_have_are_an_error(listed: Collection) -> None:
    wanted = {"symbols": ["BTCUSDT"], "intervals": ["3d", "1w"], "partitions": ["daily"]}
    assert await faults(listed, markets=["spot"], **wanted) == [
        "$.partitions: spot klines 3d: published only monthly, it is left out; "
        "spot klines 1w: published only monthly, it is left out"
    ]


async def test_symbols_of_another_market_than_the_data_type_s_are_an_error(
    listed: Collection,
) -> None:
    wanted = {"markets": ["spot", "futures_um"], "symbols": {"spot": ["BTCUSDT"]}}
    assert await faults(listed, data_types=["metrics"], **wanted) == [
        "$.symbols: no series fits the markets, data types and symbols"
    ]


async def test_nothing_is_wrong_with_a_selection_of_all_symbols_of_an_empty_source(
    listed: Collection,
) -> None:
    planned = await plan(listed, symbols=None, markets=["options"], data_types=["BVOLIndex"])
    assert planned.series == []
    assert any(note.startswith("the plan is empty: ") for note in planned.notes)


@pytest.mark.parametrize("wanted", [{"quote_assets": ["BTC"]}, {"symbols": ["*BTC"]}])
async def test_filters_and_patterns_need_no_word_about_a_listing(
    listed: Collection, wanted: dict[str, Any]
) -> None:
    for name in ("symbols", "discovery", "listing_url"):
        del listed.config[name]
    assert (await plan(listed, **wanted)).series == ["spot klines ETHBTC 1h"]


async def test_filters_without_symbols_need_a_source_with_a_listing(listed: Collection) -> None:
    for name in ("symbols", "discovery", "listing_url"):
        del listed.config[name]
    listed.server.inject("list:*", Status(404), endless=True)
    with pytest.raises(ListingError):
        await plan(listed, quote_assets=["BTC"])


async def test_a_filter_that_rejects_all_is_named_where_the_calendar_replaces_the_listing(
    listed: Collection,
) -> None:
    listed.server.inject("list:*", Status(404), endless=True)
    (fault,) = await faults(
        listed, discovery=None, markets=["spot"], symbols=["BTCUSDT"], quote_assets=["EUR"]
    )
    assert fault == "$.quote_assets: no selected symbol of spot fits `EUR`"


async def test_contracts_of_one_pair_are_planned_with_one_index(listed: Collection) -> None:
    wanted = {"data_types": ["klines", "indexPriceKlines"]}
    planned = await plan(listed, symbols=["BTCUSD_PERP", "BTCUSD_250926"], **wanted)
    assert planned.series == [
        "futures_cm klines BTCUSD_250926 1h",
        "futures_cm klines BTCUSD_PERP 1h",
        "futures_cm indexPriceKlines BTCUSD 1h",
    ]


@pytest.mark.parametrize("pattern", ["BTCUSD_*", "*_PERP", "BTC*"])
async def test_a_glob_of_contracts_finds_the_index_of_their_pair(
    listed: Collection, pattern: str
) -> None:
    planned = await plan(listed, symbols=[pattern], data_types=["indexPriceKlines"])
    assert planned.series == ["futures_cm indexPriceKlines BTCUSD 1h"]
    assert unmatched(planned) == []


async def test_a_symbol_without_folders_costs_no_request_for_each_interval(
    listed: Collection,
) -> None:
    del listed.config["intervals"]
    await faults(listed, symbols={"spot": ["BTCUSTD"]}, partitions=["daily"])
    prefixes = [record.path for record in listed.server.requests]
    assert prefixes == [
        "list:data/",
        "list:data/spot/daily/klines/BTCUSTD/",
        "list:data/spot/daily/klines/",
        "list:data/spot/monthly/klines/",
    ]


async def test_intervals_of_a_symbol_that_is_nowhere_are_those_that_are_wanted(
    listed: Collection,
) -> None:
    wanted = {"markPriceKlines": ["1h", "4h"]}
    listed.config |= {"symbols": {"futures_um": ["BTCUSDT"]}, "intervals": wanted}
    planned = await plan(listed, data_types=["klines", "markPriceKlines"])
    assert planned.series == ["futures_um klines BTCUSDT 1h"]
    (note,) = [note for note in planned.notes if "left out" in note]
    assert note.startswith("futures_um markPriceKlines: 2 series are left out")


@pytest.mark.parametrize("connections", [1, 2, 32])
async def test_a_plan_is_the_same_however_many_requests_are_under_way(
    listed: Collection, connections: int
) -> None:
    for number in range(20):
        publish(
            listed.server, f"data/spot/daily/klines/C{number}USDT/1h/C{number}USDT-1h-{DAY}.zip"
        )
        if number % 2:
            listed.server.put(f"data/spot/daily/klines/C{number}USDT/1h/stray", b"?")
    del listed.config["default_date"]
    listed.server.inject("list:data/spot/*/klines/C1?USDT/1h/", Status(503), endless=True)
    named = ["C*", "Y*", "Z*"]
    planned = await plan(listed, symbols=named, max_parallel_downloads=connections)
    assert planned.series == [f"spot klines C{number}USDT 1h" for number in range(10)]
    assert planned.failures == sorted(planned.failures)
    assert len(planned.failures) == 10
    strays = [f"`data/spot/daily/klines/C{number}USDT/1h/stray`" for number in (1, 3, 5)]
    assert planned.notes[-1].endswith(f"as they are not archives: {', '.join(strays)} ...")
    assert listed.server.peak_concurrency <= connections
