"""What is settled, and what is work, where the source's listing was read."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest
from attrs import define, evolve, field
from tests.collection.known_here import (
    ROW,
    Here,
    MemoryLedger,
    MemoryStore,
    archive_of,
    knowing,
    sort,
)

from crypto_lakehouse.collection.inventory import Inventory, decide
from crypto_lakehouse.collection.work import Action, Work
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import ArchiveFinished, ArchivesUnchanged, Event
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict

SIZE = len(b"content of a zip")
STAT = FileStat(SIZE, 1_000)
KNOWN = knowing(ROW, size_bytes=SIZE, mark=1_000, sidecar_etag='"s"')
LISTED = ListedArchive(
    size_bytes=SIZE, etag='"e"', last_modified="2025-07-15T03:00:00.000Z", sidecar_etag='"s"'
)
LATER = "2026-01-01T00:00:00.000Z"


# decide(), as a table ----------------------------------------------------------------------------


class Case(NamedTuple):
    """Everything that a decision depends on, in few words."""

    file: str  # absent, as proven, touched
    ledger: str  # nothing, verified, without an ETag, sidecar_missing
    newer: bool  # whether a newer version was refused
    published: bool  # whether a sidecar was ever published
    beside: bool  # whether the sidecar lies beside the file
    listing: str  # not read, same, other date, other ETag, other size, other sidecar, no ETag

    @property
    def stat(self) -> FileStat | None:
        return {"absent": None, "touched": STAT._replace(mark=1_001)}.get(self.file, STAT)

    @property
    def row(self) -> LedgerRow | None:
        if self.ledger == "nothing":
            return None
        row = KNOWN._replace(
            verdict=Verdict.SIDECAR_MISSING if self.ledger == "no success" else Verdict.VERIFIED,
            newer=Verdict.CORRUPT if self.newer else None,
        )
        return knowing(
            row,
            etag=None if self.ledger == "without an ETag" else KNOWN.facts.etag,
            published_sha256=KNOWN.facts.sha256 if self.published else None,
        )

    @property
    def listed(self) -> ListedArchive | None:
        return LISTINGS[self.listing]


LISTINGS: dict[str, ListedArchive | None] = {
    "not read": None,
    "same": LISTED,
    "other date": evolve(LISTED, last_modified=LATER),
    "other ETag": evolve(LISTED, etag='"f"'),
    "other size": evolve(LISTED, size_bytes=SIZE + 1),
    "other sidecar": evolve(LISTED, sidecar_etag='"t"'),
    "no ETag": evolve(LISTED, etag=None),
    "no ETag, other size": evolve(LISTED, etag=None, size_bytes=SIZE + 1),
}

CASES = [
    Case(*values)
    for values in product(
        ("absent", "as proven", "touched"),
        ("nothing", "verified", "without an ETag", "no success"),
        (True, False),
        (True, False),
        (True, False),
        LISTINGS,
    )
]


def expected(case: Case) -> Action:
    """The table of `decide`, said anew."""
    if case.file == "absent":
        return Action.FETCH
    if case.file == "touched" or case.ledger in {"nothing", "no success"}:
        return Action.CHECK
    shows_etag = case.listing not in {"not read", "no ETag", "no ETag, other size"}
    if case.ledger == "without an ETag" and shows_etag:
        return Action.CHECK
    if case.listing in {"other ETag", "other size", "no ETag, other size"}:
        return Action.FETCH
    if case.listing == "not read" and case.newer:
        return Action.FETCH
    is_absent_here = case.published and not case.beside
    if is_absent_here or case.listing == "other sidecar":
        return Action.FETCH_SIDECAR
    return Action.NOTHING


@pytest.mark.parametrize("force", [True, False])
def test_every_row_of_the_table_of_decisions(*, force: bool) -> None:
    for case in CASES:
        action = decide(
            case.row, case.stat, has_sidecar=case.beside, force=force, listed=case.listed
        )
        assert action is (Action.FETCH if force else expected(case)), case


def test_nothing_is_done_only_for_what_is_proven_and_is_the_listed_version() -> None:
    for case in CASES:
        action = decide(
            case.row, case.stat, has_sidecar=case.beside, force=False, listed=case.listed
        )
        if action is Action.NOTHING:
            assert case.row is not None
            assert case.row.verdict in SUCCESSES
            assert case.stat is not None
            assert case.row.facts.describes(case.stat)
            assert "other" not in case.listing.replace("other date", "")


# Inventory.sort ----------------------------------------------------------------------------------


@define
class Listed:
    """An output directory and a plan that comes from a listing."""

    here: Here = field(factory=Here)
    periods: list[PlannedPeriod] = field(factory=list)
    options: dict[str, bool] = field(factory=dict)

    @property
    def store(self) -> MemoryStore:
        return self.here.store

    @property
    def ledger(self) -> MemoryLedger:
        return self.here.ledger

    async def plan(
        self,
        day: int,
        listed: ListedArchive | None = LISTED,
        *,
        row: LedgerRow | None = KNOWN,
        stored: bool = True,
        sidecar: bool = True,
        unlisted: bool = False,
        not_published: str = "",
    ) -> None:
        """Plan a day; it is stored here, unless told otherwise."""
        archive = archive_of(day)
        if stored:
            await self.here.holds(archive, row=row, sidecar=sidecar)
        elif row is not None:
            self.ledger.known[archive.key] = row
        period = PlannedPeriod(archive.period, not_published, listed=listed, unlisted=unlisted)
        self.periods.append(period)

    def events(self) -> tuple[list[Event], list[Work]]:
        """Sort the plan; what is told together is left so."""
        inventory = Inventory(self.store, self.ledger, **self.options)
        return inventory.sort(PlannedSeries(archive_of(1).series, self.periods))

    async def sort(self) -> tuple[list[ArchiveFinished], list[Work]]:
        """Sort the plan; what is told together is written out."""
        return await sort(Inventory(self.store, self.ledger, **self.options), self.periods)


@pytest.fixture
def listed() -> Listed:
    return Listed()


def told_together(events: list[Event]) -> ArchivesUnchanged:
    (event,) = events
    assert isinstance(event, ArchivesUnchanged)
    return event


async def test_what_is_as_listed_is_one_event_with_the_listed_size(listed: Listed) -> None:
    for day in (1, 2, 3):
        await listed.plan(day)
    events, work = listed.events()
    together = told_together(events)
    assert work == []
    assert (together.folder, together.count) == (archive_of(1).folder, 3)
    assert (together.seen, together.size_bytes) == (True, 3 * SIZE)


async def test_the_single_events_say_too_that_the_source_was_asked(listed: Listed) -> None:
    for day in (1, 2):
        await listed.plan(day)
    events, _ = listed.events()
    single = list(told_together(events).each())
    assert [event.archive for event in single] == [archive_of(1), archive_of(2)]
    assert {event.verdict for event in single} == {Verdict.UNCHANGED}
    assert {(event.seen, event.etag, event.sidecar_etag) for event in single} == {
        (True, '"e"', '"s"')
    }


async def test_without_a_listing_nothing_is_called_seen(listed: Listed) -> None:
    await listed.plan(1, None)
    events, _ = listed.events()
    together = told_together(events)
    assert (together.seen, together.size_bytes) == (False, 0)
    assert [event.seen for event in together.each()] == [False]
    assert not any(query.startswith("objects") for query in listed.ledger.asked)


@pytest.mark.parametrize("first", [1, 2])
async def test_what_was_not_asked_of_the_source_is_not_called_seen(
    listed: Listed, first: int
) -> None:
    await listed.plan(first, LISTED)
    await listed.plan(3 - first, None)
    listed.periods.sort(key=lambda item: item.period.text)
    events, work = listed.events()
    assert work == []
    seen = {
        single.archive: single.seen
        for event in events
        for single in (event.each() if isinstance(event, ArchivesUnchanged) else [event])
        if isinstance(single, ArchiveFinished)
    }
    assert seen == {archive_of(first): True, archive_of(3 - first): False}


async def test_a_listed_archive_that_is_not_here_is_fetched(listed: Listed) -> None:
    await listed.plan(1, row=None, stored=False)
    settled, (work,) = await listed.sort()
    assert settled == []
    assert (work.action, work.verified_row, work.planned.listed) == (Action.FETCH, None, LISTED)


async def test_another_date_alone_is_told_and_is_no_work(listed: Listed) -> None:
    await listed.plan(1, evolve(LISTED, last_modified=LATER))
    (event,), work = await listed.sort()
    assert work == []
    assert (event.verdict, event.change, event.seen) == (Verdict.UNCHANGED, "restamped", True)
    assert (event.last_modified, event.etag, event.reason) == (LATER, '"e"', "")


async def test_what_the_ledger_does_not_know_yet_is_learnt_without_work(listed: Listed) -> None:
    await listed.plan(1, row=knowing(KNOWN, sidecar_etag=None, last_modified=None))
    (event,), work = await listed.sort()
    assert work == []
    assert (event.change, event.seen) == ("", True)
    assert (event.last_modified, event.sidecar_etag) == (LISTED.last_modified, '"s"')


async def test_another_spelling_of_the_same_etag_is_no_work(listed: Listed) -> None:
    await listed.plan(1, row=knowing(KNOWN, etag='W/"E"'))
    (event,), work = await listed.sort()
    assert work == []
    assert (event.verdict, event.change, event.etag) == (Verdict.UNCHANGED, "", '"e"')


async def test_another_sidecar_alone_is_asked_for_alone(listed: Listed) -> None:
    await listed.plan(1, evolve(LISTED, sidecar_etag='"t"'))
    settled, (work,) = await listed.sort()
    assert settled == []
    assert work.action is Action.FETCH_SIDECAR
    assert work.verified_row == work.row


# Not in the listing any more ---------------------------------------------------------------------


@pytest.mark.parametrize("sidecar", [True, False])
async def test_what_is_verified_here_and_listed_no_more_is_kept_without_a_request(
    listed: Listed, *, sidecar: bool
) -> None:
    await listed.plan(1, None, unlisted=True, sidecar=sidecar)
    (event,), work = await listed.sort()
    assert work == []
    assert (event.verdict, event.seen, event.change) == (Verdict.UNCHANGED, False, "")
    assert "the source lists it no more" in event.reason
    assert event.sha256 == KNOWN.facts.sha256


@pytest.mark.parametrize("row", [None, KNOWN])
async def test_what_is_neither_here_nor_listed_is_missing(
    listed: Listed, row: LedgerRow | None
) -> None:
    await listed.plan(1, None, row=row, stored=False, unlisted=True)
    (event,), work = await listed.sort()
    assert work == []
    assert event.verdict is Verdict.MISSING
    assert "does not list it" in event.reason


async def test_what_is_listed_no_more_and_is_not_proven_here_is_looked_at(listed: Listed) -> None:
    await listed.plan(1, None, row=None, unlisted=True)
    settled, (work,) = await listed.sort()
    assert settled == []
    assert work.action is Action.CHECK


# Folders -----------------------------------------------------------------------------------------


async def test_a_refused_folder_fails_what_may_exist_and_nothing_else(listed: Listed) -> None:
    listed.store.refuses[archive_of(1).folder] = StoreError("/out", "Not a directory")
    await listed.plan(1, None, row=None, stored=False, not_published="it begins later")
    await listed.plan(2, row=None, stored=False)
    await listed.plan(3, None, row=None, stored=False, unlisted=True)
    settled, work = await listed.sort()
    assert work == []
    assert [(event.verdict, event.reason) for event in settled] == [
        (Verdict.NOT_PUBLISHED, "it begins later"),
        (Verdict.FAILED, "`/out`: Not a directory"),
        (Verdict.FAILED, "`/out`: Not a directory"),
    ]


async def test_a_file_that_cannot_exist_is_not_published_all_the_same(listed: Listed) -> None:
    await listed.plan(1, None, not_published="it begins later")
    await listed.plan(2)
    settled, work = await listed.sort()
    assert work == []
    assert {event.archive: event.verdict for event in settled} == {
        archive_of(1): Verdict.NOT_PUBLISHED,
        archive_of(2): Verdict.UNCHANGED,
    }


async def test_work_keeps_the_order_of_the_plan_whatever_caused_it(listed: Listed) -> None:
    await listed.plan(4, evolve(LISTED, etag='"f"'))
    await listed.plan(2, row=None)
    await listed.plan(3, LISTED)
    await listed.plan(1, evolve(LISTED, sidecar_etag='"t"'))
    await listed.plan(5, row=None, stored=False)
    settled, work = await listed.sort()
    assert [event.archive for event in settled] == [archive_of(3)]
    assert [(item.archive, item.action) for item in work] == [
        (archive_of(4), Action.FETCH),
        (archive_of(2), Action.CHECK),
        (archive_of(1), Action.FETCH_SIDECAR),
        (archive_of(5), Action.FETCH),
    ]
