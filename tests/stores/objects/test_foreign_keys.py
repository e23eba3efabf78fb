"""A listing with keys that are not below the prefix asked for is none; nothing is deleted by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import obstore
import pytest
from tests.services.fault_proxy import Answer, FaultProxy, Forward
from tests.stores.objects.scene import naming, on

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import NotAStore
from crypto_lakehouse.stores.objects.ledger_copy import (
    ASIDE_FOLDER,
    COPY_KEY,
    MOST_ASIDE,
    LedgerCopy,
)
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.workflows.wiring.workers_lake import _object

ARCHIVE = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-03-01.zip"
NOT_BELOW = r"the answer to a listing is not that of an object store \(it names `{}`, which is not"


Faulty = tuple[FaultProxy, ObjectClient]


@pytest.mark.parametrize("key", ["data/b/x.zip", "data/aa/x.zip", "data", "x.zip", "data/a.zip"])
def test_a_key_that_is_not_below_the_prefix_is_no_listing(faulty: Faulty, key: str) -> None:
    proxy, client = faulty
    for there in ((), ("data/a/x.zip",)):
        for each in there:
            client.put(each, b"x")
        proxy.fault = naming(client, key)
        with pytest.raises(NotAStore, match=NOT_BELOW.format(key)) as caught:
            list(client.objects("data/a/"))
        assert (caught.value.stops_run, caught.value.exit_code) == (True, 5)
        proxy.clear()


def test_a_folder_that_is_not_below_the_one_above_is_no_listing(faulty: Faulty) -> None:
    proxy, client = faulty
    body = b"<CommonPrefixes><Prefix>other/a/</Prefix></CommonPrefixes></ListBucketResult>"
    head = b"<ListBucketResult><IsTruncated>false</IsTruncated>"
    answer = Answer(200, {"Content-Type": "application/xml"}, head + body)
    # No key is below the folder, so that the one above is listed.
    proxy.fault = on(["list"], answer, first=2)
    with pytest.raises(NotAStore, match=NOT_BELOW.format("other/a")):
        list(client.objects("data/b/"))


def test_an_object_named_as_the_folder_is_not_one_in_it(faulty: Faulty) -> None:
    """The consoles of stores create `folder/` as an object, which the client calls `folder`."""
    proxy, client = faulty
    client.put("data/a/x.zip", b"x")
    proxy.fault = naming(client, "data/a/")
    assert [info.key for info in client.objects("data/a/")] == ["data/a/x.zip"]
    proxy.fault = naming(client, "data/b/")
    assert list(client.objects("data/b/")) == []


LIVE = (ARCHIVE, f"{ARCHIVE}.CHECKSUM", COPY_KEY, ".lakehouse/lease.json", "others/a-table.parquet")


def remove_all_kept(client: ObjectClient) -> None:
    store = ObjectStore(client)
    for kept in store.kept_versions():
        store.remove_kept(kept.place)


def release_all(client: ObjectClient) -> None:
    store = ObjectStore(client)
    for each in store.quarantined():
        store.release(each.archive.key)


def set_aside(client: ObjectClient) -> None:
    LedgerCopy(client, Path("no-note"), has_conditions=True).set_aside()


def delete_tokens(client: ObjectClient) -> None:
    with _object(client, f".lakehouse/workers/{'f' * 32}.run"):
        pass


@pytest.mark.parametrize("delete", [remove_all_kept, release_all, set_aside, delete_tokens])
def test_nothing_elsewhere_is_deleted_by_a_listing_that_names_it(
    faulty: Faulty, delete: Callable[[ObjectClient], None]
) -> None:
    proxy, client = faulty
    for key in LIVE:
        client.put(key, b"live")
    for _ in range(MOST_ASIDE):
        set_aside(client)
    before = {info.key for info in client.objects("")}
    proxy.fault = naming(client, *LIVE)
    with suppress(StoreError):
        delete(client)
    proxy.clear()
    assert before <= {info.key for info in client.objects("")}


def test_copies_that_are_listed_twice_are_not_more(
    memory_client: ObjectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_client.put(COPY_KEY, b"copy")
    real = obstore.list

    def twice(*args: Any, **kwargs: Any) -> Iterator[Any]:
        return ([*page, *page] for page in real(*args, **kwargs))

    monkeypatch.setattr("obstore.list", twice)
    for _ in range(MOST_ASIDE + 2):
        set_aside(memory_client)
    monkeypatch.undo()
    assert len(list(memory_client.objects(ASIDE_FOLDER))) == MOST_ASIDE


def test_objects_of_others_in_the_folders_of_runs_stay(memory_client: ObjectClient) -> None:
    names = "notes.txt", "backup-1.sqlite.gz", "old/damaged-20250101T000000000000.sqlite.gz"
    others = [f"{ASIDE_FOLDER}{name}" for name in names]
    others += [".lakehouse/workers/mine.run", ".lakehouse/workers/notes-20250101T000000000000"]
    for key in (*others, COPY_KEY):
        memory_client.put(key, b"x")
    for _ in range(MOST_ASIDE + 2):
        set_aside(memory_client)
    found = {info.key for info in memory_client.objects("")}
    assert found > {*others}
    assert len(found) == len(others) + 1 + MOST_ASIDE


def test_only_tokens_are_deleted_as_such(faulty: Faulty) -> None:
    proxy, client = faulty
    old, other = f".lakehouse/workers/{'0' * 32}.run", ".lakehouse/workers/mine.run"
    for key in (old, other):
        client.put(key, b"x")

    def aged(forward: Forward) -> Answer:
        real = forward()
        body = re.sub(
            rb"<LastModified>[^<]*(?=</LastModified><ETag>[^<]*</ETag><Size>1<)",
            b"<LastModified>2024-01-01T00:00:00.000Z",
            real.body,
        )
        headers = {name: text for name, text in real.headers.items() if name != "Content-Length"}
        return Answer(real.status, headers, body)

    proxy.fault = on(["list"], aged)
    delete_tokens(client)
    proxy.clear()
    assert [info.key for info in client.objects(".lakehouse/workers/")] == [other]
