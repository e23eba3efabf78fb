"""What the publisher publishes anew: fetched beside the old, verified, swapped in."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import anyio
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
from tests.workflows.listed_archive import (
    NAME,
    NEWS,
    counts,
    lose_ledger,
    only,
    replaced,
    rows,
    zips,
)

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing.faults import Status, Truncate
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow
from crypto_lakehouse.zips.check import check_zip


async def test_a_new_version_takes_the_place_of_the_old_one_which_is_kept(
    synced: Collection,
) -> None:
    old = synced.path(KEY).read_bytes()
    synced.publish(KEY, NEWS)
    assert counts(await synced.run()) == only(Verdict.VERIFIED)
    assert synced.path(KEY).read_bytes() == NEWS
    assert synced.path(SIDECAR).read_bytes() == sidecar_of(NEWS, NAME)
    (kept,) = [path for path in replaced(synced) if path.is_file()]
    assert kept.read_bytes() == old
    assert kept.name.endswith(f"-{hashlib.sha256(old).hexdigest()}.zip")
    assert Path(f"{kept}.CHECKSUM").read_bytes() == sidecar_of(old, NAME).rstrip(b"\n")
    ((change, kept_as, size),) = rows(synced, "SELECT change, kept_as, size_bytes FROM versions")
    assert (change, synced.root / kept_as, size) == ("replaced", kept, len(old))
    synced.server.clear()
    assert counts(await synced.run()) == only(Verdict.UNCHANGED)
    assert zips(synced) == []


async def test_a_large_new_version_is_streamed_and_swapped(collection: Collection) -> None:
    collection.config |= {"listing_url": collection.server.url, "data_types": ["trades"]}
    del collection.config["intervals"]
    old, new = big_zip(), big_zip()
    collection.publish(BIG_KEY, old)
    await collection.run()
    collection.publish(BIG_KEY, new)
    assert counts(await collection.run()) == only(Verdict.VERIFIED)
    assert collection.path(BIG_KEY).read_bytes() == new
    (kept,) = [path for path in replaced(collection) if path.is_file()]
    assert kept.read_bytes() == old
    assert collection.stray_files() == []


async def test_another_date_on_the_same_object_costs_no_download(synced: Collection) -> None:
    synced.server.put(KEY, synced.server.read(KEY), last_modified=datetime(2026, 1, 2, tzinfo=UTC))
    assert counts(await synced.run()) == only(Verdict.UNCHANGED)
    assert zips(synced) == []
    assert rows(synced, "SELECT change, kept_as FROM versions") == [("restamped", None)]
    ((modified,),) = rows(synced, "SELECT last_modified FROM archives")
    assert modified.startswith("2026-01-02")
    await synced.run()
    assert len(rows(synced, "SELECT * FROM versions")) == 1


async def test_a_new_etag_on_the_same_bytes_keeps_nothing_aside(synced: Collection) -> None:
    synced.server.put(KEY, synced.server.read(KEY), etag="0" * 32 + "-2")
    assert counts(await synced.run()) == only(Verdict.VERIFIED)
    assert [row[0] for row in rows(synced, "SELECT change FROM versions")] == ["restamped"]
    assert replaced(synced) == []


@pytest.mark.parametrize("bad", ["mismatch", "no zip", "failing", "cut off", "no sidecar"])
async def test_a_new_version_that_is_not_good_leaves_the_old_one_where_it_is(
    synced: Collection, bad: str
) -> None:
    old, line = synced.path(KEY).read_bytes(), synced.path(SIDECAR).read_bytes()
    body = b"no zip at all" if bad == "no zip" else NEWS
    synced.publish(KEY, body)
    if bad == "mismatch":
        synced.server.put(SIDECAR, sidecar_of(b"another", NAME))
    elif bad == "no sidecar":
        synced.server.remove(SIDECAR)
    elif bad != "no zip":
        fault = Status(500) if bad == "failing" else Truncate(9)
        synced.server.inject(KEY, fault, endless=True)
    report = await synced.run()
    verdict = {
        "mismatch": Verdict.UPSTREAM_MISMATCH,
        "no zip": Verdict.CORRUPT,
        "no sidecar": Verdict.SIDECAR_MISSING,
    }.get(bad, Verdict.FAILED)
    assert counts(report) == only(verdict)
    assert synced.path(KEY).read_bytes() == old
    assert synced.path(SIDECAR).read_bytes() == line
    ((kept, newer),) = rows(synced, "SELECT verdict, newer_verdict FROM archives")
    assert (kept, newer) == ("verified", verdict)
    assert replaced(synced) == []
    synced.server.heal()
    synced.publish(KEY, NEWS)
    assert counts(await synced.run()) == only(Verdict.VERIFIED)
    assert synced.path(KEY).read_bytes() == NEWS
    assert rows(synced, "SELECT newer_verdict FROM archives") == [(None,)]


async def test_the_same_mismatch_is_not_fetched_again(synced: Collection) -> None:
    synced.server.put(KEY, NEWS)
    await synced.run()
    synced.server.clear()
    report = await synced.run()
    assert counts(report) == only(Verdict.UPSTREAM_MISMATCH)
    assert "as when it was quarantined" in report.problems[0].reason
    assert zips(synced) == []
    report = await synced.run(discovery="calendar")
    assert zips(synced) == [KEY, SIDECAR] * 2, "a calendar cannot know that nothing changed"


async def test_a_mismatch_without_an_older_version_is_not_fetched_again_either(
    collection: Collection,
) -> None:
    collection.config["listing_url"] = collection.server.url
    collection.server.put(SIDECAR, sidecar_of(b"another", NAME))
    await collection.run()
    collection.server.clear()
    assert counts(await collection.run()) == only(Verdict.UPSTREAM_MISMATCH)
    assert zips(collection) == []
    collection.server.put(SIDECAR, sidecar_of(collection.server.read(KEY), NAME))
    assert counts(await collection.run()) == only(Verdict.VERIFIED)


async def test_a_version_that_was_taken_back_is_forgotten(synced: Collection) -> None:
    first, line = synced.server.read(KEY), synced.server.read(SIDECAR)
    synced.server.put(KEY, NEWS)
    await synced.run()
    synced.server.put(KEY, first)
    synced.server.put(SIDECAR, line)
    synced.server.clear()
    assert counts(await synced.run()) == only(Verdict.UNCHANGED)
    assert zips(synced) == []
    assert rows(synced, "SELECT newer_verdict FROM archives") == [(None,)]


# What stands there, without a ledger that knows it ---------------------------------------------


async def test_a_lost_ledger_is_rebuilt_without_a_request_for_an_archive(
    synced: Collection,
) -> None:
    lose_ledger(synced)
    assert counts(await synced.run()) == only(Verdict.UNCHANGED)
    assert zips(synced) == []
    assert rows(synced, "SELECT etag IS NULL FROM archives") == [(0,)]
    assert counts(await synced.run()) == only(Verdict.UNCHANGED)


async def test_an_old_version_is_recognised_and_kept_without_a_ledger(
    synced: Collection,
) -> None:
    old = synced.path(KEY).read_bytes()
    lose_ledger(synced)
    synced.publish(KEY, NEWS)
    assert counts(await synced.run()) == only(Verdict.VERIFIED)
    (kept,) = [path for path in replaced(synced) if path.is_file()]
    assert (kept.read_bytes(), synced.path(KEY).read_bytes()) == (old, NEWS)


async def test_a_version_of_the_same_size_is_told_apart_by_its_md5(synced: Collection) -> None:
    lose_ledger(synced)
    old = synced.path(KEY).read_bytes()
    news = make_zip(member_of(KEY), b"x" * 99)
    synced.publish(KEY, news)
    synced.path(KEY).write_bytes(make_zip(member_of(KEY), b"y" * 99))
    synced.path(SIDECAR).write_bytes(sidecar_of(synced.path(KEY).read_bytes(), NAME))
    assert len(synced.path(KEY).read_bytes()) == len(news) != len(old)
    assert counts(await synced.run()) == only(Verdict.VERIFIED)
    assert synced.path(KEY).read_bytes() == news


@pytest.mark.parametrize("same", [True, False])
async def test_a_multipart_etag_leaves_the_word_to_the_published_sidecar(
    synced: Collection, *, same: bool
) -> None:
    body = synced.server.read(KEY)
    lose_ledger(synced)
    if not same:
        synced.path(KEY).write_bytes(bytes(len(body)))
        synced.path(SIDECAR).write_bytes(sidecar_of(bytes(len(body)), NAME))
    synced.server.put(KEY, body, etag="0" * 32 + "-2")
    report = await synced.run()
    assert counts(report) == only(Verdict.UNCHANGED if same else Verdict.VERIFIED)
    assert (KEY in zips(synced)) is not same
    assert synced.path(KEY).read_bytes() == body


async def test_a_touched_file_that_is_outdated_is_swapped_and_kept(synced: Collection) -> None:
    old = synced.path(KEY).read_bytes()
    os.utime(synced.path(KEY), (1, 1))
    synced.publish(KEY, NEWS)
    assert counts(await synced.run()) == only(Verdict.VERIFIED)
    assert [path.read_bytes() for path in replaced(synced) if path.is_file()] == [old]


async def test_a_touched_file_that_is_current_is_only_learnt(synced: Collection) -> None:
    os.utime(synced.path(KEY), (1, 1))
    synced.server.put(KEY, synced.server.read(KEY), last_modified=datetime(2026, 1, 2, tzinfo=UTC))
    assert counts(await synced.run()) == only(Verdict.UNCHANGED)
    assert zips(synced) == []
    assert [row[0] for row in rows(synced, "SELECT change FROM versions")] == ["restamped"]


async def test_damaged_bytes_are_replaced_and_not_kept(synced: Collection) -> None:
    synced.path(KEY).write_bytes(b"damaged")
    synced.publish(KEY, NEWS)
    assert counts(await synced.run()) == only(Verdict.VERIFIED)
    assert replaced(synced) == []


@pytest.mark.parametrize("forced", [True, False])
async def test_what_the_source_removed_is_kept(synced: Collection, *, forced: bool) -> None:
    synced.server.remove(KEY)
    synced.server.remove(SIDECAR)
    report = await synced.run(force_redownload=forced)
    assert counts(report) == only(Verdict.UNCHANGED)
    assert synced.path(KEY).is_file()
    assert zips(synced) == ([KEY] if forced else [])
    lose_ledger(synced)
    assert counts(await synced.run(discovery="calendar")) == only(Verdict.UNCHANGED)


async def test_what_is_removed_and_unknown_here_is_checked_and_kept(synced: Collection) -> None:
    lose_ledger(synced)
    synced.path(SIDECAR).unlink()
    synced.server.remove(KEY)
    assert counts(await synced.run()) == only(Verdict.VERIFIED)


async def test_what_is_listed_and_not_there_takes_nothing_away(synced: Collection) -> None:
    lose_ledger(synced)
    old = synced.path(KEY).read_bytes()
    synced.publish(KEY, NEWS)
    synced.server.inject(KEY, Status(404), endless=True)
    assert counts(await synced.run()) == only(Verdict.UNCHANGED)
    assert synced.path(KEY).read_bytes() == old


async def test_a_forced_run_keeps_the_bytes_that_it_replaces(synced: Collection) -> None:
    old = synced.path(KEY).read_bytes()
    synced.publish(KEY, NEWS)
    report = await synced.run(discovery="calendar", force_redownload=True)
    assert counts(report) == only(Verdict.VERIFIED)
    assert [path.read_bytes() for path in replaced(synced) if path.is_file()] == [old]


async def test_where_links_cannot_be_made_bytes_are_copied(
    synced: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    old = synced.path(KEY).read_bytes()
    monkeypatch.setattr(os, "link", no_links)
    synced.publish(KEY, NEWS)
    assert counts(await synced.run()) == only(Verdict.VERIFIED)
    assert [path.read_bytes() for path in replaced(synced) if path.is_file()] == [old]


@pytest.mark.parametrize("step", range(12))
async def test_at_no_moment_is_there_no_good_archive(synced: Collection, step: int) -> None:
    """Cancel the run at one of its looks at the store; what stands must be whole and proven."""
    synced.publish(KEY, NEWS)
    seen = 0

    class Watched(LocalStore):
        async def _count(self) -> None:
            nonlocal seen
            seen += 1
            if seen == step:
                workflow.stop()
            await anyio.lowlevel.checkpoint()

        async def keep_replaced(self, key: str, sha256: str) -> str:
            await self._count()
            kept = await super().keep_replaced(key, sha256)
            await self._count()
            return kept

        async def put(self, key: str, data: bytes, *, sync: bool = False) -> FileStat:
            await self._count()
            stat = await super().put(key, data, sync=sync)
            await self._count()
            return stat

    config = WorkflowConfig(synced.config, environ={})
    workflow = ArchiveCollectionWorkflow(config, store=Watched(synced.root))
    await workflow.run()
    body = synced.path(KEY).read_bytes()
    assert await check_zip(lambda: synced.path(KEY).open("rb"), member_of(KEY), len(body)) == ""
    report = await synced.run()
    assert report.exit_code == 0
    assert synced.path(KEY).read_bytes() == NEWS
    assert synced.path(SIDECAR).read_bytes() == sidecar_of(NEWS, NAME)
