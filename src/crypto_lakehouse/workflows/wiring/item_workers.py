"""Other processes for an ingestion: worker processes of this machine, or workers of Dask."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import anyio
from anyio import to_thread
from attrs import frozen

from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.processes.executor import worker_processes
from crypto_lakehouse.executors.shards import ShardExecutor
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.executors.task_pool import Lost, TaskPool, open_pool
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.wiring.item_messages import (
    ArchivesPlace,
    DaskItemJob,
    Failed,
    ProcessItemJob,
)
from crypto_lakehouse.workflows.wiring.lake_at import lake_at
from crypto_lakehouse.workflows.wiring.one_at_a_time import runs_with_lock
from crypto_lakehouse.workflows.wiring.workers_lake import WorkersLake, shown_lake

if TYPE_CHECKING:
    from crypto_lakehouse.tables.ingest.item_jobs import ItemJob
    from crypto_lakehouse.tables.ingest.items import ItemResult

__all__ = ["PoolRunner", "open_item_workers"]

_T = TypeVar("_T")

_PROGRAM = "crypto_lakehouse.workflows.wiring.item_program"

#: No cluster is larger.
_MOST_WORKERS = 1024

#: An item takes a core.
_SHARE = Share(parallel=1, is_adaptive=False, bytes_per_second=None, requests_per_second=None)


@frozen
class PoolRunner:
    """Writes items on the workers of a pool; for a worker thread."""

    pool: TaskPool

    @property
    def losses(self) -> int:
        """How many items were lost with a worker."""
        return self.pool.losses

    def run(
        self, jobs: Iterator[ItemJob], check: Callable[[], None]
    ) -> Generator[ItemResult, None, None]:
        """Write items; see `ItemRunner`."""
        from crypto_lakehouse.tables.ingest.item_jobs import held_back_item

        for job, result in self.pool.run(jobs, check):
            if isinstance(result, Failed):
                raise result.error
            yield held_back_item(job.item, result.reason) if isinstance(result, Lost) else result


@asynccontextmanager
async def open_item_workers(config: LakeConfig, output: Output) -> AsyncIterator[PoolRunner | None]:
    """Open the processes that write data files; None if threads of this one do.

    Args:
        config: Which processes, and where the lake is.
        output: Where the archives are.

    Raises:
        ClusterError: The Dask cluster cannot work.
        ConfigurationError: The endpoint of an object store has credentials.
        ExtraMissing: The extra `dask` is needed, and not installed.
        OSError: The lake's directory cannot be written.
        StoreError: The lake's object store fails.
        WorkerError: Workers end as soon as they are started.
    """
    at = lake_at(config)
    if config.executor == "dask":
        async with (
            _in_threads(shown_lake(at)) as lake,
            open_pool(partial(_dask_workers, config, output, lake)) as pool,
        ):
            yield PoolRunner(pool)
    elif config.process_count > 1:
        archives = ArchivesPlace.of(output, with_credentials=True)
        jobs = [
            ProcessItemJob(
                program=_PROGRAM, number=number, parent=os.getpid(), share=_SHARE,
                archives=archives, lake=WorkersLake(at=at),
            )
            for number in range(config.process_count)
        ]  # fmt: skip
        async with open_pool(lambda emit: worker_processes(jobs, emit, ByteMeter())) as pool:
            yield PoolRunner(pool)
    else:
        yield None


@asynccontextmanager
async def _dask_workers(
    config: LakeConfig, output: Output, lake: WorkersLake, emit: Emit
) -> AsyncIterator[ShardExecutor]:
    from crypto_lakehouse.executors.dask.executor import dask_workers

    job = DaskItemJob(
        run_id=uuid4().hex,
        program=_PROGRAM,
        output=lake.at.name
        if lake.at.url is None
        else runs_with_lock(lake.at.name, lake.at.folder),
        lake=lake,
        archives=ArchivesPlace.of(output, with_credentials=False),
    )
    async with dask_workers(
        job, lambda _workers, _number: _SHARE, _MOST_WORKERS, emit, ByteMeter(),
        scheduler=config.dask_scheduler, processes=config.process_count,
    ) as executor:  # fmt: skip
        yield executor


@asynccontextmanager
async def _in_threads(context: AbstractContextManager[_T]) -> AsyncIterator[_T]:
    """Enter and leave a context whose functions block; it gets the exception that ends its body."""
    entered = await to_thread.run_sync(context.__enter__)
    try:
        yield entered
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            leave = partial(context.__exit__, type(error), error, error.__traceback__)
            if not await to_thread.run_sync(leave):
                raise
    else:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(context.__exit__, None, None, None)
