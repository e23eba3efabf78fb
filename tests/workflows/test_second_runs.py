"""What is verified is never asked for again; what was touched is proven again."""

from __future__ import annotations

import os
import shutil

from tests.workflows.conftest import KEY, SIDECAR, Collection


async def test_a_first_run_verifies_and_keeps_the_sidecar(collection: Collection) -> None:
    report = await collection.run()
    assert report.totals["verified"] == report.totals["planned"] == 1
    assert report.status == "complete"
    assert report.success_rate == 100.0
    assert report.exit_code == 0
    assert collection.path(KEY).is_file()
    assert collection.path(SIDECAR).is_file()
    assert collection.stray_files() == []
    size = collection.path(KEY).stat().st_size + collection.path(SIDECAR).stat().st_size
    assert report.bytes == size


async def test_the_default_day_of_all_intervals_is_13_archives(collection: Collection) -> None:
    collection.config.pop("intervals")
    report = await collection.run(partitions=["daily"])
    assert report.totals["planned"] == report.totals["verified"] == 13
    assert len(list(collection.root.rglob("*.CHECKSUM"))) == 13


async def test_a_second_run_requests_nothing(collection: Collection) -> None:
    await collection.run()
    collection.server.clear()
    report = await collection.run()
    assert report.totals["unchanged"] == 1
    assert report.success_rate == 100.0
    assert collection.requested() == []


async def test_a_touched_file_is_hashed_again_and_not_fetched(collection: Collection) -> None:
    await collection.run()
    os.utime(collection.path(KEY), ns=(1, 1))
    collection.server.clear()
    report = await collection.run()
    assert report.totals["unchanged"] == 1
    assert collection.requested() == []
    mtime = collection.path(KEY).stat().st_mtime_ns
    report = await collection.run()
    assert report.totals["unchanged"] == 1
    assert collection.path(KEY).stat().st_mtime_ns == mtime


async def test_a_truncated_file_is_fetched_again(collection: Collection) -> None:
    await collection.run()
    whole = collection.path(KEY).read_bytes()
    collection.path(KEY).write_bytes(whole[:100])
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(KEY).read_bytes() == whole


async def test_a_removed_file_is_fetched_again(collection: Collection) -> None:
    await collection.run()
    collection.path(KEY).unlink()
    report = await collection.run()
    assert report.totals["verified"] == 1


async def test_a_lost_ledger_is_rebuilt_without_a_request(collection: Collection) -> None:
    await collection.run()
    shutil.rmtree(collection.root / ".lakehouse")
    collection.server.clear()
    report = await collection.run()
    assert report.totals["unchanged"] == 1
    assert collection.requested() == []
    report = await collection.run()
    assert report.totals["unchanged"] == 1


async def test_a_file_that_does_not_match_its_sidecar_is_fetched_again(
    collection: Collection,
) -> None:
    await collection.run()
    shutil.rmtree(collection.root / ".lakehouse")
    whole = collection.path(KEY).read_bytes()
    collection.path(KEY).write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(KEY).read_bytes() == whole


async def test_without_ledger_and_sidecar_only_the_sidecar_is_requested(
    collection: Collection,
) -> None:
    await collection.run()
    shutil.rmtree(collection.root / ".lakehouse")
    collection.path(SIDECAR).unlink()
    collection.server.clear()
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.requested() == [SIDECAR]
    assert collection.path(SIDECAR).is_file()


async def test_a_kept_sidecar_that_is_garbage_is_asked_for_again(collection: Collection) -> None:
    await collection.run()
    shutil.rmtree(collection.root / ".lakehouse")
    collection.path(SIDECAR).write_bytes(b"garbage")
    collection.server.clear()
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.requested() == [SIDECAR]


async def test_without_ledger_and_with_another_sidecar_at_the_source_all_is_fetched(
    collection: Collection,
) -> None:
    await collection.run(download_checksum=False)
    shutil.rmtree(collection.root / ".lakehouse")
    collection.path(KEY).write_bytes(b"not the published bytes")
    report = await collection.run(download_checksum=False)
    assert report.totals["verified"] == 1


async def test_a_removed_sidecar_alone_is_fetched_again(collection: Collection) -> None:
    await collection.run()
    collection.path(SIDECAR).unlink()
    collection.server.clear()
    report = await collection.run()
    assert report.totals["unchanged"] == 1
    assert collection.requested() == [SIDECAR]
    assert collection.path(SIDECAR).is_file()
    collection.server.clear()
    await collection.run()
    assert collection.requested() == []


async def test_a_removed_sidecar_that_has_changed_since_means_a_fresh_archive(
    collection: Collection,
) -> None:
    await collection.run()
    collection.path(SIDECAR).unlink()
    new = collection.path(KEY).read_bytes() + b""
    from tests.workflows.conftest import make_zip, member_of

    new = make_zip(member_of(KEY), b"1,2,3\n")
    collection.publish(KEY, new)
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(KEY).read_bytes() == new


async def test_sidecars_are_not_kept_when_they_are_not_wanted(collection: Collection) -> None:
    report = await collection.run(download_checksum=False)
    assert report.totals["verified"] == 1
    assert not collection.path(SIDECAR).exists()
    collection.server.clear()
    report = await collection.run(download_checksum=False)
    assert report.totals["unchanged"] == 1
    assert collection.requested() == []


async def test_force_redownload_fetches_what_is_verified(collection: Collection) -> None:
    await collection.run()
    collection.server.clear()
    report = await collection.run(force_redownload=True)
    assert report.totals["verified"] == 1
    assert collection.requested() == [KEY, SIDECAR]


async def test_a_damaged_ledger_is_set_aside_and_rebuilt(collection: Collection) -> None:
    await collection.run()
    ledger = collection.root / ".lakehouse" / "ledger.sqlite"
    ledger.write_bytes(b"this is no database" * 1000)
    collection.server.clear()
    report = await collection.run()
    assert report.totals["unchanged"] == 1
    assert collection.requested() == []
    assert any("damaged" in warning for warning in report.warnings)
    assert list(ledger.parent.glob("ledger.sqlite.damaged-*"))


async def test_an_unreadable_zip_with_the_right_digest_is_not_taken_for_granted(
    collection: Collection,
) -> None:
    """A lost ledger proves files by their sidecars, but a digest does not make a zip."""
    from tests.workflows.conftest import sidecar_of

    for path, data in ((KEY, b"junk"), (SIDECAR, sidecar_of(b"junk", "x"))):
        collection.path(path).parent.mkdir(parents=True, exist_ok=True)
        collection.path(path).write_bytes(data)
    report = await collection.run()
    assert report.totals["verified"] == 1
