"""The ledger stores with each run what was asked for and where it fetched."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse import WorkflowConfig, run_collection
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ListingError
from crypto_lakehouse.core.events import Event, RunStarted, to_record
from crypto_lakehouse.ledger.runs import RecordedRun, recorded_runs
from crypto_lakehouse.stores.state import StateFolder


def runs(collection: Collection) -> list[RecordedRun]:
    return recorded_runs(StateFolder(collection.root).ledger)


async def selection(collection: Collection, **changes: Any) -> Any:
    """Run a collection, and return what the ledger stored of its selection."""
    await collection.run(**changes)
    return runs(collection)[-1].selection


async def test_a_run_without_a_listing_is_stored_with_what_it_was_asked_for(
    collection: Collection,
) -> None:
    found = await selection(collection, discovery="calendar")
    wanted = {
        "markets": ["spot"],
        "symbols": ["BTCUSDT"],
        "data_types": ["klines"],
        "intervals": ["1h"],
        "default_date": "2025-07-15",
    }
    others = {"partitions": "auto", "leveraged_tokens": "include", "stable_pairs": "include"}
    assert found == {**wanted, **others, "discovery": "calendar"}
    (run,) = runs(collection)
    assert (run.status, run.source_url) == ("complete", collection.server.url)


async def test_a_run_with_a_listing_is_stored_with_its_days_and_filters(
    collection: Collection,
) -> None:
    found = await selection(
        collection,
        listing_url=collection.server.url,
        symbols=None,
        quote_assets=["USDT"],
        default_date=None,
        date_range={"start": "2025-07-14"},
    )
    assert found["discovery"] == "listing"
    assert found["quote_assets"] == ["USDT"]
    assert found["date_range"] == {"start": "2025-07-14"}
    assert "symbols" not in found
    assert runs(collection)[-1].listing_url == collection.server.url


async def test_words_for_days_are_stored_as_the_days_that_they_meant(
    collection: Collection,
) -> None:
    found = await selection(collection, discovery="calendar", default_date="yesterday")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert found["default_date"] in {str(yesterday), str(yesterday - timedelta(days=1))}


async def test_a_run_on_the_ledgers_archives_is_stored_as_such(collection: Collection) -> None:
    await collection.run()
    assert await selection(collection, only="failed") == {"only": "failed"}


async def test_a_run_on_named_archives_is_stored_as_such(collection: Collection) -> None:
    config = WorkflowConfig(
        {**collection.config, "output_directory": str(collection.root)}, environ={}
    )
    await run_collection(config, archives=[Archive.parse(KEY)])
    assert runs(collection)[-1].selection == {"only": "named"}


async def test_credentials_of_a_source_are_not_stored(collection: Collection) -> None:
    url = collection.server.url.replace("http://", "http://me:pw@")
    await collection.run(source_url=url, listing_url=url)
    (run,) = runs(collection)
    assert run.source_url == run.listing_url == collection.server.url
    for path in StateFolder(collection.root).path.rglob("*"):
        assert not path.is_file() or b"me:pw" not in path.read_bytes()


async def test_worker_processes_store_one_run(collection: Collection) -> None:
    found = await selection(collection, processes=2, discovery="calendar")
    assert found["symbols"] == ["BTCUSDT"]
    assert len(runs(collection)) == 1


async def test_a_run_whose_plan_cannot_be_made_is_not_stored(collection: Collection) -> None:
    await collection.run()
    before = runs(collection)
    with pytest.raises(ListingError):
        await collection.run(
            source_url="http://127.0.0.1:1", listing_url="http://127.0.0.1:1", symbols=["B*"]
        )
    assert runs(collection) == before


async def test_events_say_what_a_run_was_asked_for(collection: Collection) -> None:
    events: list[Event] = []
    await collection.run(sinks=[events.extend], discovery="calendar")
    (started,) = [to_record(event) for event in events if isinstance(event, RunStarted)]
    assert started["selection"]["symbols"] == ["BTCUSDT"]
    assert started["source_url"] == collection.server.url
    json.dumps(started)
