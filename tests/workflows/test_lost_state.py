"""A lost state folder of an object store costs little, and nothing at the source."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.bucket import Bucket
from tests.services.fault_proxy import FaultProxy, behind_faults
from tests.workflows.conftest import Collection, make_zip, member_of

from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.stores.objects.ledger_copy import COPY_KEY
from crypto_lakehouse.stores.objects.store import ObjectStore

DAYS = range(1, 21)
KEYS = [f"data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-{day:02}.zip" for day in DAYS]


@pytest.fixture(params=["ministack", "rclone"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    bucket: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    bucket.give_credentials(monkeypatch)
    return bucket


@pytest.fixture
def proxied(bucket: Bucket) -> Iterator[tuple[FaultProxy, Bucket]]:
    with behind_faults(bucket) as found:
        yield found


@pytest.fixture(params=["calendar", "listing"])
def scene(
    request: pytest.FixtureRequest,
    collection: Collection,
    bucket: Bucket,
    proxied: tuple[FaultProxy, Bucket],
    tmp_path: Path,
) -> Collection:
    """A collection of 20 archives into a store behind a proxy that counts."""
    for key in KEYS:
        collection.publish(key, make_zip(member_of(key), key.encode()))
    del collection.config["default_date"]
    collection.config |= {
        "output_directory": bucket.fresh_prefix(),
        "storage": dict(proxied[1].storage),
        "state_directory": str(tmp_path / "state"),
        "date_range": {"start": "2025-07-01", "end": "2025-07-20"},
        "partitions": ["daily"],
        "discovery": request.param,
        "listing_url": collection.server.url,
    }
    return collection


def store_of(scene: Collection, bucket: Bucket) -> ObjectStore:
    return bucket.open(scene.config["output_directory"])


async def after_loss(scene: Collection, proxy: FaultProxy) -> tuple[CollectionReport, Counter[str]]:
    """Lose the state folder, run, and return what the store was asked for archives."""
    shutil.rmtree(scene.config["state_directory"])
    scene.server.clear()
    proxy.clear()
    report = await scene.run()
    asked: Counter[str] = Counter()
    for request in proxy.requests:
        if "/data/" in request.key:
            asked[f"{request.kind} {'sidecar' if 'CHECKSUM' in request.key else 'zip'}"] += 1
    return report, asked


def fetched(scene: Collection) -> list[str]:
    return [path for path in scene.requested() if path.endswith((".zip", ".CHECKSUM"))]


async def test_with_the_copy_no_archive_costs_a_request(
    scene: Collection, proxied: tuple[FaultProxy, Bucket]
) -> None:
    await scene.run()
    report, asked = await after_loss(scene, proxied[0])
    assert report.totals["unchanged"] == len(KEYS)
    assert asked == {}
    assert fetched(scene) == []


async def test_without_the_copy_no_archive_is_read(
    scene: Collection, bucket: Bucket, proxied: tuple[FaultProxy, Bucket]
) -> None:
    await scene.run()
    store_of(scene, bucket).client.delete(COPY_KEY)
    report, asked = await after_loss(scene, proxied[0])
    assert (report.status, report.totals["unchanged"]) == ("complete", len(KEYS))
    assert asked == {"head zip": len(KEYS), "get sidecar": len(KEYS)}
    assert fetched(scene) == []


async def test_what_is_newer_than_the_copy_is_checked(
    scene: Collection, bucket: Bucket, proxied: tuple[FaultProxy, Bucket], tmp_path: Path
) -> None:
    for key in KEYS[15:]:
        scene.server.remove(key)
    whole = scene.config["date_range"]
    await scene.run(date_range={"start": "2025-07-01", "end": "2025-07-15"})
    client = store_of(scene, bucket).client
    old = client.read(COPY_KEY) or b""
    for key in KEYS[15:]:
        scene.publish(key, make_zip(member_of(key), key.encode()))
    await scene.run(date_range=whole)
    client.put(COPY_KEY, old)  # the run was killed before it copied its ledger
    report, asked = await after_loss(scene, proxied[0])
    assert report.totals["unchanged"] == len(KEYS)
    assert asked == {"head zip": 5, "get sidecar": 5}
    assert fetched(scene) == []


async def test_an_object_that_was_replaced_since_the_copy_is_read(
    scene: Collection, bucket: Bucket, proxied: tuple[FaultProxy, Bucket]
) -> None:
    await scene.run()
    client = store_of(scene, bucket).client
    before = {key: client.read(key) or b"" for key in KEYS}
    good = before[KEYS[0]]
    client.put(KEYS[0], good[:-1] + b"x")  # by another program, without a digest
    client.put(KEYS[1], client.read(KEYS[1]) or b"")  # the same bytes
    client.put(KEYS[2], good, sha256="0" * 64)  # with a digest that no sidecar confirms
    report, _ = await after_loss(scene, proxied[0])
    assert (report.status, report.totals["verified"]) == ("complete", 2)
    assert {key: client.read(key) for key in KEYS} == before


async def test_a_digest_of_another_version_is_not_believed(
    scene: Collection, bucket: Bucket
) -> None:
    await scene.run()
    store = store_of(scene, bucket)
    stat = (await store.scan(KEYS[0].rpartition("/")[0]))[KEYS[0].rpartition("/")[2]]
    known = await store.known_digests(KEYS[0], stat)
    assert known.sha256 == await store.sha256(KEYS[0])
    assert (await store.known_digests(KEYS[0], stat._replace(mark=1))).sha256 is None
    assert (await store.known_digests(KEYS[0] + "x", stat)).sha256 is None
    store.client.put(KEYS[0], b"bytes", sha256="not a digest")
    stat = (await store.scan(KEYS[0].rpartition("/")[0]))[KEYS[0].rpartition("/")[2]]
    assert (await store.known_digests(KEYS[0], stat)).sha256 is None
