"""What becomes of symbols and patterns that a configuration names and the source does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
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
    left_out = "futures_cm indexPriceKlines: 1 series are left out"
    assert any(note.startswith(left_out) for note in planned.notes)


async def test_a_contract_that_is_nowhere_is_missing_in_each_data_type(listed: Collection) -> None:
    types = ["klines", "indexPriceKlines"]
    wanted = {"data_types": types, "partitions": ["daily"]}
    planned = await plan(listed, symbols={"futures_cm": ["NOUSD_PERP"]}, **wanted)
    assert planned.missing == [
        "futures_cm klines NOUSD_PERP 1h", "futures_cm indexPriceKlines NOUSD 1h",
    ]  # fmt: skip


async def test_contracts_of_one_pair_are_planned_with_one_index(listed: Collection) -> None:
    wanted = {"data_types": ["klines", "indexPriceKlines"]}
    planned = await plan(listed, symbols=["BTCUSD_PERP", "BTCUSD_250926"], **wanted)
    assert planned.series == [
        "futures_cm klines BTCUSD_250926 1h",
        "futures_cm klines BTCUSD_PERP 1h",
        "futures_cm indexPriceKlines BTCUSD 1h",
    ]


async def test_a_symbol_without_folders_costs_no_request_for_each_interval(
    listed: Collection,
) -> None:
    del listed.config["intervals"]
    planned = await plan(listed, symbols={"spot": ["BTCUSTD"]}, partitions=["daily"])
    assert len(planned.missing) == 13
    prefixes = [record.path for record in listed.server.requests]
    assert prefixes == ["list:data/", "list:data/spot/daily/klines/BTCUSTD/"]


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
    named = ["C*", "X1USDT", "X2USDT", "Y*", "Z*"]
    planned = await plan(listed, symbols=named, max_parallel_downloads=connections)
    assert planned.series == [f"spot klines C{number}USDT 1h" for number in range(10)]
    assert planned.failures == sorted(planned.failures)
    assert len(planned.failures) == 10
    nowhere = [
        f"`{market} X{number}USDT`" for market in ("futures_um", "spot") for number in (1, 2)
    ]
    assert planned.notes[:-1] == [f"the source lists nothing of {name}" for name in nowhere]
    strays = [f"`data/spot/daily/klines/C{number}USDT/1h/stray`" for number in (1, 3, 5)]
    assert planned.notes[-1].endswith(f"as they are not archives: {', '.join(strays)} ...")
    assert listed.server.peak_concurrency <= connections
