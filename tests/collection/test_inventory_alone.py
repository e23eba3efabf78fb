"""An inventory that only reads, and the question whether there is anything of a series at all."""

from __future__ import annotations

import pytest
from tests.collection.known_here import PART, ROW, Here, archive_of, sort

from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.work import Action
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries

DAYS = [archive_of(day) for day in (1, 2, 3)]
MONTH = archive_of(7, "monthly")
PERIODS = [
    PlannedPeriod(DAYS[0].period),
    PlannedPeriod(DAYS[1].period, unlisted=True),
    PlannedPeriod(DAYS[2].period, not_published="the series begins later"),
    PlannedPeriod(MONTH.period),
]
PLANNED = PlannedSeries(DAYS[0].series, PERIODS)


@pytest.fixture
def here() -> Here:
    return Here()


def reading(here: Here) -> Inventory:
    return Inventory(here.store, here.ledger, reads_only=True)


async def test_what_is_left_of_a_killed_run_stays_if_nothing_is_to_be_changed(here: Here) -> None:
    await here.store.put(DAYS[1].key + ".part", b"begun")
    _, work = await sort(reading(here), [PlannedPeriod(DAYS[0].period)])
    assert [item.action for item in work] == [Action.FETCH]
    assert list(here.store.files) == [DAYS[1].key + ".part"]


async def test_of_a_series_of_which_there_is_nothing_all_that_is_due_is_fetched(
    here: Here,
) -> None:
    inventory = reading(here)
    assert inventory.has_nothing_of(PLANNED)
    settled, work = await sort(inventory, PERIODS)
    assert [(item.archive, item.action) for item in work] == [
        (DAYS[0], Action.FETCH),
        (MONTH, Action.FETCH),
    ]
    assert [event.archive for event in settled] == [DAYS[1], DAYS[2]]


async def test_a_part_alone_is_no_archive(here: Here) -> None:
    here.ledger.unfinished[DAYS[0].key] = PART
    await here.store.put(DAYS[0].key + ".part", b"begun")
    assert reading(here).has_nothing_of(PLANNED)


@pytest.mark.parametrize("archive", [DAYS[0], DAYS[1], MONTH, archive_of(9)], ids=str)
async def test_a_file_or_a_row_is_something(here: Here, archive: Archive) -> None:
    here.ledger.known[archive.key] = ROW
    assert not reading(here).has_nothing_of(PLANNED)
    here.ledger.known.clear()
    await here.holds(archive, row=None)
    assert not reading(here).has_nothing_of(PLANNED)


async def test_each_folder_is_still_scanned_and_asked_for_once(here: Here) -> None:
    await here.holds(MONTH)
    inventory = reading(here)
    assert not inventory.has_nothing_of(PLANNED)
    await sort(inventory, PERIODS)
    assert here.store.scanned == [DAYS[0].folder, MONTH.folder]
    assert len(here.ledger.asked) == len(set(here.ledger.asked))


async def test_what_was_read_of_one_series_does_not_count_for_the_next(here: Here) -> None:
    inventory = reading(here)
    assert inventory.has_nothing_of(PLANNED)
    await here.holds(DAYS[0])
    assert not inventory.has_nothing_of(PLANNED)


async def test_archives_that_cannot_exist_are_not_looked_for(here: Here) -> None:
    assert reading(here).has_nothing_of(PlannedSeries(DAYS[0].series, [PERIODS[2]]))
    assert here.store.scanned == here.ledger.asked == []


async def test_a_folder_that_cannot_be_read_is_left_to_the_verdicts(here: Here) -> None:
    here.store.refuses[DAYS[0].folder] = StoreError("/out/data", "Not a directory")
    inventory = reading(here)
    assert not inventory.has_nothing_of(PLANNED)
    settled, _ = await sort(inventory, PERIODS)
    assert [event.reason for event in settled[:2]] == ["`/out/data`: Not a directory"] * 2
