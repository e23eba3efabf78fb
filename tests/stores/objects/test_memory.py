"""The object store on obstore's store in memory: the suite, and what the suite does not show."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore
from tests.stores.conftest import FOLDER, KEY, NAME, sha256

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.protocols import Part
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.object_info import ObjectInfo
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.testing import StoreSuite

QUARANTINED = f".lakehouse/quarantine/{KEY}"
MIB = 1 << 20


def make_store() -> ObjectStore:
    return ObjectStore(ObjectClient(MemoryStore(), "memory://bucket"))


def keys(store: ObjectStore) -> list[str]:
    return [info.key for info in store.client.objects("")]


def uploads() -> list[str]:
    """The uploads under way: each has a thread of its own."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("upload ")]


class TestObjectStore(StoreSuite):
    def make_store(self) -> ObjectStore:
        return make_store()


async def test_no_byte_of_a_large_body_is_an_object_before_the_commit() -> None:
    store = make_store()
    part = await store.open_part(KEY, resume=False)
    for _ in range(20):
        await part.append(b"x" * MIB)
        assert keys(store) == []
    stat = await part.commit()
    assert keys(store) == [KEY]
    assert stat.size_bytes == 20 * MIB
    assert await store.sha256(KEY) == part.sha256() == sha256(b"x" * 20 * MIB)
    assert uploads() == []


@pytest.mark.parametrize("size", [0, 1, 3, 20])
@pytest.mark.parametrize("end", ["close", "discard", "quarantine"])
async def test_an_upload_that_is_given_up_leaves_nothing(size: int, end: str) -> None:
    store = make_store()
    part = await store.open_part(KEY, resume=False)
    for _ in range(size):
        await part.append(b"x" * MIB)
    if end == "quarantine":
        assert await part.quarantine({"verdict": "corrupt"}) is False
    else:
        await getattr(part, end)()
    await part.close()
    assert keys(store) == []
    assert uploads() == []


async def test_a_part_that_was_given_up_cannot_be_committed() -> None:
    store = make_store()
    part = await store.open_part(KEY, resume=False)
    await part.append(b"first")
    await part.close()
    with pytest.raises(StoreError, match="its upload is not under way"):
        await part.commit()
    assert keys(store) == []


async def test_an_upload_that_fails_is_told_at_once_and_again() -> None:
    store = make_store()
    part = await store.open_part(KEY, resume=False)
    broken = _BrokenClient(store.client)
    part.client = broken  # type: ignore[assignment]
    with pytest.raises(StoreError, match="the disk of the store is full"):
        await _append(part, 10)
    with pytest.raises(StoreError, match="the disk of the store is full"):
        await part.commit()
    await part.close()
    assert keys(store) == []
    assert uploads() == []


async def _append(part: Part, count: int) -> None:
    for _ in range(count):
        await part.append(b"x" * MIB)


class _BrokenClient:
    """Takes one chunk of an upload, and fails."""

    def __init__(self, client: ObjectClient) -> None:
        self._client = client

    def upload(self, key: str, chunks: Iterator[bytes]) -> None:
        next(iter(chunks))
        raise StoreError(self.place(key), "the disk of the store is full")

    def place(self, key: str) -> str:
        return self._client.place(key)


async def test_an_empty_body_can_be_quarantined() -> None:
    store = make_store()
    part = await store.open_part(KEY, resume=False, doubtful=True)
    assert await part.quarantine({"verdict": "corrupt", "reason": "it is empty"})
    assert keys(store) == [QUARANTINED, QUARANTINED + ".json"]
    (item,) = store.quarantined()
    assert item.reason == "corrupt: it is empty"


async def test_a_note_that_cannot_be_read_costs_only_the_note() -> None:
    store = make_store()
    await store.quarantine(KEY, b"bad", {})
    for text in (b"[]", b"\xff", b"{"):
        store.client.put(f"{QUARANTINED}.json", text)
        (item,) = store.quarantined()
        assert item.reason == "?: its note is gone"
    store.client.put(".lakehouse/quarantine/data/other.zip", b"x")
    assert len(list(store.quarantined())) == 1


async def test_another_size_at_the_store_is_an_error() -> None:
    store = make_store()
    part = await store.open_part(KEY, resume=False)
    await part.append(b"12345")
    part.size_bytes = 6
    with pytest.raises(StoreError, match="other bytes than the 6 that it was sent"):
        await part.commit()


async def test_a_small_body_has_its_digest_as_metadata() -> None:
    store = make_store()
    await store.put(KEY, b"zip bytes")
    found = store.client.metadata(KEY)
    assert found is not None
    assert found[1]["sha256"] == sha256(b"zip bytes")
    assert store.client.metadata("absent") is None


async def test_a_replaced_large_version_is_hashed_before_it_is_kept() -> None:
    store = make_store()
    obstore.put(store.client.client, KEY, b"old")  # without metadata, as an upload is
    await store.put(KEY + ".CHECKSUM", b"sidecar")
    assert await store.keep_replaced(KEY, sha256(b"other")) == ""
    place = await store.keep_replaced(KEY, sha256(b"old"))
    assert place.startswith(f".lakehouse/replaced/{KEY}/")
    assert await store.read(place + ".CHECKSUM", 100) == b"sidecar"
    await store.put(KEY, b"new")
    assert await store.keep_replaced(KEY, sha256(b"old")) == place
    with pytest.raises(StoreError, match="it is no replaced version"):
        store.remove_kept(KEY)
    assert await store.read(KEY, 10) == b"new"


async def test_every_read_is_of_one_version() -> None:
    store = make_store()
    size = 9 * MIB
    await store.put(KEY, b"a" * size)
    with store.reader(KEY) as file:
        assert file.seek(-10, 2) == size - 10
        assert file.read() == b"a" * 10
        assert file.seek(0) == file.tell() == 0
        assert len(file.read(100)) == 100
        await store.put(KEY, b"b" * size)
        with pytest.raises(StoreError, match="it was replaced while it was read"):
            file.read(size)
    with pytest.raises(StoreError, match="there is no such object"):
        store.reader("absent.zip")


async def test_a_read_stops_at_its_limit() -> None:
    store = make_store()
    await store.put(KEY, b"0123456789" * MIB)
    assert await store.read(KEY, 25) == b"0123456789012345678901234"[:25]


def test_a_store_without_etags_is_refused() -> None:
    client = ObjectClient(MemoryStore(), "memory://bucket")
    meta: Mapping[str, Any] = {"path": "a", "size": 1, "e_tag": None}
    with pytest.raises(StoreError, match="the store sends no ETag") as caught:
        client._info(meta)
    assert caught.value.stops_run


def test_quotes_of_an_etag_do_not_matter() -> None:
    client = ObjectClient(MemoryStore(), "memory://bucket")
    etags = ('"abc"', "abc", 'W/"abc"')
    found = {client._info({"path": "a", "size": 1, "e_tag": etag}) for etag in etags}
    assert found == {ObjectInfo("a", 1, "abc")}
    assert 0 < ObjectInfo("a", 1, "abc").mark < 1 << 62


async def test_a_part_is_no_object_and_costs_no_request() -> None:
    store = make_store()
    await store.put(KEY + ".part", b"foreign")
    await store.remove(KEY + ".part")
    assert keys(store) == [KEY + ".part"]


async def test_folders_below_a_folder_are_not_in_its_scan() -> None:
    store = make_store()
    await store.put(KEY, b"zip bytes")
    await store.put(f"{FOLDER}deeper/{NAME}", b"other")
    assert set(await store.scan(FOLDER)) == {NAME}
    assert set(store.scan_now(FOLDER).zips) == {NAME}
