"""The workers of a Dask cluster for a verification."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import anyio
from attrs import define, field

from crypto_lakehouse.collection.comparing import FileState, StoredArchive
from crypto_lakehouse.core.ledger_protocols import LedgerRow
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.shards import SHARD_ARCHIVES, ShardExecutor
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.executors.task_pool import Lost, TaskPool, open_pool
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.wiring.item_messages import ArchivesPlace
from crypto_lakehouse.workflows.wiring.verify_program import VerifyJob
from crypto_lakehouse.workflows.wiring.worker_jobs import process_count

__all__ = ["AT_ONCE", "PoolComparer", "open_comparer"]

_PROGRAM = "crypto_lakehouse.workflows.wiring.verify_program"

#: How many archives are with the workers at once.
AT_ONCE = 64 * SHARD_ARCHIVES

#: No cluster is larger.
_MOST_WORKERS = 1024

#: One archive is hashed while others are read.
_SHARE = Share(parallel=4, is_adaptive=False, bytes_per_second=None, requests_per_second=None)

#: How long archives are gathered for one task of the scheduler, in seconds.
_GATHER_S = 0.02

_Wanted = tuple[tuple[str, int, LedgerRow | None], "asyncio.Future[StoredArchive]"]


@define(eq=False)
class PoolComparer:
    """Lets workers compare archives, many in one task."""

    pool: TaskPool
    _wanted: list[_Wanted] = field(init=False, factory=list)
    _comes: anyio.Event = field(init=False, factory=anyio.Event)
    _open: dict[int, _Wanted] = field(init=False, factory=dict)

    async def compare(self, key: str, size: int, row: LedgerRow | None) -> StoredArchive:
        """Compare an archive; see `Comparer`."""
        future: asyncio.Future[StoredArchive] = asyncio.get_running_loop().create_future()
        self._wanted.append(((key, size, row), future))
        self._comes.set()
        return await future

    async def send(self) -> None:
        """Send what is wanted, until it is cancelled."""
        while True:
            await self._comes.wait()
            await anyio.sleep(_GATHER_S)
            self._comes = anyio.Event()
            while self._wanted:
                some, self._wanted = self._wanted[:SHARD_ARCHIVES], self._wanted[SHARD_ARCHIVES:]
                numbers = await self.pool.put([content for content, _ in some])
                self._open |= dict(zip(numbers, some, strict=True))

    async def receive(self) -> None:
        """Pass the answers on, until it is cancelled."""
        while True:
            for answer in await self.pool.take():
                (key, size, _), future = self._open.pop(answer.number)
                found = answer.content
                if isinstance(found, Lost):
                    found = StoredArchive(key, FileState.UNREADABLE, found.reason, None, size)
                if not future.done():
                    future.set_result(found)


@asynccontextmanager
async def open_comparer(output: Output) -> AsyncIterator[PoolComparer | None]:
    """Open the workers that compare archives; None if this process does.

    Raises:
        ClusterError: The Dask cluster cannot work.
        ExtraMissing: The extra `dask` is needed, and not installed.
    """
    if output.config is None or output.config.executor != "dask":
        yield None
        return
    async with (
        open_pool(partial(_dask_workers, output)) as pool,
        anyio.create_task_group() as tasks,
    ):
        comparer = PoolComparer(pool)
        tasks.start_soon(comparer.send)
        tasks.start_soon(comparer.receive)
        yield comparer
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _dask_workers(output: Output, emit: Emit) -> AsyncIterator[ShardExecutor]:
    from crypto_lakehouse.executors.dask.executor import dask_workers

    config = output.config
    assert config is not None  # noqa: S101 - `open_comparer` asks
    run_id = uuid4().hex
    job = VerifyJob(
        run_id=run_id,
        program=_PROGRAM,
        output=f"verify {run_id}",  # it only reads: another one may be at work
        archives=ArchivesPlace.of(output, with_credentials=False),
    )
    async with dask_workers(
        job, lambda _workers, _number: _SHARE, _MOST_WORKERS, emit, ByteMeter(),
        scheduler=config.dask_scheduler, processes=process_count(config),
    ) as executor:  # fmt: skip
        yield executor
