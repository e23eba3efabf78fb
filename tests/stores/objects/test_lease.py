"""A lease as its runs see it: taken, held, lost, released, and taken over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.fault_proxy import FaultProxy, error
from tests.stores.objects.leases import Clock, leave, record
from tests.stores.objects.scene import on

from crypto_lakehouse.core.errors import LockHeldError, StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.errors import ConditionFailed
from crypto_lakehouse.stores.objects.lease import LEASE_KEY, Lease


def test_one_run_holds_it_until_it_is_released(client: ObjectClient, clock: Clock) -> None:
    one, other = (Lease(client, name, clock=clock) for name in ("one", "other"))
    one.take()
    assert one.left_s == one.lease_s
    with pytest.raises(LockHeldError, match=r"lease .*, process \d+ on .* \(run one\); wait"):
        other.take()
    one.renew()
    clock.now += one.lease_s / 2
    one.release()
    assert one.left_s <= 0
    other.take()
    assert other.takeover == ""
    assert (record(client)["run"], record(client)["released"]) == ("other", False)


def test_it_is_taken_over_once_it_has_rested_for_two_lease_times(
    client: ObjectClient, clock: Clock
) -> None:
    leave(client)
    lease = Lease(client, clock=clock)
    with pytest.raises(LockHeldError) as caught:
        lease.take()
    assert "process 7 on a\\x1bb (run r)" in str(caught.value)
    assert "if that run was killed, the lease is free in 20 s" in str(caught.value)
    assert caught.value.exit_code == 11
    clock.now += 19
    with pytest.raises(LockHeldError, match="is free in 1 s"):
        lease.take()
    clock.now += 2
    with pytest.raises(LockHeldError, match="is free in 1 s"):
        lease.take()  # the store was asked less than a twelfth of a lease ago
    clock.now += 10
    assert lease.takeover == ""
    lease.take()
    assert lease.left_s > 0
    assert lease.takeover == (
        f"took over the lease `{lease.place}` from process 7 on a\\x1bb (run r), which had not "
        "renewed it for 31 s"
    )


def test_a_lease_that_is_renewed_is_never_free(memory_client: ObjectClient, clock: Clock) -> None:
    holder, other = Lease(memory_client, clock=clock), Lease(memory_client, clock=clock)
    holder.take()
    for _ in range(20):
        clock.now += 50
        holder.renew()
        with pytest.raises(LockHeldError):
            other.take()


def test_a_holder_whose_lease_was_taken_over_cannot_renew_it(
    client: ObjectClient, clock: Clock
) -> None:
    holder = Lease(client, clock=clock)
    holder.take()
    leave(client, holder="another")
    with pytest.raises(ConditionFailed):
        holder.renew()


def test_a_lease_that_was_removed_is_lost(client: ObjectClient, clock: Clock) -> None:
    holder = Lease(client, clock=clock)
    holder.take()
    client.delete(LEASE_KEY)
    with pytest.raises(ConditionFailed):
        holder.renew()


def test_a_holder_that_was_suspended_believes_no_more(
    memory_client: ObjectClient, clock: Clock
) -> None:
    holder = Lease(memory_client, clock=clock)
    holder.take()
    clock.now += holder.lease_s
    assert holder.left_s <= 0
    with pytest.raises(ConditionFailed, match="not renewed in time"):
        holder.renew()
    holder.release()  # that of another run would be released
    assert record(memory_client)["released"] is False


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"\xff", b"{}", b'{"lease_seconds": true}', b'{"lease_seconds": 1e99}']
)
def test_a_damaged_lease_is_one_of_a_run_without_a_name(
    memory_client: ObjectClient, clock: Clock, data: bytes
) -> None:
    memory_client.put(LEASE_KEY, data)
    lease = Lease(memory_client, clock=clock)
    with pytest.raises(LockHeldError, match=r"^another run holds the lease `[^,]*\(.* in 120 s"):
        lease.take()
    clock.now += 120
    lease.take()
    assert "from another run, which had not renewed it for 120 s" in lease.takeover


@pytest.mark.parametrize("call", ["take", "renew"])
def test_an_answer_that_was_lost_costs_nothing(
    faulty: tuple[FaultProxy, ObjectClient], clock: Clock, call: str
) -> None:
    proxy, client = faulty
    lease = Lease(client, clock=clock)
    if call == "renew":
        lease.take()
    proxy.fault = on(["put"], lambda forward: (forward(), error(400, "InternalError"))[1], last=1)
    clock.now += 7
    getattr(lease, call)()
    assert lease.left_s == lease.lease_s
    clock.now += 7
    lease.renew()


def test_a_request_that_arrives_late_is_found_out(
    faulty: tuple[FaultProxy, ObjectClient], clock: Clock
) -> None:
    proxy, client = faulty
    lease = Lease(client, clock=clock)
    lease.take()
    both = on(["get"], error(400, "Bad"), last=1)
    lost = on(["put"], lambda forward: (forward(), error(400, "Bad"))[1], last=1)
    proxy.fault = lambda request, forward: (both if request.kind == "get" else lost)(
        request, forward
    )
    with pytest.raises(StoreError, match="400 Bad"):
        lease.renew()  # it was renewed, and there is no telling
    with pytest.raises(StoreError, match="an answer of the store was lost"):
        lease.renew()
    lease.renew()
    lease.release()


def test_two_that_take_it_at_once(memory_client: ObjectClient, clock: Clock) -> None:
    class Overtaken(ObjectClient):
        """Another run takes the lease between a look and a request."""

        def put_if(self, key: str, data: bytes, *, etag: str | None, **metadata: str) -> Any:
            Lease(memory_client, "first", clock=clock).take()
            return super().put_if(key, data, etag=etag, **metadata)

    late = Lease(Overtaken(memory_client.client, "memory://bucket"), clock=clock)
    with pytest.raises(LockHeldError, match="run first"):
        late.take()
