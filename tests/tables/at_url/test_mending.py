"""Data files of a lake at a URL that are gone or cut: the next run writes their rows again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio import from_thread
from attrs import frozen
from tests.services.bucket import Bucket
from tests.services.fault_proxy import FaultProxy, behind_faults, error
from tests.stores.objects.scene import on
from tests.tables.sample_data import bars, changed_text, days, month_of, put, text_of
from tests.workflows.lakes import FIRST, ingested

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.filters import equals
from crypto_lakehouse.tables.iceberg.object_files import LakeObjects
from crypto_lakehouse.tables.ingest.ingestion import _Commit
from crypto_lakehouse.tables.ingest.provenance import (
    ARCHIVES,
    newest_rows,
    record,
    recorded_again,
)
from crypto_lakehouse.tables.lake.verification import verify_tables
from crypto_lakehouse.workflows.lake_report import IngestReport

NAME = "spot.klines"
DAYS = days(FIRST, 3)
TABLES = ("spot/klines", "lakehouse/archives", "lakehouse/differences")


@frozen
class Scene:
    """A tree, and its lake at a URL, behind a proxy."""

    tree: Path
    url: str
    storage: dict[str, Any]
    client: ObjectClient
    proxy: FaultProxy

    async def ingest(self, machine: str = "here", **config: Any) -> IngestReport:
        state = str(self.tree.parent / machine)
        return await ingested(
            self.tree, lake=self.url, storage=self.storage, state_directory=state, **config
        )

    def open(self) -> Lake:
        state = str(self.tree.parent / "reader")
        return Lake.open(self.url, storage=self.storage, state_directory=state)

    def contents(self) -> list[Any]:
        with self.open() as lake:
            rows = f"SELECT * FROM {NAME} ORDER BY symbol, open_time"  # noqa: S608
            differing = (
                "SELECT * EXCLUDE (commit, recorded_at) FROM lakehouse.differences ORDER BY ALL"
            )
            return [lake.sql(query).fetchall() for query in (rows, differing)]

    def is_whole(self) -> bool:
        with self.open() as lake:
            return all(each.is_whole for each in verify_tables(lake.catalog, lake.tables))

    def data_files(self, table: str, part: str = "") -> list[str]:
        found = self.client.objects(f"warehouse/{table}/data/")
        return [each.key for each in found if part in each.key]


@pytest.fixture
async def scene(ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A month with days that differ from it, and days of another symbol."""
    ministack_bucket.give_credentials(monkeypatch)
    tree, url = tmp_path / "tree", ministack_bucket.fresh_prefix()
    put(tree, bars(DAYS[0]), changed_text(bars(DAYS[0])))
    put(tree, bars(DAYS[1]))
    put(tree, month_of(bars(FIRST)), "".join(text_of(bars(day)) for day in days(FIRST, 31)))
    for day in DAYS:
        put(tree, bars(day, "ETHUSDT"))
    with behind_faults(ministack_bucket) as (proxy, bucket):
        storage = dict(bucket.storage)
        found = Scene(tree, url, storage, ministack_bucket.open(url).client, proxy)
        await found.ingest()
        yield found


def gone(client: ObjectClient, key: str) -> None:
    client.delete(key)


def cut(client: ObjectClient, key: str) -> None:
    client.put(key, (client.read(key) or b"")[:-1])


@pytest.mark.parametrize("damage", [gone, cut])
@pytest.mark.parametrize("table", TABLES)
async def test_what_was_lost_is_written_again(
    scene: Scene, damage: Callable[[ObjectClient, str], None], table: str
) -> None:
    right = scene.contents()
    for key in scene.data_files(table):
        damage(scene.client, key)
    assert not scene.is_whole()
    report = await scene.ingest("a new machine")
    assert (report.exit_code, report.mended_files) == (0, 2 if table == TABLES[0] else 0)
    assert scene.contents() == right
    assert scene.is_whole()
    assert (await scene.ingest()).mended_files == 0


async def test_only_the_archives_of_the_file_are_ingested_again(scene: Scene) -> None:
    right = scene.contents()
    (key,) = scene.data_files("spot/klines", "ETHUSDT")
    scene.client.delete(key)
    report = await scene.ingest(symbols=["BTCUSDT"])
    assert (report.exit_code, report.mended_files, report.tables[0].archives) == (0, 1, 3)
    assert scene.contents() == right


