"""Worker processes: the same run, shared; one that dies loses nothing."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from anyio import to_thread
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from tests.workflows.conftest import BIG_KEY, KEY, Collection, big_zip, make_zip

from crypto_lakehouse.collection.inventory import Action, Work
from crypto_lakehouse.collection.retry import RetryPolicy
from crypto_lakehouse.collection.shards import Shard, ShardLost
from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError, WorkerError
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.plan import PlannedArchive
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.transports import Share
from crypto_lakehouse.workflows.worker_processes import (
    WorkerProcess,
    make_jobs,
    process_count,
    worker_processes,
)
from crypto_lakehouse.workflows.worker_protocol import Told

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found by /proc")

FIRST = date(2025, 7, 1)
DAYS: dict[str, Any] = {
    "default_date": None,
    "date_range": {"start": "2025-07-01", "end": "2025-07-20"},
    "partitions": ["daily"],
}


def key(number: int) -> str:
    day = FIRST + timedelta(days=number)
    return f"data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-{day}.zip"


@define
class Listener:
    name: str = "listener"
    required: bool = False
    events: list[Event] = field(factory=list)

    async def handle(self, events: Sequence[Event]) -> None:
        self.events.extend(events)

    async def flush(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def finished(self) -> Counter[str]:
        found = (event for event in self.events if isinstance(event, ArchiveFinished))
        return Counter(event.archive.key for event in found)


def workers(parent: int | None = None) -> list[int]:
    """The worker processes of a process, this one by default."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
            if int(fields[1]) == (parent or os.getpid()) and b"workflows.worker" in command:
                found.append(int(folder.name))
    return found


def rows(collection: Collection) -> set[tuple[object, ...]]:
    """What the ledger says of the archives, without times."""
    connection = sqlite3.connect(collection.root / ".lakehouse" / "ledger.sqlite")
    query = "SELECT folder, name, verdict, size_bytes, sha256, published_sha256 FROM archives"
    try:
        return set(connection.execute(query))
    finally:
        connection.close()


def files(collection: Collection) -> dict[str, bytes]:
    found = (path for path in (collection.root / "data").rglob("*") if path.is_file())
    return {str(path.relative_to(collection.root)): path.read_bytes() for path in found}


@pytest.mark.parametrize("processes", [2, 3])
async def test_a_shared_run_ends_as_one_alone(collection: Collection, processes: int) -> None:
    server = collection.server
    server.remove(key(3))
    server.remove(key(4) + ".CHECKSUM")
    server.inject(key(5), faults.Status(503))
    other = make_zip("BTCUSDT-1h-2025-07-07.csv", b"another")
    server.put(key(6), other)
    server.put(key(7), b"no zip at all")
    listener = Listener()
    report = await collection.run(**DAYS, processes=processes, sinks=[listener])
    assert not report.warnings
    shared = rows(collection), files(collection)
    assert listener.finished() == Counter(map(key, range(20)))
    assert workers() == []
    collection.root.rename(collection.root.with_name("shared"))
    alone = await collection.run(**DAYS)
    assert report.totals == alone.totals
    assert shared == (rows(collection), files(collection))
    assert report.totals["verified"] == 16


async def test_a_second_run_has_nothing_for_the_workers(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.run(**DAYS, processes=2)
    collection.server.clear()
    monkeypatch.setattr(sys, "executable", "/bin/false")  # so that none can be started
    report = await collection.run(**DAYS, processes=2)
    assert report.totals["unchanged"] == 20
    assert collection.requested() == []


async def test_a_worker_that_is_killed_loses_nothing(collection: Collection) -> None:
    stall = faults.Stall()
    collection.server.inject(key(9), stall)
    listener = Listener()
    run = partial(collection.run, **DAYS, processes=2, sinks=[listener])
    reports = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill_at, stall)
        reports.append(await run())
    assert reports[0].totals["verified"] == 20
    assert listener.finished() == Counter(map(key, range(20)))
    assert workers() == []


async def kill_at(stall: faults.Stall) -> None:
    await stall.reached.passed()
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    stall.release.open()


async def test_a_worker_imports_nothing_from_the_working_directory(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "httptools.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    report = await collection.run(**DAYS, processes=2)
    assert report.totals["verified"] == 20


async def test_workers_that_end_at_once_end_the_run(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="ended with code 1"):
        await collection.run(**DAYS, processes=2)


async def test_a_run_that_is_stopped_ends_its_workers_and_is_gone_on_with(
    collection: Collection,
) -> None:
    body = big_zip()
    collection.publish(BIG_KEY, body)
    stall = faults.Stall(at=2 << 20)
    collection.server.inject(BIG_KEY, stall)
    changes = {"data_types": ["trades"], "intervals": None, "partitions": ["daily"]}
    config = WorkflowConfig({**collection.config, **changes, "processes": 2}, environ={})
    listener = Listener()
    workflow = ArchiveCollectionWorkflow(config, sinks=[listener])
    reports = []

    async def stop_at() -> None:
        await stall.reached.passed()
        part = collection.path(BIG_KEY + ".part")
        # What another process has written can only be looked at.
        while not part.exists() or not part.stat().st_size:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        workflow.stop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_at)
        reports.append((await workflow.run()).report)
    assert reports[0].status == "interrupted"
    assert workers() == []
    stall.release.open()
    collection.server.clear()
    report = await collection.run(**changes, processes=2)
    assert report.totals["verified"] == 1
    first = collection.server.requests[0]
    assert first.range is not None
    assert collection.path(BIG_KEY).read_bytes() == body


