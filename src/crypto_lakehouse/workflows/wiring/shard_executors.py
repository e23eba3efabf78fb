"""The executor of a configuration: worker processes of this machine, or workers of Dask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from functools import partial
from pathlib import Path

from attrs import frozen

from crypto_lakehouse.core.config.storage import is_url
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.processes.executor import worker_processes
from crypto_lakehouse.executors.shards import SHARD_ARCHIVES, ShardExecutor
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.stores.state import StateFolder
from crypto_lakehouse.workflows.wiring.one_at_a_time import runs_with_lock
from crypto_lakehouse.workflows.wiring.own_credentials import strip_credentials
from crypto_lakehouse.workflows.wiring.transport_stack import most_parallel, share_of
from crypto_lakehouse.workflows.wiring.worker_jobs import make_jobs

__all__ = ["SharedRun"]

#: The module that agents open their work with.
_PROGRAM = "crypto_lakehouse.workflows.wiring.agent_work"

#: How many workers the first, small shards of a plan are for, on a cluster whose size is not known:
#: many small shards would cost more time than they save.
_EXPECTED_WORKERS = 4

#: How many archives a shard for a cluster has at most, if they are settled quickly. A shard takes
#: 8 ms of processor time: of the run's process, the scheduler and the worker together.
_CLUSTER_SHARD_ARCHIVES = 512


@frozen(kw_only=True)
class SharedRun:
    """A run that other processes work for.

    Attributes:
        config: The configuration.
        run_id: The run.
        processes: How many processes of this machine work for it.
        state: The folder of the output's locks.
        today: The run's UTC day.
        retry: When and how often a failed request is repeated.
        holder: The holder of the lease on an object store; empty if the run needs none.
    """

    config: WorkflowConfig
    run_id: str
    processes: int
    state: StateFolder
    today: date
    retry: RetryPolicy
    holder: str = ""

    @property
    def first_workers(self) -> int:
        """How many workers the first shards of a plan are for."""
        return self.processes if self.config.dask_scheduler is None else _EXPECTED_WORKERS

    @property
    def largest_shard(self) -> int:
        """How many archives a shard has at most."""
        return _CLUSTER_SHARD_ARCHIVES if self.config.executor == "dask" else SHARD_ARCHIVES

    @asynccontextmanager
    async def executor(self, emit: Emit, meter: ByteMeter) -> AsyncIterator[ShardExecutor]:
        """Open the executor; no worker writes any more when it is closed.

        Raises:
            WorkerError: Workers end as soon as they are started.
            ClusterError: The Dask cluster cannot work.
            ExtraMissing: The extra `dask` is needed, and not installed.
        """
        if self.config.executor == "dask":
            async with self._dask(emit, meter) as executor:
                yield executor
            return
        jobs = make_jobs(
            self.config, self.processes, self.state, self.today, self.retry, holder=self.holder
        )
        async with worker_processes(jobs, emit, meter) as executor:
            yield executor

    @asynccontextmanager
    async def _dask(self, emit: Emit, meter: ByteMeter) -> AsyncIterator[ShardExecutor]:
        from crypto_lakehouse.executors.dask.executor import dask_workers
        from crypto_lakehouse.executors.dask.protocol import CollectingJob

        config, credentials = strip_credentials(self.config)
        has_directory = not is_url(config.output_directory)
        root = str(self.state.root)
        url = config.output_directory
        with _token(self.state.workers / f"{self.run_id}.run", has_directory) as token:
            job = CollectingJob(
                run_id=self.run_id,
                program=_PROGRAM,
                config=config,
                credentials=credentials,
                output=root if has_directory else runs_with_lock(url, self.state.path),
                root=root if has_directory else None,
                locks=str(self.state.workers) if has_directory else None,
                token=token,
                today=self.today,
                retry=self.retry.sendable(),
                holder=self.holder,
            )
            async with dask_workers(
                job,
                partial(share_of, self.config),
                most_parallel(self.config),
                emit,
                meter,
                scheduler=self.config.dask_scheduler,
                processes=self.processes,
            ) as executor:
                yield executor


@contextmanager
def _token(path: Path, is_needed: bool) -> Iterator[str | None]:
    """Make a file that only processes see which have the same directory."""
    if not is_needed:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob("*.run"):  # of a run that was killed
        left.unlink(missing_ok=True)
    path.touch()
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)
