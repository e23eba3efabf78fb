"""Shards are given out until each archive has its verdict, and no longer than that."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from datetime import date, timedelta
from typing import Any

import anyio
import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.collection.byte_budget import ByteBudget
from crypto_lakehouse.collection.work import Action, Work
from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.plan import PlannedArchive, PlannedPeriod, PlannedSeries, PlanTotals
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.executors import shard_sizes, shards
from crypto_lakehouse.executors.shards import Shard, ShardLost, run_sharded

KLINES = (Market.SPOT, DataType.KLINES, "BTCUSDT")
SERIES = Series(*KLINES, "1h")

ENDLESS = ByteBudget(None, ByteMeter())


def archive(number: int) -> Archive:
    return Archive(SERIES, Period.day(date(2024, 1, 1) + timedelta(days=number)))


def _work(series: Series, number: int) -> Work:
    planned = PlannedArchive(Archive(series, archive(number).period))
    return Work(planned=planned, action=Action.FETCH)


@define
class Days:
    """A plan of so many days of one series."""

    count: int
    today: date = date(2026, 1, 1)
    notes: Sequence[str] = ()
    failures: Sequence[str] = ()

    async def series(self) -> AsyncIterator[PlannedSeries]:
        periods = [PlannedPeriod(archive(number).period) for number in range(self.count)]
        for start in range(0, self.count, 50):
            yield PlannedSeries(SERIES, periods[start : start + 50])

    def totals(self) -> PlanTotals:
        return PlanTotals(archives=self.count, due=self.count)

    def why_empty(self) -> str:
        return ""


@define
class Everything:
    """An inventory to which everything is work; the files that it has are like `stat`."""

    stat: FileStat | None = None

    def sort(self, planned: PlannedSeries) -> tuple[list[Event], list[Work]]:
        return [], [
            Work(planned=item, action=Action.FETCH, stat=self.stat) for item in planned.archives()
        ]


@define
class Executor:
    """Settles shards; loses as many archives of each shard as it is told, attempt by attempt."""

    emit: object
    losses: list[int] = field(factory=list)
    slots: int = 3
    at_once: int = 0
    most_at_once: int = 0
    given_out: list[Shard] = field(factory=list)
    vacant: Any = field(factory=nullcontext)

    def room(self) -> Any:
        return self.vacant

    async def settle(self, shard: Shard) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.given_out.append(shard)
        await anyio.lowlevel.checkpoint()
        self.at_once -= 1
        lost = self.losses.pop(0) if self.losses else 0
        done = len(shard.work) - min(lost, len(shard.work))
        for work in shard.work[:done]:
            await self.emit([verified(work)])  # type: ignore[operator]
        if done < len(shard.work):
            raise ShardLost(shard.work[done:], "it fell over")


def verified(work: Work) -> ArchiveFinished:
    return ArchiveFinished(archive=work.archive, verdict=Verdict.VERIFIED)


async def settle(
    count: int,
    losses: list[int],
    *,
    first: int = shards.FIRST_SHARD_ARCHIVES,
    stat: FileStat | None = None,
) -> tuple[list[ArchiveFinished], Executor]:
    events: list[ArchiveFinished] = []

    async def emit(batch: Sequence[Event]) -> None:
        events.extend(event for event in batch if isinstance(event, ArchiveFinished))

    executor = Executor(emit, losses)
    plan, inventory = Days(count), Everything(stat)
    await run_sharded(plan, inventory, executor, emit, ENDLESS, first_shard_archives=first)  # type: ignore[arg-type]
    return events, executor


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 500])
async def test_every_archive_is_in_one_shard(count: int) -> None:
    events, executor = await settle(count, [])
    assert [event.archive for event in events] == [archive(number) for number in range(count)]
    sizes = [len(shard.work) for shard in executor.given_out]
    assert sum(sizes) == count
    assert max(sizes, default=0) <= shards.SHARD_ARCHIVES
    numbers = [shard.number for shard in executor.given_out]
    assert len(set(numbers)) == len(numbers)
    assert executor.most_at_once <= executor.slots


@given(st.integers(1, 300), st.lists(st.integers(0, 70), max_size=12))
def test_whatever_is_lost_each_archive_has_one_verdict(count: int, losses: list[int]) -> None:
    events, _ = anyio.run(settle, count, losses)
    assert Counter(event.archive for event in events) == Counter(map(archive, range(count)))


async def test_few_archives_are_shared_by_all() -> None:
    _, executor = await settle(12, [])
    assert [len(shard.work) for shard in executor.given_out] == [1, 1, 1, 2, 2, 2, 3]


async def test_large_archives_are_a_shard_each() -> None:
    packer = shards._Packer(1)
    large = ListedArchive(size_bytes=shards.SHARD_BYTES)
    work = [
        Work(planned=PlannedArchive(archive(number), listed=large), action=Action.FETCH)
        for number in range(5)
    ]
    assert [len(shard.work) for shard in packer.pack(work)] == [1] * 5


async def test_shards_grow_if_they_are_settled_quickly_and_are_made_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shard_sizes, "WANTED_S", 1e9)
    events: list[Event] = []

    async def emit(batch: Sequence[Event]) -> None:
        events.extend(batch)

    executor = Executor(emit, [], vacant=anyio.Semaphore(1))
    await run_sharded(Days(1500), Everything(), executor, emit, ENDLESS, largest=256)  # type: ignore[arg-type]
    assert len(events) == 1500
    assert executor.most_at_once == 1
    sizes = [len(shard.work) for shard in executor.given_out]
    assert (sizes[0], max(sizes)) == (1, 256)
    assert len(sizes) < 15  # with 64 archives at most there are 30


async def test_a_shard_has_more_archives_only_of_kinds_that_are_settled_quickly() -> None:
    hourly, daily = ([_work(Series(*KLINES, each), n) for n in range(200)] for each in ("1h", "1d"))
    sizes = shard_sizes.ShardSizes(100)
    sizes.learn(hourly[:50], 0.2)
    packer = shards._Packer(1, 10, 10, sizes)
    found = [*packer.pack([*hourly, *daily[:21]]), *packer.rest()]
    assert [len(shard.work) for shard in found] == [100, 100, 10, 10, 1]
    for archives, seconds, size in [(5, 0.0, 80), (100, 4.0, 25), (40, 0.2, 100), (1, 9.0, 0)]:
        sizes.learn(hourly[:archives], seconds)
        assert (sizes.of(hourly[0]), sizes.of(daily[0])) == (size, 0)


async def test_what_is_lost_is_given_out_again_together_and_nothing_else() -> None:
    """A machine that goes away ends a worker more often than an archive does."""
    events, executor = await settle(10, [4], first=shards.SHARD_ARCHIVES)
    assert [len(shard.work) for shard in executor.given_out] == [10, 4]
    assert {event.verdict for event in events} == {Verdict.VERIFIED}


async def test_what_is_lost_twice_is_given_out_alone() -> None:
    events, executor = await settle(10, [4, 3], first=shards.SHARD_ARCHIVES)
    assert [len(shard.work) for shard in executor.given_out] == [10, 4, 1, 1, 1]
    assert {event.verdict for event in events} == {Verdict.VERIFIED}


async def test_what_is_lost_every_time_has_failed() -> None:
    events, executor = await settle(10, [3, 3, 0, 1], first=shards.SHARD_ARCHIVES)
    assert [len(shard.work) for shard in executor.given_out] == [10, 3, 1, 1, 1]
    (failed,) = [event for event in events if event.verdict is Verdict.FAILED]
    assert failed.archive == archive(8)
    assert failed.reason == "its worker ended 3 times: it fell over"
    assert not failed.stands


@pytest.mark.parametrize("stat", [None, FileStat(1, 1)])
async def test_a_version_that_stands_is_said_to_stand(stat: FileStat | None) -> None:
    events, _ = await settle(1, [1] * 10, stat=stat)
    assert [(event.verdict, event.stands) for event in events] == [
        (Verdict.FAILED, stat is not None)
    ]


@pytest.mark.parametrize("poison", [0, 7, 70, 199])
async def test_what_ends_its_worker_every_time_fails_alone(poison: int) -> None:
    """It takes with it all that is worked on at the same time, and the rest of its shard."""
    events: list[ArchiveFinished] = []

    async def emit(batch: Sequence[Event]) -> None:
        events.extend(event for event in batch if isinstance(event, ArchiveFinished))

    @define
    class Fragile:
        slots: int = 6
        deaths: int = 0
        room: type[nullcontext[None]] = nullcontext

        async def settle(self, shard: Shard) -> None:
            before = self.deaths
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            if any(work.archive == archive(poison) for work in shard.work):
                self.deaths += 1
            if self.deaths != before:
                raise ShardLost(shard.work, "it fell over")
            await emit([verified(work) for work in shard.work])

    await run_sharded(Days(200), Everything(), Fragile(), emit, ENDLESS)  # type: ignore[arg-type]
    failed = [event.archive for event in events if event.verdict is Verdict.FAILED]
    assert failed == [archive(poison)]
    assert len(events) == 200


def test_what_is_lost_survives_pickle_and_copy() -> None:
    lost = shards.ShardLost([], "killed")
    for travelled in (pickle.loads(pickle.dumps(lost)), copy.deepcopy(lost)):  # noqa: S301
        assert (travelled.left, travelled.reason, str(travelled)) == ([], "killed", "killed")


async def test_with_a_budget_each_shard_has_one_archive_and_the_rest_is_not_assigned() -> None:
    meter, given_out = ByteMeter(), []
    events: list[ArchiveFinished] = []

    async def emit(batch: Sequence[Event]) -> None:
        events.extend(event for event in batch if isinstance(event, ArchiveFinished))

    @define
    class Receiving:
        slots: int = 1
        room: type[nullcontext[None]] = nullcontext

        async def settle(self, shard: Shard) -> None:
            given_out.append(len(shard.work))
            meter.received_bytes += 10
            await emit([verified(work) for work in shard.work])

    budget = ByteBudget(45, meter)
    await run_sharded(Days(200), Everything(), Receiving(), emit, budget)  # type: ignore[arg-type]
    assert given_out == [1] * 5
    assert budget.is_used
