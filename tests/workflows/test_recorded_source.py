"""Archives that the ledger names are fetched from the source that they came from, or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import DEFAULT_SOURCE_URL, WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.workflows import run_collection, run_plan, run_repair
from crypto_lakehouse.workflows.wiring.recorded_source import checked_source


def record_sources(collection: Collection, *urls: str | None) -> None:
    """Make the ledger one of runs from these sources, oldest first; None: none was recorded."""
    ledger = collection.root / ".lakehouse" / "ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("DELETE FROM runs")
        for number, url in enumerate(urls):
            connection.execute(
                "INSERT INTO runs (run_id, workflow, planned, started_at, source_url)"
                " VALUES (?, 'archive_collection', 1, '2025-07-15T12:00:00+00:00', ?)",
                (str(number), url),
            )


async def retry_failed(collection: Collection) -> CollectionReport:
    """Collect what failed, with no source named; nothing failed, so nothing is requested."""
    return await run_collection({"output_directory": str(collection.root), "only": "failed"})


async def test_a_repair_refuses_to_choose_the_source_if_the_archives_came_from_another(
    collection: Collection,
) -> None:
    await collection.run()
    before = collection.path(KEY).read_bytes()
    collection.server.clear()
    with pytest.raises(ConfigurationError) as refused:
        await run_repair({"output_directory": str(collection.root)}, [Archive.parse(KEY)])
    assert f"came from `{collection.server.url}`" in str(refused.value)
    assert f"`--source-url {collection.server.url}`" in str(refused.value)
    assert collection.requested() == []
    assert collection.path(KEY).read_bytes() == before


async def test_a_repair_takes_the_source_that_is_named(collection: Collection) -> None:
    await collection.run()
    record_sources(collection, "https://mirror.example")
    collection.path(KEY).write_bytes(b"damaged")
    report = await run_repair(collection.config, [Archive.parse(KEY)], retry=collection.retry)
    assert report.repaired == (KEY,)


async def test_a_variable_names_the_source_too(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.run()
    record_sources(collection, "https://mirror.example")
    collection.path(KEY).write_bytes(b"damaged")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_SOURCE_URL", collection.server.url)
    report = await run_repair({"output_directory": str(collection.root)}, [Archive.parse(KEY)])
    assert report.repaired == (KEY,)


async def test_what_failed_is_not_requested_from_another_source_either(
    collection: Collection,
) -> None:
    collection.server.remove(KEY)
    await collection.run()
    collection.server.clear()
    with pytest.raises(ConfigurationError, match="name the source"):
        await retry_failed(collection)
    assert collection.requested() == []
    report = await collection.run(only="failed")
    assert report.totals["missing"] == 1


async def test_the_default_source_is_used_if_the_archives_came_from_it(
    collection: Collection,
) -> None:
    await collection.run()
    record_sources(collection, f"{DEFAULT_SOURCE_URL}/")
    assert not [note for note in (await retry_failed(collection)).warnings if "source" in note]


async def test_of_several_sources_that_of_the_latest_run_counts(collection: Collection) -> None:
    await collection.run()
    record_sources(collection, "https://mirror.example", DEFAULT_SOURCE_URL, None)
    (note,) = [each for each in (await retry_failed(collection)).warnings if "source" in each]
    assert DEFAULT_SOURCE_URL in note
    assert "and not https://mirror.example" in note
    record_sources(collection, DEFAULT_SOURCE_URL, "https://mirror.example")
    with pytest.raises(ConfigurationError, match=r"came from `https://mirror\.example`"):
        await retry_failed(collection)


@pytest.mark.parametrize("recorded", [[], [None], [None, None]], ids=len)
async def test_no_source_is_chosen_for_archives_whose_source_is_not_recorded(
    collection: Collection, recorded: list[None]
) -> None:
    await collection.run()
    before = collection.path(KEY).read_bytes()
    collection.server.clear()
    record_sources(collection, *recorded)
    with pytest.raises(ConfigurationError, match="does not say where the archives came from"):
        await retry_failed(collection)
    with pytest.raises(ConfigurationError, match=r"`--source-url URL`; the default one is http"):
        await run_repair({"output_directory": str(collection.root)}, [Archive.parse(KEY)])
    plan = {"output_directory": str(collection.root), "only": "failed"}
    with pytest.raises(ConfigurationError, match="does not say where the archives came from"):
        await run_plan(plan)
    assert collection.requested() == []
    assert collection.path(KEY).read_bytes() == before
    report = await run_repair(collection.config, [Archive.parse(KEY)], retry=collection.retry)
    assert report.repaired == (KEY,)


async def test_a_ledger_without_archives_does_not_ask_for_a_source(collection: Collection) -> None:
    collection.root.joinpath("data").mkdir(parents=True)
    (note,) = [each for each in (await retry_failed(collection)).warnings if "source" in each]
    assert note.endswith(f"the default one is used, {DEFAULT_SOURCE_URL}")


async def test_a_source_that_is_damaged_is_asked_for(collection: Collection) -> None:
    await collection.run()
    before = collection.path(KEY).read_bytes()
    collection.server.clear()
    ledger = collection.root / ".lakehouse" / "ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE runs SET source_url = 'i' || substr(source_url, 2)")
    repair = {"output_directory": str(collection.root)}
    for _ in range(2):  # the first may set the ledger aside
        with pytest.raises(ConfigurationError, match="no longer says where the archives came from"):
            await run_repair(repair, [Archive.parse(KEY)])
        with pytest.raises(ConfigurationError, match="`--source-url URL`"):
            await retry_failed(collection)
    assert collection.requested() == []
    assert collection.path(KEY).read_bytes() == before
    report = await run_repair(collection.config, [Archive.parse(KEY)], retry=collection.retry)
    assert report.repaired == (KEY,)
    record_sources(collection, DEFAULT_SOURCE_URL)
    await retry_failed(collection)


@pytest.mark.parametrize("damage", ["source_url = NULL", "source_url = 'x'", "started_at = x'ff'"])
async def test_what_a_later_run_recorded_counts(collection: Collection, damage: str) -> None:
    await collection.run()
    ledger = collection.root / ".lakehouse" / "ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute(f"UPDATE runs SET {damage}")  # noqa: S608
    config = WorkflowConfig(output_directory=str(collection.root), only="failed", environ={})
    with pytest.raises(ConfigurationError, match="is damaged"):
        checked_source(config, ledger)
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute(
            "INSERT INTO runs (run_id, workflow, planned, started_at, source_url)"
            " VALUES ('later', 'archive_collection', 1, '2025-07-15T12:00:00+00:00', ?)",
            (DEFAULT_SOURCE_URL,),
        )
    assert checked_source(config, ledger) == ""


def test_a_copy_of_a_configuration_keeps_the_origins_of_its_values() -> None:
    config = WorkflowConfig(
        {"output_directory": "o", "only": "failed"},
        environ={"CRYPTO_LAKEHOUSE_MAX_RETRIES": "3"},
    )
    origins = config.replace(only="quarantined").origins
    assert origins["max_retries"] == "variable CRYPTO_LAKEHOUSE_MAX_RETRIES"
    assert (origins["source_url"], origins["only"]) == ("default", "keyword")
