"""The other commands as functions: a configuration in, a report out."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tests.workflows.conftest import KEY, Collection, make_zip, member_of

from crypto_lakehouse.core import Archive, ConfigurationError, WorkflowConfig
from crypto_lakehouse.workflows import (
    run_bench,
    run_history,
    run_plan,
    run_repair,
    run_status,
    run_verification,
)


async def test_a_plan_says_what_a_collection_would_do(collection: Collection) -> None:
    report = await run_plan(collection.config, retry=collection.retry)
    assert (report.totals.planned, report.unlisted) == (1, ())
    assert report.to_mapping()["series"][0]["symbol"] == "BTCUSDT"
    assert report.to_mapping()["complete"] is True
    assert not collection.root.exists()


async def test_status_judges_what_the_configuration_selects(collection: Collection) -> None:
    await collection.run()
    report = await run_status(collection.config)
    assert (report.totals.verified_days, report.totals.expected_days) == (1, 1)
    other = await run_status({**collection.config, "symbols": ["ETHUSDT"]})
    assert other.series == ()
    everything = await run_status(
        {"output_directory": str(collection.root), "discovery": "listing"}
    )
    assert everything.totals.verified_days == 1
    assert report.to_mapping()["totals"]["series"] == 1


async def test_history_has_changes_and_versions(collection: Collection) -> None:
    await collection.run()
    collection.publish(KEY, make_zip(member_of(KEY), b"1,2,3\n"))
    await collection.run(discovery="listing")
    everything = await run_history(collection.config)
    assert [change.change for change in everything.changes] == ["replaced"]
    report = await run_history(collection.config, KEY)
    assert (len(report.versions), len(report.changes)) == (2, 1)
    assert report.to_mapping()["versions"][0]["key"] == KEY
    later = await run_history(collection.config, since=date(2999, 1, 1))
    assert later.changes == ()


async def test_what_is_damaged_is_found_and_repaired(collection: Collection) -> None:
    await collection.run()
    good = collection.path(KEY).read_bytes()
    collection.path(KEY).write_bytes(b"rotten")
    found = await run_verification(collection.config)
    assert found.exit_code == 4
    report = await run_repair(WorkflowConfig(collection.config), retry=collection.retry)
    assert report.repaired == (KEY,)
    assert collection.path(KEY).read_bytes() == good
    assert (await run_verification(collection.config, sample="100%")).exit_code == 0


async def test_exactly_these_archives_are_repaired(collection: Collection) -> None:
    await collection.run()
    report = await run_repair(collection.config, [Archive.parse(KEY)], retry=collection.retry)
    assert report.repaired == (KEY,)


async def test_a_sample_that_is_none_is_a_configuration_error(collection: Collection) -> None:
    with pytest.raises(ConfigurationError, match="`half` is no sample"):
        await run_verification(collection.config, sample="half")


async def test_bench_measures_each_setting(collection: Collection) -> None:
    told: list[Any] = []
    report = await run_bench(
        collection.config, settings=[2, 1], seconds=0.2, max_bytes=10_000_000, tell=told.append
    )
    assert [result.setting for result in report.results] == [1, 2]
    assert len(report.to_mapping()["settings"]) == 2
    assert not collection.root.exists()
