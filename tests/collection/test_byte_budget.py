"""Which archives may begin within a budget of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.memory import MemoryStore

from crypto_lakehouse.collection.byte_budget import ByteBudget
from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.pipeline import produce
from crypto_lakehouse.collection.work import Action, Work
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import ArchiveFinished, ArchivesUnchanged, Event, RunNoted
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.plan import PlannedArchive
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.empty import EmptyLedger
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.planning.explicit_plan import ExplicitPlan

FOLDER = "data/spot/daily/trades/BTCUSDT/"


def work_of(
    number: int, size: int | None = None, action: Action = Action.FETCH, sidecar: int = 0
) -> Work:
    day = date(2024, 1, 1) + timedelta(number)
    archive = Archive.parse(f"{FOLDER}BTCUSDT-trades-{day}.zip")
    listed = None if size is None else ListedArchive(size_bytes=size, sidecar_bytes=sidecar)
    return Work(planned=PlannedArchive(archive, listed=listed), action=action)


async def ignore(_events: Sequence[Event]) -> None: ...


async def finish(budget: ByteBudget, work: Work, received: int) -> None:
    """Let an archive end, with so many bytes received."""
    budget.meter.received_bytes += received
    event = ArchiveFinished(archive=work.archive, verdict=Verdict.VERIFIED, fetched_bytes=received)
    await budget.watching(ignore)([event, RunNoted(message="x")])


async def test_without_a_limit_everything_begins_and_events_pass_as_they_are() -> None:
    budget = ByteBudget(None, ByteMeter(10**12))
    assert all(budget.admit(work_of(number, 10**12)) for number in range(9))
    assert (budget.is_limited, budget.is_used) == (False, False)
    assert budget.watching(ignore) is ignore


async def test_no_archive_begins_once_as_many_bytes_have_arrived() -> None:
    budget = ByteBudget(100, ByteMeter(received_bytes=5_000))  # of an earlier run
    first, second = work_of(0), work_of(1)
    assert budget.admit(first)
    budget.meter.received_bytes += 99
    assert budget.admit(second)
    budget.meter.received_bytes += 1
    assert not budget.admit(work_of(2))
    assert budget.is_used
    assert "`max_bytes` ends the run: 100 of 100 bytes were received" in budget.reason(3)


async def test_an_archive_that_would_pass_the_budget_does_not_begin() -> None:
    budget = ByteBudget(100, ByteMeter())
    assert budget.admit(work_of(0, 60))
    assert not budget.admit(work_of(1, 41))
    assert not budget.admit(work_of(2, 1))  # the run ends at one place
    assert "remaining 3 archives" in budget.reason(3)


async def test_an_archive_that_fits_exactly_begins() -> None:
    budget = ByteBudget(100, ByteMeter())
    assert budget.admit(work_of(0, 60))
    assert budget.admit(work_of(1, 40))
    assert not budget.admit(work_of(2, action=Action.FETCH_SIDECAR))


async def test_what_has_ended_counts_with_what_it_took() -> None:
    budget = ByteBudget(100, ByteMeter())
    work = work_of(0, 60)
    assert budget.admit(work)
    await finish(budget, work, 10)  # most of it was here already
    assert budget.admit(work_of(1, 90))
    other = ByteBudget(100, ByteMeter())
    assert other.admit(work)
    await finish(other, work, 75)  # it was retried
    assert not other.admit(work_of(1, 26))


async def test_files_that_are_checked_reserve_nothing() -> None:
    budget = ByteBudget(100, ByteMeter())
    assert all(budget.admit(work_of(number, 99, Action.CHECK)) for number in range(9))


@pytest.mark.parametrize(("with_sidecars", "begun"), [(True, 2), (False, 3)])
async def test_an_archive_reserves_its_sidecar_if_that_is_fetched(
    with_sidecars: bool, begun: int
) -> None:
    budget = ByteBudget(300, ByteMeter(), with_sidecars=with_sidecars)
    works = (work_of(number, 100, sidecar=50) for number in range(4))
    assert sum(map(budget.admit, works)) == begun


async def test_a_sidecar_alone_reserves_what_is_read_of_it() -> None:
    budget = ByteBudget(5_000, ByteMeter())
    only = Action.FETCH_SIDECAR
    assert budget.admit(work_of(0, 9_999, only, sidecar=100))
    assert budget.admit(work_of(1, 9_999, only, sidecar=10**9))
    assert not budget.admit(work_of(2, 9_999, only, sidecar=10**9))
    assert "`max_bytes` ends the run" in budget.reason(3)


async def test_nothing_more_of_a_plan_is_read_once_the_budget_is_used() -> None:
    budget = ByteBudget(1, ByteMeter(0))
    assert not budget.admit(work_of(0, 2))
    plan = ExplicitPlan.of([work_of(1).archive], date(2024, 2, 1), load_matrix())
    inventory = Inventory(MemoryStore(), EmptyLedger())
    await produce(plan, inventory, refuse_work, ignore, budget)


async def refuse_work(_work: Sequence[Work]) -> None:
    raise AssertionError("no work is to be made")


async def test_an_archive_larger_than_the_budget_is_named() -> None:
    budget = ByteBudget(1_000, ByteMeter())
    work = work_of(0, 1_234)
    assert not budget.admit(work)
    reason = budget.reason(2)
    key = work.archive.key
    assert reason.startswith(f"`{key}` takes 1,234 bytes, more than `max_bytes` (1,000)")
    assert reason.endswith("raise it for the remaining 2 archives")


async def test_what_is_left_is_what_has_no_verdict() -> None:
    budget = ByteBudget(1, ByteMeter())
    work = work_of(0)
    assert budget.admit(work)
    await finish(budget, work, 5)
    await budget.watching(ignore)([ArchivesUnchanged(FOLDER, 7, lambda: iter(()))])
    assert not budget.admit(work_of(1))
    assert budget.reason(9).endswith("for the remaining 1 archive")


@given(st.integers(1, 300), st.lists(st.integers(1, 100), max_size=20), st.randoms())
async def test_archives_of_known_size_never_pass_the_budget(
    limit: int, sizes: list[int], chance: object
) -> None:
    budget = ByteBudget(limit, ByteMeter())
    under_way: list[tuple[Work, int]] = []
    for number, size in enumerate(sizes):
        work = work_of(number, size)
        if budget.admit(work):
            under_way.append((work, size))
        while under_way and chance.random() < 0.5:  # type: ignore[attr-defined]
            await finish(budget, *under_way.pop())
    for each in under_way:
        await finish(budget, *each)
    received = budget.meter.received_bytes
    assert received <= limit
    assert budget.is_used or received == sum(sizes)
