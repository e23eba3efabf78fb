"""What `plan` says to fetch is what the next collection fetches, whatever the tree is like."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.examples import examples
from tests.stores.memory import MemoryStore
from tests.workflows.conftest import KEY, Collection, make_zip, member_of, sidecar_of
from tests.workflows.july import DAYS, july_server, key_of, select_july

from crypto_lakehouse.core import Archive, ConfigurationError, LedgerError
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows import PlanReport, run_plan


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """Twenty days of one symbol."""
    with july_server() as server:
        yield server


@pytest.fixture
def days(collection: Collection) -> Collection:
    """The collection of those days, planned by the calendar."""
    select_july(collection)
    return collection


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


async def planned(days: Collection, **changes: Any) -> tuple[PlanReport, set[str]]:
    """The plan, and the keys of what it says to fetch; it changes nothing and asks for none."""
    keys: list[str] = []
    before = snapshot(days.root)
    days.server.clear()
    report = await run_plan(
        {**days.config, **changes},
        retry=days.retry,
        on_archive=lambda archive: keys.append(archive.key),
    )
    assert snapshot(days.root) == before
    assert [path for path in days.requested() if not path.startswith("list:")] == []
    assert len(keys) == len(set(keys)) == report.totals.to_fetch
    return report, set(keys)


async def fetched(days: Collection, **changes: Any) -> tuple[set[str], set[str]]:
    """The zips and the sidecars that a collection asks for."""
    days.server.clear()
    await days.run(**changes)
    paths = {path for path in days.requested() if not path.startswith("list:")}
    zips = {path for path in paths if path.endswith(".zip")}
    return zips, paths - zips


# Each state of an archive: what happens at the source before the first run, and after it ---------


def _as_it_was(_days: Collection, _key: str) -> None:
    pass


def _absent(days: Collection, key: str) -> None:
    days.server.remove(key)
    days.server.remove(f"{key}.CHECKSUM")


def _published(days: Collection, key: str) -> None:
    days.publish(key, make_zip(member_of(key), b"1,2,3\n"))


def _mismatched(days: Collection, key: str) -> None:
    data = make_zip(member_of(key), b"3,2,1\n")
    days.publish(key, data, sidecar_of(b"other bytes", key.rpartition("/")[2]))


def _corrupt(days: Collection, key: str) -> None:
    days.publish(key, b"no zip")


def _other_sidecar(days: Collection, key: str) -> None:
    sidecar = days.server.read(f"{key}.CHECKSUM")
    days.server.put(f"{key}.CHECKSUM", sidecar + b"\n")


def _deleted(days: Collection, key: str) -> None:
    days.path(key).unlink()


def _without_sidecar(days: Collection, key: str) -> None:
    days.path(f"{key}.CHECKSUM").unlink()


def _touched(days: Collection, key: str) -> None:
    os.utime(days.path(key), ns=(1, 1))


def _truncated(days: Collection, key: str) -> None:
    os.truncate(days.path(key), 10)


STATES = {
    "good": (_as_it_was, _as_it_was),
    "missing": (_absent, _as_it_was),
    "published later": (_absent, _published),
    "gone at the source": (_as_it_was, _absent),
    "another version": (_as_it_was, _published),
    "another sidecar": (_as_it_was, _other_sidecar),
    "quarantined": (_mismatched, _as_it_was),
    "quarantined, then well": (_mismatched, _published),
    "a refused newer version": (_as_it_was, _mismatched),
    "corrupt": (_corrupt, _as_it_was),
    "corrupt, then well": (_corrupt, _published),
    "deleted": (_as_it_was, _deleted),
    "without its sidecar": (_as_it_was, _without_sidecar),
    "touched": (_as_it_was, _touched),
    "truncated": (_as_it_was, _truncated),
}

#: States of a file that must be hashed: a plan cannot say whether it is fetched.
CHECKED = {"touched", "truncated"}


async def check(days: Collection, states: dict[str, str], **changes: Any) -> None:
    """Compare a plan of a tree with the collection that follows."""
    report, keys = await planned(days, **changes)
    zips, sidecars = await fetched(days, **changes)
    size, doubtful = report.totals, {key for key, state in states.items() if state in CHECKED}
    assert keys <= zips
    assert zips - keys <= doubtful
    assert size.to_check >= len(zips - keys)
    alone = {path.removesuffix(".CHECKSUM") for path in sidecars} - zips - doubtful
    assert size.sidecars >= len(alone)
    if not size.to_check:
        assert len(zips) == size.to_fetch
        assert len(alone) == size.sidecars
        assert len(zips | sidecars) <= size.requests
    assert size.planned == size.daily + size.monthly + size.not_published + size.missing


async def collected(days: Collection, states: dict[str, str], **changes: Any) -> None:
    """Collect a tree, and bring each archive into its state."""
    for key, state in states.items():
        STATES[state][0](days, key)
    await days.run(**changes)
    for key, state in states.items():
        STATES[state][1](days, key)


def listing(days: Collection) -> dict[str, Any]:
    return {"discovery": "listing", "listing_url": days.server.url}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("by", ["calendar", "listing"])
async def test_each_state_is_planned_as_it_is_collected(
    days: Collection, state: str, by: str
) -> None:
    changes = listing(days) if by == "listing" else {}
    await collected(days, {key_of(3): state}, **changes)
    await check(days, {key_of(3): state}, **changes)
    report, keys = await planned(days, **changes)  # and once more, after that run
    assert (await fetched(days, **changes))[0] == keys
    assert report.totals.verified >= DAYS - 1


@pytest.mark.parametrize("seed", range(examples(12)))
async def test_any_mixture_of_states_is_planned_as_it_is_collected(
    days: Collection, seed: int
) -> None:
    chance = random.Random(seed)
    by_listing = listing(days) if chance.random() < 0.6 else {}
    states = {key_of(day): chance.choice(list(STATES)) for day in range(1, DAYS + 1)}
    await collected(days, states, **by_listing)
    changes = by_listing | chance.choice(
        [
            {},
            {"force_redownload": True},
            {"accept_upstream_mismatch": True},
            {"download_checksum": False},
            {"only": "failed"},
            {"only": "quarantined"},
            {"processes": 2},
        ]
    )
    if "only" in changes:
        changes = {key: value for key, value in changes.items() if key == "only"}
    await check(days, states, **changes)


# Some trees, with their numbers -------------------------------------------------------------------


async def test_nothing_is_planned_after_a_collection(days: Collection) -> None:
    fresh, keys = await planned(days)
    assert (len(keys), fresh.totals.to_fetch, fresh.totals.verified) == (DAYS, DAYS, 0)
    assert fresh.totals.requests == fresh.totals.planned_requests == 2 * DAYS
    await days.run()
    report, keys = await planned(days)
    size = report.totals
    assert (keys, size.requests, size.to_fetch, size.estimate_s) == (set(), 0, 0, 0)
    assert (size.verified, size.planned, size.planned_requests) == (DAYS, DAYS, 2 * DAYS)
    assert (size.size_bytes, size.planned_bytes) == (0, None)


async def test_bytes_are_those_of_what_is_left(days: Collection) -> None:
    by_listing = listing(days)
    await days.run(**by_listing, date_range={"start": "2025-07-01", "end": "2025-07-18"})
    report, keys = await planned(days, **by_listing)
    assert keys == {key_of(19), key_of(20)}
    sizes = [len(days.server.read(key_of(day))) for day in range(1, DAYS + 1)]
    assert report.totals.size_bytes == sum(sizes[18:])
    assert report.totals.planned_bytes == sum(sizes)


async def test_a_tree_whose_ledger_is_lost_is_checked_and_not_fetched(days: Collection) -> None:
    await days.run()
    shutil.rmtree(days.root / ".lakehouse")
    report, keys = await planned(days)
    assert (keys, report.totals.to_check, report.totals.requests) == (set(), DAYS, 0)
    assert any("20 files here are not proven by the ledger" in note for note in report.notes)
    assert await fetched(days) == (set(), set())


async def test_one_file_to_check_is_one(days: Collection) -> None:
    await collected(days, {key_of(3): "touched"})
    report, _ = await planned(days)
    assert any("1 file here is not proven" in note for note in report.notes)


async def test_what_a_killed_run_left_stays(days: Collection) -> None:
    days.path(key_of(3)).parent.mkdir(parents=True)
    part = days.path(f"{key_of(3)}.part")
    part.write_bytes(b"half")
    await planned(days)
    assert part.exists()


async def test_a_folder_that_cannot_be_read_is_named_and_nothing_of_it_is_fetched(
    days: Collection,
) -> None:
    folder = days.path(KEY).parent
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"a file in its place")
    report, keys = await planned(days)
    assert (keys, report.totals.refused) == (set(), DAYS)
    assert any(note.startswith("`data/spot/daily/klines/BTCUSDT/1h/`: ") for note in report.notes)
    assert await fetched(days) == (set(), set())


async def test_only_what_failed_is_planned_from_the_ledger(days: Collection) -> None:
    await collected(days, {key_of(3): "published later"})
    report, keys = await planned(days, only="failed")
    assert (keys, report.totals.planned) == ({key_of(3)}, 1)
    assert (await fetched(days, only="failed"))[0] == keys
    report, keys = await planned(days, only="failed")
    assert (keys, report.totals.planned) == (set(), 0)
    assert any("the ledger has nothing of that kind" in note for note in report.notes)


async def test_only_what_failed_needs_a_directory_and_no_ledger(days: Collection) -> None:
    with pytest.raises(ConfigurationError, match="is not a directory"):
        await run_plan({**days.config, "only": "failed"})
    days.root.mkdir()
    report, _ = await planned(days, only="failed")
    assert report.totals.planned == 0


async def test_all_archives_are_those_that_are_here_too(days: Collection) -> None:
    await days.run()
    archives: list[Archive] = []
    await run_plan(days.config, on_archive=archives.append, all_archives=True)
    assert [archive.key for archive in archives] == [key_of(day) for day in range(1, DAYS + 1)]


async def test_an_output_directory_that_is_a_file_is_refused(days: Collection) -> None:
    days.root.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="is not a directory"):
        await run_plan(days.config)


async def test_a_damaged_ledger_is_an_error(days: Collection) -> None:
    await days.run()
    ledger = days.root / ".lakehouse" / "ledger.sqlite"
    ledger.write_bytes(b"no database" * 1000)
    with pytest.raises(LedgerError, match="ledger"):
        await run_plan(days.config)
    assert ledger.read_bytes().startswith(b"no database")


async def test_archives_in_a_store_of_ones_own_are_found(days: Collection) -> None:
    store = MemoryStore()
    await days.run(store=store)
    report = await run_plan(days.config, store=store)
    assert report.totals.verified == DAYS
