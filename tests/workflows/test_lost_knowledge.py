"""What stands here is recognised without a ledger, and fetched only where it is another version."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from tests.workflows.conftest import KEY, Collection
from tests.workflows.republished import MULTIPART, SIZES, Series

from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing.faults import Status


@pytest.fixture
async def series(collection: Collection) -> Series:
    """A small archive, collected once."""
    series = Series(collection, KEY)
    series.publish()
    assert await series.run() is Verdict.VERIFIED
    return series


@pytest.fixture(params=SIZES)
async def forgotten(request: pytest.FixtureRequest, collection: Collection) -> Series:
    """A small and a large archive, collected once, and the ledger lost."""
    series = Series(collection, SIZES[request.param])
    series.publish()
    await series.run()
    series.lose_ledger()
    return series


# The ledger is lost ------------------------------------------------------------------------------


async def test_what_is_unchanged_is_recognised_without_a_request(forgotten: Series) -> None:
    (only,) = forgotten.versions
    assert await forgotten.run() is Verdict.UNCHANGED
    assert forgotten.fetched() == []
    assert forgotten.holds(only)
    assert await forgotten.run() is Verdict.UNCHANGED
    assert forgotten.fetched() == []


async def test_the_ledger_learns_all_that_the_listing_says(forgotten: Series) -> None:
    await forgotten.run()
    row = forgotten.row()
    assert row["verdict"] == "verified"
    assert row["sha256"] == row["published_sha256"]
    assert None not in {row["etag"], row["last_modified"], row["sidecar_etag"]}
    assert forgotten.history() == []


async def test_what_changed_is_fetched_and_the_old_version_is_kept(forgotten: Series) -> None:
    (old,) = forgotten.versions
    new = forgotten.publish()
    assert await forgotten.run() is Verdict.VERIFIED
    assert forgotten.holds(new)
    assert forgotten.kept() == [old]


async def test_a_multipart_etag_leaves_the_word_to_the_published_sidecar(
    forgotten: Series,
) -> None:
    (only,) = forgotten.versions
    forgotten.server.put(forgotten.key, only, etag=MULTIPART)
    assert await forgotten.run() is Verdict.UNCHANGED
    assert forgotten.fetched() == ["sidecar"]
    assert await forgotten.run() is Verdict.UNCHANGED
    assert forgotten.fetched() == []


async def test_a_multipart_etag_of_another_version_has_it_fetched(forgotten: Series) -> None:
    (old,) = forgotten.versions
    new = forgotten.publish(etag=MULTIPART)
    assert await forgotten.run() is Verdict.VERIFIED
    assert forgotten.holds(new)
    assert forgotten.kept() == [old]


async def test_a_multipart_version_whose_sidecar_cannot_be_asked_stays(forgotten: Series) -> None:
    (only,) = forgotten.versions
    forgotten.server.put(forgotten.key, only, etag=MULTIPART)
    forgotten.server.inject(f"{forgotten.key}.CHECKSUM", Status(500), endless=True)
    assert await forgotten.run() is Verdict.FAILED
    assert "zip" not in forgotten.fetched()
    assert forgotten.holds(only)
    forgotten.server.heal()
    assert await forgotten.run() is Verdict.UNCHANGED


async def test_without_ledger_and_sidecar_the_source_is_asked_for_the_sidecar_alone(
    forgotten: Series,
) -> None:
    (only,) = forgotten.versions
    forgotten.beside.unlink()
    assert await forgotten.run() is Verdict.VERIFIED
    assert forgotten.fetched() == ["sidecar"]
    assert forgotten.holds(only)


async def test_without_ledger_and_sidecar_one_answer_is_enough_for_a_multipart_etag(
    forgotten: Series,
) -> None:
    (only,) = forgotten.versions
    forgotten.server.put(forgotten.key, only, etag=MULTIPART)
    forgotten.beside.unlink()
    assert await forgotten.run() is Verdict.VERIFIED
    assert forgotten.fetched() == ["sidecar"]


async def test_a_damaged_file_is_fetched_again_and_its_bytes_are_not_kept(
    forgotten: Series,
) -> None:
    (only,) = forgotten.versions
    forgotten.path.write_bytes(only[:-5])
    assert await forgotten.run() is Verdict.VERIFIED
    assert forgotten.holds(only)
    assert forgotten.kept() == []


async def test_a_right_digest_makes_no_archive_of_a_file(forgotten: Series) -> None:
    (only,) = forgotten.versions
    forgotten.path.write_bytes(b"no zip")
    forgotten.beside.write_bytes(forgotten.publish_sidecar(b"no zip"))
    forgotten.publish_sidecar(only)
    assert await forgotten.run() is Verdict.VERIFIED
    assert forgotten.holds(only)
    assert forgotten.kept() == []


async def test_a_right_published_digest_makes_no_archive_of_a_file_either(
    forgotten: Series,
) -> None:
    forgotten.path.write_bytes(b"no zip")
    forgotten.beside.unlink()
    forgotten.collection.publish(forgotten.key, b"no zip")
    assert await forgotten.run() is Verdict.CORRUPT
    assert not forgotten.beside.exists()


# The file is another -----------------------------------------------------------------------------


async def test_a_touched_file_costs_no_request_where_nothing_changed(series: Series) -> None:
    (only,) = series.versions
    os.utime(series.path, (1, 1))
    assert await series.run() is Verdict.UNCHANGED
    assert series.fetched() == []
    assert series.history() == []
    assert series.row()["mtime_ns"] == 1_000_000_000
    assert series.holds(only)


async def test_a_touched_file_gives_way_to_a_new_version_and_is_kept(series: Series) -> None:
    (old,) = series.versions
    os.utime(series.path, (1, 1))
    new = series.publish()
    assert await series.run() is Verdict.VERIFIED
    assert series.holds(new)
    assert series.kept() == [old]
    assert [row["change"] for row in series.history()] == ["replaced"]


@pytest.mark.parametrize("what", ["date", "ETag"])
async def test_a_touched_file_and_another_stamp_are_told_and_cost_no_download(
    series: Series, what: str
) -> None:
    (only,) = series.versions
    os.utime(series.path, (1, 1))
    if what == "date":
        series.server.put(KEY, only, last_modified=datetime(2026, 3, 4, tzinfo=UTC))
    else:
        series.server.put(KEY, only, etag=MULTIPART)
    assert await series.run() is Verdict.UNCHANGED
    assert "zip" not in series.fetched()
    assert [row["change"] for row in series.history()] == ["restamped"]


async def test_a_file_that_is_removed_is_fetched_anew(series: Series) -> None:
    (only,) = series.versions
    series.path.unlink()
    assert await series.run() is Verdict.VERIFIED
    assert series.holds(only)
    assert (series.kept(), series.history()) == ([], [])


# Only the sidecar is published anew --------------------------------------------------------------


async def test_a_good_sidecar_published_anew_is_fetched_alone(series: Series) -> None:
    (only,) = series.versions
    line = series.server.read(f"{KEY}.CHECKSUM") + b"\n"
    series.server.put(f"{KEY}.CHECKSUM", line)
    assert await series.run() is Verdict.UNCHANGED
    assert series.fetched() == ["sidecar"]
    assert series.beside.read_bytes() == line
    assert series.path.read_bytes() == only
    assert await series.run() is Verdict.UNCHANGED
    assert series.fetched() == []


async def test_a_bad_sidecar_published_anew_takes_nothing_away_and_is_asked_for_once(
    series: Series,
) -> None:
    (only,) = series.versions
    series.publish_sidecar(b"other bytes")
    assert await series.run() is Verdict.UPSTREAM_MISMATCH
    assert series.holds(only)
    assert (series.row()["verdict"], series.row()["newer_verdict"]) == (
        "verified",
        "upstream_mismatch",
    )
    assert await series.run() is Verdict.UPSTREAM_MISMATCH
    assert series.fetched() == []
    series.publish_sidecar(only)
    assert await series.run() is Verdict.UNCHANGED
    assert series.row()["newer_verdict"] is None


async def test_a_sidecar_of_garbage_published_anew_takes_nothing_away(series: Series) -> None:
    (only,) = series.versions
    series.server.put(f"{KEY}.CHECKSUM", b"<html>busy</html>")
    assert await series.run() is Verdict.CORRUPT
    assert series.holds(only)
    series.publish_sidecar(only)
    assert await series.run() is Verdict.UNCHANGED
    assert series.holds(only)


# Gone from the source ----------------------------------------------------------------------------


async def test_an_archive_that_is_listed_no_more_is_kept_without_a_request(
    series: Series,
) -> None:
    (only,) = series.versions
    series.server.remove(KEY)
    series.server.remove(f"{KEY}.CHECKSUM")
    for _ in range(2):
        assert await series.run() is Verdict.UNCHANGED
        assert series.fetched() == []
        assert series.holds(only)
    assert series.row()["verdict"] == "verified"


async def test_an_archive_that_is_listed_no_more_is_recognised_without_a_ledger(
    series: Series,
) -> None:
    (only,) = series.versions
    series.lose_ledger()
    series.server.remove(KEY)
    series.server.remove(f"{KEY}.CHECKSUM")
    assert await series.run() is Verdict.UNCHANGED
    assert series.fetched() == []
    assert series.holds(only)


async def test_a_refused_version_that_is_listed_no_more_is_forgotten(series: Series) -> None:
    (old,) = series.versions
    series.publish()
    series.publish_sidecar(b"other bytes")
    await series.run()
    series.server.remove(KEY)
    series.server.remove(f"{KEY}.CHECKSUM")
    assert await series.run() is Verdict.UNCHANGED
    assert series.holds(old)
    assert series.row()["newer_verdict"] is None


async def test_a_new_version_that_vanishes_before_it_is_fetched_takes_nothing_away(
    series: Series,
) -> None:
    (old, _) = series.versions[0], series.publish()
    series.server.inject(KEY, Status(404), endless=True)
    assert await series.run() is Verdict.UNCHANGED
    assert series.holds(old)
