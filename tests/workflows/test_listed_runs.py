"""Runs whose plan comes from the source's listing."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.workflows.conftest import KEY, SIDECAR, Collection, make_zip, member_of

from crypto_lakehouse.collection.pipeline import BATCH_SERIES
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    ListingError,
    NoListing,
    SelectionError,
)
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Body, Stall, Status
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone

KLINES = "data/spot/daily/klines/"
HTML = Body(b"<html><body>Index of /</body></html>")


@pytest.fixture
def archive_server() -> Any:
    """An archive of two months and a few symbols."""
    symbols = ["BTCUSDT", "ETHUSDT", "ETHBTC", "BTCUPUSDT", "USDCUSDT", "币安人生USDT"]
    with ArchiveServer(start=date(2025, 5, 20), end=date(2025, 7, 20), symbols=symbols) as server:
        yield server


@pytest.fixture
def listed(collection: Collection) -> Collection:
    """The collection of one day of 1h klines, planned from the listing."""
    collection.config |= {"discovery": "listing", "listing_url": collection.server.url}
    return collection


def fetched(collection: Collection) -> set[str]:
    """The symbols whose zips were asked for."""
    keys = [key for key in collection.requested() if key.endswith(".zip")]
    return {key.split("/")[4] for key in keys}


def listings(collection: Collection) -> list[str]:
    return [path for path in collection.requested() if path.startswith("list:")]


async def test_patterns_are_matched_with_what_the_source_lists(listed: Collection) -> None:
    report = await listed.run(symbols=["*USDT", "ETH*"])
    assert fetched(listed) == {
        "BTCUSDT", "ETHUSDT", "ETHBTC", "BTCUPUSDT", "USDCUSDT", "币安人生USDT",
    }  # fmt: skip
    assert report.totals[Verdict.VERIFIED] == report.totals["planned"] == 6


async def test_filters_narrow_what_is_listed(listed: Collection) -> None:
    await listed.run(
        symbols=["*"],
        quote_assets=["USDT"],
        leveraged_tokens="exclude",
        stable_pairs="exclude",
    )
    assert fetched(listed) == {"BTCUSDT", "ETHUSDT", "币安人生USDT"}


async def test_nothing_but_listings_is_asked_for_a_second_time(listed: Collection) -> None:
    await listed.run(symbols=["*USDT"])
    listed.server.clear()
    report = await listed.run(symbols=["*USDT"])
    assert report.totals[Verdict.UNCHANGED] == report.totals["planned"] == 5
    assert listings(listed) == listed.requested() != []


async def test_symbols_dates_and_intervals_may_all_come_from_the_source(
    listed: Collection,
) -> None:
    for name in ("symbols", "intervals", "default_date"):
        del listed.config[name]
    listed.config |= {"markets": ["futures_um"], "data_types": ["markPriceKlines"]}
    folder = "data/futures/um/daily/markPriceKlines/ETHBTC"
    listed.server.put(f"{folder}/1M/ETHBTC-1M-2025-07-01.zip", b"zip")
    config = WorkflowConfig({**listed.config, "quote_assets": ["BTC"]}, environ={})
    async with plan_alone(config, listed.retry) as (plan, notes):
        series = {str(planned.series): planned.periods for planned in plan.each_series()}
        totals = plan.totals()
    assert {name.split()[2] for name in series} == {"ETHBTC"}
    assert {name.split()[3] for name in series} >= {"1m", "1d", "3d", "1w", "1mo"}
    hours = series["futures_um markPriceKlines ETHBTC 1h"]
    assert (str(hours[0].period), str(hours[-1].period)) == ("2025-05", "2025-07")
    assert totals.size_bytes == sum(
        item.listed.size_bytes for periods in series.values() for item in periods if item.listed
    )
    assert any(f"`{folder}/1M/`" in note for note in notes)


async def test_what_is_not_listed_is_told_and_not_requested(listed: Collection) -> None:
    listed.server.remove(KEY)
    listed.server.remove(SIDECAR)
    report = await listed.run(date_range={"start": "2025-07-14", "end": "2025-07-16"})
    assert report.totals[Verdict.VERIFIED] == 2
    assert [str(problem.verdict) for problem in report.problems] == ["missing"]
    assert "does not list it" in report.problems[0].reason
    assert KEY not in listed.requested()


async def test_what_a_symbol_does_not_have_is_left_out_with_a_word(listed: Collection) -> None:
    report = await listed.run(
        markets=["spot", "futures_um"], data_types=["klines", "fundingRate"], symbols=["ETHBTC"]
    )
    assert report.exit_code == 0


async def test_series_that_the_source_lacks_are_counted_in_a_note(listed: Collection) -> None:
    for month in ("05", "06", "07"):
        for number in range(1, 32):
            for suffix in ("", ".CHECKSUM"):
                name = f"ETHUSDT-1h-2025-{month}-{number:02}.zip{suffix}"
                listed.server.remove(f"{KLINES}ETHUSDT/1h/{name}")
        for suffix in ("", ".CHECKSUM"):
            folder = "data/spot/monthly/klines/ETHUSDT/1h/"
            listed.server.remove(f"{folder}ETHUSDT-1h-2025-{month}.zip{suffix}")
    report = await listed.run(symbols=["ETHUSDT"], data_types=["klines", "trades"])
    assert report.totals[Verdict.VERIFIED] == report.totals["planned"] == 1
    assert any("1 series is left out" in warning for warning in report.warnings)


async def test_stray_keys_are_told(listed: Collection) -> None:
    listed.server.put(f"{KLINES}BTCUSDT/1h/BTCUSDT-1h-2025-07-15-copy.zip", b"?")
    for number in range(4):
        listed.server.put(f"{KLINES}BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip.{number}", b"?")
    report = await listed.run()
    assert report.totals[Verdict.VERIFIED] == 1
    (note,) = [warning for warning in report.warnings if "not archives" in warning]
    assert note.startswith("5 listed keys are left out")
    assert note.endswith(" ...")


# A listing that fails is no empty one -----------------------------------------------------------


def is_incomplete(report: CollectionReport, prefix: str) -> bool:
    mapping = report.to_mapping()
    assert mapping["plan"] == "incomplete"
    assert report.exit_code == report.strict_exit_code == 5
    return all(prefix in reason for reason in mapping["unlisted"])


async def test_a_prefix_that_cannot_be_listed_leaves_the_plan_incomplete(
    listed: Collection,
) -> None:
    prefix = f"{KLINES}ETHUSDT/1h/"
    listed.server.inject(f"list:{prefix}", Status(503), endless=True)
    report = await listed.run(symbols=["BTCUSDT", "ETHUSDT"])
    assert is_incomplete(report, prefix)
    assert (report.status, report.totals[Verdict.VERIFIED]) == ("partial", 1)
    assert any(warning.startswith("not planned: ") for warning in report.warnings)


async def test_symbols_that_cannot_be_listed_leave_the_plan_incomplete(
    listed: Collection,
) -> None:
    listed.server.inject(f"list:{KLINES}", Status(500), endless=True)
    report = await listed.run(symbols=["*"])
    assert is_incomplete(report, KLINES)


async def test_many_failures_are_counted_and_not_all_named(listed: Collection) -> None:
    listed.server.inject("list:data/*/1*/", Status(500), endless=True)
    symbols = [f"X{number}USDT" for number in range(25)]
    report = await listed.run(symbols=symbols, max_retries=0)
    assert report.totals["planned"] == 0
    assert len(report.unlisted) == 25
    assert any("25 prefixes in all" in warning for warning in report.warnings)
    assert any("could not be listed" in warning for warning in report.warnings)


async def test_a_listing_that_heals_is_complete(listed: Collection) -> None:
    listed.server.inject("list:*", Status(503), Status(503))
    report = await listed.run()
    assert (report.exit_code, report.totals[Verdict.VERIFIED]) == (0, 1)
    assert listed.sleeps.waits != []


@pytest.mark.parametrize("named", ["discovery", "listing_url"])
async def test_a_named_listing_that_is_down_ends_the_run(
    collection: Collection, named: str
) -> None:
    value = {"discovery": "listing", "listing_url": collection.server.url}[named]
    collection.server.inject("list:*", Status(503), endless=True)
    with pytest.raises(ListingError, match="`data/` cannot be listed") as raised:
        await collection.run(**{named: value})
    assert raised.value.exit_code == 5
    assert not (collection.root / "data").exists()


@pytest.mark.parametrize("fault", [HTML, Status(404), Status(403), Status(501)])
async def test_a_source_without_a_listing_is_planned_from_the_calendar(
    listed: Collection, fault: Any
) -> None:
    listed.server.inject("list:*", fault, endless=True)
    report = await listed.run()
    assert (report.exit_code, report.totals[Verdict.VERIFIED]) == (0, 1)
    assert any("come from the calendar instead" in warning for warning in report.warnings)


@pytest.mark.parametrize("absent", ["symbols", "default_date"])
async def test_without_symbols_or_dates_there_is_no_calendar_to_fall_back_to(
    listed: Collection, absent: str
) -> None:
    listed.server.inject("list:*", HTML, endless=True)
    del listed.config[absent]
    with pytest.raises(NoListing):
        await listed.run()


async def test_patterns_have_no_calendar_to_fall_back_to(listed: Collection) -> None:
    listed.server.inject("list:*", HTML, endless=True)
    with pytest.raises(NoListing):
        await listed.run(symbols=["*USDT"])


async def test_what_the_matrix_does_not_have_is_refused_before_anything_is_asked(
    listed: Collection,
) -> None:
    with pytest.raises(ConfigurationError, match="has no `metrics`"):
        await listed.run(data_types=["metrics"])
    config = WorkflowConfig({**listed.config, "data_types": ["metrics"]}, environ={})
    with pytest.raises(ConfigurationError):
        async with plan_alone(config):
            pytest.fail("there is nothing to plan")
    assert listed.requested() == []


async def test_a_run_can_be_stopped_while_it_lists(listed: Collection) -> None:
    import anyio

    stall = Stall()
    listed.server.inject(f"list:{KLINES}*", stall)
    workflow = ArchiveCollectionWorkflow(
        WorkflowConfig(listed.config, environ={}), retry=listed.retry
    )
    async with anyio.create_task_group() as tasks:

        async def stop() -> None:
            await anyio.to_thread.run_sync(stall.reached.wait)
            workflow.stop()

        tasks.start_soon(stop)
        report = (await workflow.run()).report
    assert (report.status, report.exit_code) == ("interrupted", 130)
    listed.server.release()


async def test_a_plan_alone_writes_nothing(listed: Collection, tmp_path: Path) -> None:
    async with plan_alone(WorkflowConfig(listed.config, environ={})) as (plan, notes):
        assert plan.totals().archives == 1
        assert (list(notes), list(plan.failures)) == ([], [])
        assert [str(planned.series) async for planned in plan.series()] != []
    assert not listed.root.exists()
    by_calendar = WorkflowConfig({**listed.config, "discovery": "calendar"}, environ={})
    async with plan_alone(by_calendar) as (plan, _):
        assert plan.totals().size_bytes is None


async def test_a_symbol_that_is_nowhere_is_unknown_where_no_days_are_named(
    listed: Collection,
) -> None:
    del listed.config["default_date"]
    with pytest.raises(SelectionError, match="no such symbol in spot: `BTCUSTD`"):
        await listed.run(symbols=["BTCUSTD"])


async def test_a_symbol_that_has_one_of_two_types_is_not_reported(listed: Collection) -> None:
    del listed.config["default_date"]
    key = f"{KLINES}XYZUSDT/1h/XYZUSDT-1h-2025-07-15.zip"
    listed.publish(key, make_zip(member_of(key), b"1\n"))
    report = await listed.run(symbols=["XYZUSDT"], data_types=["klines", "aggTrades"])
    assert (report.totals["planned"], report.totals["verified"]) == (1, 1)
    assert not any("XYZUSDT" in warning for warning in report.warnings)


async def test_folders_that_cannot_be_symbols_are_passed_over(listed: Collection) -> None:
    listed.server.put(f"{KLINES}no-symbol/1h/x.zip", b"?")
    report = await listed.run(symbols=["*"])
    assert report.exit_code == 0
    assert "no-symbol" not in fetched(listed)


async def test_a_range_behind_the_end_of_a_series_is_not_missed(listed: Collection) -> None:
    report = await listed.run(default_date="2025-09-15")
    assert report.totals[Verdict.NOT_PUBLISHED] == report.totals["planned"] == 1
    report = await listed.run(default_date="2025-01-15")
    assert report.totals[Verdict.NOT_PUBLISHED] == report.totals["planned"] == 1


async def test_many_series_are_compared_in_batches(listed: Collection) -> None:
    data = make_zip(member_of(KEY), b"1,2\n")
    for number in range(2 * BATCH_SERIES):
        listed.publish(KEY.replace("BTCUSDT", f"S{number}USDT"), data)
    report = await listed.run(symbols=["*"])
    assert report.totals["planned"] == 2 * BATCH_SERIES + 6


async def test_a_name_that_fits_no_market_folder_is_left_out(listed: Collection) -> None:
    report = await listed.run(markets=["spot", "futures_cm"], symbols=["BTCUSDT"])
    assert report.totals[Verdict.VERIFIED] == 1
    assert any("futures_cm klines: none of the symbols fits" in note for note in report.warnings)


async def test_listeners_that_know_single_archives_only_are_told_of_each(
    listed: Collection,
) -> None:
    from collections.abc import Sequence

    from crypto_lakehouse.core.events import ArchiveFinished, Event

    class Listener:
        name = "listener"
        required = True

        def __init__(self) -> None:
            self.told: list[Event] = []

        async def handle(self, events: Sequence[Event]) -> None:
            self.told += events

        async def flush(self) -> None: ...

        async def close(self) -> None: ...

    days = {"date_range": {"start": "2025-07-10", "end": "2025-07-15"}}
    await listed.run(**days)
    listener = Listener()
    await listed.run(**days, sinks=[listener])
    finished = [event for event in listener.told if isinstance(event, ArchiveFinished)]
    assert [event.verdict for event in finished] == [Verdict.UNCHANGED] * 6
    assert all(event.sha256 for event in finished)
