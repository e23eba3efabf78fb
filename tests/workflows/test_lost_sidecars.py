"""An archive without a sidecar, at the source or here: the digests that are known decide."""

from __future__ import annotations

import pytest
from tests.workflows.conftest import KEY, Collection
from tests.workflows.republished import MULTIPART, Series, version_of

from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing.faults import Status


@pytest.fixture(params=[None, MULTIPART])
async def unproven(request: pytest.FixtureRequest, collection: Collection) -> Series:
    """A small archive that never had a sidecar, collected once."""
    series = Series(collection, KEY)
    series.publish(etag=request.param)
    series.server.remove(f"{KEY}.CHECKSUM")
    assert await series.run() is Verdict.SIDECAR_MISSING
    return series


async def test_an_archive_without_a_sidecar_is_not_fetched_again(unproven: Series) -> None:
    for _ in range(2):
        assert await unproven.run() is Verdict.SIDECAR_MISSING
        assert unproven.fetched() == ["sidecar"]


async def test_a_new_version_without_a_sidecar_follows_one_without_a_sidecar(
    unproven: Series,
) -> None:
    (old,) = unproven.versions
    new = unproven.publish()
    unproven.server.remove(f"{KEY}.CHECKSUM")
    assert await unproven.run() is Verdict.SIDECAR_MISSING
    assert unproven.path.read_bytes() == new
    assert unproven.kept() == [old]
    assert not unproven.quarantined()
    assert await unproven.run() is Verdict.SIDECAR_MISSING
    assert unproven.fetched() == ["sidecar"]


async def test_a_version_without_a_sidecar_that_is_gone_is_not_called_verified(
    unproven: Series,
) -> None:
    unproven.publish()
    unproven.server.remove(f"{KEY}.CHECKSUM")
    unproven.server.inject(KEY, Status(404), endless=True)
    assert await unproven.run() is Verdict.SIDECAR_MISSING
    assert unproven.row()["verdict"] == "sidecar_missing"


async def test_a_bad_version_takes_no_unproven_files_place_either(unproven: Series) -> None:
    (old,) = unproven.versions
    unproven.publish()
    unproven.publish_sidecar(b"other bytes")
    report = await unproven.report()
    assert unproven.verdict(report) is Verdict.UPSTREAM_MISMATCH
    assert "the version that stood here before stays" in report.problems[0].reason
    assert unproven.path.read_bytes() == old
    assert unproven.row()["verdict"] == "sidecar_missing"


async def test_a_sidecar_that_is_published_later_and_names_other_bytes_is_believed(
    unproven: Series,
) -> None:
    """Without a listing nothing else says that there is another version."""
    (old,) = unproven.versions
    new = unproven.publish()
    assert await unproven.run(discovery="calendar") is Verdict.VERIFIED
    assert unproven.path.read_bytes() == new
    assert unproven.kept() == [old]


async def test_a_wrong_sidecar_that_is_published_later_is_named_and_the_file_stays(
    unproven: Series,
) -> None:
    (old,) = unproven.versions
    unproven.publish_sidecar(b"other bytes")
    for _ in range(2):
        report = await unproven.report(discovery="calendar")
        assert unproven.verdict(report) is Verdict.UPSTREAM_MISMATCH
        assert unproven.path.read_bytes() == old
    assert unproven.row()["verdict"] == "sidecar_missing"


def lose_sidecar(series: Series) -> None:
    series.server.remove(f"{series.key}.CHECKSUM")


@pytest.fixture(params=["sidecar kept", "ledger alone", "sidecar alone"])
async def proven(request: pytest.FixtureRequest, collection: Collection) -> Series:
    """A small archive, verified once; the zip is gone, and its digest is in one place or both."""
    if request.param == "ledger alone":
        collection.config["download_checksum"] = False
    series = Series(collection, KEY)
    series.publish()
    assert await series.run() is Verdict.VERIFIED
    if request.param == "sidecar alone":
        series.lose_ledger()
    series.path.unlink()
    return series


