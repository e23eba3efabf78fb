"""A store that fails while a lake is written: a clear error, nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from attrs import frozen
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, behind_faults, error
from tests.stores.objects.scene import on
from tests.tables.at_url.lakes import LakeAtUrl, expected
from tests.tables.sample_data import bars, days, put

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects import opening
from crypto_lakehouse.tables.lake.verification import verify_tables

ARCHIVES = [bars(day) for day in days(date(2023, 12, 1), 3)]
RECORDS = ".lakehouse/tables/"


@frozen
class Scene:
    """A lake with one archive, behind a proxy."""

    proxy: FaultProxy
    lake: LakeAtUrl
    tree: Path

    def ingest(self) -> list[str]:
        told = self.lake.ingest([put(self.tree, each) for each in ARCHIVES])
        return [each.archive.key for each in told]


@pytest.fixture
def scene(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    backoff = {
        "init_backoff": timedelta(milliseconds=1),
        "max_backoff": timedelta(milliseconds=4),
        "base": 2,
    }
    monkeypatch.setitem(opening._RETRIES, "backoff", backoff)
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        url = ministack_bucket.fresh_prefix()
        scene = Scene(proxy, LakeAtUrl.in_bucket(bucket, tmp_path, url), tmp_path)
        scene.lake.ingest([put(tmp_path, ARCHIVES[0])])
        yield scene


def lost(forward: Forward) -> None:
    """Do what was asked, and say nothing."""
    forward()


def test_an_answer_that_is_lost_is_no_second_commit(scene: Scene) -> None:
    # The client asks again, and the condition of its second request is not met any more.
    scene.proxy.fault = on({"put"}, lost, last=1, of=f"{RECORDS}spot.klines")
    assert len(scene.ingest()) == 2
    assert scene.lake.rows() == scene.lake.rows("other") == expected(ARCHIVES)


def test_a_commit_that_the_store_made_but_called_a_failure_is_a_commit(scene: Scene) -> None:
    def failed(forward: Forward) -> Answer:
        forward()
        return error(503, "SlowDown")

    scene.proxy.fault = on({"put"}, failed, of=f"{RECORDS}spot.klines")
    assert len(scene.ingest()) == 2
    assert scene.lake.rows("other") == expected(ARCHIVES)


@pytest.mark.parametrize(
    "place", [".parquet", "metadata.json", "-m0.avro", "snap-", f"{RECORDS}spot.klines"]
)
def test_a_store_that_refuses_to_write_is_an_error_and_the_next_run_completes(
    scene: Scene, place: str
) -> None:
    scene.proxy.fault = on({"put"}, error(403, "AccessDenied", "no"), of=place)
    with pytest.raises(StoreError, match="403 AccessDenied") as found:
        scene.ingest()
    assert "testsecret" not in str(found.value)
    scene.proxy.clear()
    assert scene.lake.rows() == expected(ARCHIVES[:1])
    assert len(scene.ingest()) == 2
    assert scene.lake.rows() == expected(ARCHIVES)


def test_a_provenance_that_cannot_be_recorded_is_recorded_by_the_next_run(scene: Scene) -> None:
    refused = error(403, "AccessDenied", "no")
    scene.proxy.fault = on({"put"}, refused, of=f"{RECORDS}lakehouse.archives")
    with pytest.raises(StoreError, match="403 AccessDenied"):
        scene.ingest()
    scene.proxy.clear()
    assert scene.lake.rows() == expected(ARCHIVES)
    assert scene.ingest() == []


def test_a_store_that_cannot_be_read_does_not_make_a_file_a_damaged_one(scene: Scene) -> None:
    catalog = scene.lake.catalog()
    scene.proxy.fault = on({"get", "head"}, error(403, "ExpiredToken", "no"), of=".parquet")
    with pytest.raises(StoreError, match="403"):
        list(verify_tables(catalog, ["spot.klines"]))
    scene.proxy.clear()
    scene.proxy.fault = on({"get"}, error(403, "ExpiredToken", "no"), of="spot/klines/data")
    with pytest.raises(StoreError, match="403 ExpiredToken"):
        list(verify_tables(catalog, ["spot.klines"]))


def test_a_machine_without_the_journal_writes_the_rows_of_a_killed_run_once(scene: Scene) -> None:
    refused = error(403, "AccessDenied", "no")
    scene.proxy.fault = on({"put"}, refused, of=f"{RECORDS}lakehouse.archives")
    with pytest.raises(StoreError, match="403 AccessDenied"):
        scene.ingest()
    scene.proxy.clear()
    sources = [put(scene.tree, each) for each in ARCHIVES]
    assert len(scene.lake.ingest(sources, "other")) == 2
    assert scene.lake.rows() == expected(ARCHIVES)
