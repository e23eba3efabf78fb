"""A clock, and stores in which leases are taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from obstore.store import MemoryStore
from tests.services.bucket import Bucket
from tests.services.fault_proxy import FaultProxy, behind_faults
from tests.stores.objects.leases import Clock

from crypto_lakehouse.stores.objects.client import ObjectClient


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "ministack", "azurite", "gcs"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ObjectClient:
    if request.param == "memory":
        return ObjectClient(MemoryStore(), "memory://bucket")
    bucket: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    bucket.give_credentials(monkeypatch)
    return bucket.open().client


@pytest.fixture
def memory_client() -> ObjectClient:
    return ObjectClient(MemoryStore(), "memory://bucket")


@pytest.fixture
def faulty(
    ministack_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FaultProxy, ObjectClient]]:
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        yield proxy, bucket.open(ministack_bucket.fresh_prefix()).client
