"""Worker processes as a test sees them, and work for them."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field
from tests.workflows.conftest import Collection

from crypto_lakehouse.collection.work import Action, Work
from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.plan import PlannedArchive
from crypto_lakehouse.executors.processes.protocol import CollectingJob
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows.wiring.worker_jobs import make_jobs

__all__ = [
    "DAYS",
    "FIRST",
    "Listener",
    "files",
    "jobs_of",
    "key",
    "rows",
    "until",
    "work",
    "workers",
]

FIRST = date(2025, 7, 1)

#: Twenty archives, `key(0)` to `key(19)`.
DAYS: dict[str, Any] = {
    "default_date": None,
    "date_range": {"start": "2025-07-01", "end": "2025-07-20"},
    "partitions": ["daily"],
}


def key(number: int) -> str:
    """The archive of this day."""
    day = FIRST + timedelta(days=number)
    return f"data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-{day}.zip"


def work(number: int = 0) -> Work:
    """What a shard has of it."""
    return Work(planned=PlannedArchive(Archive.parse(key(number))), action=Action.FETCH)


def jobs_of(
    collection: Collection, processes: int = 1, *, retries: int = 0, **changes: Any
) -> list[CollectingJob]:
    """What a collection's workers have to know; they wait for nothing before a retry."""
    config = WorkflowConfig({**collection.config, **changes}, environ={})
    retry = RetryPolicy(max_retries=retries, first_wait_s=0.0)
    return make_jobs(config, processes, output_of(config).state, date(2026, 1, 1), retry)


@define
class Listener:
    """A sink that keeps what it hears."""

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
        """How many verdicts each archive has."""
        found = (event for event in self.events if isinstance(event, ArchiveFinished))
        return Counter(event.archive.key for event in found)


def workers(parent: int | None = None) -> list[int]:
    """The worker processes of a process, this one by default."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
            if (
                int(fields[1]) == (parent or os.getpid())
                and b"crypto_lakehouse.workflows.wiring." in command
            ):
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
    """What lies below `data`, byte for byte."""
    found = (path for path in (collection.root / "data").rglob("*") if path.is_file())
    return {str(path.relative_to(collection.root)): path.read_bytes() for path in found}


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for another process's state, which can only be looked at."""
    with anyio.fail_after(200):
        while not is_so():  # noqa: ASYNC110
            await anyio.sleep(0.005)