def test_workers_end_with_the_process_of_their_run(collection: Collection, tmp_path: Path) -> None:
    stall = faults.Stall()
    collection.server.inject(KEY, stall)
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**collection.config, "processes": 2, "discovery": "calendar"}))
    program = "from crypto_lakehouse.cli.main import main; main()"
    command = [sys.executable, "-c", program, "collect", "--config", str(path), "--quiet"]
    run = subprocess.Popen(command)
    try:
        assert stall.reached.wait(30)
        handles = [os.pidfd_open(pid) for pid in workers(run.pid)]
    finally:
        run.kill()
        run.wait()
    assert handles
    for handle in handles:  # readable once the process has ended
        assert select.select([handle], [], [], 20)[0]
        os.close(handle)
    stall.release.open()


async def test_a_session_of_the_application_cannot_be_shared(collection: Collection) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        report = await collection.run(processes=2, session=session)
    assert report.totals["verified"] == 1
    assert any("`processes` is 1" in warning for warning in report.warnings)


# One worker -------------------------------------------------------------------------------------


def work(number: int = 0) -> Work:
    return Work(planned=PlannedArchive(Archive.parse(key(number))), action=Action.FETCH)


async def nobody(_events: Sequence[Event]) -> None:
    return None


def jobs_of(collection: Collection, processes: int = 1) -> list[Any]:
    config = WorkflowConfig({**collection.config}, environ={})
    root = str(collection.root)
    return list(make_jobs(config, processes, root, date(2026, 1, 1), RetryPolicy(max_retries=0)))


async def test_a_worker_that_hangs_is_taken_for_dead_and_replaced(collection: Collection) -> None:
    meter = ByteMeter()
    async with worker_processes(jobs_of(collection), nobody, meter, silence_s=1.5) as executor:
        await executor.settle(Shard(1, [work(0)]))
        hung = executor.workers[0]
        os.kill(hung.pid, signal.SIGSTOP)
        with pytest.raises(ShardLost, match="silent for too long") as lost:
            await executor.settle(Shard(2, [work(1), work(2)]))
        assert list(lost.value.left) == [work(1), work(2)]
        await executor.settle(Shard(3, [work(1)]))
        assert executor.workers[0].pid != hung.pid
    assert workers() == []
    assert meter.received_bytes > 0
    assert meter.parallel == 16


async def test_a_store_that_takes_no_more_ends_every_shard_of_its_worker(
    collection: Collection,
) -> None:
    worker = WorkerProcess(jobs_of(collection)[0])
    await worker.start()
    refusal = ("/full", "No space left on device")

    async def refuse() -> None:
        await anyio.wait_all_tasks_blocked()
        await worker._take(Told([], 0, 0, refusal), nobody)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(refuse)
        with pytest.raises(StoreError, match="No space left") as refused:
            await worker.settle(Shard(1, [work()]))
    assert refused.value.stops_run
    await worker.end()


async def test_a_full_disk_in_a_worker_ends_the_run(collection: Collection) -> None:
    """A folder that is mounted tiny and full: where that cannot be done the test says so."""
    data = collection.root / "data"
    data.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(data)]
    done = await to_thread.run_sync(partial(subprocess.run, mount, capture_output=True))
    if done.returncode:
        pytest.skip("only root may mount a tiny disk")
    try:
        for number in range(20):
            body = make_zip(f"BTCUSDT-1h-{FIRST + timedelta(days=number)}.csv", os.urandom(30_000))
            collection.publish(key(number), body)
        with pytest.raises(StoreError, match="No space left"):
            await collection.run(**DAYS, processes=2)
        assert workers() == []
    finally:
        subprocess.run(["umount", str(data)], check=True)  # noqa: ASYNC221 - at once


# Shares -----------------------------------------------------------------------------------------


@given(
    st.integers(1, 256) | st.just("auto"),
    st.integers(1, 64),
    st.none() | st.integers(1, 10**9),
    st.none() | st.floats(0.01, 1e6),
)
def test_shares_are_what_the_configuration_allows(
    parallel: int | str, wanted: int, byte_rate: int | None, request_rate: float | None
) -> None:
    values = {
        "output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15",
        "max_parallel_downloads": parallel, "processes": wanted,
        "max_bytes_per_second": byte_rate, "max_requests_per_second": request_rate,
    }  # fmt: skip
    config = WorkflowConfig(
        {name: value for name, value in values.items() if value is not None}, environ={}
    )
    processes = process_count(config)
    shares = [Share.of(config, processes, number) for number in range(processes)]
    most = 256 if parallel == "auto" else int(parallel)
    assert sum(share.parallel for share in shares) == most
    assert all(share.parallel >= 1 for share in shares)
    assert all(share.is_adaptive == (parallel == "auto") for share in shares)
    if byte_rate:
        assert sum(share.bytes_per_second or 0 for share in shares) == pytest.approx(byte_rate)
    if request_rate:
        assert sum(share.requests_per_second or 0 for share in shares) == pytest.approx(
            request_rate
        )


def test_auto_is_a_process_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15",
        "processes": "auto",
    }  # fmt: skip
    config = WorkflowConfig(values, environ={})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2}, raising=False)
    assert process_count(config) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert process_count(config) == 5
