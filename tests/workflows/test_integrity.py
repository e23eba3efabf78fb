"""`integrity`: what proves an archive."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256

import pytest
from anyio import to_thread
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
from crypto_lakehouse.workflows.stored_archives import stored_zips


async def assert_the_digest_is_the_files_own(collection: Collection) -> None:
    """Check what `ingest` and `validate` read of the only archive."""
    (stored,) = await to_thread.run_sync(lambda: [*stored_zips(collection.root, lambda _: True)])
    digest = sha256(collection.path(stored.archive.key).read_bytes()).hexdigest()
    assert (stored.fault, stored.sha256) == ("", digest)


def fetched(collection: Collection) -> list[str]:
    """The objects asked for, in order, without the pages of the listing."""
    return [each for each in collection.requested() if not each.startswith("list:")]


async def test_with_listing_and_no_sidecar_one_archive_is_one_request(
    collection: Collection,
) -> None:
    report = await collection.run(integrity="listing", download_checksum=False)
    assert report.totals["verified"] == 1
    assert collection.requested() == [KEY]


async def test_listing_finds_bytes_that_are_not_the_etags(collection: Collection) -> None:
    collection.server.inject(KEY, *faults.Flip(at=60) * 2)
    report = await collection.run(integrity="listing", download_checksum=False)
    assert report.totals["corrupt"] == 1


async def test_a_multipart_etag_falls_back_to_the_sidecar(collection: Collection) -> None:
    data = make_zip(member_of(KEY), b"1\n")
    collection.server.put(KEY, data, etag='"0123456789abcdef0123456789abcdef-3"')
    collection.server.put(SIDECAR, sidecar_of(data, "x"))
    report = await collection.run(integrity="listing", download_checksum=False)
    assert report.totals["verified"] == 1
    assert collection.requested() == [KEY, SIDECAR]


async def test_listing_keeps_no_sidecar_that_disagrees(collection: Collection) -> None:
    collection.server.put(SIDECAR, sidecar_of(b"other", "x"))
    report = await collection.run(integrity="listing")
    assert report.totals["verified"] == 1
    assert not collection.path(SIDECAR).exists()
    # The digests of its row differ, and yet the ledger is not taken for damaged.
    report = await collection.run(integrity="listing")
    assert report.totals["unchanged"] == 1
    assert not [*collection.root.rglob("*.damaged-*")]
    await assert_the_digest_is_the_files_own(collection)


@pytest.mark.parametrize("sidecar", [sidecar_of(b"other", "x"), b"<html></html>"])
@pytest.mark.parametrize("discovery", ["calendar", "listing"])
async def test_what_its_etag_proves_is_not_fetched_again_because_its_sidecar_disagrees(
    collection: Collection, discovery: str, sidecar: bytes
) -> None:
    collection.server.put(SIDECAR, sidecar)
    config = {"integrity": "listing", "discovery": discovery}
    await collection.run(**config)
    assert fetched(collection) == [KEY, SIDECAR]
    for _ in range(2):
        report = await collection.run(**config)
        assert report.totals["unchanged"] == 1
        assert not report.problems
    assert fetched(collection) == [KEY, SIDECAR]


#: What the source publishes as the sidecar, and the reason if a file is verified by its ETag.
SIDECARS = {
    "of others": sidecar_of(b"other", "x"),
    "malformed": b"<html></html>",
    "none": None,
}


@pytest.mark.parametrize("keep_sidecars", [True, False])
@pytest.mark.parametrize("key", [KEY, BIG_KEY])
@pytest.mark.parametrize("sidecar", SIDECARS)
async def test_what_its_etag_proves_is_not_fetched_again_after_the_ledger_is_lost(
    collection: Collection, sidecar: str, key: str, keep_sidecars: bool
) -> None:
    data = SIDECARS[sidecar]
    collection.publish(key, big_zip() if key == BIG_KEY else make_zip(member_of(key), b"1\n"))
    if data is None:
        collection.server.remove(f"{key}.CHECKSUM")
    else:
        collection.server.put(f"{key}.CHECKSUM", data)
    config = {"integrity": "listing", "discovery": "listing", "download_checksum": keep_sidecars}
    config |= LARGE if key == BIG_KEY else {}
    report = await collection.run(**config)
    (collection.root / ".lakehouse" / "ledger.sqlite").unlink()
    beside = collection.path(f"{key}.CHECKSUM")
    beside.write_bytes(sidecar_of(b"another version", "x"))
    collection.server.clear()
    again = await collection.run(**config)
    assert report.totals["verified"] == again.totals["verified"] == 1
    assert fetched(collection) == [f"{key}.CHECKSUM"] * keep_sidecars
    assert not beside.exists()
    collection.server.clear()
    third = await collection.run(**config)
    assert third.totals["unchanged"] == 1
    assert fetched(collection) == []


@pytest.mark.parametrize("what", ["other bytes", "no zip"])
async def test_bytes_that_no_etag_proves_are_fetched_again_after_the_ledger_is_lost(
    collection: Collection, what: str
) -> None:
    """A file of the right size with other bytes, and one that is listed but is no archive."""
    config = {"integrity": "listing", "discovery": "listing"}
    collection.server.put(SIDECAR, sidecar_of(b"other", "x"))
    await collection.run(**config)
    (collection.root / ".lakehouse" / "ledger.sqlite").unlink()
    good = collection.path(KEY).read_bytes()
    wrong = good.replace(b"1", b"2") if what == "other bytes" else b"no zip"
    assert (len(wrong) == len(good)) == (what == "other bytes")
    collection.path(KEY).write_bytes(wrong)
    if what == "no zip":
        collection.server.put(KEY, wrong)
    report = await collection.run(**config)
    verdict = "verified" if what == "other bytes" else "corrupt"
    assert report.totals[verdict] == 1
    assert KEY in fetched(collection)


@pytest.mark.parametrize("sidecar", [sidecar_of(b"another", "x"), b"<html></html>"])
async def test_of_an_archive_that_its_etag_proves_a_new_sidecar_is_fetched_alone_and_once(
    collection: Collection, sidecar: bytes
) -> None:
    config = {"integrity": "listing", "discovery": "listing"}
    collection.server.put(SIDECAR, sidecar_of(b"other", "x"))
    await collection.run(**config)
    collection.server.put(SIDECAR, sidecar)
    for _ in range(3):
        report = await collection.run(**config)
        assert report.totals["unchanged"] == 1
    assert fetched(collection) == [KEY, SIDECAR, SIDECAR]
    assert not collection.path(SIDECAR).exists()
    await assert_the_digest_is_the_files_own(collection)
    collection.server.put(SIDECAR, sidecar_of(collection.path(KEY).read_bytes(), KEY))
    await collection.run(**config)
    assert fetched(collection) == [KEY, SIDECAR, SIDECAR, SIDECAR]
    assert collection.path(SIDECAR).read_bytes() == collection.server.read(SIDECAR)


async def test_without_an_md5_for_its_etag_a_new_sidecar_that_disagrees_is_a_new_version(
    collection: Collection,
) -> None:
    config = {"integrity": "listing", "discovery": "listing"}
    data = collection.server.read(KEY)
    collection.server.put(KEY, data, etag='"0123456789abcdef0123456789abcdef-3"')
    await collection.run(**config)
    collection.server.put(SIDECAR, sidecar_of(b"other", "x"))
    for _ in range(2):
        report = await collection.run(**config)
        assert report.totals["upstream_mismatch"] == 1
    assert fetched(collection).count(KEY) == 3, "twice by the second run, not by the third"


async def test_an_archive_that_its_etag_alone_proves_is_not_enough_for_other_integrity(
    collection: Collection,
) -> None:
    collection.server.put(SIDECAR, sidecar_of(b"other", "x"))
    await collection.run(integrity="listing")
    for integrity in ("sidecar", "both"):
        report = await collection.run(integrity=integrity, discovery="listing")
        assert report.totals["upstream_mismatch"] == 1
    assert fetched(collection).count(KEY) == 3, "the second of the two asks nothing again"


async def test_both_does_not_fetch_again_what_disagreed_in_all(collection: Collection) -> None:
    collection.server.put(SIDECAR, sidecar_of(b"other", "x"))
    for _ in range(3):
        report = await collection.run(integrity="both", discovery="listing")
        assert report.totals["upstream_mismatch"] == 1
    assert fetched(collection) == [KEY, SIDECAR] * 2


async def test_accepted_bytes_are_no_damage_of_the_ledger(collection: Collection) -> None:
    collection.server.put(SIDECAR, sidecar_of(b"other", "x"))
    for _ in range(2):
        report = await collection.run(accept_upstream_mismatch=True)
        assert report.totals["upstream_mismatch"] == 1
        assert not [*collection.root.rglob("*.damaged-*")]


@pytest.mark.parametrize("column", ["sha256", "published_sha256"])
async def test_a_digest_that_a_flipped_bit_changed_is_not_believed(
    collection: Collection, column: str
) -> None:
    await collection.run()
    path = collection.root / ".lakehouse" / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute(f"UPDATE archives SET {column} = 'd'")  # noqa: S608 - a constant
    await assert_the_digest_is_the_files_own(collection)


async def test_both_wants_etag_and_sidecar(collection: Collection) -> None:
    report = await collection.run(integrity="both")
    assert report.totals["verified"] == 1
    collection.server.inject(KEY, *faults.Headers({"ETag": '"' + "0" * 32 + '"'}) * 2)
    report = await collection.run(integrity="both", force_redownload=True)
    assert report.totals["corrupt"] == 1


async def test_the_md5_of_a_large_body_is_compared(collection: Collection) -> None:
    collection.publish(BIG_KEY, big_zip(5_000_000))
    report = await collection.run(data_types=["trades"], intervals=None, integrity="both")
    assert report.totals["verified"] == 1


# Large bodies: nothing is read back, so what their MD5 is must be asked before they arrive --------

LARGE = {"data_types": ["trades"], "intervals": None}


async def test_the_md5_of_a_large_body_finds_bytes_that_are_not_the_etags(
    collection: Collection,
) -> None:
    collection.publish(BIG_KEY, big_zip())
    wrong = faults.Headers({"ETag": '"' + "0" * 32 + '"'})
    collection.server.inject(BIG_KEY, *wrong * 2)
    report = await collection.run(integrity="both", **LARGE)
    assert report.totals["corrupt"] == 1


async def test_without_a_listing_a_large_body_that_lacks_its_sidecar_is_fetched_twice(
    collection: Collection,
) -> None:
    """Only a second fetch computes the MD5 that tells whether the bytes are the object's."""
    collection.server.put(BIG_KEY, big_zip())
    collection.server.remove(BIG_KEY + ".CHECKSUM")
    report = await collection.run(discovery="calendar", **LARGE)
    assert report.totals["sidecar_missing"] == 1
    assert collection.requested() == [BIG_KEY, BIG_KEY + ".CHECKSUM"] * 2


