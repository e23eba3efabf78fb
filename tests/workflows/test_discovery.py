"""Plans that a source's listing gives: symbols, intervals, days, sizes, and what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from attrs import frozen
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import SelectionError
from crypto_lakehouse.core.plan import PlannedArchive, PlanTotals
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Status
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone

DAILY, MONTHLY = "data/spot/daily/klines/", "data/spot/monthly/klines/"


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """Three weeks of a few symbols."""
    symbols = {
        Market.SPOT: ["BTCUSDT", "ETHUSDT", "ETHBTC", "币安人生USDT"],
        Market.FUTURES_UM: ["BTCUSDT", "BTCUSDT_250926", "BNBUSDC"],
        Market.FUTURES_CM: ["BTCUSD_PERP", "BTCUSD_250926", "ETHUSD_PERP"],
    }
    with ArchiveServer(start=date(2025, 6, 30), end=date(2025, 7, 20), symbols=symbols) as server:
        yield server


@frozen
class Planned:
    """A plan that was read, and all that was said beside it."""

    archives: list[PlannedArchive]
    totals: PlanTotals
    notes: list[str]
    failures: list[str]

    @property
    def due(self) -> list[str]:
        return [str(item.archive) for item in self.archives if item.listed]

    @property
    def missing(self) -> list[str]:
        return [str(item.archive) for item in self.archives if item.unlisted]

    @property
    def symbols(self) -> set[str]:
        return {item.archive.symbol for item in self.archives}

    @property
    def series(self) -> list[str]:
        return list(dict.fromkeys(str(item.archive.series) for item in self.archives))

    def note(self, text: str) -> str:
        """The one note that has this text in it."""
        (found,) = [note for note in self.notes if text in note]
        return found


class Planning:
    """Makes plans of one day of 1h klines of one symbol, unless told otherwise."""

    def __init__(self, collection: Collection) -> None:
        self.server = collection.server
        self._retry = collection.retry
        listing = {"discovery": "listing", "listing_url": collection.server.url}
        self._config = {**collection.config, **listing}

    def config(self, **changes: Any) -> WorkflowConfig:
        """A key that is None is left out."""
        values = {**self._config, **changes}
        given = {name: value for name, value in values.items() if value is not None}
        return WorkflowConfig(given, environ={})

    async def __call__(self, **changes: Any) -> Planned:
        async with plan_alone(self.config(**changes), self._retry) as (plan, notes):
            archives = [item for one in plan.each_series() for item in one.archives()]
            return Planned(archives, plan.totals(), notes, list(plan.failures))


@pytest.fixture
def plan(collection: Collection) -> Planning:
    return Planning(collection)


# Symbols ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (["*"], {"BTCUSDT", "ETHUSDT", "ETHBTC", "币安人生USDT"}),
        (["*USDT"], {"BTCUSDT", "ETHUSDT", "币安人生USDT"}),
        (["ETH???"], {"ETHBTC"}),
        (["[BE]*USDT"], {"BTCUSDT", "ETHUSDT"}),
        (["币安*", "BTCUSDT"], {"BTCUSDT", "币安人生USDT"}),
        (["BTC*", "BTCUSDT", "*USDT"], {"BTCUSDT", "ETHUSDT", "币安人生USDT"}),
    ],
)
async def test_patterns_take_what_the_source_lists(
    plan: Planning, symbols: list[str], expected: set[str]
) -> None:
    planned = await plan(symbols=symbols)
    assert planned.symbols == expected
    assert planned.totals.archives == len(expected), "each of them once"


async def test_without_symbols_the_source_names_them(plan: Planning) -> None:
    assert (await plan(symbols=None)).symbols == {"BTCUSDT", "ETHUSDT", "ETHBTC", "币安人生USDT"}


async def test_symbols_are_those_of_daily_and_of_monthly_folders(plan: Planning) -> None:
    plan.server.publish(f"{MONTHLY}OLDUSDT/1h/OLDUSDT-1h-2025-07.zip", b"month")
    plan.server.publish(f"{DAILY}NEWUSDT/1h/NEWUSDT-1h-2025-07-15.zip", b"day")
    planned = await plan(symbols=["???USDT"])
    assert planned.symbols == {"BTCUSDT", "ETHUSDT", "OLDUSDT", "NEWUSDT"}
    assert f"{MONTHLY}OLDUSDT/1h/OLDUSDT-1h-2025-07.zip" in planned.due


async def test_folders_that_no_symbol_could_have_are_passed_over(plan: Planning) -> None:
    plan.server.put(f"{DAILY}not a symbol/1h/x.zip", b"?")
    plan.server.put(f"{DAILY}index.html", b"?")
    assert (await plan(symbols=["*"])).symbols == {"BTCUSDT", "ETHUSDT", "ETHBTC", "币安人生USDT"}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"contracts": ["delivery"]}, {"BTCUSD_250926"}),
        ({"contracts": ["perpetual"]}, {"BTCUSD_PERP", "ETHUSD_PERP"}),
        ({"symbols": ["ETH*"], "contracts": ["perpetual"]}, {"ETHUSD_PERP"}),
    ],
)
async def test_contracts_narrow_what_is_listed(
    plan: Planning, selection: dict[str, Any], expected: set[str]
) -> None:
    wanted = {"symbols": None, "markets": ["futures_cm"], "data_types": ["trades"]}
    planned = await plan(**{**wanted, "intervals": None, **selection})
    assert planned.symbols == expected


async def test_quote_assets_narrow_what_is_listed_in_each_market(plan: Planning) -> None:
    planned = await plan(symbols=None, markets=["spot", "futures_um"], quote_assets=["BTC", "USDC"])
    assert planned.symbols == {"ETHBTC", "BNBUSDC"}


async def test_symbols_are_named_for_each_market_apart(plan: Planning) -> None:
    planned = await plan(
        markets=None, symbols={"spot": ["ETH*"], "futures_um": ["BTCUSDT", "*USDC"]}
    )
    assert planned.series == [
        "spot klines ETHBTC 1h",
        "spot klines ETHUSDT 1h",
        "futures_um klines BNBUSDC 1h",
        "futures_um klines BTCUSDT 1h",
    ]


async def test_contracts_with_one_pair_are_one_symbol_where_the_pair_is(plan: Planning) -> None:
    planned = await plan(
        symbols=["BTCUSD_PERP", "BTCUSD_250926"],
        markets=["futures_cm"],
        data_types=["indexPriceKlines"],
    )
    assert planned.series == ["futures_cm indexPriceKlines BTCUSD 1h"]


# Intervals --------------------------------------------------------------------------------------


async def test_intervals_are_those_that_the_source_has_of_each_symbol(plan: Planning) -> None:
    plan.server.publish(f"{DAILY}NEWUSDT/4h/NEWUSDT-4h-2025-07-15.zip", b"day")
    plan.server.publish(f"{MONTHLY}NEWUSDT/1w/NEWUSDT-1w-2025-07.zip", b"month")
    planned = await plan(symbols=["NEWUSDT"], intervals=None)
    assert planned.series == ["spot klines NEWUSDT 4h", "spot klines NEWUSDT 1w"]


async def test_a_type_without_named_intervals_asks_the_source(plan: Planning) -> None:
    name = "data/futures/um/{}/BTCUSDT/{}/BTCUSDT-{}-2025-07-15.zip".format
    planned = await plan(
        markets=["futures_um"],
        data_types=["klines", "markPriceKlines"],
        intervals={"markPriceKlines": ["1h"]},
        partitions=["daily"],
    )
    assert name("daily/klines", "5m", "5m") in planned.due
    assert [text for text in planned.series if "mark" in text] == [
        "futures_um markPriceKlines BTCUSDT 1h"
    ]


async def test_folders_that_are_no_interval_are_told(plan: Planning) -> None:
    plan.server.put(f"{DAILY}NEWUSDT/7h/NEWUSDT-7h-2025-07-15.zip", b"?")
    plan.server.publish(f"{DAILY}NEWUSDT/4h/NEWUSDT-4h-2025-07-15.zip", b"day")
    planned = await plan(symbols=["NEWUSDT"], intervals=None)
    assert planned.series == ["spot klines NEWUSDT 4h"]
    assert f"`{DAILY}NEWUSDT/7h/`" in planned.note("1 listed key is left out")


# Days -------------------------------------------------------------------------------------------


async def test_without_days_everything_that_is_listed_is_planned(plan: Planning) -> None:
    planned = await plan(default_date=None, symbols=["BTCUSDT", "ETHUSDT"])
    assert planned.due == [str(item.archive) for item in planned.archives]
    assert [name[-11:-4] for name in planned.due] == ["2025-06", "2025-07"] * 2


async def test_without_days_each_series_has_its_own_span(plan: Planning) -> None:
    for day in ("03", "05"):
        plan.server.publish(f"{DAILY}NEWUSDT/1h/NEWUSDT-1h-2024-02-{day}.zip", b"day")
    planned = await plan(default_date=None, symbols=["NEWUSDT"])
    assert [name[-14:-4] for name in planned.due] == ["2024-02-03", "2024-02-05"]
    assert [name[-14:-4] for name in planned.missing] == ["2024-02-04"]


@pytest.mark.parametrize("start", ["2025-07-15", "2025-06"])
async def test_an_open_end_is_the_newest_listed_day(plan: Planning, start: str) -> None:
    planned = await plan(default_date=None, date_range={"start": start})
    assert planned.due == [str(item.archive) for item in planned.archives]
    assert planned.due[-1].endswith(("BTCUSDT-1h-2025-07-20.zip", "BTCUSDT-1h-2025-07.zip"))


async def test_days_after_the_newest_listed_one_that_are_due_are_missing_with_an_open_end(
    plan: Planning,
) -> None:
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=count) for count in range(20, 10, -1)]
    for day in days:
        plan.server.publish(f"{DAILY}NEWUSDT/1h/NEWUSDT-1h-{day}.zip", b"day")
    planned = await plan(symbols=["NEWUSDT"], default_date=None, date_range={"start": str(days[0])})
    assert [key[-14:-4] for key in planned.due] == [str(day) for day in days]
    assert planned.missing[0].endswith(f"{days[-1] + timedelta(days=1)}.zip")
    assert all(item.listed or item.unlisted for item in planned.archives)


async def test_an_open_end_after_the_end_of_a_series_has_nothing_to_fetch(plan: Planning) -> None:
    planned = await plan(default_date=None, date_range={"start": "2025-09-01"})
    assert planned.due == planned.missing == []
    assert planned.note("nothing that is selected is published in these days")


async def test_partitions_that_are_named_are_both_listed(plan: Planning) -> None:
    planned = await plan(partitions=["monthly", "daily"])
    assert planned.due == [KEY.replace("daily", "monthly").replace("-15.zip", ".zip"), KEY]


async def test_months_that_no_type_has_are_left_out_with_a_word(plan: Planning) -> None:
    months = {"markets": ["futures_um"], "partitions": ["monthly"]}
    planned = await plan(data_types=["bookDepth", "klines"], **months)
    assert "published only daily" in planned.note("bookDepth")
    with pytest.raises(SelectionError, match=r"\$\.partitions: .*published only daily"):
        await plan(data_types=["bookDepth"], **months)


# Sizes ------------------------------------------------------------------------------------------


async def test_totals_are_those_of_what_the_source_holds(plan: Planning) -> None:
    plan.server.remove(KEY)
    days = {"start": "2025-07-14", "end": "2025-07-16"}
    planned = await plan(date_range=days, default_date=None)
    sizes = [len(plan.server.read(key)) for key in planned.due]
    assert planned.totals == PlanTotals(archives=3, due=3, size_bytes=sum(sizes))
    assert planned.missing == [KEY]


async def test_what_cannot_be_published_is_not_due(plan: Planning) -> None:
    planned = await plan(date_range={"start": "2025-06-29", "end": "2025-07-01"}, default_date=None)
    assert (planned.totals.archives, planned.totals.due) == (3, 2)


# What the source does not have ------------------------------------------------------------------


async def test_a_symbol_of_one_market_is_not_missing_in_the_others(plan: Planning) -> None:
    everywhere = await plan(symbols=["ETHBTC"], markets=["spot", "futures_um"])
    assert (everywhere.missing, everywhere.symbols) == ([], {"ETHBTC"})
    assert everywhere.note("futures_um klines: 1 series is left out")


async def test_a_symbol_that_is_named_for_a_market_must_exist_there(plan: Planning) -> None:
    with pytest.raises(SelectionError, match=r"\$\.symbols\.futures_um: no such symbol"):
        await plan(symbols={"spot": ["ETHBTC"], "futures_um": ["ETHBTC"]}, markets=None)


async def test_a_data_type_that_a_symbol_lacks_is_left_out_with_a_word(plan: Planning) -> None:
    plan.server.publish(f"{DAILY}NEWUSDT/1h/NEWUSDT-1h-2025-07-15.zip", b"day")
    planned = await plan(symbols=["NEWUSDT"], data_types=["klines", "trades"])
    assert planned.missing == []
    assert planned.note("spot trades: 1 series is left out, the source lists nothing of it")


async def test_an_interval_that_a_pattern_s_symbol_lacks_is_not_missing(plan: Planning) -> None:
    plan.server.publish(f"{DAILY}NEWUSDT/1d/NEWUSDT-1d-2025-07-15.zip", b"day")
    planned = await plan(symbols=["???USDT"])
    assert (planned.missing, planned.symbols) == ([], {"BTCUSDT", "ETHUSDT"})
    assert planned.note("spot klines: 1 series is left out")


async def test_a_plan_that_could_not_be_listed_is_empty_for_that_reason(plan: Planning) -> None:
    plan.server.inject(f"list:{DAILY}*", Status(503), endless=True)
    planned = await plan()
    assert len(planned.failures) == 1
    assert planned.note("the plan is empty: the selected archives could not be listed")


# The plan itself --------------------------------------------------------------------------------


async def test_the_order_of_a_plan_is_that_of_rows_symbols_and_intervals(plan: Planning) -> None:
    planned = await plan(
        symbols=["ETHUSDT", "BTC*"], intervals=["1d", "1h"], data_types=["trades", "klines"]
    )
    assert planned.series == [
        "spot klines BTCUSDT 1h",
        "spot klines BTCUSDT 1d",
        "spot klines ETHUSDT 1h",
        "spot klines ETHUSDT 1d",
        "spot trades BTCUSDT",
        "spot trades ETHUSDT",
    ]


async def test_a_plan_is_gone_when_it_is_left(plan: Planning) -> None:
    async with plan_alone(plan.config()) as (made, _):
        assert len(list(made.each_series())) == 1
    with pytest.raises(ValueError, match="closed"):
        list(made.each_series())


async def test_a_calendar_s_plan_needs_no_listing(plan: Planning) -> None:
    planned = await plan(discovery="calendar")
    assert [str(item.archive) for item in planned.archives] == [KEY]
    assert planned.totals.size_bytes is None
    assert plan.server.requests == []