async def test_flipped_bits_are_mended_if_archives_are_read_again(scene: Scene) -> None:
    right = scene.contents()
    (key,) = scene.data_files("spot/klines", "ETHUSDT")
    data = bytearray(scene.client.read(key) or b"")
    data[len(data) // 4] ^= 1
    scene.client.put(key, bytes(data))
    assert (await scene.ingest()).mended_files == 0, "only sizes are compared"
    assert (await scene.ingest(again=True)).mended_files == 1
    assert scene.contents() == right


async def test_what_cannot_be_restored_stays_and_nothing_else_waits(scene: Scene) -> None:
    """Days of a damaged file cannot be restored: others of its months wait, all else goes on."""
    for key in scene.data_files("spot/klines", "ETHUSDT"):
        scene.client.delete(key)
    lost, near, new = bars(DAYS[1], "ETHUSDT"), bars(FIRST, "ETHUSDT"), bars(FIRST, "XRPUSDT")
    (scene.tree / lost.key).unlink()
    whole = "".join(text_of(bars(day, "ETHUSDT")) for day in days(FIRST, 31))
    put(scene.tree, month_of(near), whole)
    put(scene.tree, new)
    report = await scene.ingest()
    assert (report.exit_code, report.mended_files) == (4, 0)
    assert {each["key"]: each["state"] for each in report.problems} == {
        lost.key: "damaged", month_of(near).key: "held_back"
    }  # fmt: skip
    assert report.tables[0].archives == 1
    put(scene.tree, lost)
    assert (await scene.ingest()).mended_files == 1
    assert scene.is_whole()


async def test_a_store_that_fails_makes_no_file_a_damaged_one(scene: Scene) -> None:
    right = scene.contents()
    (key,) = scene.data_files("spot/klines", "ETHUSDT")
    scene.client.delete(key)
    scene.proxy.fault = on({"head"}, error(403, "AccessDenied", "no"), of="klines/data")
    with pytest.raises(StoreError, match="403"):
        await scene.ingest()
    scene.proxy.clear()
    assert (await scene.ingest()).mended_files == 1
    assert scene.contents() == right


async def test_an_object_that_a_listing_leaves_out_is_not_taken_for_gone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = LakeObjects.sizes

    def some(self: LakeObjects, url: str) -> dict[str, int]:
        return dict(list(sizes(self, url).items())[::2])

    monkeypatch.setattr(LakeObjects, "sizes", some)
    assert (await scene.ingest()).mended_files == 0
    monkeypatch.setattr(LakeObjects, "sizes", lambda *_: {})
    assert (await scene.ingest()).mended_files == 0


@pytest.mark.parametrize("mends", [True, False])
async def test_two_machines_that_mend_at_once_lose_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, mends: bool
) -> None:
    """Nothing is committed if another machine has mended the file, or recorded one of its archives.

    The latter may be for a finding alone: the rows are lost all the same.
    """
    right = scene.contents()
    (key,) = scene.data_files("spot/klines", "ETHUSDT")
    scene.client.delete(key)
    check = _Commit._check_restored

    def meanwhile(commit: Any) -> None:
        patch.undo()
        check(commit)
        if mends:
            from_thread.run(partial(scene.ingest, "another"))
        else:
            record_again(scene)

    with monkeypatch.context() as patch:
        patch.setattr(_Commit, "_check_restored", meanwhile)
        with pytest.raises(LakeError, match=r"another run recorded .* so nothing was committed"):
            await scene.ingest()
    assert (await scene.ingest()).mended_files == (0 if mends else 1)
    assert scene.contents() == right
    assert scene.is_whole()


def record_again(scene: Scene) -> None:
    """Record an archive of the damaged file again, as a check of its seams does."""
    with scene.open() as lake:
        archive = bars(DAYS[1], "ETHUSDT").key
        row = newest_rows(lake.catalog.find(ARCHIVES), equals("table", NAME))[archive]
        again = recorded_again(row, commit="other")
        record(lake.catalog, [again], table_sequence=row["table_sequence"])
