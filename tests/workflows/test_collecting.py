"""The one call: its options are named, typed, and those of the workflow."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from tests.stores.memory import MemoryStore
from tests.workflows.conftest import (
    BIG_KEY,
    KEY,
    SIDECAR,
    Collection,
    big_zip,
    make_zip,
    member_of,
)

from crypto_lakehouse import ArchiveCollectionWorkflow, run_collection
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.core.events import ArchiveFinished, Event


def options(call: Any) -> dict[str, tuple[Any, Any]]:
    return {
        name: (parameter.annotation, parameter.default)
        for name, parameter in inspect.signature(call).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def test_the_call_takes_what_the_workflow_takes() -> None:
    of_workflow = options(ArchiveCollectionWorkflow)
    for name in ("monitoring", "shares"):  # those of a run of several workflows, which calls none
        del of_workflow[name]
    assert options(run_collection) == of_workflow
    assert "Any" not in {annotation for annotation, _ in options(run_collection).values()}


async def test_a_misspelled_option_is_named() -> None:
    call: Any = run_collection
    with pytest.raises(TypeError, match="sink'"):
        await call({}, sink=[])


async def test_a_function_hears_of_every_archive_of_a_second_run(collection: Collection) -> None:
    await collection.run()
    seen: list[Event] = []
    await collection.run(sinks=[seen.extend])
    assert [event.verdict for event in seen if isinstance(event, ArchiveFinished)] == ["unchanged"]


async def test_series_that_fill_more_than_a_batch_are_all_collected(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_lakehouse.collection.pipeline.BATCH_SERIES", 1)
    report = await collection.run(symbols=["BTCUSDT", "ETHUSDT", "ADAUSDT"])
    assert report.totals["verified"] == report.totals["planned"] == 3


async def test_what_is_no_sink_ends_the_run_before_it_begins(collection: Collection) -> None:
    with pytest.raises(ConfigurationError, match=r"sinks\[0\]: `object` has no `name`"):
        await collection.run(sinks=[object()])
    assert collection.requested() == []
    assert not collection.root.exists() or not list(collection.root.iterdir())


async def test_a_run_works_with_a_store_of_the_application(collection: Collection) -> None:
    store = MemoryStore()
    collection.publish(BIG_KEY, big_zip())
    both = {"data_types": ["klines", "trades"], "replaced_retention_days": 0}
    first = await collection.run(store=store, **both)
    assert first.totals["verified"] == 2
    assert set(store.bodies) == {KEY, SIDECAR, BIG_KEY, BIG_KEY + ".CHECKSUM"}
    second = await collection.run(store=store, **both)
    assert second.totals["unchanged"] == 2
    assert sorted(path.name for path in collection.root.iterdir()) == [".lakehouse"]


async def test_a_store_of_the_application_keeps_what_is_replaced(collection: Collection) -> None:
    store = MemoryStore()
    await collection.run(store=store)
    old = store.bodies[KEY][0]
    collection.publish(KEY, make_zip(member_of(KEY), b"1,2,3\n"))
    report = await collection.run(store=store, discovery="listing")
    assert report.totals["verified"] == 1
    assert [data for _, data in store.kept.values()] == [old]


async def test_a_store_of_the_application_has_a_quarantine(collection: Collection) -> None:
    store = MemoryStore()
    collection.publish(KEY, b"no zip")
    report = await collection.run(store=store)
    assert report.totals["corrupt"] == 1
    assert [item.archive.key for item in store.quarantined()] == [KEY]
