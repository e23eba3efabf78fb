"""The other commands as functions: a configuration in, a report out."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tests.stores.memory import MemoryStore
from tests.workflows.conftest import KEY, Collection, make_zip, member_of

from crypto_lakehouse.core import Archive, ConfigurationError, WorkflowConfig
from crypto_lakehouse.core.errors import SelectionError
from crypto_lakehouse.workflows import (
    run_bench,
    run_history,
    run_plan,
    run_prune,
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
    with pytest.raises(SelectionError, match="no series of `ETHUSDT`; it has BTCUSDT"):
        await run_status({**collection.config, "symbols": ["ETHUSDT"]})
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
        collection.config, settings=[2, 1], seconds=0.2, max_bytes=10_000_000, on_report=told.append
    )
    assert [result.setting for result in report.results] == [1, 2]
    assert len(report.to_mapping()["settings"]) == 2
    assert not collection.root.exists()


async def test_a_plan_names_each_archive_that_would_be_requested(collection: Collection) -> None:
    archives: list[Archive] = []
    await run_plan(collection.config, retry=collection.retry, on_archive=archives.append)
    assert [archive.key for archive in archives] == [KEY]


async def test_series_and_changes_can_be_taken_one_by_one(collection: Collection) -> None:
    await collection.run()
    collection.publish(KEY, make_zip(member_of(KEY), b"1,2,3\n"))
    await collection.run(discovery="listing")
    items: list[Any] = []
    status = await run_status(collection.config, on_series=items.append)
    assert (status.series, status.totals.series, len(items)) == ((), 1, 1)
    history = await run_history(collection.config, on_change=items.append)
    assert (history.changes, items[1].key) == ((), KEY)


async def test_a_window_may_have_one_edge(collection: Collection) -> None:
    await collection.run()
    unbounded = {"output_directory": str(collection.root), "discovery": "listing"}
    report = await run_status(unbounded, start="2025-07-14", end=date(2025, 7, 15))
    assert report.totals.expected_days == 2
    with pytest.raises(ConfigurationError, match=r"\$\.start.*\n?.*"):
        await run_status(unbounded, start="2025-02-30")


async def test_every_fault_of_a_status_is_named_at_once(collection: Collection) -> None:
    with pytest.raises(ConfigurationError) as refused:
        await run_status({**collection.config, "markets": ["spott"]}, start="2025-02-30")
    places = {problem.path for problem in refused.value.problems}
    assert places == {"$.output_directory", "$.markets[0]", "$.start"}


async def test_the_bytes_of_replaced_versions_are_pruned(collection: Collection) -> None:
    await collection.run()
    collection.publish(KEY, make_zip(member_of(KEY), b"1,2,3\n"))
    await collection.run(discovery="listing")
    with pytest.raises(ConfigurationError, match="0 or more"):
        await run_prune(collection.config, -1)
    assert (await run_prune(collection.config, 0)).files == 1
    assert len((await run_history(collection.config, KEY)).versions) == 2


async def test_a_repair_keeps_secrets_and_profiles(collection: Collection) -> None:
    await collection.run()
    config = WorkflowConfig(
        {**collection.config, "environments": {"staging": {"max_retries": 0}}},
        environment="staging",
        source_url=collection.server.url.replace("//", "//me:hunter2@"),
        environ={},
    )
    copy = config.replace(force_redownload=True)
    assert (copy.source_url, copy.environment) == (config.source_url, "staging")
    report = await run_repair(config, [Archive.parse(KEY)], retry=collection.retry)
    assert report.repaired == (KEY,)


# A store of the application's own -----------------------------------------------------------------


async def test_a_store_in_memory_is_verified_judged_and_repaired(collection: Collection) -> None:
    store = MemoryStore()
    await collection.run(store=store)
    assert (await run_verification(collection.config, store=store)).totals == {"ok": 1}
    good, mark = store.bodies[KEY]
    store.bodies[KEY] = (b"rotten", mark)
    found = await run_verification(collection.config, store=store, sample="1")
    assert (found.exit_code, found.problems[0].key) == (4, KEY)
    report = await run_repair(collection.config, store=store, retry=collection.retry)
    assert report.repaired == (KEY,)
    assert store.bodies[KEY][0] == good
    assert (await run_status(collection.config)).totals.verified_days == 1
    assert not collection.path(KEY).exists()


async def test_a_store_in_memory_gives_up_what_it_set_aside(collection: Collection) -> None:
    store = MemoryStore()
    good = make_zip(member_of(KEY), b"1,2,3\n")
    collection.publish(KEY, b"no zip")
    await collection.run(store=store)
    assert list(store.aside) == [KEY]
    collection.publish(KEY, good)
    report = await run_repair(collection.config, store=store, retry=collection.retry)
    assert (report.repaired, store.aside) == ((KEY,), {})
    collection.publish(KEY, make_zip(member_of(KEY), b"4,5,6\n"))
    await collection.run(store=store, discovery="listing")
    assert len((await run_history(collection.config, KEY)).versions) == 2
    assert (await run_prune(collection.config, 0, store=store)).files == 1
    assert store.kept == {}


async def test_a_store_in_memory_is_verified_by_its_sidecars(collection: Collection) -> None:
    store = MemoryStore()
    await collection.run(store=store)
    (collection.root / ".lakehouse" / "ledger.sqlite").unlink()
    assert (await run_verification(collection.config, store=store)).totals == {"ok": 1}


async def test_a_store_that_does_not_say_when_a_file_was_written_says_so(
    collection: Collection,
) -> None:
    store = MemoryStore()
    await collection.run(store=store)
    for sample in (None, "1"):
        with pytest.raises(ConfigurationError, match="leave `since` out"):
            await run_verification(
                collection.config, store=store, since=date(2026, 1, 1), sample=sample
            )


async def test_a_directory_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigurationError, match="must not contain control characters"):
        await run_status({"output_directory": "a\nb"})
