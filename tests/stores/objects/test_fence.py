"""A store that writes for the holder of a lease replaces nothing that a later holder has stored."""

from __future__ import annotations

from hashlib import sha256

import pytest
from attrs import field, frozen
from obstore.store import MemoryStore
from tests.services.fault_proxy import FaultProxy
from tests.stores.conftest import FOLDER, KEY
from tests.stores.objects.leases import leave

from crypto_lakehouse.core.errors import LostLockError, StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import ConditionFailed
from crypto_lakehouse.stores.objects.lease import Lease
from crypto_lakehouse.stores.objects.lease_keeper import LeaseKeeper
from crypto_lakehouse.stores.objects.object_info import ObjectInfo
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.workflows.wiring.output_lease import fenced, holder_of, writing_under

SIDECAR = f"{KEY}.CHECKSUM"
LOST = "another run has taken over the lease of this one"


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def everything(client: ObjectClient) -> dict[str, bytes | None]:
    return {info.key: client.read(info.key) for info in client.objects("data/")}


def fenced_store(client: ObjectClient) -> ObjectStore:
    """Take the lease, and return a store that writes for its holder."""
    lease = Lease(client)
    lease.take()
    store = ObjectStore(client)
    assert fenced(store, lease.holder) is store
    assert holder_of(store) == lease.holder
    return store


def test_a_put_whose_condition_does_not_hold_changes_nothing(client: ObjectClient) -> None:
    first = client.put_if(KEY, b"first", etag=None, sha256=digest(b"first"))
    stale = client.put_if(KEY, b"second", etag=first.etag, sha256=digest(b"second"))
    now = client.put_if(KEY, b"third", etag=stale.etag, sha256=digest(b"third"))
    for etag in (None, first.etag, stale.etag, "0" * 32):
        with pytest.raises(ConditionFailed):
            client.put_if(KEY, b"fourth", etag=etag, sha256=digest(b"fourth"))
    with pytest.raises(ConditionFailed):
        client.put_if(SIDECAR, b"fourth", etag=now.etag)
    found = client.metadata(KEY)
    assert found is not None
    assert (found[0].etag, found[1]["sha256"]) == (now.etag, digest(b"third"))
    assert everything(client) == {KEY: b"third"}


async def test_the_holder_creates_and_replaces(client: ObjectClient) -> None:
    store = fenced_store(client)
    for data in (b"one", b"two", b"two"):
        stat = await store.put_archive(KEY, data, b"of " + data, sha256=digest(data))
        assert (await store.scan(FOLDER))[KEY.removeprefix(FOLDER)] == stat
        assert everything(client) == {KEY: data, SIDECAR: b"of " + data}
    for data in (b"three", b"three"):
        stat = await store.put(KEY, data, sync=True)
        assert (await store.scan(FOLDER))[KEY.removeprefix(FOLDER)] == stat
    await store.put(FOLDER + "other", b"other", sync=True)
    part = await store.open_part(KEY, resume=False)
    await part.append(b"four")
    await part.commit()
    await store.remove(SIDECAR)
    assert everything(client) == {KEY: b"four", FOLDER + "other": b"other"}


async def test_what_is_there_stays_once_the_lease_is_lost(client: ObjectClient) -> None:
    store = fenced_store(client)
    await store.put_archive(KEY, b"newest", b"sidecar", sha256=digest(b"newest"))
    before = everything(client)
    parts = [await store.open_part(KEY, resume=False, doubtful=each) for each in (False, True)]
    for part in parts:
        await part.append(b"older")
    empty = await store.open_part(KEY, resume=False)
    leave(client, holder="another")
    for write in (
        store.put_archive(KEY, b"older", b"sidecar", sha256=digest(b"older")),
        store.put(KEY, b"older"),
        store.put(KEY, b"older", sync=True),
        store.remove(KEY),
        *(part.commit() for part in (*parts, empty)),
    ):
        with pytest.raises(LostLockError, match=LOST) as caught:
            await write
        assert (caught.value.stops_run, caught.value.exit_code) == (True, 11)
    for part in parts:
        await part.close()
    assert everything(client) == before


@pytest.mark.parametrize("facts", [{"holder": "another"}, {"released": True}, None])
async def test_a_lease_that_is_not_that_of_the_run_is_lost(
    memory_client: ObjectClient, facts: dict[str, object] | None
) -> None:
    store = fenced_store(memory_client)
    memory_client.delete(".lakehouse/lease.json")
    if facts is not None:
        leave(memory_client, **{"holder": holder_of(store), **facts})
    with pytest.raises(LostLockError, match=LOST):
        await store.remove(KEY)


async def test_no_request_follows_the_end_of_the_time_of_a_lease(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty
    keeper = LeaseKeeper(Lease(client))
    keeper.lease.take()
    store = ObjectStore(client)
    part = await store.open_part(KEY, resume=False)
    with writing_under(keeper, store):
        await store.put_archive(KEY, b"one", b"sidecar", sha256=digest(b"one"))
        assert [request.kind for request in proxy.requests[-3:]] == ["put"] * 3  # lease, archive
        keeper.lease.give_up()
        proxy.clear()
        for write in (
            store.put(KEY, b"two"),
            store.put_archive(KEY, b"two", b"sidecar", sha256=digest(b"two")),
            store.remove(KEY),
            store.quarantine(KEY, b"two", {}),
            part.commit(),
        ):
            with pytest.raises(StoreError, match="could not renew its lease"):
                await write
        assert proxy.requests == []
    await store.put(KEY, b"two")  # of a run that needs no lease
    assert [request.kind for request in proxy.requests] == ["put"]
    with pytest.raises(TypeError, match="only an object store has a lease"):
        writing_under(keeper, object()).__enter__()  # type: ignore[arg-type]


@frozen
class _Contended(ObjectClient):
    """Another program writes to a key before each write that has a condition, or after a copy."""

    others: list[bytes] = field(factory=list)

    def put_if(self, key: str, data: bytes, *, etag: str | None, **metadata: str) -> ObjectInfo:
        if key == KEY and self.others:
            other = self.others.pop()
            self.put(key, other, sha256=digest(other))
        return super().put_if(key, data, etag=etag, **metadata)

    def copy(self, source: str, target: str) -> None:
        super().copy(source, target)
        if self.others:
            self.put(source, self.others.pop())


@pytest.fixture
def contended() -> _Contended:
    return _Contended(MemoryStore(), "memory://bucket")


async def test_a_version_that_another_program_stores_meanwhile_is_looked_at(
    contended: _Contended,
) -> None:
    store = fenced_store(contended)
    contended.others.extend([b"a", b"b"])
    await store.put(KEY, b"mine")
    assert (everything(contended), contended.others) == ({KEY: b"mine"}, [])
    contended.others.extend([b"not needed", b"theirs"])
    before = contended.others[:1]
    await store.put(KEY, b"theirs", sync=True)
    assert (everything(contended), contended.others) == ({KEY: b"theirs"}, before)
    contended.others.extend(b"%d" % number for number in range(9))
    with pytest.raises(StoreError, match="the store has refused 5 writes"):
        await store.put(KEY, b"mine")


async def test_a_copy_that_may_be_of_another_version_is_not_kept(contended: _Contended) -> None:
    store = ObjectStore(contended)
    await store.put(KEY, b"old")
    contended.others.append(b"newer")
    assert await store.keep_replaced(KEY, digest(b"old")) == ""
    assert list(store.kept_versions()) == []
    assert everything(contended) == {KEY: b"newer"}
    assert await store.keep_replaced(KEY, digest(b"newer")) != ""
