"""What becomes of a run where a part of the listing, or all of it, cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import anyio
import anyio.to_thread
import pytest
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ListingError, NoListing
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Body, Cut, Fault, NotFound, Redirect, Stall, Status
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.wiring import make_plan
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone

DAILY, MONTHLY = "data/spot/daily/klines/", "data/spot/monthly/klines/"
HTML = Body(b"<html><body>Index of /</body></html>")
DOWN = Status(503)


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """Two months of a few symbols."""
    symbols = ["BTCUSDT", "ETHUSDT", "ETHBTC"]
    with ArchiveServer(start=date(2025, 6, 1), end=date(2025, 7, 20), symbols=symbols) as server:
        yield server


@pytest.fixture
def listed(collection: Collection) -> Collection:
    """The collection of one day of 1h klines, planned from the listing."""
    collection.config |= {"discovery": "listing", "listing_url": collection.server.url}
    return collection


def fetched(collection: Collection) -> list[str]:
    return [key for key in collection.requested() if key.endswith(".zip")]


def lists(*prefixes: str) -> list[str]:
    return [f"`{prefix}` cannot be listed" for prefix in prefixes]


def unlisted(report: CollectionReport) -> list[str]:
    """What the report says could not be listed, without why."""
    assert report.exit_code == report.strict_exit_code == 5
    assert report.status in {"partial", "failed"}
    mapping = report.to_mapping()
    assert mapping["plan"] == "incomplete"
    assert mapping["unlisted"] == list(report.unlisted)
    for reason in report.unlisted:
        assert f"not planned: {reason}" in report.warnings
    return sorted(reason.partition(":")[0] for reason in report.unlisted)


# A part of the listing --------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [DOWN, Status(500), Status(403), HTML, Body(b""), Cut()])
async def test_all_but_the_folder_that_cannot_be_listed_is_collected(
    listed: Collection, fault: Fault
) -> None:
    prefix = f"{DAILY}ETHUSDT/1h/"
    listed.server.inject(f"list:{prefix}", fault, endless=True)
    report = await listed.run(symbols=["BTCUSDT", "ETHUSDT", "ETHBTC"])
    assert unlisted(report) == lists(prefix)
    assert report.totals[Verdict.VERIFIED] == report.totals["planned"] == 2
    assert {key.split("/")[4] for key in fetched(listed)} == {"BTCUSDT", "ETHBTC"}


async def test_one_interval_that_cannot_be_listed_does_not_keep_back_the_others(
    listed: Collection,
) -> None:
    prefix = f"{DAILY}BTCUSDT/1h/"
    listed.server.inject(f"list:{prefix}", DOWN, endless=True)
    report = await listed.run(intervals=["15m", "1h", "4h"])
    assert unlisted(report) == lists(prefix)
    assert [key.split("/")[5] for key in sorted(fetched(listed))] == ["15m", "4h"]


async def test_months_do_not_stand_in_for_days_that_cannot_be_listed(listed: Collection) -> None:
    listed.server.inject(f"list:{DAILY}BTCUSDT/1h/", DOWN, endless=True)
    report = await listed.run()
    assert unlisted(report) == lists(f"{DAILY}BTCUSDT/1h/")
    assert fetched(listed) == []


async def test_symbols_of_months_are_planned_where_those_of_days_cannot_be_listed(
    listed: Collection,
) -> None:
    listed.server.inject(f"list:{DAILY}", DOWN, endless=True)
    report = await listed.run(symbols=["*USDT"])
    assert unlisted(report) == lists(DAILY)
    assert report.totals[Verdict.VERIFIED] == 2


async def test_named_symbols_are_planned_where_the_others_cannot_be_listed(
    listed: Collection,
) -> None:
    listed.server.inject(f"list:{DAILY}", DOWN, endless=True)
    listed.server.inject(f"list:{MONTHLY}", DOWN, endless=True)
    report = await listed.run(symbols=["BTCUSDT", "ETH*"])
    assert unlisted(report) == lists(DAILY, MONTHLY)
    assert fetched(listed) == [KEY]


@pytest.mark.parametrize("partition", ["daily", "monthly"])
async def test_a_symbol_whose_intervals_cannot_be_listed_is_not_planned(
    listed: Collection, partition: str
) -> None:
    del listed.config["intervals"]
    prefix = f"data/futures/um/{partition}/markPriceKlines/ETHUSDT/"
    listed.server.inject(f"list:{prefix}", DOWN, endless=True)
    report = await listed.run(
        symbols=["BTCUSDT", "ETHUSDT"],
        markets=["futures_um"],
        data_types=["markPriceKlines"],
        partitions=["daily", "monthly"],
    )
    assert unlisted(report) == lists(prefix)
    assert {key.split("/")[5] for key in fetched(listed)} == {"BTCUSDT"}


async def test_a_symbol_that_could_not_be_listed_is_not_taken_for_nowhere(
    listed: Collection,
) -> None:
    listed.server.inject(f"list:{DAILY}NEWUSDT/1h/", DOWN, endless=True)
    report = await listed.run(symbols=["BTCUSDT", "NEWUSDT"], data_types=["klines", "trades"])
    assert unlisted(report) == lists(f"{DAILY}NEWUSDT/1h/")
    assert report.totals[Verdict.MISSING] == 0


async def test_a_second_page_that_fails_takes_the_first_one_with_it(listed: Collection) -> None:
    days = {"start": "2022-01-01", "end": "2025-07-15"}
    for number in range(1_000):
        listed.server.put(f"{DAILY}BTCUSDT/1h/BTCUSDT-1h-2023-01-01-{number:04}", b"?")
    listed.server.inject(f"list:{DAILY}BTCUSDT/1h/", Fault(), DOWN * 9)
    del listed.config["default_date"]
    report = await listed.run(date_range=days)
    assert unlisted(report) == lists(f"{DAILY}BTCUSDT/1h/")
    assert fetched(listed) == []


async def test_the_next_run_collects_what_could_not_be_listed(listed: Collection) -> None:
    listed.server.inject(f"list:{DAILY}ETHUSDT/1h/", DOWN, endless=True)
    await listed.run(symbols=["BTCUSDT", "ETHUSDT"])
    listed.server.heal()
    listed.server.clear()
    report = await listed.run(symbols=["BTCUSDT", "ETHUSDT"])
    assert (report.exit_code, report.status, report.unlisted) == (0, "complete", ())
    assert not {"plan", "unlisted"} & set(report.to_mapping())
    assert fetched(listed) == [KEY.replace("BTCUSDT", "ETHUSDT")]


async def test_an_incomplete_plan_comes_before_what_became_of_the_rest(
    listed: Collection,
) -> None:
    listed.server.inject(f"list:{DAILY}ETHUSDT/1h/", DOWN, endless=True)
    listed.server.inject(KEY, DOWN, endless=True)
    report = await listed.run(symbols=["BTCUSDT", "ETHUSDT"])
    assert unlisted(report) == lists(f"{DAILY}ETHUSDT/1h/")
    assert (report.status, report.totals[Verdict.FAILED]) == ("failed", 1)


# All of the listing -----------------------------------------------------------------------------


async def test_a_listing_that_is_down_ends_the_run_before_anything_is_fetched(
    listed: Collection,
) -> None:
    listed.server.inject("list:*", DOWN, endless=True)
    with pytest.raises(ListingError, match="`data/` cannot be listed") as raised:
        await listed.run()
    assert not isinstance(raised.value, NoListing)
    assert raised.value.exit_code == 5
    assert listed.requested() == ["list:data/"] * 4


@pytest.mark.parametrize("fault", [NotFound(), Body(b"")])
async def test_a_listing_that_answers_nothing_useful_fetches_nothing_unplanned(
    listed: Collection, fault: Fault
) -> None:
    listed.server.inject("list:data/", fault & Status(404), endless=True)
    report = await listed.run()
    assert fetched(listed) == [KEY]
    assert any("come from the calendar instead" in warning for warning in report.warnings)


async def test_a_listing_that_moves_elsewhere_is_none(listed: Collection) -> None:
    listed.server.inject("list:*", Redirect("http://elsewhere.example/"), endless=True)
    report = await listed.run()
    assert (report.exit_code, fetched(listed)) == (0, [KEY])
    assert any("come from the calendar instead" in warning for warning in report.warnings)


@pytest.mark.parametrize("absent", ["symbols", "default_date"])
async def test_a_plan_alone_without_symbols_or_days_needs_a_listing(
    listed: Collection, absent: str
) -> None:
    listed.server.inject("list:*", HTML, endless=True)
    del listed.config[absent]
    with pytest.raises(NoListing):
        async with plan_alone(WorkflowConfig(listed.config, environ={}), listed.retry):
            pytest.fail("there is nothing to plan by")


async def test_a_plan_alone_says_that_it_is_the_calendar_s(listed: Collection) -> None:
    listed.server.inject("list:*", HTML, endless=True)
    config = WorkflowConfig(listed.config, environ={})
    async with plan_alone(config, listed.retry) as (plan, notes):
        assert plan.totals().size_bytes is None
        assert list(plan.failures) == []
    assert [note for note in notes if "come from the calendar instead" in note] == notes


# The listing that nobody named ------------------------------------------------------------------


@pytest.fixture
def unnamed(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """A collection whose listing is the default one."""
    monkeypatch.setattr(make_plan, "DEFAULT_LISTING_URL", collection.server.url)
    collection.config |= {"listing_url": collection.server.url}
    return collection


async def test_a_default_listing_is_read(unnamed: Collection) -> None:
    report = await unnamed.run(symbols=["BTC*"])
    assert (report.exit_code, fetched(unnamed)) == (0, [KEY])


async def test_a_default_listing_that_is_down_is_not_waited_for(unnamed: Collection) -> None:
    unnamed.server.inject("list:*", DOWN, endless=True)
    report = await unnamed.run()
    assert (report.exit_code, fetched(unnamed)) == (0, [KEY])
    assert unnamed.requested().count("list:data/") == 2
    assert any("come from the calendar instead" in warning for warning in report.warnings)


async def test_a_default_listing_that_is_down_ends_a_run_of_patterns(
    unnamed: Collection,
) -> None:
    unnamed.server.inject("list:*", DOWN, endless=True)
    with pytest.raises(ListingError, match="`data/` cannot be listed"):
        await unnamed.run(symbols=["BTC*"])


# Runs that are stopped --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stalled", ["data/", DAILY, f"{DAILY}BTCUSDT/", f"{DAILY}BTCUSDT/1h/", f"{MONTHLY}BTCUSDT/1h/"]
)
async def test_a_run_that_is_stopped_while_it_lists_is_interrupted(
    listed: Collection, stalled: str
) -> None:
    for name in ("symbols", "intervals"):
        del listed.config[name]
    stall = Stall()
    listed.server.inject(f"list:{stalled}", stall)
    config = WorkflowConfig(listed.config, environ={})
    workflow = ArchiveCollectionWorkflow(config, retry=listed.retry)

    async def stop() -> None:
        await anyio.to_thread.run_sync(stall.reached.wait)
        workflow.stop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        report = (await workflow.run()).report
    assert (report.status, report.exit_code, report.error) == ("interrupted", 130, "")
    assert fetched(listed) == []
    listed.server.release()


async def test_a_plan_alone_may_be_given_up(listed: Collection) -> None:
    stall = Stall()
    listed.server.inject(f"list:{DAILY}BTCUSDT/1h/", stall)
    with anyio.CancelScope() as scope:

        async def give_up() -> None:
            await anyio.to_thread.run_sync(stall.reached.wait)
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_up)
            async with plan_alone(WorkflowConfig(listed.config, environ={}), listed.retry):
                pytest.fail("the listing never came")
    assert scope.cancelled_caught
    listed.server.release()
