"""Many runs, pauses, wrong clocks, lost and late requests: never do two runs believe in a lease."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from attrs import field, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from obstore.store import MemoryStore
from tests.examples import examples

from crypto_lakehouse.core.errors import LockHeldError, StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.lease import Lease
from crypto_lakehouse.stores.objects.lease_memory import LeaseMemory
from crypto_lakehouse.stores.objects.object_info import ObjectInfo

LEASE_S = 60.0
RUNS = 3

#: How fast the clocks of the machines go: any two differ by less than a factor of two.
RATES = (1.0, 0.75, 1.3)

FAULTS = st.sampled_from(["", "", "", "refused", "lost", "late", "slow"])


class World:
    """True time, and requests that have not arrived yet."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fault = ""
        self.late: list[Callable[[], Any]] = []


@frozen
class FaultyClient(ObjectClient):
    """A client whose next request for a PUT can fail in every way."""

    world: World = field(factory=World)

    def put_if(self, key: str, data: bytes, *, etag: str | None, **metadata: str) -> ObjectInfo:
        world, put = self.world, super().put_if
        fault, world.fault = world.fault, ""
        if fault == "refused":
            raise StoreError(key, "the request was lost")
        if fault == "late":
            world.late.append(lambda: put(key, data, etag=etag, **metadata))
            raise StoreError(key, "no answer")
        if fault == "slow":
            world.now += LEASE_S / 2
        info = put(key, data, etag=etag, **metadata)
        if fault == "slow":
            world.now += LEASE_S / 4
        if fault == "lost":
            raise StoreError(key, "the answer was lost")
        return info


class Leases(RuleBasedStateMachine):
    """Runs on several machines, each with its own state folder and its own clock."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.client = FaultyClient(MemoryStore(), "memory://bucket", world=self.world)
        self.runs = [self.begin(number, LeaseMemory()) for number in range(RUNS)]

    def begin(self, number: int, memory: LeaseMemory) -> Lease:
        def clock() -> float:
            return 1_000.0 * number + RATES[number] * self.world.now

        return Lease(self.client, "", memory, LEASE_S, clock)

    def attempt(self, call: Callable[[], None], fault: str) -> None:
        self.world.fault = fault
        with contextlib.suppress(LockHeldError, StoreError):
            call()
        self.world.fault = ""

    @rule(seconds=st.sampled_from([1.0, 5.0, 20.0, 45.0, 61.0, 90.0, 125.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(number=st.integers(0, RUNS - 1), fault=FAULTS)
    def take(self, number: int, fault: str) -> None:
        if self.runs[number].left_s <= 0:
            self.attempt(self.runs[number].take, fault)

    @rule(number=st.integers(0, RUNS - 1), fault=FAULTS)
    def wait(self, number: int, fault: str) -> None:
        """Try again and again to take it, until it is taken or too much time is over."""
        ends_at = self.world.now + 4 * LEASE_S
        while self.runs[number].left_s <= 0 and self.world.now < ends_at:
            self.world.now += LEASE_S / 8
            self.attempt(self.runs[number].take, fault)
            self.one_run_believes_in_the_lease()

    @rule(number=st.integers(0, RUNS - 1), fault=FAULTS)
    def renew(self, number: int, fault: str) -> None:
        self.attempt(self.runs[number].renew, fault)

    @rule(number=st.integers(0, RUNS - 1), fault=FAULTS)
    def release(self, number: int, fault: str) -> None:
        self.attempt(self.runs[number].release, fault)

    @rule(number=st.integers(0, RUNS - 1), keeps_state=st.booleans())
    def is_killed(self, number: int, keeps_state: bool) -> None:
        memory = self.runs[number].memory if keeps_state else LeaseMemory()
        self.runs[number] = self.begin(number, memory)

    @rule()
    def a_late_request_arrives(self) -> None:
        if self.world.late:
            self.attempt(self.world.late.pop(0), "")

    @invariant()
    def one_run_believes_in_the_lease(self) -> None:
        assert sum(run.left_s > 0 for run in self.runs) <= 1


TestLeases = pytest.mark.timeout(300)(Leases.TestCase)
TestLeases.settings = settings(max_examples=examples(400), stateful_step_count=30)
