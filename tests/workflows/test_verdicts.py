"""Every verdict of the contract, against a server that earns it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.workflows.conftest import (
    BIG_KEY,
    KEY,
    SIDECAR,
    Collection,
    big_zip,
    make_zip,
    member_of,
    sidecar_of,
)

from crypto_lakehouse.testing import faults


async def test_an_archive_that_must_exist_and_does_not_is_missing(collection: Collection) -> None:
    collection.server.remove(KEY)
    report = await collection.run()
    assert report.totals["missing"] == 1
    assert report.success_rate == 0.0
    assert report.status == "failed"
    assert report.exit_code == 3
    assert collection.requested() == [KEY], "a 404 is never retried, and needs no sidecar"


async def test_an_archive_within_its_publication_lag_is_not_missing(
    collection: Collection,
) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    key = KEY.replace("2025-07-15", yesterday.isoformat())
    collection.server.remove(key)
    report = await collection.run(default_date=yesterday.isoformat())
    assert report.totals["not_published"] == 1
    assert report.success_rate == 100.0
    assert report.exit_code == 0
    assert report.strict_exit_code == 3


async def test_a_day_outside_the_series_life_is_not_requested(collection: Collection) -> None:
    report = await collection.run(default_date="2016-01-01")
    assert report.totals["not_published"] == 1
    assert collection.requested() == []


async def test_a_zip_without_a_sidecar_is_kept_and_not_called_verified(
    collection: Collection,
) -> None:
    collection.server.remove(SIDECAR)
    report = await collection.run()
    assert report.totals["sidecar_missing"] == 1
    assert report.success_rate == 0.0
    assert report.exit_code == 0
    assert report.strict_exit_code == 3
    assert collection.path(KEY).is_file()
    collection.server.clear()
    report = await collection.run()
    assert report.totals["sidecar_missing"] == 1
    assert collection.requested() == [SIDECAR], "the zip is here, only its proof is asked for"


async def test_a_sidecar_that_appears_later_makes_it_verified(collection: Collection) -> None:
    collection.server.remove(SIDECAR)
    await collection.run()
    data = collection.path(KEY).read_bytes()
    collection.server.put(SIDECAR, sidecar_of(data, member_of(KEY)))
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert collection.path(SIDECAR).is_file()


async def test_the_same_bytes_twice_against_the_sidecar_are_the_publishers_fault(
    collection: Collection,
) -> None:
    wrong = sidecar_of(b"other bytes", "BTCUSDT-1h-2025-07-15.zip")
    collection.server.put(SIDECAR, wrong)
    report = await collection.run()
    assert report.totals["upstream_mismatch"] == 1
    assert report.status == "complete"
    assert report.exit_code == 0
    assert report.strict_exit_code == 3
    assert collection.requested() == [KEY, SIDECAR, KEY, SIDECAR]
    assert not collection.path(KEY).exists()
    kept = collection.quarantined(KEY)
    note = json.loads(kept.with_name(kept.name + ".json").read_text())
    assert note["verdict"] == "upstream_mismatch"
    assert note["published_sha256"] == wrong.split()[0].decode()
    assert note["sha256"] != note["published_sha256"]
    assert note["size_bytes"] == kept.stat().st_size
    assert note["etag"]


async def test_a_large_body_against_its_sidecar_is_quarantined_too(collection: Collection) -> None:
    data = big_zip()
    collection.publish(BIG_KEY, data, sidecar_of(b"other", "x"))
    report = await collection.run(data_types=["trades"], intervals=None)
    assert report.totals["upstream_mismatch"] == 1
    assert collection.quarantined(BIG_KEY).read_bytes() == data
    assert collection.stray_files() == []


async def test_a_pair_that_disagrees_for_a_while_is_verified_at_the_second_look(
    collection: Collection,
) -> None:
    stale = sidecar_of(b"the bytes before", "BTCUSDT-1h-2025-07-15.zip")
    collection.server.inject(SIDECAR, faults.Body(stale))
    report = await collection.run()
    assert report.totals["verified"] == 1


async def test_bytes_that_differ_between_tries_are_corrupt(collection: Collection) -> None:
    collection.server.inject(KEY, faults.Flip(at=60), faults.Flip(at=61))
    report = await collection.run()
    assert report.totals["corrupt"] == 1
    assert report.exit_code == 4
    assert "different bytes" in report.problems[0].reason
    assert not collection.path(KEY).exists()


async def test_bytes_that_are_not_those_of_the_etag_are_corrupt(collection: Collection) -> None:
    collection.server.inject(KEY, *faults.Flip(at=60) * 2)
    report = await collection.run()
    assert report.totals["corrupt"] == 1
    assert "ETag" in report.problems[0].reason


@pytest.mark.parametrize(
    ("sidecar", "reason"),
    [
        (b"<html>busy</html>", "a page in HTML or XML"),
        (b"a" * 1_000_000, "longer than"),
        (b"", "empty"),
        (b"\xff\xfe\x00", "not text"),
    ],
)
async def test_a_sidecar_of_garbage_makes_the_archive_corrupt(
    collection: Collection, sidecar: bytes, reason: str
) -> None:
    collection.server.put(SIDECAR, sidecar)
    report = await collection.run()
    assert report.totals["corrupt"] == 1
    assert reason in report.problems[0].reason
    assert not collection.path(KEY).exists()
    assert report.bytes < 100_000, "what is too long is not read to its end"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>not a zip</html>", "not a readable zip"),
        (make_zip("OTHER-1h-2025-07-15.csv", b"1\n"), "instead of"),
        (make_zip("../BTCUSDT-1h-2025-07-15.csv", b"1\n"), "instead of"),
    ],
)
async def test_a_right_digest_does_not_make_a_readable_zip(
    collection: Collection, body: bytes, reason: str
) -> None:
    collection.publish(KEY, body)
    report = await collection.run()
    assert report.totals["corrupt"] == 1
    assert reason in report.problems[0].reason
    assert not collection.path(KEY).exists()


async def test_a_wrong_digest_and_an_unreadable_zip_are_corrupt(collection: Collection) -> None:
    collection.publish(KEY, b"junk", sidecar_of(b"other", "x"))
    report = await collection.run()
    assert report.totals["corrupt"] == 1


async def test_an_archive_that_vanishes_between_two_looks_is_missing(
    collection: Collection,
) -> None:
    collection.server.put(SIDECAR, sidecar_of(b"other", "x"))
    collection.server.inject(KEY, faults.Headers({}), faults.NotFound())
    report = await collection.run()
    assert report.totals["missing"] == 1


async def test_an_old_good_copy_stays_until_a_new_one_is_proven(collection: Collection) -> None:
    await collection.run()
    good = collection.path(KEY).read_bytes()
    collection.publish(KEY, b"junk")
    report = await collection.run(force_redownload=True)
    assert report.totals["corrupt"] == 1
    assert collection.path(KEY).read_bytes() == good


async def test_a_file_whose_sidecar_is_gone_everywhere_is_kept(collection: Collection) -> None:
    await collection.run(download_checksum=False)
    (collection.root / ".lakehouse" / "ledger.sqlite").unlink()
    collection.server.remove(SIDECAR)
    report = await collection.run()
    assert report.totals["sidecar_missing"] == 1
