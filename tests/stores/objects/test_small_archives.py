"""A small archive and its sidecar are stored by one call, the sidecar first."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from attrs import field, frozen
from obstore.store import MemoryStore
from tests.stores.conftest import FOLDER, KEY, NAME, sha256

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.object_info import ObjectInfo
from crypto_lakehouse.stores.objects.store import ObjectStore

SIDECAR = KEY + ".CHECKSUM"
BODY = b"zip bytes"


@frozen
class Client(ObjectClient):
    """Records the threads that put keys; some keys fail, before or after they are stored."""

    put_by: list[tuple[str, int]] = field(factory=list)
    refused: set[str] = field(factory=set)
    unanswered: set[str] = field(factory=set)

    def put(self, key: str, data: bytes, **metadata: str) -> ObjectInfo:
        self.put_by.append((key, threading.get_ident()))
        if key in self.refused:
            raise StoreError(key, "it is refused")
        info = super().put(key, data, **metadata)
        if key in self.unanswered:
            raise StoreError(key, "the answer is lost")
        return info


@pytest.fixture
def client() -> Client:
    return Client(MemoryStore(), "memory://bucket")


async def put(client: Client, *, store: ObjectStore | None = None) -> Any:
    store = store or ObjectStore(client)
    return await store.put_archive(KEY, BODY, b"sidecar", sha256=sha256(BODY))


async def test_both_are_stored_in_one_other_thread_with_their_digests(client: Client) -> None:
    await put(client)
    assert [key for key, _ in client.put_by] == [SIDECAR, KEY]
    (thread,) = {thread for _, thread in client.put_by}
    assert thread != threading.get_ident()
    for key, data in ((SIDECAR, b"sidecar"), (KEY, BODY)):
        found = client.metadata(key)
        assert found is not None
        assert found[1]["sha256"] == sha256(data)


async def test_an_archive_whose_sidecar_is_refused_is_not_stored(client: Client) -> None:
    client.refused.add(SIDECAR)
    with pytest.raises(StoreError, match="it is refused"):
        await put(client)
    assert [key for key, _ in client.put_by] == [SIDECAR]
    assert list(client.objects("")) == []


async def test_a_scan_has_what_was_stored_though_the_answer_was_lost(client: Client) -> None:
    other = FOLDER.replace("BTCUSDT", "AAVEUSDT")
    store = ObjectStore(client)
    for way in ("put", "put_archive"):
        client.unanswered.clear()
        await store.put(f"{other}AAVEUSDT-trades-2025-07-15.zip", BODY)
        await store.put(f"{FOLDER}BTCUSDT-trades-2025-07-14.zip", BODY)
        store.scan_now(other)  # the listing goes on, and what it has of FOLDER is remembered
        client.unanswered.add(KEY)
        with pytest.raises(StoreError, match="the answer is lost"):
            await (store.put(KEY, BODY) if way == "put" else put(client, store=store))
        assert NAME in store.scan_now(FOLDER).zips, way
        store.remove_now(KEY)
