"""The program of a process that writes items of an ingestion, and what an agent on Dask does.

`python -m crypto_lakehouse.workflows.wiring.item_program` is a worker process; it is started by
`executors.processes.executor`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio import from_thread, to_thread
from attrs import field, frozen

from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.file_identity import StoredFiles
from crypto_lakehouse.core.gc_tuning import rare_collections
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.processes.worker import serve
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.executors.task_pool import Answer, Task
from crypto_lakehouse.workflows.wiring.item_messages import (
    ArchivesPlace,
    DaskItemJob,
    Failed,
    ProcessItemJob,
)
from crypto_lakehouse.workflows.wiring.needed_packages import need_tables
from crypto_lakehouse.workflows.wiring.workers_lake import WorkersLake

if TYPE_CHECKING:
    from crypto_lakehouse.tables.iceberg.table_at import TableStates
    from crypto_lakehouse.tables.ingest.item_jobs import ItemJob
    from crypto_lakehouse.tables.ingest.items import ItemResult

__all__ = ["main", "open_agent_work"]


@frozen
class _ItemSettler:
    """Writes items, one at a time: each takes a core."""

    archives: StoredFiles
    tables: TableStates
    one: anyio.CapacityLimiter = field(factory=lambda: anyio.CapacityLimiter(1))

    async def collect(self, task: Task) -> Answer:
        """Write an item."""
        result = await to_thread.run_sync(self._write, task.content, limiter=self.one)
        return Answer(task.number, result)

    def _write(self, job: ItemJob) -> ItemResult | Failed:
        from crypto_lakehouse.tables.ingest.item_jobs import write_item

        try:
            return write_item(job, self.tables, self.archives, from_thread.check_cancelled)
        except (LakehouseError, OSError) as error:
            return Failed(error)


@frozen
class _Work:
    """What an agent works with."""

    settler: _ItemSettler

    def change(self, share: Share) -> None:
        """Do nothing: nothing is limited but the core."""


@asynccontextmanager
async def open_agent_work(
    job: DaskItemJob, _share: Share, _meter: ByteMeter, _emit: Emit
) -> AsyncIterator[_Work]:
    """Prove that this machine reaches the archives and the lake, and has the extra `tables`.

    Raises:
        ConfigurationError: The archives or the lake are others here, or credentials are missing.
        ExtraMissing: An extra is not installed.
        StoreError: An object store cannot be used with the credentials of this machine.
    """
    need_tables()
    _use_one_core()
    yield _Work(await to_thread.run_sync(_opened, job.archives, job.lake))


def _opened(archives: ArchivesPlace, lake: WorkersLake) -> _ItemSettler:
    """Open what items are read from and written into; blocking."""
    from crypto_lakehouse.tables.iceberg.table_at import TableStates

    return _ItemSettler(archives.open().files, TableStates(lake.open()))


def _use_one_core() -> None:
    """Let Polars use one core, unless it is in use already: there is a worker for each core."""
    if "polars" not in sys.modules:
        os.environ.setdefault("POLARS_MAX_THREADS", "1")


@asynccontextmanager
async def _open_settler(
    job: ProcessItemJob, _meter: ByteMeter, _emit: Emit
) -> AsyncIterator[_ItemSettler]:
    yield await to_thread.run_sync(_opened, job.archives, job.lake)


def main() -> int:
    """Run a worker process."""
    rare_collections()
    _use_one_core()
    return serve(_open_settler)


if __name__ == "__main__":
    sys.exit(main())
