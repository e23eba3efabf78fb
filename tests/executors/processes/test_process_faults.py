"""What goes wrong with worker processes at the worst moment, seen from the run's own."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import pytest
from anyio import BrokenResourceError
from tests.executors.processes.support import DAYS, Listener, jobs_of, key, until, work, workers
from tests.workflows.conftest import KEY, Collection, make_zip

from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.work import Work
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError, WorkerError
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.executors.processes.executor import (
    BARREN_WORKERS,
    SILENCE_S,
    ProcessExecutor,
    WorkerProcess,
    worker_processes,
)
from crypto_lakehouse.executors.processes.protocol import FRAME, WorkerMessage
from crypto_lakehouse.executors.shards import Shard, ShardLost, _failed, settle_shard
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing import faults

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found by /proc")


async def ignore_events(_events: Sequence[Event]) -> None:
    """Take events, and do nothing."""


pytestmark = pytest.mark.usefixtures("uncovered_children")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script in the place of all workers to come."""

    def put(text: str) -> None:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return put


async def settle_all(
    collection: Collection,
    shards: Sequence[Shard],
    *,
    meanwhile: Callable[[ProcessExecutor], Awaitable[None]] | None = None,
    processes: int = 2,
    silence_s: float = SILENCE_S,
) -> list[ArchiveFinished]:
    """Settle shards in worker processes as a run does; return the verdicts."""
    jobs, alone = jobs_of(collection, processes), anyio.Lock()
    events: list[ArchiveFinished] = []

    async def emit(batch: Sequence[Event]) -> None:
        events.extend(event for event in batch if isinstance(event, ArchiveFinished))

    async def fail(work: Work, reason: str) -> None:
        await emit([_failed(work, reason)])

    with one_error():
        async with (
            worker_processes(jobs, emit, ByteMeter(), silence_s) as executor,
            anyio.create_task_group() as tasks,
        ):
            for shard in shards:
                tasks.start_soon(settle_shard, shard, executor.settle, alone, fail)
            if meanwhile is not None:
                await meanwhile(executor)
    assert workers() == []
    return events


async def test_a_worker_that_hangs_is_taken_for_dead_and_replaced(collection: Collection) -> None:
    meter = ByteMeter()
    async with worker_processes(jobs_of(collection), ignore_events, meter) as executor:
        await executor.settle(Shard(1, [work(0)]))
        hung = executor.workers[0]
        hung.silence_s = 1.5  # only now, as a slow machine may take longer to start it
        await executor.settle(Shard(4, [work(4)]))
        os.kill(hung.pid, signal.SIGSTOP)
        with pytest.raises(ShardLost, match="silent for too long") as lost:
            await executor.settle(Shard(2, [work(1), work(2)]))
        assert list(lost.value.left) == [work(1), work(2)]
        await executor.settle(Shard(3, [work(1)]))
        assert executor.workers[0].pid != hung.pid
    assert workers() == []
    assert meter.received_bytes > 0
    assert meter.parallel == 16


async def test_a_program_that_reads_nothing_is_taken_for_dead(
    collection: Collection, program: Callable[[str], None]
) -> None:
    """The pipe to it is full, so that a shard waits to be handed over; its silence ends that."""
    program("exec sleep 100")
    shard = Shard(1, [work(day) for day in range(-1500, 0)])
    losses: list[ShardLost] = []

    async def give_out(executor: ProcessExecutor) -> None:
        for _ in range(BARREN_WORKERS + 1):
            try:
                await executor.settle(shard)
            except ShardLost as lost:
                losses.append(lost)

    with pytest.raises(WorkerError, match="silent for too long"):
        await settle_all(collection, [], meanwhile=give_out, processes=1, silence_s=0.1)
    assert len(losses) >= BARREN_WORKERS - 1  # the last one may be cancelled before it is told
    assert all(list(lost.left) == list(shard.work) for lost in losses)


