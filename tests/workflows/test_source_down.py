"""A source that is down ends the run early; one that only fails often does not."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.events import Event, RunFinished
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Cut, Fault, Flip, Status

#: More archives than fail in parallel before the breaker opens.
COUNT = 200

RANGE: dict[str, Any] = {
    "default_date": None,
    "date_range": {"start": "2024-01-01", "end": str(date(2024, 1, 1) + timedelta(COUNT - 1))},
    "partitions": ["daily"],
}


@pytest.fixture
def second() -> Iterator[ArchiveServer]:
    """Another server of the same archive."""
    with ArchiveServer() as server:
        yield server


def ledger_rows(collection: Collection) -> dict[str, int]:
    """How many archives the ledger has, by verdict."""
    with sqlite3.connect(collection.root / ".lakehouse" / "ledger.sqlite") as ledger:
        return dict(ledger.execute("SELECT verdict, count(*) FROM archives GROUP BY verdict"))


def closed_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def assert_rest_is_collected(collection: Collection, **changes: Any) -> None:
    """Assert that the next run completes the plan."""
    collection.server.heal()
    report = await collection.run(**RANGE, **changes)
    assert report.exit_code == 0
    assert report.totals["verified"] + report.totals["unchanged"] == COUNT


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("fault", [Status(503), Cut()], ids=["503", "cut"])
async def test_a_source_that_is_down_from_the_start_ends_the_run(
    collection: Collection, fault: Fault, processes: int
) -> None:
    collection.server.inject("*", fault, endless=True)
    events: list[Event] = []
    report = await collection.run(
        **RANGE, processes=processes, max_retries=0, sinks=[events.extend], retry=None
    )
    failed = report.totals["failed"]
    assert (report.status, report.exit_code, report.stop_code) == ("interrupted", 5, 5)
    assert report.error.startswith("the source is unavailable: 20 archives in a row")
    assert 20 <= failed < COUNT
    assert sum(report.totals.values()) == COUNT + failed  # the rest has no verdict
    assert ledger_rows(collection) == {"failed": failed}
    assert isinstance(events[-1], RunFinished)
    assert events[-1].reason == report.error
    await assert_rest_is_collected(collection)


async def test_a_source_without_a_connection_ends_the_run(collection: Collection) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    report = await collection.run(**RANGE, source_url=url)
    assert report.exit_code == 5
    assert report.totals["failed"] < COUNT


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_source_that_goes_down_midway_ends_the_run(
    collection: Collection, processes: int
) -> None:
    collection.server.inject("*", Fault() * 60)
    collection.server.inject("*", Status(500), endless=True)
    report = await collection.run(**RANGE, processes=processes, max_retries=0, retry=None)
    assert (report.status, report.exit_code) == ("interrupted", 5)
    assert 0 < report.totals["verified"] <= 30
    assert report.totals["verified"] + report.totals["failed"] < COUNT
    await assert_rest_is_collected(collection)


async def test_what_failed_can_be_collected_alone(collection: Collection) -> None:
    collection.server.inject("*", Status(503), endless=True)
    failed = (await collection.run(**RANGE)).totals["failed"]
    collection.server.heal()
    report = await collection.run(**RANGE, only="failed")
    assert report.totals["planned"] == report.totals["verified"] == failed
    await assert_rest_is_collected(collection)


async def test_a_source_that_answers_404_is_not_down(collection: Collection) -> None:
    collection.server.inject("*", Status(404), endless=True)
    report = await collection.run(**RANGE)
    assert (report.exit_code, report.error) == (3, "")
    assert report.totals["missing"] == COUNT


async def test_a_source_that_refuses_is_not_down(collection: Collection) -> None:
    collection.server.inject("*", Status(403), endless=True)
    report = await collection.run(**RANGE)
    assert (report.exit_code, report.error) == (3, "")
    assert report.totals["failed"] == COUNT


async def test_a_source_that_fails_often_is_not_down(collection: Collection) -> None:
    """Nineteen requests of twenty fail, which is never twenty archives in a row."""
    collection.server.inject("*.zip", Status(503) * 19, Fault(), endless=True)
    report = await collection.run(**RANGE, max_parallel_downloads=1, max_retries=0, retry=None)
    assert (report.exit_code, report.error) == (3, "")
    assert report.totals["verified"] == COUNT // 20
    assert report.totals["failed"] == COUNT - COUNT // 20


async def test_one_of_two_sources_that_is_down_does_not_end_the_run(
    collection: Collection, second: ArchiveServer
) -> None:
    """The first serves damaged archives, so each is asked of the second, which is down."""
    collection.server.inject("*.zip", Flip(50), endless=True)
    second.inject("*", Status(503), endless=True)
    report = await collection.run(**RANGE, second_source_url=second.url)
    assert (report.exit_code, report.error) == (4, "")
    assert report.totals["corrupt"] == COUNT
    assert second.count() > COUNT


async def test_a_short_run_tries_every_archive(
    collection: Collection,
) -> None:
    """There are fewer archives than open the breaker, so each gets its verdict."""
    collection.server.inject("*", Status(503), endless=True)
    dates = {"start": "2024-01-01", "end": "2024-01-19"}
    report = await collection.run(**{**RANGE, "date_range": dates})
    assert (report.status, report.exit_code, report.error) == ("failed", 3, "")
    assert report.totals["failed"] == 19
