"""The copy of a ledger in a store: replaced only by the state folder that wrote or fetched it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from obstore.store import MemoryStore
from tests.services.bucket import Bucket
from tests.services.fault_proxy import FaultProxy, behind_faults, error
from tests.stores.objects.scene import on

from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects import ledger_copy
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import ConditionFailed
from crypto_lakehouse.stores.objects.ledger_copy import ASIDE_FOLDER, COPY_KEY, LedgerCopy
from crypto_lakehouse.stores.objects.opening import open_objects


@pytest.fixture(params=["memory", "ministack", "rclone", "azurite", "gcs"])
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerCopy:
    if request.param == "memory":
        client = ObjectClient(MemoryStore(), "memory://bucket")
    else:
        client = request.getfixturevalue(f"{request.param}_bucket").open().client
    return LedgerCopy(client, tmp_path / "note", request.param != "rclone")


@pytest.fixture
def faulty(ministack_bucket: Bucket, tmp_path: Path) -> Iterator[tuple[FaultProxy, LedgerCopy]]:
    with behind_faults(ministack_bucket) as (proxy, bucket):
        client = bucket.open(ministack_bucket.fresh_prefix()).client
        yield proxy, LedgerCopy(client, tmp_path / "note", has_conditions=True)


def packed(tmp_path: Path, data: bytes) -> Path:
    (path := tmp_path / "packed").write_bytes(data)
    return path


def stored(copy: LedgerCopy) -> bytes | None:
    return copy.client.read(COPY_KEY)


def test_it_is_replaced_by_its_own_folder(copy: LedgerCopy, tmp_path: Path) -> None:
    assert not copy.is_foreign()
    assert not copy.is_there
    for data in (b"first", b"second", b"third"):
        assert copy.put(packed(tmp_path, data)) == len(data)
        assert stored(copy) == data
        assert not copy.is_foreign()
    assert copy.is_there


def test_that_of_another_machine_stays(copy: LedgerCopy, tmp_path: Path) -> None:
    other = evolve(copy, note=tmp_path / "other")
    copy.put(packed(tmp_path, b"first"))
    assert other.is_foreign()
    with pytest.raises(ConditionFailed, match="another machine has written it since"):
        other.put(packed(tmp_path, b"other"))
    assert stored(copy) == b"first"
    assert other.fetch(tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"first"
    other.put(packed(tmp_path, b"other"))
    assert copy.is_foreign()
    with pytest.raises(ConditionFailed):
        copy.put(packed(tmp_path, b"late"))
    assert stored(copy) == b"other"


def test_one_that_is_too_large_is_not_fetched(
    copy: LedgerCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.put(packed(tmp_path, b"a copy"))
    monkeypatch.setattr(ledger_copy, "MOST_BYTES", 5)
    with pytest.raises(StoreError, match="its size of 6 B is too large: it is no copy of a ledger"):
        copy.fetch(tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    monkeypatch.setattr(ledger_copy, "MOST_BYTES", 6)
    assert copy.fetch(tmp_path / "fetched")


def test_one_that_was_removed_is_written_again(copy: LedgerCopy, tmp_path: Path) -> None:
    copy.put(packed(tmp_path, b"first"))
    copy.client.delete(COPY_KEY)
    assert not copy.fetch(tmp_path / "fetched")
    assert not copy.is_there
    copy.put(packed(tmp_path, b"second"))
    assert stored(copy) == b"second"


def test_one_that_cannot_be_used_is_kept(copy: LedgerCopy, tmp_path: Path) -> None:
    copy.put(packed(tmp_path, b"damaged"))
    place = copy.set_aside()
    copy.put(packed(tmp_path, b"sound"))
    assert copy.client.read(place.removeprefix(f"{copy.client.url}/")) == b"damaged"
    assert stored(copy) == b"sound"


def test_the_last_ones_that_were_set_aside_stay(
    copy: LedgerCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_copy, "MOST_ASIDE", 2)
    places = []
    for number, why in enumerate(["damaged", "earlier", "damaged"]):
        copy.put(packed(tmp_path, b"%d" % number))
        places.append(copy.set_aside(why))
    keys = [info.key for info in copy.client.objects(ASIDE_FOLDER)]
    assert {copy.client.place(key) for key in keys} == set(places[1:])
    assert stored(copy) == b"2"


def test_none_is_set_aside_if_there_is_none(copy: LedgerCopy) -> None:
    assert copy.set_aside() == ""


def test_they_are_kept_without_the_right_to_delete(
    faulty: tuple[FaultProxy, LedgerCopy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_copy, "MOST_ASIDE", 1)
    proxy, copy = faulty
    copy.put(packed(tmp_path, b"first"))
    copy.set_aside()
    proxy.fault = on(["delete"], error(403, "AccessDenied"))
    assert copy.set_aside()
    assert "delete" in {request.kind for request in proxy.requests}
    assert len(list(copy.client.objects(ASIDE_FOLDER))) == 2


def test_a_note_of_another_url_is_not_believed(tmp_path: Path) -> None:
    client = ObjectClient(MemoryStore(), "memory://one")
    copy = LedgerCopy(client, tmp_path / "note", has_conditions=True)
    copy.put(packed(tmp_path, b"first"))
    assert evolve(copy, client=evolve(client, url="memory://two")).is_foreign()


@pytest.mark.parametrize(
    ("url", "storage", "is_same"),
    [
        ("az://bucket/x", {"account": "one"}, True),
        ("az://bucket/x", {"account": "two"}, False),
        ("az://bucket/x", {"account": "one", "endpoint": "https://one.example"}, False),
    ],
)
def test_a_note_of_another_store_counts_for_nothing(
    url: str, storage: dict[str, str], is_same: bool, tmp_path: Path
) -> None:
    first = open_objects(StoreUrl.parse(url), {"account": "one"}).client
    LedgerCopy(first, tmp_path / "note", has_conditions=True)._remember("etag")
    other = open_objects(StoreUrl.parse(url), storage).client
    known = LedgerCopy(other, tmp_path / "note", has_conditions=True)._known()
    assert (known.get("etag") == "etag") is is_same


def test_a_run_that_was_killed_after_the_request_knows_its_copy(
    copy: LedgerCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.put(packed(tmp_path, b"first"))
    copy._remember(copy._known()["etag"], pending="")
    killed = evolve(copy)
    monkeypatch.setattr(LedgerCopy, "_write", _write_and_die)
    with pytest.raises(KeyboardInterrupt):
        killed.put(packed(tmp_path, b"second"))
    monkeypatch.undo()
    assert stored(copy) == b"second"
    next_run = evolve(copy)
    assert not next_run.is_foreign()
    next_run.put(packed(tmp_path, b"third"))
    assert stored(copy) == b"third"


_write = LedgerCopy._write


def _write_and_die(copy: LedgerCopy, data: bytes, etag: str | None, digest: str) -> object:
    _write(copy, data, etag, digest)
    raise KeyboardInterrupt


def test_an_answer_that_was_lost_costs_nothing(
    faulty: tuple[FaultProxy, LedgerCopy], tmp_path: Path
) -> None:
    proxy, copy = faulty
    for data in (b"first", b"second"):
        proxy.fault = on(["put"], lambda forward: (forward(), error(400, "Bad"))[1], last=1)
        copy.put(packed(tmp_path, data))
        assert stored(copy) == data
    proxy.fault = on(["put"], lambda forward: forward() and None, last=1)
    copy.put(packed(tmp_path, b"third"))  # the client sends it twice
    assert stored(copy) == b"third"
    assert not copy.is_foreign()


def test_a_store_that_fails_changes_nothing(
    faulty: tuple[FaultProxy, LedgerCopy], tmp_path: Path
) -> None:
    proxy, copy = faulty
    copy.put(packed(tmp_path, b"first"))
    proxy.fault = on(["put"], error(403, "AccessDenied"))
    with pytest.raises(StoreError, match="403 AccessDenied"):
        copy.put(packed(tmp_path, b"second"))
    proxy.clear()
    assert not copy.is_foreign()
    copy.put(packed(tmp_path, b"third"))
    assert stored(copy) == b"third"


def test_a_large_copy_is_stored_without_being_in_memory(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_lakehouse.stores.objects.ledger_copy._MOST_IN_MEMORY", 100)
    copy = LedgerCopy(ministack_bucket.open().client, tmp_path / "note", has_conditions=True)
    data = bytes(range(256)) * 1000
    assert copy.put(packed(tmp_path, data)) == len(data)
    assert stored(copy) == data
