"""Claims that were lost for a time: what another run did meanwhile is not done again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from datetime import date
from pathlib import Path

import pytest
from attrs import define, field
from tests.collection.test_sharing import ARCHIVES, Claimed, collect, never

from crypto_lakehouse.collection.byte_budget import ByteBudget
from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.lost_claims import LostClaims, claim_check
from crypto_lakehouse.collection.pipeline import run_pipeline
from crypto_lakehouse.collection.sharing import SharedClaims
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import FolderScan
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.executors.shards import Shard, run_sharded
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.planning.explicit_plan import ExplicitPlan
from crypto_lakehouse.stores.directory import LocalStore

#: One series, which is claimed as a whole.
DAYS = [Archive.parse(ARCHIVES[0].key.replace("07-15", day)) for day in ("07-15", "07-16", "07-17")]
FIRST, SECOND, THIRD = DAYS
PLAN = ExplicitPlan.of(DAYS, date(2025, 7, 20), load_matrix())


@define
class Run:
    """A run whose claims are lost before its first request, while another stores an archive."""

    root: Path
    inventory: Inventory
    claims: Claimed = field(init=False, factory=lambda: Claimed(set()))
    check: Callable[[Archive], Awaitable[None]] = field(init=False)
    budget: ByteBudget = field(init=False, factory=lambda: ByteBudget(None, ByteMeter()))
    fetched: list[Archive] = field(init=False, factory=list)
    verdicts: dict[Archive, Verdict] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.check = claim_check(self.claims)

    async def emit(self, events: Sequence[Event]) -> None:
        for event in events:
            assert isinstance(event, ArchiveFinished)
            assert self.verdicts.setdefault(event.archive, event.verdict) is event.verdict

    def lose_claims(self) -> None:
        if not self.claims.losses:
            self.claims.losses = 1
            self.claims.lost_keys = {each.key for each in DAYS}
            collect(self.inventory, SECOND, self.root)

    async def collect(self, work: Work) -> ArchiveFinished:
        """Do what `ArchiveCollector` does."""
        self.lose_claims()
        await self.check(work.archive)
        self.fetched.append(work.archive)
        return ArchiveFinished(archive=work.archive, verdict=Verdict.VERIFIED)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    ledger, _ = SqliteLedger.open(tmp_path / "ledger.sqlite")
    with closing(ledger):
        store = LocalStore(tmp_path / "out")
        yield Run(tmp_path / "out", Inventory(store, ledger, keep_sidecars=False))


async def test_only_what_the_other_run_left_is_fetched(run: Run) -> None:
    shared = SharedClaims(run.claims, never)
    await run_pipeline(
        PLAN,
        run.inventory,
        run,  # type: ignore[arg-type]
        run.emit,
        budget=run.budget,
        workers=1,
        shared=shared,
    )
    assert run.fetched == [FIRST, THIRD]
    assert run.verdicts == {
        FIRST: Verdict.VERIFIED,
        SECOND: Verdict.UNCHANGED,
        THIRD: Verdict.VERIFIED,
    }


async def test_only_what_the_other_run_left_is_assigned(run: Run) -> None:
    @define
    class Executor:
        slots: int = 1
        room: type[nullcontext[None]] = nullcontext

        async def settle(self, shard: Shard) -> None:
            run.fetched += [work.archive for work in shard.work]
            run.lose_claims()

    shared = SharedClaims(run.claims, never)
    await run_sharded(PLAN, run.inventory, Executor(), run.emit, run.budget, shared=shared)
    assert run.fetched == [FIRST, THIRD]
    assert run.verdicts == {SECOND: Verdict.UNCHANGED}


async def test_work_that_was_claimed_all_the_time_is_done_as_it_is(run: Run) -> None:
    work = run.inventory.sort(next(PLAN.each_series()))[1]
    run.lose_claims()
    run.claims.lost_keys.remove(THIRD.key)
    lost = LostClaims(run.claims, run.inventory, run.emit)
    again, same = await lost.still_to_do(work)
    assert (again.archive, same) == (FIRST, work[2])
    assert await lost.still_to_do([same]) == [same], "it is sure again"


@pytest.mark.parametrize("stops_run", [False, True])
async def test_a_folder_that_cannot_be_listed_has_a_verdict_or_ends_the_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, stops_run: bool
) -> None:
    work = run.inventory.sort(next(PLAN.each_series()))[1]
    run.lose_claims()

    def fail(_store: LocalStore, prefix: str) -> FolderScan:
        raise StoreError(prefix, "it is away", stops_run=stops_run)

    monkeypatch.setattr(LocalStore, "scan_now", fail)
    lost = LostClaims(run.claims, run.inventory, run.emit)
    if stops_run:
        with pytest.raises(StoreError):
            await lost.still_to_do(work)
        return
    assert await lost.still_to_do(work) == []
    assert run.verdicts == dict.fromkeys(DAYS, Verdict.FAILED)
