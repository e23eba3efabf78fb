"""A repair fetches what is damaged or quarantined, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.workflows.conftest import (
    KEY,
    SIDECAR,
    Collection,
    make_zip,
    member_of,
    sidecar_of,
)

from crypto_lakehouse.collection.verifier import FileState
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import LockHeldError
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing.faults import Status
from crypto_lakehouse.workflows.repair import RepairReport, repair_archives
from crypto_lakehouse.workflows.verification import verify_tree

OTHER = KEY.replace("/1h/BTCUSDT-1h", "/4h/BTCUSDT-4h")
THIRD = KEY.replace("/1h/BTCUSDT-1h", "/1d/BTCUSDT-1d")


async def repair(collection: Collection, *keys: str) -> RepairReport:
    archives = [Archive.parse(key) for key in keys]
    config = WorkflowConfig(collection.config, max_retries=0, environ={})
    return await repair_archives(config, archives, retry=collection.retry)


def rot(path: Path) -> None:
    """Change a byte, and nothing that a directory shows."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def of_another(path: Path) -> None:
    path.write_bytes(sidecar_of(b"another", path.name.removesuffix(".CHECKSUM")))


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "rotten": (KEY, rot),
    "truncated": (KEY, lambda path: path.write_bytes(path.read_bytes()[:-9])),
    "appended": (KEY, lambda path: path.write_bytes(path.read_bytes() + b"!")),
    "a link to itself": (KEY, link_to_itself),
    "a rotten sidecar": (SIDECAR, lambda path: path.write_bytes(b"garbage")),
    "a sidecar of another": (SIDECAR, of_another),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_every_kind_of_damage_is_repaired(collection: Collection, damage: str) -> None:
    await collection.run(intervals=["1h", "4h"])
    whole = collection.path(KEY).read_bytes()
    key, harm = DAMAGES[damage]
    harm(collection.path(key))
    assert (await verify_tree(collection.root)).exit_code == 4
    collection.server.clear()
    report = await repair(collection, KEY)
    assert (report.repaired, report.remaining, report.exit_code) == ((KEY,), (), 0)
    assert collection.requested() == [KEY, SIDECAR]
    assert collection.path(KEY).read_bytes() == whole
    assert (await verify_tree(collection.root)).totals == {FileState.OK: 2}


async def test_a_source_that_is_down_ends_a_repair(collection: Collection) -> None:
    """As it ends a collection: no archive is tried after 20 in a row have failed."""
    days = {"start": "2025-06-01", "end": "2025-06-30"}
    await collection.run(default_date=None, date_range=days, partitions=["daily"])
    keys = [KEY.replace("2025-07-15", f"2025-06-{day:02}") for day in range(1, 31)]
    for key in keys:
        rot(collection.path(key))
    collection.server.inject("*", Status(503), endless=True)
    collection.config["max_parallel_downloads"] = 1
    report = await repair(collection, *keys)
    assert report.collection.totals[Verdict.FAILED] < 30
    assert report.collection.error.startswith("the source is unavailable: 20 archives in a row")
    assert report.to_mapping()["error"] == report.collection.error
    assert (report.exit_code, len(report.remaining)) == (5, 30)
    collection.server.heal()
    assert (await repair(collection, *keys)).exit_code == 0


async def test_what_cannot_be_repaired_stays_and_is_named(collection: Collection) -> None:
    await collection.run()
    rot(collection.path(KEY))
    collection.server.remove(KEY)
    report = await repair(collection, KEY)
    assert report.repaired == ()
    assert [item.key for item in report.remaining] == [KEY]
    assert report.exit_code == 4
    mapping = report.to_mapping()
    assert mapping["remaining"][0]["state"] == "damaged"


async def test_quarantine_is_left_only_once_a_good_version_stands(
    collection: Collection,
) -> None:
    good = collection.server.read(SIDECAR)
    collection.server.put(SIDECAR, sidecar_of(b"another", KEY.rpartition("/")[2]))
    await collection.run()
    (item,) = list(LocalStore(collection.root).quarantined())
    assert item.archive.key == KEY
    assert item.reason.startswith("upstream_mismatch: published SHA-256")
    report = await repair(collection, KEY)
    assert (report.repaired, collection.quarantined(KEY).is_file()) == ((), True)
    assert "upstream_mismatch" in report.remaining[0].reason
    collection.server.put(SIDECAR, good)
    report = await repair(collection, KEY)
    assert (report.repaired, report.exit_code) == ((KEY,), 0)
    assert list(LocalStore(collection.root).quarantined()) == []
    assert not collection.quarantined(KEY).with_name(f"{member_of(KEY)}.json").exists()


async def test_a_good_older_version_does_not_free_its_quarantined_successor(
    collection: Collection,
) -> None:
    collection.config["listing_url"] = collection.server.url
    await collection.run()
    collection.server.put(KEY, make_zip(member_of(KEY), b"other,bars\n"))
    report = await collection.run()
    assert report.totals[Verdict.UPSTREAM_MISMATCH] == 1
    result = await repair(collection, KEY)
    assert result.repaired == ()
    assert [item.state for item in result.remaining] == [FileState.OK]
    assert collection.quarantined(KEY).is_file()


async def test_a_run_on_the_same_directory_is_respected(collection: Collection) -> None:
    await collection.run()
    with output_lock(collection.root / ".lakehouse" / "lock"), pytest.raises(LockHeldError):
        await repair(collection, KEY)


async def test_only_archives_are_listed_as_quarantined(collection: Collection) -> None:
    await collection.run()
    folder = collection.root / ".lakehouse" / "quarantine"
    for key in (OTHER, THIRD, "notes.zip"):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(b"bytes")
    (folder / f"{OTHER}.json").write_text("[]")
    (folder / KEY).mkdir(parents=True)
    found = list(LocalStore(collection.root).quarantined())
    assert [item.archive.key for item in found] == sorted([OTHER, THIRD])
    assert {item.reason for item in found} == {"?: its note is gone"}


async def test_since_and_samples_take_a_part(collection: Collection) -> None:
    from datetime import UTC, datetime, timedelta

    from crypto_lakehouse.collection.sampling import Sample

    await collection.run(intervals=["1h", "4h", "1d"])
    today = datetime.now(UTC).date()
    os.utime(collection.path(OTHER), (0, 0))
    collection.path(THIRD).unlink()
    report = await verify_tree(collection.root, since=today - timedelta(days=1))
    assert report.totals == {FileState.OK: 1, FileState.MISSING: 1}
    assert (await verify_tree(collection.root, since=today + timedelta(days=2))).totals == {}
    sample = Sample("s", count=1)
    assert (await verify_tree(collection.root, sample=sample)).totals.total() == 1
    late = await verify_tree(
        collection.root, sample=Sample("s", count=9), since=today - timedelta(days=1)
    )
    assert late.totals[FileState.OK] == 1
