"""Runs with a budget of bytes, against a real server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from tests.workflows.conftest import KEY, Collection
from tests.workflows.july import DAYS, july_server, key_of, select_july

from crypto_lakehouse.core import Verdict
from crypto_lakehouse.testing import ArchiveServer


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """Twenty days of one symbol."""
    with july_server() as server:
        yield server


@pytest.fixture
def days(collection: Collection) -> Collection:
    """The collection of those days."""
    select_july(collection)
    return collection


def size_of(days: Collection, day: int) -> int:
    key = key_of(day)
    return len(days.server.read(key)) + len(days.server.read(f"{key}.CHECKSUM"))


def rows(days: Collection) -> int:
    connection = sqlite3.connect(days.root / ".lakehouse" / "ledger.sqlite")
    try:
        return int(connection.execute("SELECT count(*) FROM archives").fetchone()[0])
    finally:
        connection.close()


def listing(days: Collection) -> dict[str, Any]:
    return {"discovery": "listing", "listing_url": days.server.url}


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("by", ["calendar", "listing"])
async def test_runs_with_a_budget_complete_a_plan_together(
    days: Collection, by: str, processes: int
) -> None:
    changes: dict[str, Any] = {"processes": processes, "max_parallel_downloads": 2}
    changes |= listing(days) if by == "listing" else {}
    limit = sum(size_of(days, day) for day in range(1, 8))
    largest = max(size_of(days, day) for day in range(1, DAYS + 1))
    collected, codes = 0, []
    for _ in range(DAYS):
        report = await days.run(**changes, max_bytes=limit)
        codes.append(report.exit_code)
        verified = report.totals[Verdict.VERIFIED]
        collected += verified
        assert verified > 0
        # Those under way: two requests at a time have two workers each, and a worker process
        # takes some archives more.
        assert report.bytes < limit + 12 * largest
        if by == "listing":
            assert report.bytes <= limit
        done = verified + report.totals[Verdict.UNCHANGED]
        assert rows(days) == collected  # the rest has no row
        if report.exit_code == 0:
            break
        assert (report.status, done) == ("interrupted", collected)
        assert f"run it again for the remaining {DAYS - collected} archive" in report.error
    assert codes == [6] * (len(codes) - 1) + [0]
    assert (collected, len(codes) > 1) == (DAYS, True)


async def test_a_budget_that_suffices_ends_no_run(days: Collection) -> None:
    total = sum(size_of(days, day) for day in range(1, DAYS + 1))
    report = await days.run(**listing(days), max_bytes=total)
    assert (report.exit_code, report.status, report.bytes) == (0, "complete", total)
    report = await days.run(**listing(days), max_bytes=1)  # nothing is to be fetched
    assert (report.exit_code, report.totals[Verdict.UNCHANGED]) == (0, DAYS)


@pytest.mark.parametrize("without", ["zip", "sidecar"])
async def test_a_listed_size_of_either_object_is_kept_within_the_budget(
    days: Collection, without: str
) -> None:
    """The budget lacks one byte for the last archive, and then for its sidecar."""
    sizes = [len(days.server.read(key_of(day))) for day in range(1, DAYS + 1)]
    total = sum(size_of(days, day) for day in range(1, DAYS + 1))
    limit = total - 1 if without == "sidecar" else total - size_of(days, DAYS) + sizes[-1] - 1
    report = await days.run(**listing(days), max_bytes=limit)
    assert (report.exit_code, report.totals[Verdict.VERIFIED]) == (6, DAYS - 1)
    assert report.bytes <= limit


async def test_sidecars_that_are_not_fetched_take_nothing_of_the_budget(days: Collection) -> None:
    total = sum(len(days.server.read(key_of(day))) for day in range(1, DAYS + 1))
    no_sidecars = {"integrity": "listing", "download_checksum": False}
    report = await days.run(**listing(days), **no_sidecars, max_bytes=total)
    assert (report.exit_code, report.bytes) == (0, total)


async def test_an_archive_larger_than_the_budget_is_named_and_not_requested(
    days: Collection,
) -> None:
    report = await days.run(**listing(days), max_bytes=10)
    assert (report.exit_code, report.bytes) == (6, 0)
    assert "more than `max_bytes` (10) allows for a whole run" in report.error
    assert all(path.startswith("list:") for path in days.requested())


async def test_later_series_are_not_even_looked_at(days: Collection) -> None:
    report = await days.run(intervals=["1h", "2h", "4h", "1d"], max_bytes=1)
    assert report.exit_code == 6
    assert report.totals[Verdict.VERIFIED] < DAYS * 4
    folder = KEY.partition("1h/")[0]
    assert any(path.startswith(f"{folder}1h/") for path in days.requested())
    assert not any(path.startswith(f"{folder}1d/") for path in days.requested())
