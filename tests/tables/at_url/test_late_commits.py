"""A commit whose answer is lost, and which arrives later or never: no table names what is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from attrs import define, field
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, FaultProxy, Forward, Request, behind_faults
from tests.tables.at_url.lakes import LakeAtUrl, expected
from tests.tables.at_url.relocated import at, copy_objects, versions
from tests.tables.sample_data import bars, days, put

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.stores.objects import opening
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest import ingestion
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.lake.maintenance import compact, expire
from crypto_lakehouse.tables.lake.relocation import relocate

KLINES = "spot.klines"
ARCHIVES = [bars(day) for day in days(date(2023, 12, 1), 4)]
THERE = ARCHIVES[:2]
RECORD = f".lakehouse/tables/{KLINES}.json"


@define
class Scene:
    """A lake behind a proxy that keeps commits to `spot.klines` back.

    Attributes:
        proxy: The proxy.
        lake: The lake; its metadata names another place.
        tree: The archives.
        held: What the proxy has kept back.
    """

    proxy: FaultProxy
    lake: LakeAtUrl
    tree: Path
    held: list[Forward] = field(factory=list)

    def ingest(self, machine: str = "here") -> None:
        self.lake.ingest([put(self.tree, each) for each in ARCHIVES], machine)

    def run(self, command: str) -> None:
        if command == "ingest":
            self.ingest()
            return
        commands: dict[str, Callable[[LakeCatalog], object]] = {
            "compact": lambda catalog: compact(catalog, KLINES, tool_version="test"),
            "expire": lambda catalog: expire(catalog, KLINES, before=datetime.now(UTC)),
            "relocate": lambda catalog: relocate(catalog, [KLINES]),
        }
        catalog = self.lake.catalog()
        try:
            commands[command](catalog)
        finally:
            catalog.close()

    def hold(self, *, most: int) -> None:
        """Keep so many writes of the record back, and close their connections."""

        def fault(request: Request, forward: Forward) -> Answer | None:
            is_held = request.kind == "put" and request.key.endswith(RECORD)
            if not is_held or len(self.held) >= most:
                return forward()
            self.held.append(forward)
            return None

        self.proxy.fault = fault

    def land(self) -> list[int]:
        """Forward what was kept back; return how the store answered."""
        found = [forward().status for forward in self.held]
        self.held.clear()
        return found

    def check(self) -> None:
        """Read every row of every snapshot of all tables, on a machine that knows nothing."""
        for machine in ("here", f"new-{self.proxy.take('count', '').number}"):
            assert versions(self.lake, machine)
            assert self.lake.rows(machine) in (expected(THERE), expected(ARCHIVES))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LakeAtUrl:
    folder = tmp_path_factory.mktemp("made")
    lake = at("s3://made/lake", folder)
    for archive in THERE:
        lake.ingest([put(folder, archive)])
    return lake


@pytest.fixture
def scene(
    made: LakeAtUrl, ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    monkeypatch.setitem(opening._RETRIES, "max_retries", 0)
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        lake = LakeAtUrl.in_bucket(bucket, tmp_path, ministack_bucket.fresh_prefix())
        copy_objects(made.client, lake.client)
        yield Scene(proxy, lake, tmp_path)


@pytest.mark.parametrize(
    ("most", "lands"), [(1, "at once"), (99, "at once"), (99, "after the next run")]
)
@pytest.mark.parametrize("command", ["ingest", "compact", "expire", "relocate"])
def test_nothing_is_deleted_that_a_late_commit_names(
    scene: Scene, command: str, most: int, lands: str
) -> None:
    scene.hold(most=most)
    with pytest.raises(StoreError):
        scene.run(command)
    scene.proxy.clear()
    assert scene.held
    if lands == "at once":
        scene.land()
    scene.check()
    scene.ingest()
    assert scene.lake.rows() == expected(ARCHIVES)
    if lands == "after the next run":
        assert {*scene.land()} == {412}
    scene.check()
    assert scene.lake.rows() == expected(ARCHIVES)


@pytest.mark.parametrize("recovery", ["here", "compact"])
def test_the_commit_of_a_killed_run_cannot_arrive_once_its_files_are_deleted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, recovery: str
) -> None:
    scene.hold(most=1)
    with monkeypatch.context() as killed:
        killed.setattr(ingestion, "recover", lambda _catalog: 0)
        with pytest.raises(StoreError):
            scene.ingest()
    scene.proxy.clear()
    if recovery == "compact":
        scene.run("compact")
    else:
        catalog = scene.lake.catalog()
        assert recover(catalog) == 1
        catalog.close()
    assert scene.land() == [412]
    scene.check()
    scene.ingest()
    assert scene.lake.rows() == expected(ARCHIVES)


def test_a_commit_that_arrives_while_a_run_recovers_is_completed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.hold(most=1)
    with monkeypatch.context() as killed:
        killed.setattr(ingestion, "recover", lambda _catalog: 0)
        with pytest.raises(StoreError):
            scene.ingest()
    late = scene.held.pop()

    def fault(request: Request, forward: Forward) -> Answer | None:
        if request.kind == "put" and request.key.endswith(RECORD):
            scene.proxy.clear()
            assert late().status == 200
        return forward()

    scene.proxy.clear()
    scene.proxy.fault = fault
    catalog = scene.lake.catalog()
    assert recover(catalog) == 1
    catalog.close()
    assert scene.lake.rows() == expected(ARCHIVES)
    scene.check()
    catalog = scene.lake.catalog()
    archives = catalog.find("lakehouse.archives")
    assert archives is not None
    assert archives.scan().to_arrow().num_rows == len(ARCHIVES)
    catalog.close()


def test_a_store_that_ignores_conditions_keeps_what_a_late_commit_may_name(
    rclone_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(opening._RETRIES, "max_retries", 0)
    rclone_bucket.give_credentials(monkeypatch)
    with behind_faults(rclone_bucket) as (proxy, bucket):
        lake = LakeAtUrl.in_bucket(bucket, tmp_path, rclone_bucket.fresh_prefix())
        scene = Scene(proxy, lake, tmp_path)
        lake.ingest([put(tmp_path, each) for each in THERE])
        scene.hold(most=1)
        with pytest.raises(StoreError):
            scene.ingest()
        proxy.clear()
        assert scene.land() == [200]
        scene.check()
        assert lake.rows() == expected(ARCHIVES)
        scene.ingest()
        assert lake.rows() == expected(ARCHIVES)
