"""What an archive costs, in counts that cannot flake: a guard of the engine's speed.

A time would depend on the machine. Requests, system calls, thread hops, events and bytes do not:
whoever makes an archive dearer finds it here. Start-up is subtracted by comparing a short run
with a longer one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from attrs import define, field
from tests.workflows.conftest import Collection, make_zip

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.testing import ArchiveServer

FIRST = date(2024, 1, 1)
HOURS = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1h")
#: Two lengths of run: what they differ by is the cost of this many archives.
FEW, MANY = 100, 300
#: The hops for a batch of the ledger: the files are made durable, then the rows are written.
BATCH = ("LocalStore.make_durable", "SqliteLedger.write")


def window(archives: int) -> dict[str, Any]:
    """The configuration of a run over so many days of one series."""
    last = FIRST + timedelta(days=archives - 1)
    return {
        "symbols": ["BTCUSDT"],
        "markets": ["spot"],
        "data_types": ["klines"],
        "intervals": ["1h"],
        "partitions": ["daily"],
        "default_date": None,
        "date_range": {"start": FIRST.isoformat(), "end": last.isoformat()},
    }


@define
class Listener:
    """Counts the events, and the calls that bring them."""

    name: str = "listener"
    required: bool = False
    events: list[Event] = field(factory=list)
    calls: int = 0

    async def handle(self, events: Sequence[Event]) -> None:
        self.calls += 1
        self.events.extend(events)

    async def flush(self) -> None:
        pass

    async def close(self) -> None:
        pass


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what is run in worker threads, by name."""
    counts: Counter[str] = Counter()
    run_sync = anyio.to_thread.run_sync

    async def counted(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        counts[getattr(function, "__qualname__", type(function).__name__)] += 1
        return await run_sync(function, *arguments, **options)

    monkeypatch.setattr(anyio.to_thread, "run_sync", counted)
    return counts


def publish(collection: Collection, archives: int) -> int:
    """Publish so many small archives; return their bytes and those of their sidecars."""
    total = 0
    for day in range(archives):
        archive = Archive(HOURS, Period.day(FIRST + timedelta(days=day)))
        collection.publish(archive.key, make_zip(archive.member, b"1,2,3\n" * 500))
        total += len(collection.server.read(archive.key))
        total += len(collection.server.read(archive.sidecar_key))
    return total


async def test_a_small_archive_costs_two_requests_one_event_and_no_thread_hop(
    collection: Collection, hops: Counter[str]
) -> None:
    size = publish(collection, MANY)
    listener = Listener()
    await collection.run(**window(FEW))
    few, requests = hops.copy(), len(collection.server.requests)
    shutil.rmtree(collection.root)
    report = await collection.run(**window(MANY), sinks=[listener])
    assert report.totals["verified"] == MANY
    assert len(collection.server.requests) - requests == 2 * MANY
    assert report.bytes == size
    finished = [event for event in listener.events if isinstance(event, ArchiveFinished)]
    assert len(finished) == MANY
    assert len(listener.events) == MANY + 2  # the run's start and end
    # Hops for batches depend on the moment; the others do not grow with the archives.
    many = hops - few
    batches = [each.pop(name, 0) for each in (few, many) for name in BATCH]
    assert many == few
    assert max(batches) <= MANY / 10


async def test_a_large_body_costs_a_thread_hop_for_each_mebibyte(
    collection: Collection, hops: Counter[str]
) -> None:
    mebibytes = 8
    archive = Archive(HOURS, Period.day(FIRST))
    body = make_zip(archive.member, bytes(mebibytes << 20), compression=0)
    collection.publish(archive.key, body)
    report = await collection.run(**window(1))
    assert report.totals["verified"] == 1
    appended = sum(count for name, count in hops.items() if "append" in name)
    # A chunk that came slowly may be handed on early, so there is some room.
    assert mebibytes <= appended <= 2 * mebibytes


STRACE = shutil.which("strace")
#: A small archive's system calls, on Linux. Each of its two files is opened, written, looked at,
#: closed and renamed; each of its two requests is sent and received, in two pieces at most.
EXPECTED = {"openat": 2, "write": 2, "close": 2, "rename": 2, "sendto": 2}
#: Those on files: an archive is downloaded into a file "*.part".
ON_FILES = frozenset(["openat", "write", "close", "rename"])
#: What depends on the moment: locks, waiting, the ledger's batches, memory.
UNCOUNTED = frozenset(
    [
        "futex",
        "epoll_wait",
        "epoll_pwait",
        "epoll_ctl",
        "getpid",
        "pwrite64",
        "pread64",
        "pwritev",
        "fdatasync",
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "madvise",
        "read",
        "lseek",
        "fcntl",
        "stat",
        "lstat",
        "clock_nanosleep",
    ]
)


def system_calls(folder: Path, server: ArchiveServer, archives: int) -> Counter[str]:
    """A run's system calls, by name; those on files only if it downloads into them.

    Which other files are opened depends on what has been compiled before, and on how many
    archives are made durable at once.
    """
    config = {
        **{key: value for key, value in window(archives).items() if value is not None},
        "output_directory": str(folder / f"output-{archives}"),
        "source_url": server.url,
        "discovery": "calendar",
        "max_parallel_downloads": 4,
    }
    path = folder / f"{archives}.json"
    path.write_text(json.dumps(config))
    log = folder / f"{archives}.strace"
    program = "from crypto_lakehouse.cli.main import main; main()"
    command = [sys.executable, "-c", program, "collect", "--config", str(path), "--quiet"]
    strace = [str(STRACE), "-f", "-y", "-s", "0", "-o", str(log)]
    subprocess.run([*strace, *command], check=True, capture_output=True, timeout=200)
    counts: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        # A line is "<thread> <name>(<arguments>"; a call that was interrupted has a second one.
        name, called, arguments = line.split(maxsplit=1)[1].partition("(")
        if called and name.isidentifier() and (name not in ON_FILES or ".part" in arguments):
            counts[name] += 1
    return counts


@pytest.mark.skipif(STRACE is None, reason="strace is not installed: make system-packages")
def test_a_small_archive_costs_few_system_calls(collection: Collection, tmp_path: Path) -> None:
    publish(collection, MANY)
    few = system_calls(tmp_path, collection.server, FEW)
    many = system_calls(tmp_path, collection.server, MANY)
    archives = MANY - FEW
    for name, calls in EXPECTED.items():
        assert many[name] - few[name] == pytest.approx(calls * archives, abs=0.1 * archives), name
    # Not by the difference: on a busy machine an answer of the short run may come in more pieces.
    assert 2 * MANY <= many["recvfrom"] <= 5 * MANY
    assert many["connect"] == few["connect"], "connections are kept"
    extra = many - few
    others = sum(calls for name, calls in extra.items() if name not in UNCOUNTED)
    assert others <= 20 * archives, extra
