"""Whole runs whose plan comes from the source's listing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest
from attrs import define, field
from tests.http.listers import listing
from tests.workflows.conftest import KEY, SIDECAR, Collection, make_zip, member_of

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import SelectionError
from crypto_lakehouse.core.events import Event, FolderListed, RunStarted
from crypto_lakehouse.core.plan import PlannedArchive
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.matrix.known_holes import load_holes
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.planning.listed_plan import Discovery, ListedPlan
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Stall, Status

DAILY, MONTHLY = "data/spot/daily/klines/", "data/spot/monthly/klines/"


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """Two months of a few symbols."""
    symbols = ["BTCUSDT", "ETHUSDT", "币安人生USDT"]
    with ArchiveServer(start=date(2025, 6, 1), end=date(2025, 7, 20), symbols=symbols) as server:
        yield server


@pytest.fixture
def listed(collection: Collection) -> Collection:
    """The collection of one day of 1h klines, planned from the listing."""
    collection.config |= {"discovery": "listing", "listing_url": collection.server.url}
    return collection


@define
class Listener:
    """A sink that remembers what it is told, and may end a silence at some folder."""

    until: str = ""
    then: Stall = field(factory=Stall)
    events: list[Event] = field(factory=list)
    name: str = "listener"
    required: bool = True

    async def handle(self, events: Sequence[Event]) -> None:
        self.events += events
        if self.until in self.folders:
            self.then.release.open()

    async def flush(self) -> None:
        return None

    async def close(self) -> None:
        return None

    @property
    def folders(self) -> list[str]:
        return [event.folder for event in self.events if isinstance(event, FolderListed)]


def fetched(collection: Collection) -> list[str]:
    return [key for key in collection.requested() if key.endswith(".zip")]


# What is collected ------------------------------------------------------------------------------


async def test_everything_that_a_source_has_is_collected_without_being_named(
    listed: Collection,
) -> None:
    for name in ("symbols", "intervals", "default_date"):
        del listed.config[name]
    listed.config |= {"data_types": ["trades"]}
    report = await listed.run()
    assert (report.exit_code, report.status) == (0, "complete")
    names = sorted(key.rpartition("/")[2] for key in fetched(listed))
    months = [f"{symbol}-trades-2025-0{month}.zip" for symbol in
              ("BTCUSDT", "ETHUSDT", "币安人生USDT") for month in (6, 7)]  # fmt: skip
    assert names == months
    assert report.totals[Verdict.VERIFIED] == report.totals["planned"] == 6


async def test_what_is_announced_is_what_is_fetched(listed: Collection) -> None:
    listener = Listener()
    report = await listed.run(symbols=["*"], sinks=[listener])
    started = next(event for event in listener.events if isinstance(event, RunStarted))
    zips = sum(listed.path(key).stat().st_size for key in fetched(listed))
    assert (started.planned, started.size_bytes) == (3, zips)
    assert report.totals["planned"] == 3


async def test_every_folder_that_was_listed_is_told(listed: Collection) -> None:
    listener = Listener()
    await listed.run(sinks=[listener])
    told = {event.folder: event for event in listener.events if isinstance(event, FolderListed)}
    assert list(told) == [f"{DAILY}BTCUSDT/1h/", f"{MONTHLY}BTCUSDT/1h/"]
    assert told[f"{DAILY}BTCUSDT/1h/"].archives == 2
    assert told[f"{MONTHLY}BTCUSDT/1h/"].last == "BTCUSDT-1h-2025-07.zip"


async def test_a_second_run_asks_for_nothing_but_listings(listed: Collection) -> None:
    wanted: dict[str, Any] = {"symbols": ["*"], "date_range": {"start": "2025-05-30",
                              "end": "2025-07-02"}}  # fmt: skip
    del listed.config["default_date"]
    first = await listed.run(**wanted)
    listed.server.clear()
    again = await listed.run(**wanted)
    assert again.totals[Verdict.UNCHANGED] == first.totals[Verdict.VERIFIED] == 3 * 3
    assert [path for path in listed.requested() if not path.startswith("list:")] == []
    assert (again.exit_code, again.bytes) == (0, 0)


async def test_what_is_published_later_is_all_that_a_later_run_fetches(listed: Collection) -> None:
    following = KEY.replace("07-15", "07-16")
    kept = {key: listed.server.read(key) for key in (following, f"{following}.CHECKSUM")}
    for key in kept:
        listed.server.remove(key)
    days = {"start": "2025-07-14", "end": "2025-07-16"}
    del listed.config["default_date"]
    assert (await listed.run(date_range=days)).exit_code == 3
    for key, body in kept.items():
        listed.server.put(key, body)
    listed.server.clear()
    report = await listed.run(date_range=days)
    assert (report.exit_code, fetched(listed)) == (0, [following])


async def test_a_run_that_names_an_unknown_symbol_fetches_nothing(listed: Collection) -> None:
    with pytest.raises(SelectionError, match="no such symbol in spot: `BTCUSTD`; did you mean"):
        await listed.run(symbols=["BTCUSDT", "BTCUSTD"])
    assert fetched(listed) == []


async def test_days_in_which_nothing_is_published_yet_are_complete_with_a_sentence(
    listed: Collection,
) -> None:
    report = await listed.run(default_date="2999-01-01")
    assert (report.exit_code, report.status, report.totals["not_published"]) == (0, "complete", 1)
    (warning,) = report.warnings
    assert warning.startswith("nothing that is selected is published in these days: ")


async def test_a_symbol_that_ended_before_the_days_has_a_sentence(listed: Collection) -> None:
    old = KEY.replace("BTCUSDT", "OLDUSDT").replace("2025-07-15", "2021-07-15")
    listed.server.publish(old, b"archive")
    report = await listed.run(symbols=["BTCUSDT", "OLDUSDT"])
    assert report.exit_code == 0
    (warning,) = report.warnings
    assert warning.startswith("nothing of `spot OLDUSDT` is published in these days: the source")


async def test_the_plan_s_space_is_given_back_when_the_run_ends(
    listed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ListedPlan] = []
    original = Discovery.plan

    async def remembered(discovery: Discovery) -> ListedPlan:
        made.append(await original(discovery))
        return made[-1]

    monkeypatch.setattr(Discovery, "plan", remembered)
    assert (await listed.run()).exit_code == 0
    with pytest.raises(ValueError, match="closed"):
        list(made[0].each_series())


async def test_many_symbols_are_listed_at_once_and_planned_in_order(listed: Collection) -> None:
    stall = Stall()
    listed.server.inject(f"list:{DAILY}BTCUSDT/1h/", stall)
    listener = Listener(until=f"{MONTHLY}ETHUSDT/1h/", then=stall)
    await listed.run(symbols=["BTCUSDT", "ETHUSDT"], sinks=[listener], max_parallel_downloads=2)
    assert listener.folders == [
        f"{DAILY}ETHUSDT/1h/", f"{MONTHLY}ETHUSDT/1h/",
        f"{DAILY}BTCUSDT/1h/", f"{MONTHLY}BTCUSDT/1h/",
    ]  # fmt: skip


# Only what failed, or is in quarantine ----------------------------------------------------------


async def again(collection: Collection, only: str, **more: Any) -> CollectionReport:
    """A run of nothing but what the ledger has of a kind."""
    collection.server.heal()
    collection.server.clear()
    config = {"output_directory": str(collection.root), "source_url": collection.server.url}
    return await run_collection({**config, "only": only, **more}, retry=collection.retry)


async def test_what_failed_or_was_missing_is_tried_again_without_a_listing(
    listed: Collection,
) -> None:
    listed.server.inject(KEY.replace("BTC", "ETH"), Status(500), endless=True)
    for key in (KEY, SIDECAR):
        listed.server.remove(key)
    report = await listed.run(symbols=["*"])
    assert (report.totals[Verdict.FAILED], report.totals[Verdict.MISSING]) == (1, 1)
    listed.publish(KEY, make_zip(member_of(KEY), b"1,2\n"))
    report = await again(listed, "failed", listing_url=listed.server.url)
    assert report.totals[Verdict.VERIFIED] == report.totals["planned"] == 2
    assert set(fetched(listed)) == {KEY, KEY.replace("BTC", "ETH")}
    assert not [path for path in listed.requested() if path.startswith("list:")]


async def test_what_is_in_quarantine_is_tried_again(listed: Collection) -> None:
    good, other = listed.server.read(KEY), KEY.replace("BTC", "ETH")
    listed.publish(KEY, b"this is no zip at all")
    listed.server.inject(other, Status(500), endless=True)
    report = await listed.run(symbols=["*USDT"])
    assert (report.totals[Verdict.CORRUPT], report.totals[Verdict.FAILED]) == (1, 1)
    listed.publish(KEY, good)
    report = await again(listed, "quarantined")
    assert report.totals[Verdict.VERIFIED] == report.totals["planned"] == 1
    assert fetched(listed) == [KEY]
    report = await again(listed, "quarantined")
    assert any("the ledger has nothing of that kind" in note for note in report.warnings)


# Runs of today ----------------------------------------------------------------------------------

TODAY = date(2025, 7, 21)


@asynccontextmanager
async def planned_on(
    listed: Collection, today: date, **changes: Any
) -> AsyncIterator[dict[str, PlannedArchive]]:
    """What is planned on a day, by key."""
    config = WorkflowConfig({**listed.config, **changes}, environ={})
    async with listing(listed.server.url, listed.retry) as lister:
        discovery = Discovery(
            config=config, matrix=load_matrix(), listing=lister, holes=load_holes(),
            today=today, workers=4, tell=_nobody, is_stored=_nowhere,
        )  # fmt: skip
        plan = await discovery.plan()
        yield {str(item.archive): item for one in plan.each_series() for item in one.archives()}
        plan.close()


async def _nobody(_event: FolderListed) -> None:
    return None


async def _nowhere(_prefix: str) -> bool:
    return False


async def test_symbols_that_were_delisted_long_ago_are_not_missing_today(
    listed: Collection,
) -> None:
    old = "OLDUSDT/1h/OLDUSDT-1h-2023-02"
    listed.server.publish(f"{DAILY}{old}-01.zip", b"day")
    listed.server.publish(f"{MONTHLY}{old}.zip", b"month")
    async with planned_on(listed, TODAY, symbols=["*USDT"], default_date="2025-07-10") as plan:
        missing = [key for key, item in plan.items() if item.unlisted]
        gone = plan[f"{DAILY}OLDUSDT/1h/OLDUSDT-1h-2025-07-10.zip"]
    assert missing == []
    assert gone.not_published == "the source lists nothing of this series from 2025-07-10 on"


async def test_a_day_that_a_live_symbol_lacks_is_missing(listed: Collection) -> None:
    for key in (KEY, SIDECAR):
        listed.server.remove(key)
    async with planned_on(listed, TODAY) as plan:
        assert plan[KEY].unlisted


async def test_yesterday_may_still_come(listed: Collection) -> None:
    async with planned_on(listed, date(2025, 7, 22), default_date="2025-07-21") as plan:
        (item,) = plan.values()
    assert item.not_published.startswith("not listed yet; that is normal for up to 3 days")
    assert item.may_be_late(date(2025, 7, 22))
