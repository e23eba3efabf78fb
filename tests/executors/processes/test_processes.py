"""Worker processes: the same run, shared; one that dies loses nothing."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import aiohttp
import anyio
import pytest
from anyio import to_thread
from tests.executors.processes.support import (
    DAYS,
    Listener,
    files,
    key,
    rows,
    until,
    workers,
)
from tests.workflows.conftest import BIG_KEY, KEY, Collection, big_zip, make_zip, member_of

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.errors import StoreError, WorkerError
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found by /proc")


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
    (tmp_path / "aiohttp.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    report = await collection.run(**DAYS, processes=2)
    assert report.totals["verified"] == 20


async def test_workers_that_end_at_once_end_the_run(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="ended with code 1"):
        await collection.run(**DAYS, processes=2)


async def test_a_program_that_is_not_there_ends_the_run(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(WorkerError, match=r"none can be started.*No such file"):
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
        await until(lambda: part.exists() and part.stat().st_size > 0)
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
        assert stall.reached.wait(200)
        handles = [os.pidfd_open(pid) for pid in workers(run.pid)]
    finally:
        run.kill()
        run.wait()
    assert handles
    for handle in handles:  # readable once the process has ended
        assert select.select([handle], [], [], 20)[0]
        os.close(handle)
    stall.release.open()


def test_ctrl_c_ends_a_shared_run_in_order(collection: Collection, tmp_path: Path) -> None:
    stall = faults.Stall()
    collection.server.inject(key(9), stall)
    path = tmp_path / "run.json"
    values = {**collection.config, **DAYS, "processes": 2, "discovery": "calendar"}
    path.write_text(json.dumps({name: value for name, value in values.items() if value}))
    command = [sys.executable, "-m", "crypto_lakehouse", "collect", "--config", str(path)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert stall.reached.wait(200)
        pids = workers(run.pid)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=200)
    finally:
        run.kill()
        run.wait()
    assert len(pids) == 2
    assert run.returncode == 130
    assert "Traceback" not in err
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_session_of_the_application_cannot_be_shared(collection: Collection) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        report = await collection.run(processes=2, session=session)
    assert report.totals["verified"] == 1
    assert any("`processes` is 1" in warning for warning in report.warnings)


async def test_a_run_in_a_thread_has_workers_too(collection: Collection) -> None:
    config = WorkflowConfig({**collection.config, "processes": 2}, environ={})
    metrics = await to_thread.run_sync(ArchiveCollectionWorkflow(config).execute)
    assert metrics.report.totals["verified"] == 1


def test_a_run_without_standard_error_has_workers_too(collection: Collection) -> None:
    program = (
        "import asyncio, json, sys; from crypto_lakehouse import run_collection; "
        "print(asyncio.run(run_collection(json.loads(sys.argv[1]))).totals['verified'])"
    )
    config = json.dumps({**collection.config, "processes": 2, "discovery": "calendar"})
    command = ["sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable, "-c", program, config]
    run = subprocess.run(command, stdout=subprocess.PIPE, timeout=40, check=True)
    assert run.stdout == b"1\n"


async def test_nothing_secret_is_in_a_worker_s_arguments_or_environment(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = collection.server.url.replace("//", "//me:s3cret@")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_SOURCE_URL", url)
    stall = faults.Stall()
    collection.server.inject(KEY, stall)
    seen: list[bytes] = []

    async def look() -> None:
        await stall.reached.passed()
        for pid in workers():
            seen.extend(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        stall.release.open()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        report = await collection.run(processes=2)
    assert report.totals["verified"] == 1
    assert "Authorization" in collection.server.requests[0].headers
    assert len(seen) == 4
    assert not any(b"s3cret" in text for text in seen)


async def test_a_full_disk_in_a_worker_ends_the_run(
    collection: Collection, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder that is mounted tiny and full: where that cannot be done the test says so."""
    data = collection.root / "data"
    data.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(data)]
    done = await to_thread.run_sync(partial(subprocess.run, mount, capture_output=True))
    if done.returncode:
        pytest.skip("only root may mount a tiny disk")
    try:
        for number in range(20):
            body = make_zip(member_of(key(number)), os.urandom(30_000))
            collection.publish(key(number), body)
        with pytest.raises(StoreError, match="No space left"):
            await collection.run(**DAYS, processes=2)
        assert workers() == []
        assert "Error" not in capfd.readouterr().err
    finally:
        subprocess.run(["umount", str(data)], check=True)  # noqa: ASYNC221 - at once
