"""A plan that is divided with other runs: who does what, and when it is waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from attrs import define, evolve, field
from tests.stores.conftest import finished

from crypto_lakehouse.collection.byte_budget import ByteBudget
from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.pipeline import produce
from crypto_lakehouse.collection.sharing import SharedClaims, Sharing, shared_by
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import ArchiveFinished, ArchivesUnchanged, Event, RunNoted
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.planning.explicit_plan import ExplicitPlan
from crypto_lakehouse.stores.directory import LocalStore

SYMBOLS = ("ADAUSDT", "BNBUSDT", "BTCUSDT")
ARCHIVES = [
    Archive.parse(f"data/spot/daily/trades/{symbol}/{symbol}-trades-2025-07-15.zip")
    for symbol in SYMBOLS
]
NEXT = Archive.parse(ARCHIVES[0].key.replace("07-15", "07-16"))
PLAN = ExplicitPlan.of(ARCHIVES, date(2025, 7, 20), load_matrix())


@define
class Claimed:
    """Claims, of which others hold some; what is done at each step is what others do then."""

    others: set[str]
    on_take: Callable[[str], None] = lambda _: None
    works: dict[str, set[str]] = field(init=False, factory=dict)
    ended: list[str] = field(init=False, factory=list)
    losses: int = field(init=False, default=0)
    lost_keys: set[str] = field(init=False, factory=set)

    def is_sure(self, key: str) -> bool:
        return not self.lost_keys

    def lost(self, keys: Collection[str], check: Callable[[], None]) -> Collection[str]:
        check()
        return self.lost_keys.intersection(keys)

    def reads_again(self, keys: Iterable[str], losses: int) -> None:
        assert losses == self.losses
        self.lost_keys.difference_update(keys)

    def take(self, name: str) -> bool:
        self.on_take(name)
        return name not in self.others

    def works_on(self, name: str, keys: Collection[str]) -> None:
        self.works[name] = set(keys)

    def settled(self, keys: Iterable[str]) -> None:
        self.ended += keys


@define
class Run:
    """One run over the plan, and what it has done."""

    inventory: Inventory
    claims: Claimed
    pause: Callable[[], Awaitable[None]]
    events: list[Event] = field(init=False, factory=list)
    put: list[str] = field(init=False, factory=list)
    drained: int = field(init=False, default=0)
    budget: ByteBudget = field(init=False, factory=lambda: ByteBudget(None, ByteMeter()))

    async def go(self, plan: ExplicitPlan = PLAN) -> None:
        async def emit(events: Sequence[Event]) -> None:
            self.events += events

        async def put(work: Sequence[Work]) -> None:
            self.put += [item.archive.series.symbol for item in work]

        async def drain() -> None:
            self.drained += 1

        shared = SharedClaims(self.claims, self.pause)
        await produce(plan, self.inventory, put, emit, self.budget, drain=drain, shared=shared)

    @property
    def notes(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, RunNoted)]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    opened, _ = SqliteLedger.open(tmp_path / "ledger.sqlite")
    with closing(opened):
        yield opened


@pytest.fixture
def inventory(tmp_path: Path, ledger: SqliteLedger) -> Inventory:
    return Inventory(LocalStore(tmp_path / "out"), ledger, keep_sidecars=False)


async def never() -> None:
    raise AssertionError("there is nothing to wait for")


def name_of(symbol: str) -> str:
    return f"data/spot/daily/trades/{symbol}/"


def collect(inventory: Inventory, archive: Archive, root: Path) -> None:
    """Do what another run does for an archive."""
    path = root / archive.key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    stat = path.stat()
    facts = ObjectFacts(size_bytes=stat.st_size, mark=stat.st_mtime_ns, sha256="a" * 64)
    ledger = inventory.ledger
    assert isinstance(ledger, SqliteLedger)
    ledger.write([evolve(finished(archive=archive), facts=facts)])


async def test_work_is_claimed_and_what_has_none_is_not(
    inventory: Inventory, tmp_path: Path
) -> None:
    collect(inventory, ARCHIVES[0], tmp_path / "out")
    claims = Claimed(set())
    run = Run(inventory, claims, never)
    await run.go()
    assert run.put == ["BNBUSDT", "BTCUSDT"]
    assert claims.works == {name_of(each.series.symbol): {each.key} for each in ARCHIVES[1:]}
    assert [type(event) for event in run.events] == [ArchivesUnchanged]


async def test_what_another_run_claimed_and_did_is_unchanged(
    inventory: Inventory, tmp_path: Path
) -> None:
    claims = Claimed({name_of("BNBUSDT")})

    async def end_other() -> None:
        collect(inventory, ARCHIVES[1], tmp_path / "out")
        claims.others.clear()

    run = Run(inventory, claims, end_other)
    await run.go()
    assert run.put == ["ADAUSDT", "BTCUSDT"]
    assert run.notes == ["1 series is collected by another run; this one waits for it"]
    assert [type(event) for event in run.events] == [RunNoted, ArchivesUnchanged]
    assert claims.works[name_of("BNBUSDT")] == set(), "the claim ends at once"
    assert run.drained == 1, "work of others may wait for that of this run"


async def test_what_another_run_claimed_and_left_is_done(inventory: Inventory) -> None:
    claims = Claimed({name_of("ADAUSDT"), name_of("BNBUSDT")})

    async def end_other() -> None:
        claims.others.pop()

    run = Run(inventory, claims, end_other)
    await run.go()
    assert run.put[0] == "BTCUSDT"
    assert sorted(run.put) == list(SYMBOLS)
    assert run.drained == 2


async def test_what_another_run_did_before_the_claim_is_not_done_again(
    inventory: Inventory, tmp_path: Path
) -> None:
    def do_first(name: str) -> None:
        if name == name_of("BNBUSDT"):
            collect(inventory, ARCHIVES[1], tmp_path / "out")

    run = Run(inventory, Claimed(set(), do_first), never)
    await run.go()
    assert run.put == ["ADAUSDT", "BTCUSDT"]


async def test_a_series_is_claimed_once_for_all_its_archives(inventory: Inventory) -> None:
    claims = Claimed(set())
    run = Run(inventory, claims, never)
    await run.go(evolve(PLAN, archives=(ARCHIVES[0], NEXT)))
    assert claims.works == {name_of("ADAUSDT"): {ARCHIVES[0].key, NEXT.key}}


async def test_no_more_is_left_than_memory_is_for(inventory: Inventory) -> None:
    claims = Claimed({name_of("ADAUSDT"), name_of("BNBUSDT")})

    async def end_other() -> None:
        claims.others.clear()

    run = Run(inventory, claims, end_other)

    async def emit(events: Sequence[Event]) -> None:
        run.events += events

    async def put(work: Sequence[Work]) -> None:
        run.put += [item.archive.series.symbol for item in work]

    async def drain() -> None:
        run.drained += 1

    shared = SharedClaims(claims, end_other)
    sharing = Sharing(shared, inventory, put, drain, emit, run.budget, most_left=1)
    await sharing.settle([*PLAN.each_series()])
    assert run.put == ["BTCUSDT", "ADAUSDT", "BNBUSDT"]
    assert run.drained == 1
    await sharing.finish()
    assert run.notes == []


async def test_a_used_budget_waits_for_no_other_run(inventory: Inventory) -> None:
    claims = Claimed({name_of("BNBUSDT")})
    run = Run(inventory, claims, never)
    run.budget = ByteBudget(0, ByteMeter())

    def refuse(name: str) -> None:
        if name == name_of("BTCUSDT"):
            _, (work,) = inventory.sort(next(PLAN.each_series()))
            assert not run.budget.admit(work)

    claims.on_take = refuse
    await run.go()
    assert run.put == ["ADAUSDT", "BTCUSDT"]


async def test_verdicts_that_no_ledger_records_end_a_claim() -> None:
    claims = Claimed(set())
    seen: list[Event] = []

    async def emit(events: Sequence[Event]) -> None:
        seen.extend(events)

    events: list[Event] = [
        ArchiveFinished(archive=ARCHIVES[0], verdict=Verdict.UNCHANGED),
        ArchiveFinished(archive=ARCHIVES[1], verdict=Verdict.VERIFIED),
        RunNoted(message="x"),
    ]
    shared, released = shared_by(claims, emit)
    assert shared is not None
    assert shared.claims is claims
    await released(events)
    await released(events[1:])
    assert seen == [*events, *events[1:]]
    assert claims.ended == [ARCHIVES[0].key]
    assert shared_by(None, emit) == (None, emit)
