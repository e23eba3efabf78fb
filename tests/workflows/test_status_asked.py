"""`status` against what runs were asked for; with real collections."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.archive import Archive, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.coverage.asked_days import AskedDays
from crypto_lakehouse.coverage.coverage import SeriesCoverage
from crypto_lakehouse.ledger.runs import RecordedRun
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.testing import ArchiveServer, faults
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow, run_collection, run_status
from crypto_lakehouse.workflows.asked import Asked
from crypto_lakehouse.workflows.status import status_of

BTC = Archive.parse(KEY).series


def days(start: str, end: str) -> dict[str, Any]:
    return {"default_date": None, "date_range": {"start": start, "end": end}}


def by_series(root: Path, **options: Any) -> dict[str, SeriesCoverage]:
    status = status_of(root, **options)
    assert status.of == options.get("of", "asked")
    return {str(coverage.series): coverage for coverage in status}


def counts(coverage: SeriesCoverage) -> tuple[int, int]:
    return coverage.verified_days, coverage.expected_days


def forget_selections(root: Path, runs: str = "1") -> None:
    """Make runs in the ledger ones of a version that did not record selections."""
    with closing(sqlite3.connect(root / ".lakehouse" / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(f"UPDATE runs SET selection = NULL WHERE {runs}")  # noqa: S608


@pytest.mark.parametrize("discovery", ["calendar", "listing"])
async def test_a_perfect_collection_of_a_past_month_is_complete(
    collection: Collection, discovery: str
) -> None:
    await collection.run(**days("2025-06-01", "2025-06-30"), discovery=discovery)
    (coverage,) = by_series(collection.root).values()
    assert (counts(coverage), coverage.holes) == ((30, 30), ())
    (published,) = by_series(collection.root, of="published").values()
    assert published.verified_days == 30
    assert published.expected_days > 400, "the publisher has more by now"


async def test_several_runs_were_asked_for_the_union(collection: Collection) -> None:
    await collection.run(**days("2025-07-01", "2025-07-03"))
    await collection.run(**days("2025-07-02", "2025-07-05"))
    await collection.run(default_date="2025-07-09")
    (coverage,) = by_series(collection.root).values()
    assert counts(coverage) == (6, 6)
    assert [(str(hole.first_day), hole.days, hole.cause) for hole in coverage.holes] == [
        ("2025-07-06", 3, "not_asked")
    ]


async def test_a_run_that_was_ended_early_is_not_complete(collection: Collection) -> None:
    """Its second symbol was asked for, and no request was made for it."""
    config = {**collection.config, **days("2025-07-01", "2025-07-02"), "discovery": "calendar"}
    config |= {"symbols": ["BTCUSDT", "ETHUSDT"], "max_parallel_downloads": 1}
    stall = faults.Stall(at=0)
    collection.server.inject(KEY.replace("07-15", "07-01"), stall)
    workflow = ArchiveCollectionWorkflow(WorkflowConfig(config, environ={}), retry=collection.retry)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(workflow.run)
        await to_thread.run_sync(stall.reached.wait, 30)
        workflow.stop()
    assert workflow.report().status == "interrupted"
    found = by_series(collection.root)
    assert {name: counts(coverage) for name, coverage in found.items()} == {
        "spot klines BTCUSDT 1h": (0, 2),
        "spot klines ETHUSDT 1h": (0, 2),
    }


async def test_what_failed_counts_until_it_is_there(collection: Collection) -> None:
    collection.server.inject(KEY, *(faults.Status(500) * 4))
    await collection.run()
    (coverage,) = by_series(collection.root).values()
    assert (counts(coverage), coverage.holes[0].cause) == ((0, 1), "failed")
    await collection.run(only="failed")
    (coverage,) = by_series(collection.root).values()
    assert counts(coverage) == (1, 1), "a run on what failed asks for nothing new"


async def test_a_named_archive_counts_beside_what_was_selected(collection: Collection) -> None:
    await collection.run()
    other = KEY.replace("2025-07-15", "2025-07-20")
    await run_collection(collection.config, archives=[Archive.parse(other)])
    (coverage,) = by_series(collection.root).values()
    assert counts(coverage) == (2, 2)


async def test_an_open_end_goes_on(collection: Collection) -> None:
    today = datetime.now(UTC).date()
    start = today - timedelta(days=20)
    await collection.run(default_date=None, date_range={"start": str(start)}, discovery="calendar")
    (now,) = by_series(collection.root).values()
    assert now.ratio == 1.0
    (later,) = by_series(collection.root, today=today + timedelta(days=30)).values()
    assert later.expected_days >= now.expected_days + 25
    assert later.ratio < 1.0


async def test_a_listing_is_asked_for_whole_if_no_days_are(collection: Collection) -> None:
    with ArchiveServer(start=date(2025, 7, 1), end=date(2025, 7, 10)) as server:
        await collection.run(
            source_url=server.url, discovery="listing", default_date=None, partitions=["daily"]
        )
        (coverage,) = by_series(collection.root).values()
    assert counts(coverage) == (10, 10)


async def test_a_ledger_without_selections_is_judged_by_what_the_publisher_has(
    collection: Collection,
) -> None:
    await collection.run()
    forget_selections(collection.root)
    status = status_of(collection.root)
    (coverage,) = status
    assert status.of == "published"
    assert coverage.expected_days > 1
    (note,) = status.notes
    assert "does not record what was asked for" in note
    (asked,) = status_of(collection.root, of="asked")
    assert counts(asked) == (1, 1)


async def test_a_ledger_with_some_selections_says_how_many_are_unknown(
    collection: Collection,
) -> None:
    await collection.run()
    await collection.run(default_date="2025-07-20")
    forget_selections(collection.root, "rowid = 1")
    status = status_of(collection.root)
    assert status.of == "published"
    assert "of 1 of 2 runs it is not recorded" in status.notes[0]
    explicit = status_of(collection.root, of="asked")
    assert "only the settled days count" in explicit.notes[0]
    (coverage,) = explicit
    assert counts(coverage) == (2, 2)
    assert status_of(collection.root, of="published").notes == ()


async def test_a_window_counts_whole_unless_only_what_was_asked_for_is_to_count(
    collection: Collection,
) -> None:
    await collection.run()
    window = {"start": "2025-07-14", "end": "2025-07-15"}
    (whole,) = status_of(collection.root, window)
    assert counts(whole) == (1, 2)
    (asked,) = status_of(collection.root, window, of="asked")
    assert counts(asked) == (1, 1)


async def test_a_report_says_what_counts(collection: Collection) -> None:
    await collection.run()
    report = await run_status({"output_directory": str(collection.root)})
    assert (report.of, report.to_mapping()["of"]) == ("asked", "asked")
    assert report.totals.ratio == 1.0
    with pytest.raises(ConfigurationError, match="did you mean `published`"):
        await run_status({"output_directory": str(collection.root)}, of="publish")


# What is read of recorded selections -------------------------------------------------------------

PLAIN: dict[str, Any] = {"discovery": "listing", "symbols": ["BTC*"]}


def asked(*selections: Any) -> Asked:
    runs = [
        RecordedRun(status=None, selection=selection, source_url=None, listing_url=None)
        for selection in selections
    ]
    return Asked.of(runs, load_matrix())


@pytest.mark.parametrize(
    ("selection", "spans"),
    [
        (PLAIN, ((date.min, date.max),)),
        ({**PLAIN, "default_date": "2025-07-15"}, ((date(2025, 7, 15), date(2025, 7, 15)),)),
        ({**PLAIN, "date_range": {"start": "2025-07-15"}}, ((date(2025, 7, 15), date.max),)),
        ({**PLAIN, "markets": ["futures_um"]}, ()),
        ({**PLAIN, "data_types": ["trades"]}, ()),
        ({**PLAIN, "intervals": ["4h"]}, ()),
        ({**PLAIN, "symbols": ["ETHUSDT"]}, ()),
        ({**PLAIN, "quote_assets": ["USDC"]}, ()),
        ({"only": "failed"}, ()),
    ],
)
def test_a_recorded_selection_holds_what_it_selected(selection: Any, spans: Any) -> None:
    found = asked(selection)
    assert (found.days(BTC).spans, found.is_recorded) == (spans, True)


def test_partitions_are_those_of_any_run() -> None:
    found = asked({**PLAIN, "partitions": ["daily"]}, {**PLAIN, "partitions": ["monthly"]})
    assert {str(part) for part in found.days(BTC).partitions} == {"daily", "monthly"}
    assert len(asked(PLAIN).days(BTC).partitions) == 2


@pytest.mark.parametrize(
    "selection",
    [
        None,
        {},
        {"discovery": "listing", "symbols": 5},
        {"discovery": "listing", "a later key": 5},
        {**PLAIN, "default_date": "2025-02-30"},
        {**PLAIN, "default_date": 5},
        {**PLAIN, "date_range": {}},
        {**PLAIN, "date_range": {"start": "2025-07-15", "end": None}},
    ],
)
def test_a_selection_that_cannot_be_read_is_not_recorded(selection: Any) -> None:
    found = asked(selection, PLAIN)
    assert (found.unrecorded, found.is_recorded) == (1, False)


def test_no_run_at_all_records_nothing() -> None:
    assert not asked().is_recorded
    assert asked().days(BTC) == AskedDays()


def test_series_of_a_run_without_a_listing_are_those_of_its_plan() -> None:
    calendar = {
        "discovery": "calendar",
        "markets": ["spot"],
        "symbols": ["BTCUSDT", "ETHUSDT"],
        "data_types": ["klines"],
        "intervals": ["1h"],
        "date_range": {"start": "2025-07-15"},
    }
    found = asked(calendar, PLAIN, {**calendar, "symbols": ["no such symbol!"]})
    names = [str(series) for series in found.series(date(2025, 8, 1))]
    assert names == ["spot klines BTCUSDT 1h", "spot klines ETHUSDT 1h"]
    gone = asked({**calendar, "data_types": ["metrics"]})
    assert list(gone.series(date(2025, 8, 1))) == []
    later = asked({**calendar, "date_range": {"start": "2025-09-01"}})
    assert isinstance(next(later.series(date(2025, 8, 1))), Series)
