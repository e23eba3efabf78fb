"""What is settled by what is here already, and what is work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.collection.known_here import (
    FACTS,
    PART,
    ROW,
    STAT,
    TOUCHED,
    TRUNCATED,
    Here,
    archive_of,
    knowing,
    sort,
)

from crypto_lakehouse.collection.inventory import decide
from crypto_lakehouse.collection.work import Action
from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.object_facts import FileStat, ObjectFacts
from crypto_lakehouse.core.plan import PlannedArchive, PlannedPeriod
from crypto_lakehouse.core.verdicts import Verdict


@pytest.fixture
def here() -> Here:
    return Here()


@pytest.mark.parametrize(
    ("row", "stat", "has_sidecar", "action"),
    [
        (None, None, False, Action.FETCH),
        (ROW, None, True, Action.FETCH),
        (ROW, STAT, True, Action.NOTHING),
        (ROW, STAT, False, Action.FETCH_SIDECAR),
        (ROW._replace(verdict=Verdict.UNCHANGED), STAT, True, Action.NOTHING),
        (knowing(ROW, published_sha256=None), STAT, False, Action.NOTHING),
        (ROW, TOUCHED, True, Action.CHECK),
        (ROW, TRUNCATED, True, Action.CHECK),
        (ROW, TOUCHED, False, Action.CHECK),
        (knowing(ROW, mark=None), STAT, True, Action.CHECK),
        (None, STAT, True, Action.CHECK),
        (None, STAT, False, Action.CHECK),
        *(
            (ROW._replace(verdict=verdict), STAT, True, Action.CHECK)
            for verdict in Verdict
            if verdict not in {Verdict.VERIFIED, Verdict.UNCHANGED}
        ),
    ],
)
def test_the_table_of_decisions(
    row: LedgerRow | None, stat: FileStat | None, has_sidecar: bool, action: Action
) -> None:
    assert decide(row, stat, has_sidecar=has_sidecar, force=False) is action
    assert decide(row, stat, has_sidecar=has_sidecar, force=True) is Action.FETCH


rows = st.none() | st.builds(
    LedgerRow,
    verdict=st.sampled_from(Verdict),
    facts=st.builds(
        ObjectFacts,
        size_bytes=st.sampled_from([None, 6, 7]),
        mark=st.sampled_from([None, 1_000, 1_001]),
        sha256=st.sampled_from([None, "a" * 64]),
        published_sha256=st.sampled_from([None, "a" * 64]),
        etag=st.none(),
        last_modified=st.none(),
        sidecar_etag=st.none(),
    ),
    newer=st.none(),
    accepted=st.just(value=False),
    newer_etag=st.none(),
    newer_sidecar_etag=st.none(),
)
stats = st.none() | st.sampled_from([STAT, TOUCHED, TRUNCATED])


@given(rows, stats, st.booleans())
def test_nothing_is_done_only_for_a_proven_file_that_has_not_changed(
    row: LedgerRow | None, stat: FileStat | None, has_sidecar: bool
) -> None:
    action = decide(row, stat, has_sidecar=has_sidecar, force=False)
    if action in {Action.NOTHING, Action.FETCH_SIDECAR}:
        assert row is not None
        assert stat is not None
        assert row.verdict in {Verdict.VERIFIED, Verdict.UNCHANGED}
        assert row.facts.describes(stat)
    if action is Action.CHECK:
        assert stat is not None


async def test_an_empty_directory_is_all_work(here: Here) -> None:
    archives = [archive_of(day) for day in (1, 2, 3)]
    settled, work = await here.sort(*archives)
    assert settled == []
    assert [item.archive for item in work] == archives
    assert {item.action for item in work} == {Action.FETCH}
    assert {(item.row, item.stat, item.part) for item in work} == {(None, None, None)}


async def test_a_verified_archive_is_settled_with_what_is_known_of_it(here: Here) -> None:
    archive = archive_of(1)
    stat = await here.holds(archive)
    settled, work = await here.sort(archive)
    assert work == []
    assert settled == [
        ArchiveFinished(
            archive=archive,
            verdict=Verdict.UNCHANGED,
            facts=FACTS.of_file(stat),
        )
    ]
    assert settled[0].elapsed_s == 0, "the ledger need not write this again"


async def test_an_archive_that_cannot_exist_is_settled_without_a_look(here: Here) -> None:
    item = PlannedPeriod(archive_of(1).period, not_published="the series begins later")
    settled, work = await sort(here.inventory(), [item])
    assert work == []
    assert [(event.verdict, event.reason) for event in settled] == [
        (Verdict.NOT_PUBLISHED, "the series begins later")
    ]
    assert here.store.scanned == here.ledger.asked == []


async def test_the_order_of_the_plan_is_kept(here: Here) -> None:
    archives = [archive_of(day) for day in (5, 3, 4, 1, 2)]
    for archive in archives[::2]:
        await here.holds(archive)
    settled, work = await here.sort(*archives)
    assert [event.archive for event in settled] == archives[::2]
    assert [item.archive for item in work] == archives[1::2]


async def test_a_folder_is_scanned_and_asked_for_once(here: Here) -> None:
    days = [archive_of(day) for day in range(1, 32)]
    months = [archive_of(month, "monthly") for month in range(1, 13)]
    mixed = [archive for pair in zip(days, months, strict=False) for archive in pair]
    await here.sort(*mixed)
    folders = [days[0].folder, months[0].folder]
    assert here.store.scanned == folders
    assert here.ledger.asked == [
        query for folder in folders for query in (f"rows of {folder}", f"parts of {folder}")
    ]


async def test_work_carries_the_row_the_stat_and_the_part(here: Here) -> None:
    archive = archive_of(1)
    stat = await here.holds(archive, row=ROW._replace(verdict=Verdict.CORRUPT))
    here.ledger.unfinished[archive.key] = PART
    _, (work,) = await here.sort(archive)
    assert work.action is Action.CHECK
    assert work.row == here.ledger.known[archive.key]
    assert work.stat == stat
    assert work.part == PART
    assert work.planned == PlannedArchive(archive)


async def test_force_fetches_everything_and_resumes_nothing(here: Here) -> None:
    archive = archive_of(1)
    await here.holds(archive)
    here.ledger.unfinished[archive.key] = PART
    settled, (work,) = await here.sort(archive, force=True)
    assert settled == []
    assert work.action is Action.FETCH
    assert work.part is None


@pytest.mark.parametrize(
    ("keep_sidecars", "actions"), [(True, [Action.FETCH_SIDECAR]), (False, [])]
)
async def test_a_sidecar_that_is_gone_is_wanted_only_where_sidecars_are_kept(
    here: Here, keep_sidecars: bool, actions: list[Action]
) -> None:
    archive = archive_of(1)
    await here.holds(archive, sidecar=False)
    settled, work = await here.sort(archive, keep_sidecars=keep_sidecars)
    assert [item.action for item in work] == actions
    assert len(settled) == 1 - len(actions)


async def test_a_file_without_a_row_is_checked_before_anything_is_requested(here: Here) -> None:
    archive = archive_of(1)
    await here.holds(archive, row=None)
    _, (work,) = await here.sort(archive)
    assert work.action is Action.CHECK


async def test_files_of_other_names_settle_nothing(here: Here) -> None:
    archive = archive_of(1)
    for name in (archive.key + SIDECAR_SUFFIX, archive.folder + "notes"):
        await here.store.put(name, b"")
    _, (work,) = await here.sort(archive)
    assert work.action is Action.FETCH
    assert work.stat is None


async def test_unfinished_bodies_that_nobody_can_go_on_with_are_removed(here: Here) -> None:
    archive, other = archive_of(1), archive_of(2)
    here.ledger.unfinished[archive.key] = PART
    leftovers = [other.key + ".part", archive.sidecar_key + ".part", archive.folder + "x.part"]
    for name in (archive.key + ".part", *leftovers):
        await here.store.put(name, b"begun")
    here.store.refuses[leftovers[-1]] = StoreError(leftovers[-1], "Is a directory")
    _, (work,) = await here.sort(archive)
    assert work.part == PART
    assert list(here.store.files) == [archive.key + ".part", leftovers[-1]]


async def test_a_folder_that_cannot_be_read_fails_its_own_archives_only(here: Here) -> None:
    days = [archive_of(day) for day in (1, 2)]
    month = archive_of(7, "monthly")
    await here.holds(month)
    here.store.refuses[days[0].folder] = StoreError("/out/data", "Not a directory")
    settled, work = await here.sort(days[0], month, days[1])
    assert [(event.archive, event.verdict) for event in settled] == [
        (days[0], Verdict.FAILED),
        (days[1], Verdict.FAILED),
        (month, Verdict.UNCHANGED),
    ]
    assert settled[0].reason == "`/out/data`: Not a directory"
    assert work == []
    assert here.store.scanned == [days[0].folder, month.folder]


async def test_a_disk_that_takes_nothing_more_stops_the_sorting(here: Here) -> None:
    archive = archive_of(1)
    refusal = StoreError("/out/data", "Input/output error", stops_run=True)
    here.store.refuses[archive.folder] = refusal
    with pytest.raises(StoreError) as raised:
        await here.sort(archive)
    assert raised.value is refusal


async def test_an_empty_plan_asks_for_nothing(here: Here) -> None:
    assert await here.sort() == ([], [])
    assert here.store.scanned == here.ledger.asked == []