async def test_a_large_body_without_a_sidecar_is_not_let_in_if_its_etag_is_another(
    collection: Collection,
) -> None:
    collection.server.put(BIG_KEY, big_zip())
    collection.server.remove(BIG_KEY + ".CHECKSUM")
    wrong = faults.Headers({"ETag": '"' + "0" * 32 + '"'})
    collection.server.inject(BIG_KEY, *wrong * 2)
    report = await collection.run(discovery="calendar", **LARGE)
    assert report.totals["corrupt"] == 1
    assert not collection.path(BIG_KEY).exists()


async def test_with_a_listing_a_large_body_that_lacks_its_sidecar_is_fetched_once(
    collection: Collection,
) -> None:
    collection.server.put(BIG_KEY, big_zip())
    collection.server.remove(BIG_KEY + ".CHECKSUM")
    report = await collection.run(discovery="listing", **LARGE)
    assert report.totals["sidecar_missing"] == 1
    assert collection.requested().count(BIG_KEY) == 1


async def test_without_an_md5_for_its_etag_a_large_body_that_lacks_its_sidecar_is_fetched_once(
    collection: Collection,
) -> None:
    collection.server.put(BIG_KEY, big_zip(), etag='"0123456789abcdef0123456789abcdef-3"')
    collection.server.remove(BIG_KEY + ".CHECKSUM")
    report = await collection.run(discovery="calendar", **LARGE)
    assert report.totals["sidecar_missing"] == 1
    assert collection.requested() == [BIG_KEY, BIG_KEY + ".CHECKSUM"]
