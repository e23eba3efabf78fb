"""What a listing makes of what is here already."""

from __future__ import annotations

import pytest
from attrs import evolve
from tests.collection.known_here import ROW, STAT, TOUCHED, Here, archive_of, knowing, sort

from crypto_lakehouse.collection.inventory import decide
from crypto_lakehouse.collection.work import Action
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.plan import PlannedPeriod
from crypto_lakehouse.core.verdicts import Verdict

LISTED = ListedArchive(
    size_bytes=7, etag='"e"', last_modified="2025-07-15T03:00:00.000Z", sidecar_etag='"s"'
)
KNOWN = knowing(ROW, sidecar_etag='"s"')
WRONG = Verdict.UPSTREAM_MISMATCH


@pytest.mark.parametrize(
    ("row", "stat", "listed", "action"),
    [
        (KNOWN, STAT, LISTED, Action.NOTHING),
        (KNOWN, STAT, evolve(LISTED, etag='W/"E"'), Action.NOTHING),
        (KNOWN, STAT, evolve(LISTED, last_modified="2026-01-01T00:00:00Z"), Action.NOTHING),
        (KNOWN, STAT, evolve(LISTED, etag='"other"'), Action.FETCH),
        (KNOWN, STAT, evolve(LISTED, size_bytes=8), Action.FETCH),
        (KNOWN, STAT, evolve(LISTED, etag=None), Action.NOTHING),
        (KNOWN, STAT, evolve(LISTED, etag=None, size_bytes=8), Action.FETCH),
        (KNOWN, STAT, evolve(LISTED, sidecar_etag='"t"'), Action.FETCH_SIDECAR),
        (KNOWN, STAT, evolve(LISTED, sidecar_etag=None), Action.NOTHING),
        (ROW, STAT, LISTED, Action.NOTHING),
        (knowing(KNOWN, etag=None), STAT, LISTED, Action.CHECK),
        (KNOWN, TOUCHED, LISTED, Action.CHECK),
        (KNOWN, None, LISTED, Action.FETCH),
        (KNOWN._replace(newer=WRONG), STAT, None, Action.FETCH),
        (KNOWN._replace(newer=WRONG), STAT, LISTED, Action.NOTHING),
        (None, STAT, LISTED, Action.CHECK),
    ],
)
def test_a_listing_tells_new_versions(
    row: LedgerRow | None, stat: FileStat | None, listed: ListedArchive | None, action: Action
) -> None:
    assert decide(row, stat, has_sidecar=True, force=False, listed=listed) is action


async def test_archives_that_are_the_listed_ones_are_told_together() -> None:
    here = Here()
    sizes = []
    for day in (1, 2, 3):
        stat = await here.holds(archive_of(day), row=KNOWN)
        sizes.append(stat.size_bytes)
    listed = evolve(LISTED, size_bytes=sizes[0])
    periods = [PlannedPeriod(archive_of(day).period, listed=listed) for day in (1, 2)]
    periods.append(
        PlannedPeriod(
            archive_of(3).period, listed=evolve(listed, last_modified="2026-01-01T00:00:00Z")
        )
    )
    settled, work = await sort(here.inventory(), periods)
    assert work == []
    assert [(event.archive, event.change, event.seen) for event in settled] == [
        (archive_of(1), "", True),
        (archive_of(2), "", True),
        (archive_of(3), "restamped", True),
    ]
    assert settled[2].last_modified == "2026-01-01T00:00:00Z"


async def test_what_is_not_listed_is_missing_where_nothing_is_here() -> None:
    here = Here()
    await here.holds(archive_of(1), row=KNOWN, sidecar=False)
    periods = [PlannedPeriod(archive_of(day).period, unlisted=True) for day in (1, 2)]
    settled, work = await sort(here.inventory(), periods)
    assert work == []
    assert {event.archive: event.verdict for event in settled} == {
        archive_of(1): Verdict.UNCHANGED,
        archive_of(2): Verdict.MISSING,
    }


async def test_a_folder_that_cannot_be_read_has_nothing_to_say_of_what_cannot_exist() -> None:
    here = Here()
    here.store.refuses[archive_of(1).folder] = StoreError("/out", "Not a directory")
    periods = [
        PlannedPeriod(archive_of(1).period, not_published="it begins later"),
        PlannedPeriod(archive_of(2).period),
    ]
    settled, _ = await sort(here.inventory(), periods)
    assert [event.verdict for event in settled] == [Verdict.NOT_PUBLISHED, Verdict.FAILED]