async def test_bytes_that_were_verified_before_need_no_sidecar(proven: Series) -> None:
    (only,) = proven.versions
    lose_sidecar(proven)
    report = await proven.report()
    assert proven.verdict(report) is Verdict.VERIFIED
    assert proven.path.read_bytes() == only
    row = proven.row()
    assert (row["verdict"], row["published_sha256"]) == ("verified", row["sha256"])
    if proven.collection.config.get("download_checksum", True):
        assert proven.holds(only)
    assert await proven.run() is Verdict.UNCHANGED


async def test_other_bytes_without_a_sidecar_are_not_let_in(proven: Series) -> None:
    beside = proven.beside.read_bytes() if proven.beside.exists() else None
    (old,) = proven.versions
    new = proven.publish()
    lose_sidecar(proven)
    for _ in range(2):
        report = await proven.report()
        assert proven.verdict(report) is Verdict.CORRUPT
        assert "that was verified before" in report.problems[0].reason
        assert not proven.path.exists()
        assert proven.collection.quarantined(KEY).read_bytes() == new
        assert (proven.beside.read_bytes() if proven.beside.exists() else None) == beside
    proven.collection.publish(KEY, old)
    lose_sidecar(proven)
    assert await proven.run() is Verdict.VERIFIED
    assert proven.path.read_bytes() == old


async def test_a_new_sidecar_lets_the_other_bytes_in(proven: Series) -> None:
    new = proven.publish()
    lose_sidecar(proven)
    assert await proven.run() is Verdict.CORRUPT
    proven.publish_sidecar(new)
    assert await proven.run() is Verdict.VERIFIED
    assert proven.path.read_bytes() == new


@pytest.mark.parametrize("status", [500, 404])
async def test_a_failure_in_between_forgets_no_digest(proven: Series, status: int) -> None:
    proven.server.inject(KEY, Status(status), endless=True)
    for _ in range(2):
        assert await proven.run() in {Verdict.FAILED, Verdict.MISSING}
    proven.server.heal()
    proven.publish()
    lose_sidecar(proven)
    assert await proven.run() is Verdict.CORRUPT
    assert not proven.path.exists()


#: What the source publishes in between, and the verdict on it; `True` stands for other bytes.
WRONG = {
    "other bytes, a sidecar of others": (True, b"others", Verdict.UPSTREAM_MISMATCH),
    "the same bytes, a sidecar of others": (False, b"others", Verdict.UPSTREAM_MISMATCH),
    "other bytes, a malformed sidecar": (True, None, Verdict.CORRUPT),
    "bytes that are no zip": (True, b"no zip", Verdict.CORRUPT),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_version_in_between_forgets_no_digest(proven: Series, what: str) -> None:
    (old,) = proven.versions
    is_other, named, verdict = WRONG[what]
    if is_other:
        proven.publish()
    if named == b"no zip":
        proven.server.put(KEY, named)
    if named is None:
        proven.server.put(f"{KEY}.CHECKSUM", b"<html>busy</html>")
    else:
        proven.publish_sidecar(named)
    for _ in range(2):
        assert await proven.run() is verdict
    is_known = verdict is Verdict.UPSTREAM_MISMATCH
    assert proven.fetched() == ([] if is_known else ["zip", "sidecar"] * (1 + (named is None)))
    lose_sidecar(proven)
    proven.server.put(KEY, version_of(KEY, "unproven"))
    assert await proven.run() is Verdict.CORRUPT
    assert not proven.path.exists()
    proven.server.put(KEY, old)
    assert await proven.run() is Verdict.VERIFIED
    assert proven.path.read_bytes() == old


async def test_another_zip_in_its_place_is_not_called_unproven(proven: Series) -> None:
    """The file here is readable, but not the one that was verified."""
    (old,) = proven.versions
    other = proven.publish()
    proven.path.write_bytes(other)
    lose_sidecar(proven)
    assert await proven.run() is Verdict.CORRUPT
    assert proven.path.read_bytes() == other, "what may be the user's stays"
    proven.collection.publish(KEY, old)
    lose_sidecar(proven)
    assert await proven.run() is Verdict.VERIFIED
    assert proven.path.read_bytes() == old
