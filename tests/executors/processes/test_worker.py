"""The worker's own side: what it reads, what it tells, and how it ends."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import anyio
import pytest
from attrs import define
from tests.executors.processes.support import jobs_of, key, work
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.events import ArchiveFinished, ArchiveRetried, Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.executors.processes.protocol import FRAME, WorkerMessage
from crypto_lakehouse.executors.processes.worker import Worker
from crypto_lakehouse.executors.shards import Shard
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows.wiring.worker_program import open_collector


@define
class Talk:
    """A worker in a thread of this process, and both ends of its pipes."""

    shards: IO[bytes]
    told: IO[bytes]
    thread: threading.Thread

    def give(self, message: object) -> None:
        """Write a shard."""
        self.shards.write(pickle.dumps(message))
        self.shards.flush()

    def next(self) -> WorkerMessage:
        """Read what it tells next."""
        (size,) = FRAME.unpack(self.told.read(FRAME.size))
        told: WorkerMessage = pickle.loads(self.told.read(size))  # noqa: S301 - our own
        return told

    def events(self, count: int) -> list[tuple[int, int | None, Event]]:
        """Read until so many verdicts came."""
        found: list[tuple[int, int | None, Event]] = []
        while sum(place is not None for _, place, _ in found) < count:
            found += self.next().events
        return found

    def end(self) -> None:
        """Write nothing more, and wait for the worker's end."""
        self.shards.close()
        self.thread.join(200)
        assert not self.thread.is_alive()


@pytest.fixture
def talk(collection: Collection) -> Iterator[Talk]:
    """Run a worker in a thread of its own."""
    ends = [os.pipe(), os.pipe()]
    inside = os.fdopen(ends[0][0], "rb"), os.fdopen(ends[1][1], "wb")
    outside = os.fdopen(ends[0][1], "wb"), os.fdopen(ends[1][0], "rb")
    (job,) = jobs_of(collection, retries=1, max_parallel_downloads="auto")
    worker = Worker(job, inside[1], open_collector)
    thread = threading.Thread(target=anyio.run, args=(worker.run, inside[0]))
    thread.start()
    talk = Talk(*outside, thread)
    yield talk
    talk.end()
    for file in (*inside, outside[1]):
        with suppress(BrokenPipeError):
            file.close()


def test_a_worker_tells_verdicts_by_shard_and_place(talk: Talk, collection: Collection) -> None:
    collection.server.inject(key(1), faults.Status(503))
    collection.server.remove(key(2))
    talk.give(Shard(7, [work(0), work(1)]))
    talk.give(Shard(9, [work(2)]))
    events = talk.events(3)
    verdicts = {
        (number, place): event.verdict
        for number, place, event in events
        if isinstance(event, ArchiveFinished)
    }
    good = Verdict.VERIFIED
    assert verdicts == {(7, 0): good, (7, 1): good, (9, 0): Verdict.MISSING}
    retried = [
        (number, place) for number, place, event in events if isinstance(event, ArchiveRetried)
    ]
    assert retried == [(7, None)]
    told = talk.next()
    assert told.events == []
    assert told.received_bytes > 0
    assert told.parallel > 0
    assert told.refusal is None


def test_a_worker_whose_run_reads_nothing_any_more_ends_quietly(talk: Talk) -> None:
    talk.next()
    talk.told.close()
    talk.give(Shard(1, [work(0)]))


def test_a_worker_whose_run_ends_in_the_middle_of_a_shard_ends_quietly(talk: Talk) -> None:
    talk.next()
    talk.shards.write(pickle.dumps(Shard(1, [work(0)]))[:-10])
    talk.end()


def start_worker() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "crypto_lakehouse.workflows.wiring.worker_program"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("begun", [b"", b"\x80\x05\x95\xff"])
def test_a_worker_whose_run_ends_before_it_begins_ends_quietly(begun: bytes) -> None:
    with start_worker() as worker:
        out, err = worker.communicate(begun, timeout=200)
    assert (worker.returncode, out, err) == (0, b"", b"")


def test_a_worker_whose_run_is_gone_ends_quietly(collection: Collection) -> None:
    with begun_worker(collection) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdout.close()
        worker.stdin.close()
        assert worker.stderr is not None
        err = worker.stderr.read()
    assert (worker.returncode, err) == (1, b"")


def test_a_shard_that_cannot_be_read_ends_its_worker(collection: Collection) -> None:
    with begun_worker(collection) as worker:
        assert worker.stdin is not None
        worker.stdin.write(b"cno.such.module\nName\n.")
        worker.stdin.flush()  # and the pipe stays open
        assert worker.stdout is not None
        while worker.stdout.read(1 << 16):
            pass
        assert worker.stderr is not None
        assert b"No module named 'no'" in worker.stderr.read()
    assert worker.returncode == 1


def begun_worker(collection: Collection) -> subprocess.Popen[bytes]:
    """Start a worker that has its job, and has told something."""
    worker = start_worker()
    (job,) = jobs_of(collection)
    assert worker.stdin is not None
    worker.stdin.write(pickle.dumps(job))
    worker.stdin.flush()
    assert worker.stdout is not None
    worker.stdout.read(FRAME.size)
    return worker


async def test_a_worker_writes_to_the_object_store_of_its_run(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local folder of such an output has the ledger and the locks alone."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (job,) = jobs_of(
        collection,
        output_directory="s3://bucket/prefix",
        storage={"endpoint": "http://127.0.0.1:1"},
        state_directory=str(tmp_path / "state"),
    )
    async with open_collector(job, ByteMeter(), ignore) as collector:
        assert isinstance(collector.store, ObjectStore)
        assert collector.store.url == "s3://bucket/prefix"
    assert job.locks == str(tmp_path / "state" / "workers")


async def ignore(_events: Sequence[Event]) -> None:
    pass
