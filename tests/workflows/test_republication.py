"""A publisher publishes anew: what changed is fetched, proven and swapped in; nothing else is."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.workflows.conftest import KEY, Collection, sidecar_of
from tests.workflows.republished import SIZES, Series

from crypto_lakehouse.core.verdicts import Verdict

MULTIPART = "0123456789abcdef0123456789abcdef-3"


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


async def test_a_new_version_is_swapped_in_and_the_old_one_is_kept(each_size: Series) -> None:
    (old,) = each_size.versions
    new = each_size.publish()
    assert await each_size.run() is Verdict.VERIFIED
    assert each_size.fetched() == ["zip", "sidecar"]
    assert each_size.holds(new)
    assert each_size.kept() == [old]
    assert not each_size.quarantined()


async def test_the_kept_bytes_have_their_sidecar_with_them(series: Series) -> None:
    (old,) = series.versions
    series.publish()
    await series.run()
    (change,) = series.history()
    kept = series.collection.root / str(change["kept_as"])
    assert kept.read_bytes() == old
    assert Path(f"{kept}.CHECKSUM").read_bytes() == sidecar_of(old, series.name)


async def test_the_ledger_tells_both_versions_apart(series: Series) -> None:
    (old,) = series.versions
    new = series.publish()
    await series.run()
    (before,), after = series.history(), series.row()
    assert (before["change"], before["verdict"]) == ("replaced", "verified")
    assert before["sha256"] == hashlib.sha256(old).hexdigest()
    assert (after["verdict"], after["newer_verdict"]) == ("verified", None)
    assert after["sha256"] == after["published_sha256"] == hashlib.sha256(new).hexdigest()
    assert before["etag"] != after["etag"]


async def test_the_run_after_a_swap_fetches_nothing(each_size: Series) -> None:
    new = each_size.publish()
    await each_size.run()
    before = each_size.row()
    assert await each_size.run() is Verdict.UNCHANGED
    assert each_size.fetched() == []
    assert each_size.holds(new)
    assert each_size.row() | {"last_seen_at": ""} == before | {"last_seen_at": ""}


async def test_every_version_is_kept_however_many_there_are(series: Series) -> None:
    for _ in range(3):
        series.publish()
        assert await series.run() is Verdict.VERIFIED
    assert sorted(series.kept()) == sorted(series.versions[:-1])
    assert series.holds(series.versions[-1])
    assert [row["change"] for row in series.history()] == ["replaced"] * 3


async def test_a_version_that_comes_back_is_fetched_and_swapped_in_as_any_other(
    series: Series,
) -> None:
    (first,) = series.versions
    second = series.publish()
    await series.run()
    series.collection.publish(series.key, first)
    assert await series.run() is Verdict.VERIFIED
    assert series.holds(first)
    assert sorted(series.kept()) == sorted([first, second])


async def test_another_last_modified_alone_costs_no_download(each_size: Series) -> None:
    (only,) = each_size.versions
    each_size.server.put(each_size.key, only, last_modified=datetime(2026, 3, 4, 5, 6, tzinfo=UTC))
    assert await each_size.run() is Verdict.UNCHANGED
    assert each_size.fetched() == []
    assert [(row["change"], row["kept_as"]) for row in each_size.history()] == [("restamped", None)]
    assert str(each_size.row()["last_modified"]).startswith("2026-03-04T05:06")
    assert each_size.kept() == []


async def test_a_change_of_date_is_told_once(series: Series) -> None:
    (only,) = series.versions
    series.server.put(series.key, only, last_modified=datetime(2026, 3, 4, tzinfo=UTC))
    await series.run()
    await series.run()
    assert len(series.history()) == 1


async def test_the_same_bytes_under_another_etag_are_fetched_and_kept_once(
    series: Series,
) -> None:
    (only,) = series.versions
    series.server.put(series.key, only, etag=MULTIPART)
    assert await series.run() is Verdict.VERIFIED
    assert [row["change"] for row in series.history()] == ["restamped"]
    assert series.kept() == []
    assert series.holds(only)
    assert await series.run() is Verdict.UNCHANGED
    assert series.fetched() == []


async def test_without_a_listing_a_new_version_goes_unseen_until_it_is_asked_for(
    series: Series,
) -> None:
    (old,) = series.versions
    new = series.publish()
    assert await series.run(discovery="calendar") is Verdict.UNCHANGED
    assert series.fetched() == []
    assert series.holds(old)
    assert await series.run(discovery="calendar", force_redownload=True) is Verdict.VERIFIED
    assert series.holds(new)
    assert series.kept() == [old]


# Fetched again by order --------------------------------------------------------------------------


async def test_forced_and_the_same_bytes_change_nothing_but_the_file(each_size: Series) -> None:
    (only,) = each_size.versions
    before = each_size.row()
    assert await each_size.run(force_redownload=True) is Verdict.VERIFIED
    assert each_size.fetched() == ["zip", "sidecar"]
    assert each_size.holds(only)
    assert (each_size.kept(), each_size.history()) == ([], [])
    unlike = {"mtime_ns": 0, "last_seen_at": ""}
    assert each_size.row() | unlike == before | unlike
    assert await each_size.run() is Verdict.UNCHANGED
    assert each_size.fetched() == []


async def test_forced_and_other_bytes_keep_the_old_ones(each_size: Series) -> None:
    (old,) = each_size.versions
    new = each_size.publish()
    assert await each_size.run(force_redownload=True) is Verdict.VERIFIED
    assert each_size.holds(new)
    assert each_size.kept() == [old]
    assert [row["change"] for row in each_size.history()] == ["replaced"]


@pytest.mark.parametrize("trouble", ["touched", "ledger lost"])
async def test_forced_keeps_the_old_bytes_though_only_their_sidecar_knows_them(
    series: Series, trouble: str
) -> None:
    (old,) = series.versions
    if trouble == "touched":
        os.utime(series.path, (1, 1))
    else:
        series.lose_ledger()
    new = series.publish()
    assert await series.run(force_redownload=True) is Verdict.VERIFIED
    assert series.holds(new)
    assert series.kept() == [old]


@pytest.mark.parametrize("trouble", ["touched", "ledger lost"])
async def test_forced_bytes_without_proof_take_no_proven_files_place(
    series: Series, trouble: str
) -> None:
    (old,) = series.versions
    if trouble == "touched":
        os.utime(series.path, (1, 1))
    else:
        series.lose_ledger()
    series.publish()
    series.server.remove(f"{series.key}.CHECKSUM")
    assert await series.run(force_redownload=True) is Verdict.SIDECAR_MISSING
    assert series.holds(old)


async def test_forced_over_a_damaged_file_keeps_no_damage(each_size: Series) -> None:
    (only,) = each_size.versions
    each_size.path.write_bytes(b"damaged")
    assert await each_size.run(force_redownload=True) is Verdict.VERIFIED
    assert each_size.holds(only)
    assert each_size.kept() == []


# File systems without links ----------------------------------------------------------------------


def refuse_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)


async def test_where_no_links_can_be_made_the_old_bytes_are_copied(
    each_size: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_links(monkeypatch)
    (old,) = each_size.versions
    new = each_size.publish()
    assert await each_size.run() is Verdict.VERIFIED
    assert each_size.holds(new)
    assert each_size.kept() == [old]
    (change,) = each_size.history()
    kept = each_size.collection.root / str(change["kept_as"])
    assert Path(f"{kept}.CHECKSUM").read_bytes() == sidecar_of(old, each_size.name)
    folder = each_size.collection.root / ".lakehouse" / "replaced"
    assert list(folder.rglob("*.part")) == []


async def test_what_cannot_be_kept_is_not_replaced(
    each_size: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_links(monkeypatch)
    (old,) = each_size.versions
    new = each_size.publish()
    with monkeypatch.context() as patch:
        patch.setattr("crypto_lakehouse.stores.disk.shutil.copy2", _half_a_copy)
        report = await each_size.report()
    assert each_size.verdict(report) is Verdict.FAILED
    assert "Permission denied" in report.problems[0].reason
    assert each_size.path.read_bytes() == old
    assert each_size.row()["newer_verdict"] == "failed"
    folder = each_size.collection.root / ".lakehouse" / "replaced"
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert await each_size.run() is Verdict.VERIFIED
    assert each_size.holds(new)
    assert each_size.kept() == [old]


def _half_a_copy(_: str, target: str) -> None:
    Path(target).write_bytes(b"half")
    raise PermissionError(13, "Permission denied")


# The ledger is that of a run before, as one that is restored, or read by another machine ---------


@pytest.mark.parametrize("knows", ["the first", "nothing"])
async def test_a_version_that_no_ledger_knows_has_its_own_row_and_bytes(
    series: Series, knows: str
) -> None:
    (first,) = series.versions
    restore = series.with_ledger_of_now() if knows == "the first" else series.lose_ledger
    second = series.publish()
    await series.run()
    restore()
    series.publish()
    assert await series.run() is Verdict.VERIFIED
    named = {digest_of(each): each for each in (first, second)}
    rows = series.history()
    assert [row["sha256"] for row in rows] == [*named][-len(rows) :]
    assert len(rows) == (2 if knows == "the first" else 1)
    for row in rows:
        assert (series.collection.root / row["kept_as"]).read_bytes() == named[row["sha256"]]
        assert (row["change"], row["verdict"]) == ("replaced", "verified")
        assert row["size_bytes"] == len(named[row["sha256"]])


async def test_a_replacement_that_no_ledger_knows_is_recorded_by_the_next_run(
    series: Series,
) -> None:
    (first,) = series.versions
    restore = series.with_ledger_of_now()
    second = series.publish()
    await series.run()
    restore()
    assert await series.run() is Verdict.UNCHANGED
    (row,) = series.history()
    assert (row["change"], row["sha256"]) == ("replaced", digest_of(first))
    assert (series.collection.root / row["kept_as"]).read_bytes() == first
    assert series.row()["sha256"] == digest_of(second)


async def test_a_row_names_no_bytes_of_another_digest(series: Series) -> None:
    """The digest in the ledger was altered: the bytes are those of the row that is added."""
    (first,) = series.versions
    series.alter("UPDATE archives SET sha256 = ?, published_sha256 = sha256", "0" * 64)
    series.publish()
    await series.run()
    wrong, right = series.history()
    assert (wrong["sha256"], wrong["kept_as"]) == ("0" * 64, None)
    assert right["sha256"] == digest_of(first)
    assert (series.collection.root / right["kept_as"]).read_bytes() == first


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
