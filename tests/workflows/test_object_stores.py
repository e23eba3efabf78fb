"""Everything that works on a directory works on objects; here they are in memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen
from obstore.store import MemoryStore
from tests.workflows.conftest import KEY, Collection, make_zip, member_of

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.object_info import ObjectInfo
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.stores.output import Output, output_of
from crypto_lakehouse.workflows import run_history, run_prune, run_repair, run_verification
from crypto_lakehouse.workflows.history import bytes_place, restore

LATER = datetime(2999, 1, 1, tzinfo=UTC)
NEWS = make_zip(member_of(KEY), b"other,bars\n")


@frozen
class CountingClient(ObjectClient):
    """Counts the requests for each kind; a page of a listing is one."""

    counts: Counter[str] = field(factory=Counter)

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[ObjectInfo]]:
        for page in super().pages(prefix, after=after):
            self.counts["list"] += 1
            yield page


@pytest.fixture
def client() -> CountingClient:
    return CountingClient(MemoryStore(), "memory://bucket")


@pytest.fixture
def store(client: CountingClient) -> ObjectStore:
    return ObjectStore(client)


def ten_days(collection: Collection) -> list[str]:
    """Publish ten days of three symbols, and let the configuration select them."""
    keys = []
    collection.config |= {
        "symbols": ["BTCUSDT", "ETHUSDT", "XRPUSDT"],
        "date_range": {"start": "2025-07-01", "end": "2025-07-10"},
        "partitions": ["daily"],
    }
    del collection.config["default_date"]
    for symbol in collection.config["symbols"]:
        for day in range(1, 11):
            key = f"data/spot/daily/klines/{symbol}/1h/{symbol}-1h-2025-07-{day:02}.zip"
            collection.publish(key, make_zip(member_of(key), b"1,2,3\n"))
            keys.append(key)
    return keys


async def test_a_second_run_and_a_verification_cost_one_listing(
    collection: Collection, store: ObjectStore, client: CountingClient
) -> None:
    keys = ten_days(collection)
    await collection.run(store=store)
    client.counts.clear()
    again = ObjectStore(client)  # another process knows nothing of the first run's scans
    report = await collection.run(store=again)
    assert report.totals["unchanged"] == len(keys)
    # The check that the bucket is there, one page, and one for the end of the listing.
    assert client.counts["list"] <= 3
    client.counts.clear()
    verified = await run_verification(collection.config, store=ObjectStore(client))
    assert verified.totals == {"ok": len(keys)}
    assert client.counts["list"] == 2


@define
class Recorded(ObjectStore):
    """Records the calls that store something."""

    calls: list[tuple[str, str]] = field(factory=list)

    async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
        self.calls.append(("put", key))
        return await super().put(key, data, sync=sync)

    async def put_archive(self, key: str, data: bytes, sidecar: bytes, *, sha256: str) -> FileStat:
        assert sha256 == hashlib.sha256(data).hexdigest()
        self.calls.append(("put_archive", key))
        return await super().put_archive(key, data, sidecar, sha256=sha256)


async def test_a_new_small_archive_is_stored_with_its_sidecar_by_one_call(
    collection: Collection, client: CountingClient
) -> None:
    keys = ten_days(collection)
    store = Recorded(client)
    await collection.run(store=store)
    assert sorted(store.calls) == [("put_archive", key) for key in sorted(keys)]
    # Of a version that is replaced, the zip comes first: an archive without a proof is checked.
    store.calls.clear()
    collection.publish(keys[0], make_zip(member_of(keys[0]), b"other,bars\n"))
    report = await collection.run(store=store, force_redownload=True)
    assert report.totals["verified"] == len(keys)
    calls = [call for call in store.calls if call[1].startswith(keys[0])]
    assert calls == [("put", keys[0]), ("put", f"{keys[0]}.CHECKSUM")]


async def test_a_new_small_archive_is_stored_alone_if_sidecars_are_not_kept(
    collection: Collection, client: CountingClient
) -> None:
    store = Recorded(client)
    await collection.run(store=store, download_checksum=False)
    assert store.calls == [("put", KEY)]


async def test_a_sample_of_objects_is_verified(
    collection: Collection, store: ObjectStore, client: CountingClient
) -> None:
    ten_days(collection)
    await collection.run(store=store)
    client.counts.clear()
    found = await run_verification(collection.config, store=store, sample="7")
    assert found.totals == {"ok": 7}
    assert client.counts["list"] == 4  # two of them to choose


async def test_objects_are_verified_by_when_they_were_written(
    collection: Collection, store: ObjectStore
) -> None:
    await collection.run(store=store)
    today = datetime.now(UTC).date()
    for sample in (None, "100%"):
        options: dict[str, Any] = {"store": store, "sample": sample}
        after = await run_verification(
            collection.config, since=today + timedelta(days=2), **options
        )
        assert after.totals == {}
        since = await run_verification(collection.config, since=today - timedelta(1), **options)
        assert since.totals == {"ok": 1}
    store.remove_now(KEY)
    gone = await run_verification(collection.config, store=store, since=today + timedelta(days=2))
    assert gone.totals == {"missing": 1}  # when it was written is not known


async def test_objects_without_a_ledger_are_verified_by_their_sidecars(
    collection: Collection, store: ObjectStore
) -> None:
    await collection.run(store=store)
    (collection.root / ".lakehouse" / "ledger.sqlite").unlink()
    assert (await run_verification(collection.config, store=store)).totals == {"ok": 1}


async def test_damaged_objects_are_found_and_repaired(
    collection: Collection, store: ObjectStore
) -> None:
    await collection.run(store=store)
    good = await store.read(KEY, 1000)
    await store.put(KEY, b"rotten")
    found = await run_verification(collection.config, store=store)
    assert (found.exit_code, found.problems[0].key) == (4, KEY)
    report = await run_repair(collection.config, store=store, retry=collection.retry)
    assert report.repaired == (KEY,)
    assert await store.read(KEY, 1000) == good


async def test_what_is_in_quarantine_on_a_store_is_fetched_again(
    collection: Collection, store: ObjectStore
) -> None:
    good = make_zip(member_of(KEY), b"1,2,3\n")
    collection.publish(KEY, b"no zip")
    assert (await collection.run(store=store)).totals["corrupt"] == 1
    assert [item.archive.key for item in store.quarantined()] == [KEY]
    collection.publish(KEY, good)
    report = await collection.run(store=store, only="quarantined")
    assert report.totals["verified"] == 1
    assert await store.read(KEY, 1000) == good


@pytest.fixture
async def replaced(collection: Collection, store: ObjectStore) -> Output:
    """An archive was collected, published anew, and collected again."""
    collection.config["listing_url"] = collection.server.url
    await collection.run(store=store)
    collection.publish(KEY, NEWS)
    assert (await collection.run(store=store)).totals["verified"] == 1
    return output_of(collection.root, store)


async def test_replaced_objects_are_listed_and_restored(
    collection: Collection, replaced: Output, tmp_path: Path
) -> None:
    old, new = (await run_history(collection.config, KEY)).versions
    assert bytes_place(replaced, new) == f"{replaced.place}/{KEY}"
    assert f"/.lakehouse/replaced/{KEY}/" in bytes_place(replaced, old)
    with replaced.store.reader(str(old.kept_as)) as file:
        assert hashlib.sha256(file.read()).hexdigest() == old.sha256
    restore(replaced, KEY, LATER, tmp_path / "out.zip")
    assert (tmp_path / "out.zip").read_bytes() == NEWS


async def test_an_object_that_is_damaged_is_not_restored(
    replaced: Output, store: ObjectStore, tmp_path: Path
) -> None:
    await store.put(KEY, b"rotten")
    with pytest.raises(StoreError, match="it is not written out"):
        restore(replaced, KEY, LATER, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


async def test_replaced_objects_are_pruned(
    collection: Collection, replaced: Output, store: ObjectStore
) -> None:
    assert (await run_prune(collection.config, 0, store=store)).files == 1
    assert list(store.kept_versions()) == []
    old, _ = (await run_history(collection.config, KEY)).versions
    with pytest.raises(StoreError, match="were not kept, or were pruned"):
        bytes_place(replaced, old)


async def test_replaced_objects_are_kept_for_as_long_as_is_configured(
    collection: Collection, replaced: Output, store: ObjectStore
) -> None:
    await collection.run(store=store, replaced_retention_days=1)
    assert len(list(store.kept_versions())) == 1
    await collection.run(store=store, replaced_retention_days=0)
    assert list(store.kept_versions()) == []
