"""The thread that renews a lease."""

from __future__ import annotations

from threading import Event

import pytest
from tests.services.fault_proxy import FaultProxy, error
from tests.stores.objects.leases import Clock, leave, record
from tests.stores.objects.scene import on

from crypto_lakehouse.core.errors import LostLockError, StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.lease import LEASE_KEY, Lease, elapsed_s
from crypto_lakehouse.stores.objects.lease_keeper import LeaseKeeper
from crypto_lakehouse.stores.objects.opening import impatient


def keep(lease: Lease, clock: Clock, *pauses: str) -> tuple[LeaseKeeper, list[float]]:
    """Let a keeper work until it ends by itself, or for so many pauses."""
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        clock.now += seconds
        return len(waits) > len(pauses)

    keeper = LeaseKeeper(lease, wait)
    keeper.run()
    return keeper, waits


def test_a_lease_is_renewed_three_times_while_it_lasts(
    memory_client: ObjectClient, clock: Clock
) -> None:
    lease = Lease(memory_client, clock=clock)
    lease.take()
    keeper, waits = keep(lease, clock, *"12345")
    assert waits == [20.0] * 6
    assert lease.left_s == 40.0
    keeper.check()
    keeper.stop()
    assert record(memory_client)["released"] is True


def test_a_store_that_fails_for_a_moment_is_tried_more_often(
    faulty: tuple[FaultProxy, ObjectClient], clock: Clock
) -> None:
    proxy, client = faulty
    lease = Lease(client, clock=clock)
    lease.take()
    proxy.fault = on(["put"], error(400, "Bad"), last=2)
    keeper, waits = keep(lease, clock, *"123")
    assert waits == [20.0, 5.0, 5.0, 20.0]
    keeper.check()


def test_a_store_that_fails_for_a_lease_time_ends_the_run(
    faulty: tuple[FaultProxy, ObjectClient], clock: Clock
) -> None:
    proxy, client = faulty
    lease = Lease(client, clock=clock)
    lease.take()
    proxy.fault = on(["put"], error(400, "Bad"))
    keeper, waits = keep(lease, clock, *("x" * 50))
    assert sum(waits) == lease.lease_s
    with pytest.raises(StoreError, match=r"could not renew its lease \(400 Bad \(no\)\)") as caught:
        keeper.check()
    assert (caught.value.stops_run, caught.value.exit_code) == (True, 1)  # that of a 400
    keeper.stop()


def test_a_lease_that_was_taken_over_ends_the_run_at_once(
    memory_client: ObjectClient, clock: Clock
) -> None:
    lease = Lease(memory_client, clock=clock)
    lease.take()
    leave(memory_client, holder="another")
    keeper, waits = keep(lease, clock, *"12345")
    assert waits == [20.0]
    with pytest.raises(LostLockError, match="there is another version of it") as caught:
        keeper.check()
    assert caught.value.exit_code == 11
    keeper.stop()
    assert record(memory_client)["holder"] == "another"


def test_a_thread_renews_it(memory_client: ObjectClient) -> None:
    ended = Event()
    keeper = LeaseKeeper(Lease(memory_client), lambda _: ended.wait(0.001))
    keeper.take()
    while record(memory_client)["count"] < 3:
        pass
    ended.set()
    keeper.stop()
    assert keeper._thread is not None
    assert not keeper._thread.is_alive()


def test_a_release_that_fails_ends_no_run(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty
    keeper = LeaseKeeper(Lease(client))
    keeper.take()
    proxy.fault = on(["put"], error(403, "AccessDenied"))
    keeper.stop()


def test_a_request_without_an_answer_delays_no_other(
    faulty: tuple[FaultProxy, ObjectClient],
) -> None:
    proxy, client = faulty

    def hang(_forward: object) -> None:
        proxy.ended.wait()

    proxy.fault = on(["put"], hang)
    with pytest.raises(StoreError, match="it cannot be reached, or does not answer"):
        Lease(impatient(client, 0.1)).take()


def test_a_store_in_memory_is_always_patient(memory_client: ObjectClient) -> None:
    assert impatient(memory_client, 0.1) is memory_client


def test_an_impatient_client_is_the_same_otherwise(client: ObjectClient) -> None:
    Lease(impatient(client, 10)).take()
    assert client.head(LEASE_KEY) is not None


def test_the_clock_goes_on() -> None:
    first = elapsed_s()
    assert elapsed_s() >= first
