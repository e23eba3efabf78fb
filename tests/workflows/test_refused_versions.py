"""A new version that is not good takes nobody's place, and is tried again while that may help."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable

import pytest
from tests.workflows.conftest import KEY, Collection
from tests.workflows.republished import SIZES, Series, version_of

from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing.faults import Flip, Headers, Status, Truncate


@pytest.fixture
async def series(collection: Collection) -> Series:
    """A small archive, collected once."""
    return await collected(collection, KEY)


@pytest.fixture(params=SIZES)
async def each_size(request: pytest.FixtureRequest, collection: Collection) -> Series:
    """A small and a large archive, collected once."""
    return await collected(collection, SIZES[request.param])


async def collected(collection: Collection, key: str) -> Series:
    series = Series(collection, key)
    series.publish()
    assert await series.run() is Verdict.VERIFIED
    return series


def mismatch(series: Series) -> None:
    series.publish()
    series.publish_sidecar(b"other bytes")


def no_zip(series: Series) -> None:
    series.collection.publish(series.key, b"no zip at all")


def another_member(series: Series) -> None:
    series.collection.publish(series.key, version_of("data/x/OTHER.zip", "other"))


def failing(series: Series) -> None:
    series.publish()
    series.server.inject(series.key, Status(503), endless=True)


def breaking_off(series: Series) -> None:
    series.publish()
    series.server.inject(series.key, Truncate(at=40), endless=True)


def without_sidecar(series: Series) -> None:
    series.publish()
    series.server.remove(f"{series.key}.CHECKSUM")


def sidecar_of_garbage(series: Series) -> None:
    series.publish()
    series.server.put(f"{series.key}.CHECKSUM", b"<html>busy</html>")


def sidecar_failing(series: Series) -> None:
    series.publish()
    series.server.inject(f"{series.key}.CHECKSUM", Status(500), endless=True)


def flipped(series: Series) -> None:
    series.publish()
    series.server.inject(series.key, Flip(at=60), endless=True)


TROUBLES: dict[str, tuple[Callable[[Series], None], Verdict]] = {
    trouble.__name__: (trouble, verdict)
    for trouble, verdict in (
        (mismatch, Verdict.UPSTREAM_MISMATCH),
        (no_zip, Verdict.CORRUPT),
        (another_member, Verdict.CORRUPT),
        (failing, Verdict.FAILED),
        (breaking_off, Verdict.FAILED),
        (without_sidecar, Verdict.SIDECAR_MISSING),
        (sidecar_of_garbage, Verdict.CORRUPT),
        (sidecar_failing, Verdict.FAILED),
        (flipped, Verdict.CORRUPT),
    )
}
EVERY_TROUBLE = pytest.mark.parametrize("trouble", TROUBLES)
LARGE_TROUBLES = ("mismatch", "failing", "breaking_off", "flipped", "without_sidecar")


async def with_trouble(series: Series, trouble: str) -> Verdict:
    """Publish a version with this trouble and collect it."""
    begin, expected = TROUBLES[trouble]
    begin(series)
    verdict = await series.run()
    assert verdict is expected
    return verdict


def heal(series: Series) -> bytes:
    """Publish a good version, and let the server serve it."""
    series.server.heal()
    return series.publish("healed")


@EVERY_TROUBLE
async def test_the_old_version_stays_with_its_sidecar(series: Series, trouble: str) -> None:
    (old,) = series.versions
    verdict = await with_trouble(series, trouble)
    assert series.holds(old)
    assert series.kept() == []
    row = series.row()
    assert (row["verdict"], row["newer_verdict"]) == ("verified", str(verdict))
    assert row["sha256"] == hashlib.sha256(old).hexdigest()


@EVERY_TROUBLE
async def test_the_report_and_the_ledger_say_why_and_what_stays(
    series: Series, trouble: str
) -> None:
    TROUBLES[trouble][0](series)
    report = await series.report()
    (problem,) = report.problems
    assert problem.reason == series.row()["newer_reason"] != ""
    if problem.verdict is not Verdict.FAILED:
        assert "the version that was verified before stays" in problem.reason


@EVERY_TROUBLE
async def test_the_next_run_swaps_once_the_source_is_healed(series: Series, trouble: str) -> None:
    (old, *_) = series.versions
    await with_trouble(series, trouble)
    new = heal(series)
    assert await series.run() is Verdict.VERIFIED
    assert series.holds(new)
    assert series.kept() == [old]
    row = series.row()
    newer = ("newer_verdict", "newer_reason", "newer_etag", "newer_sidecar_etag")
    assert [row[name] for name in newer] == [None] * 4
    assert [change["change"] for change in series.history()] == ["replaced"]


@pytest.mark.parametrize("trouble", LARGE_TROUBLES)
async def test_large_versions_are_refused_and_healed_in_the_same_way(
    collection: Collection, trouble: str
) -> None:
    series = await collected(collection, SIZES["large"])
    (old,) = series.versions
    await with_trouble(series, trouble)
    assert series.path.read_bytes() == old
    new = heal(series)
    assert await series.run() is Verdict.VERIFIED
    assert series.holds(new)
    assert series.kept() == [old]


@EVERY_TROUBLE
async def test_the_next_run_tries_again_unless_nothing_can_have_changed(
    series: Series, trouble: str
) -> None:
    (old, *_) = series.versions
    verdict = await with_trouble(series, trouble)
    assert await series.run() is verdict
    assert (series.fetched() == []) is (trouble == "mismatch")
    assert series.holds(old)
    assert series.row()["newer_verdict"] == str(verdict)


@EVERY_TROUBLE
async def test_without_a_listing_the_next_run_tries_again_always(
    series: Series, trouble: str
) -> None:
    await with_trouble(series, trouble)
    new = heal(series)
    assert await series.run(discovery="calendar") is Verdict.VERIFIED
    assert series.holds(new)


@EVERY_TROUBLE
async def test_a_version_that_is_taken_back_leaves_nothing_behind(
    series: Series, trouble: str
) -> None:
    (old, *_) = series.versions
    await with_trouble(series, trouble)
    series.server.heal()
    series.collection.publish(series.key, old)
    assert await series.run() is Verdict.UNCHANGED
    assert series.fetched() == []
    assert series.row()["newer_verdict"] is None


@EVERY_TROUBLE
async def test_a_run_of_only_what_went_wrong_includes_it(series: Series, trouble: str) -> None:
    verdict = await with_trouble(series, trouble)
    new = heal(series)
    only = "quarantined" if verdict is Verdict.UPSTREAM_MISMATCH else "failed"
    report = await series.report(only=only)
    if verdict is Verdict.SIDECAR_MISSING:
        assert report.totals["planned"] == 0
    else:
        assert series.verdict(report) is Verdict.VERIFIED
        assert series.holds(new)


# What the ledger is not sure of ------------------------------------------------------------------


@EVERY_TROUBLE
async def test_a_touched_file_stays_and_its_row_with_it(series: Series, trouble: str) -> None:
    (old, *_) = series.versions
    os.utime(series.path, (1, 1))
    verdict = await with_trouble(series, trouble)
    assert series.holds(old)
    row = series.row()
    assert (row["verdict"], row["newer_verdict"]) == ("verified", str(verdict))
    assert row["sha256"] == hashlib.sha256(old).hexdigest()


@pytest.mark.parametrize("trouble", ["failing", "sidecar_failing", "flipped"])
async def test_old_bytes_that_only_the_ledger_knows_are_never_lost(
    series: Series, trouble: str
) -> None:
    await series.run(integrity="listing", download_checksum=False)
    series.beside.unlink()
    series.collection.config |= {"integrity": "listing", "download_checksum": False}
    (old,) = series.versions
    os.utime(series.path, (1, 1))
    TROUBLES[trouble][0](series)
    await series.run(integrity="sidecar")
    new = heal(series)
    assert await series.run() is Verdict.VERIFIED
    assert series.path.read_bytes() == new
    assert series.kept() == [old]


@EVERY_TROUBLE
async def test_without_a_ledger_the_kept_sidecar_speaks_for_the_old_version(
    series: Series, trouble: str
) -> None:
    (old, *_) = series.versions
    series.lose_ledger()
    await with_trouble(series, trouble)
    assert series.holds(old)
    new = heal(series)
    assert await series.run() is Verdict.VERIFIED
    assert series.holds(new)
    assert series.kept() == [old]


# Quarantine --------------------------------------------------------------------------------------


async def test_a_refused_version_is_in_quarantine_with_all_that_is_known(
    each_size: Series,
) -> None:
    series = each_size
    secret = {"Set-Cookie": "id=s3cr3t", "X-Amz-Signature": "s3cr3t", "X-Served-By": "cache 7"}
    wrong = series.publish()
    line = series.publish_sidecar(b"other bytes")
    series.server.inject(series.key, Headers(secret), endless=True)
    source = series.server.url.replace("//", "//me:s3cr3t@")
    assert await series.run(source_url=source) is Verdict.UPSTREAM_MISMATCH
    kept = series.collection.quarantined(series.key)
    assert kept.read_bytes() == wrong
    text = kept.with_name(f"{series.name}.json").read_text()
    assert "s3cr3t" not in text
    note = json.loads(text)
    assert note["key"] == series.key
    assert note["verdict"] == "upstream_mismatch"
    assert note["sha256"] == hashlib.sha256(wrong).hexdigest()
    assert note["published_sha256"] == line.split()[0].decode()
    assert note["size_bytes"] == len(wrong)
    assert note["url"] == f"{series.server.url}/{series.key}"
    headers = {name.lower(): value for name, value in note["headers"].items()}
    assert headers["x-served-by"] == "cache 7"
    assert headers["set-cookie"] == headers["x-amz-signature"] == "***"
    assert (headers["etag"], headers["last-modified"]) == (note["etag"], note["last_modified"])
    assert "published SHA-256" in note["reason"]


async def test_what_only_failed_to_arrive_is_not_in_quarantine(series: Series) -> None:
    await with_trouble(series, "failing")
    assert not series.quarantined()
