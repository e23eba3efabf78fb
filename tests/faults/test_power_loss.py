"""A power loss: what the ledger claims, the disk holds, and the next run mends the rest."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from tests.faults.recording_disk import RecordingDisk
from tests.workflows.conftest import BIG_KEY, Collection, big_zip, make_zip, member_of

from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.workflows.wiring.delivery import Delivery

FOLDER = "data/spot/daily/klines/BTCUSDT/1h/"
KEYS = [f"{FOLDER}BTCUSDT-1h-2025-07-{day:02}.zip" for day in range(10, 20)]
DAYS = {"date_range": {"start": "2025-07-10", "end": "2025-07-19"}}
WHOLE = {"data_types": ["klines", "trades"], "intervals": {"klines": ["1h"]}, **DAYS}


#: The ledger is written often, as in a long run.
MANY_BATCHES = Delivery(batch_rows=3, gather_s=0.0)


@cache
def archive(key: str, text: str) -> bytes:
    return make_zip(member_of(key), text.encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def claims(root: Path) -> dict[str, str]:
    """Every digest that the ledger says is verified at a key."""
    with closing(sqlite3.connect(root / ".lakehouse" / "ledger.sqlite")) as ledger:
        query = "SELECT folder || name, sha256 FROM archives WHERE verdict = 'verified'"
        return dict(ledger.execute(query).fetchall())


async def collect_old_versions(collection: Collection) -> None:
    for key in KEYS[:6]:
        collection.publish(key, archive(key, "old"))
    report = await collection.run(
        delivery=MANY_BATCHES, date_range={"start": "2025-07-10", "end": "2025-07-15"}
    )
    assert report.totals["verified"] == 6


def publish_new_versions(collection: Collection) -> None:
    for key in KEYS[3:]:
        collection.publish(key, archive(key, "new"))
    for day in range(10, 20):
        collection.server.remove(BIG_KEY.replace("07-15", f"07-{day}"))
    collection.publish(BIG_KEY, big_zip(2_000_000))


async def lose_power(
    collection: Collection, disk: RecordingDisk, tmp_path: Path, seed: int
) -> Path:
    """Run on a disk that fails at some moment; returns what a machine finds after its restart."""
    try:
        await collection.run(
            delivery=MANY_BATCHES, **WHOLE, store=LocalStore(collection.root, disk)
        )
    except LakehouseError as error:
        assert "power loss" in str(error)
    found = tmp_path / "found"
    disk.remains(found, seed)
    (found / ".lakehouse").mkdir(exist_ok=True)
    for path in (collection.root / ".lakehouse").glob("ledger*"):
        shutil.copy2(path, found / ".lakehouse" / path.name)
    return found


@pytest.mark.parametrize("has_syncfs", [True, False])
@pytest.mark.parametrize("moment", [*range(0, 120, 5), 1 << 30])
async def test_the_ledger_claims_nothing_that_the_disk_does_not_hold(
    collection: Collection,
    tmp_path: Path,
    moment: int,
    has_syncfs: bool,
) -> None:
    collection.config |= {"discovery": "listing", "listing_url": collection.server.url}
    await collect_old_versions(collection)
    publish_new_versions(collection)
    disk = RecordingDisk(collection.root, operations=moment, has_syncfs=has_syncfs)
    found = await lose_power(collection, disk, tmp_path, seed=moment)
    before = claims(found)
    assert len(before) >= 6
    for key, digest in before.items():
        held = (found / key).read_bytes()
        assert sha256(held) in {digest, sha256(collection.server.read(key))}, key
        kept = (found / ".lakehouse" / "replaced" / key).glob("*.zip")
        assert digest in {sha256(held), *(sha256(path.read_bytes()) for path in kept)}, key

    collection.server.clear()
    collection.root = found
    report = await collection.run(
        delivery=MANY_BATCHES, **{**WHOLE, "output_directory": str(found)}
    )
    assert report.totals["verified"] + report.totals["unchanged"] == 11
    assert report.totals["corrupt"] + report.totals["failed"] == 0
    for key in (*KEYS, BIG_KEY):
        assert (found / key).read_bytes() == collection.server.read(key)
        assert (
            sha256((found / key).read_bytes()).encode() in (found / f"{key}.CHECKSUM").read_bytes()
        )
    for key in KEYS[3:6]:
        versions = (found / ".lakehouse" / "replaced" / key).glob("*.zip")
        assert {path.read_bytes() for path in versions} == {archive(key, "old")}
    assert collection.stray_files() == []


async def test_what_the_ledger_claims_was_synced_before(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above would find nothing where nothing is ever lost."""
    monkeypatch.setattr(LocalStore, "make_durable", lambda _self, _keys: None)
    for key in KEYS:
        collection.publish(key, archive(key, "new"))
    disk = RecordingDisk(collection.root)
    await collection.run(delivery=MANY_BATCHES, **DAYS, store=LocalStore(collection.root, disk))
    assert disk.syncs == 0
    found = collection.root.parent / "found"
    disk.remains(found, seed=1)
    whole = [key for key in KEYS if (found / key).is_file()]
    assert len(whole) < len(KEYS)