async def test_a_store_that_takes_no_more_ends_every_shard_of_its_worker(
    collection: Collection,
) -> None:
    worker = WorkerProcess(jobs_of(collection)[0])
    await worker.start()
    refusal = StoreError("/full", "No space left on device", stops_run=True)

    async def refuse() -> None:
        await anyio.wait_all_tasks_blocked()
        await worker.take(WorkerMessage([], 0, 0, refusal), ignore_events)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(refuse)
        with pytest.raises(StoreError, match="No space left") as refused:
            await worker.settle(Shard(1, [work()]))
    assert refused.value.stops_run
    await worker.end()


async def test_a_worker_that_is_replaced_while_the_run_ends_is_ended(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new process starts after all workers were told to end."""
    starting, go_on = anyio.Event(), anyio.Event()
    start = WorkerProcess.start

    async def start_late(worker: WorkerProcess) -> None:
        starting.set()
        await go_on.wait()
        await start(worker)

    async with worker_processes(jobs_of(collection), ignore_events, ByteMeter()) as executor:
        await executor.settle(Shard(1, [work(0)]))
        monkeypatch.setattr(WorkerProcess, "start", start_late)
        os.kill(executor.workers[0].pid, signal.SIGKILL)
        await starting.wait()
        end = executor.end

        async def end_and_go_on() -> None:
            await end()
            go_on.set()

        monkeypatch.setattr(ProcessExecutor, "end", lambda _executor: end_and_go_on())
    assert workers() == []


async def test_a_run_whose_events_nobody_takes_can_be_cancelled(
    collection: Collection, tmp_path: Path, program: Callable[[str], None]
) -> None:
    """What was read of the worker waits for a sink that hangs, and its pipe is full."""
    event = ArchiveFinished(archive=work().archive, verdict=Verdict.VERIFIED)
    told = pickle.dumps(WorkerMessage([(2, None, event)], 0, 0))
    (tmp_path / "told").write_bytes(FRAME.pack(len(told)) + told)
    program(f"cat {tmp_path}/told; exec cat /dev/zero")
    taken = anyio.Event()

    async def hang(_events: Sequence[Event]) -> None:
        taken.set()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        async with (
            worker_processes(jobs_of(collection), hang, ByteMeter()) as executor,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(executor.settle, Shard(1, [work()]))
            await taken.wait()
            scope.cancel()
    assert scope.cancelled_caught
    with pytest.raises(ProcessLookupError):
        os.kill(executor.workers[0].pid, 0)


async def test_no_worker_is_left_where_one_cannot_be_listened_to(collection: Collection) -> None:
    async def break_down(_events: Sequence[Event]) -> None:
        raise BrokenResourceError

    with pytest.raises(ExceptionGroup) as raised:
        async with worker_processes(jobs_of(collection), break_down, ByteMeter()) as executor:
            await executor.settle(Shard(1, [work(0)]))
    assert raised.group_contains(BrokenResourceError)
    assert workers() == []


async def test_what_kills_its_worker_three_times_has_failed(collection: Collection) -> None:
    """What is in a worker beside it is killed with it, so that here there is nothing more."""
    stalls = [faults.Stall() for _ in range(3)]
    collection.server.inject(key(9), *stalls)

    async def kill(executor: ProcessExecutor) -> None:
        for stall in stalls:
            await stall.reached.passed()
            await until(lambda: sum(worker.load for worker in executor.workers) == 1)
            (worker,) = [worker for worker in executor.workers if 9 in worker.shards]
            os.kill(worker.pid, signal.SIGKILL)

    shards = [Shard(number, [work(number)]) for number in range(20)]
    events = await settle_all(collection, shards, meanwhile=kill)
    assert Counter(event.archive.key for event in events) == Counter(map(key, range(20)))
    (failed,) = [event for event in events if event.verdict is not Verdict.VERIFIED]
    assert failed.archive.key == key(9)
    assert failed.verdict is Verdict.FAILED
    assert failed.reason == "its worker ended 3 times: it was ended by signal 9"


async def test_a_killed_worker_leaves_the_bytes_counted_once(collection: Collection) -> None:
    meter = ByteMeter()
    counts: list[int] = []

    async def emit(_events: Sequence[Event]) -> None:
        counts.append(meter.received_bytes)

    async with worker_processes(jobs_of(collection, 2), emit, meter) as executor:
        await executor.settle(Shard(1, [work(0)]))
        first = executor.workers[0] if executor.workers[0].has_settled else executor.workers[1]
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: first.is_lost and first not in executor.workers)
        for number in range(2, 6):
            await executor.settle(Shard(number, [work(number)]))
    expected = sum(collection.path(key(n)).stat().st_size for n in (0, 2, 3, 4, 5))
    sidecars = sum(len(collection.server.read(key(n) + ".CHECKSUM")) for n in (0, 2, 3, 4, 5))
    assert meter.received_bytes == expected + sidecars
    assert counts == sorted(counts)


async def test_work_of_a_dead_worker_is_done_again_on_what_it_left(collection: Collection) -> None:
    """It swapped a new version in and died before it told; the ledger knows the old one."""
    await collection.run()
    old = collection.path(KEY).read_bytes()
    new = make_zip("BTCUSDT-1h-2025-07-15.csv", b"new")
    collection.publish(KEY, new)
    archive = Archive.parse(KEY)
    ledger, _ = SqliteLedger.open(collection.root / ".lakehouse" / "ledger.sqlite")
    store = LocalStore(collection.root)
    inventory = Inventory(
        store=store, ledger=ledger, keep_sidecars=True, force=True, retry_mismatch=False
    )
    planned = PlannedSeries(archive.series, [PlannedPeriod(archive.period)])
    try:
        _, (stale,) = inventory.sort(planned)
    finally:
        ledger.close()
    first = await settle_all(collection, [Shard(1, [stale])])
    again = await settle_all(collection, [Shard(1, [stale])])
    assert [event.verdict for event in first + again] == [Verdict.VERIFIED] * 2
    assert collection.path(KEY).read_bytes() == new
    replaced = (collection.root / ".lakehouse" / "replaced").rglob("*")
    kept = [path for path in replaced if path.is_file() and path.suffix != ".CHECKSUM"]
    assert old in [path.read_bytes() for path in kept]


#: Python imports this in each worker, which has this process's `sys.path`.
BUG = """
from pathlib import Path
from crypto_lakehouse.collection.collector import ArchiveCollector

collect = ArchiveCollector.collect

async def with_a_bug(self, work):
    seen = Path({seen!r})
    if work.archive.key == {key!r} and ({always} or not seen.exists()):
        seen.touch()
        raise ZeroDivisionError("a bug")
    return await collect(self, work)

ArchiveCollector.collect = with_a_bug
"""


@pytest.fixture
def bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program's bug into all workers to come."""

    def put(text: str) -> None:
        folder = tmp_path / "bug"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(text)
        monkeypatch.syspath_prepend(str(folder))

    return put


async def test_a_bug_in_a_worker_is_told_and_its_shard_is_given_out_again(
    collection: Collection,
    tmp_path: Path,
    bug: Callable[[str], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    bug(BUG.format(seen=str(tmp_path / "seen"), key=key(9), always=False))
    listener = Listener()
    report = await collection.run(**DAYS, processes=2, sinks=[listener])
    assert report.totals["verified"] == 20
    assert listener.finished() == Counter(map(key, range(20)))
    err = capfd.readouterr().err
    assert "ZeroDivisionError: a bug" in err
    assert "Fatal Python error" not in err


async def test_a_bug_that_stays_is_a_reason(
    collection: Collection, tmp_path: Path, bug: Callable[[str], None]
) -> None:
    bug(BUG.format(seen=str(tmp_path / "seen"), key=key(9), always=True))
    listener = Listener()
    report = await collection.run(**DAYS, processes=2, sinks=[listener])
    assert listener.finished() == Counter(map(key, range(20)))
    assert report.totals["verified"] + report.totals["failed"] == 20
    (reason,) = [problem.reason for problem in report.problems if problem.key == key(9)]
    assert reason == "its worker ended 3 times: it ended with code 1"
