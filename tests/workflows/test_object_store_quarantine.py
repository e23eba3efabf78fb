"""Large bodies that are bad, collected into an object store: what its quarantine has of them."""

from __future__ import annotations

import os

import pytest
from obstore.store import MemoryStore
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.testing import faults

#: No zip, and more than is kept in memory.
LARGE = os.urandom(3 << 20)


def in_memory() -> ObjectStore:
    return ObjectStore(ObjectClient(MemoryStore(), "memory://bucket"))


def keys(store: ObjectStore) -> list[str]:
    """All but what runs know of each other."""
    folders = ("data/", ".lakehouse/quarantine/", ".lakehouse/replaced/")
    return [info.key for folder in folders for info in store.client.objects(folder)]


async def test_a_large_body_that_is_no_zip_is_fetched_again_for_the_quarantine(
    collection: Collection,
) -> None:
    collection.publish(KEY, LARGE)
    store = in_memory()
    report = await collection.run(store=store)
    assert report.totals[Verdict.CORRUPT] == 1
    assert collection.requested().count(KEY) == 2
    quarantined = f".lakehouse/quarantine/{KEY}"
    assert keys(store) == [quarantined, f"{quarantined}.json"]
    assert store.client.read(quarantined) == LARGE


@pytest.mark.parametrize("fault", [faults.NotFound(), faults.Status(403)], ids=["gone", "refused"])
async def test_a_large_body_that_cannot_be_fetched_again_is_corrupt_all_the_same(
    collection: Collection, fault: faults.Fault
) -> None:
    collection.publish(KEY, LARGE)
    collection.server.inject(KEY, faults.Fault(), fault * 50)
    store = in_memory()
    report = await collection.run(store=store)
    assert report.totals[Verdict.CORRUPT] == 1
    assert keys(store) == []


async def test_a_listed_size_that_differs_proves_nothing(collection: Collection) -> None:
    collection.config |= {"integrity": "listing", "listing_url": collection.server.url}
    assert (await collection.run()).totals[Verdict.VERIFIED] == 1
    (collection.root / ".lakehouse" / "ledger.sqlite").unlink()
    collection.path(f"{KEY}.CHECKSUM").unlink()
    data = collection.path(KEY).read_bytes()
    collection.publish(KEY, data + b"more")
    report = await collection.run()
    assert report.totals[Verdict.VERIFIED] == 1
    assert collection.path(KEY).read_bytes() == data + b"more"
