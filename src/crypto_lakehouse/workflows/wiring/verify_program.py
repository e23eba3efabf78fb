"""What an agent on a Dask worker does for a verification: it hashes and compares archives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from attrs import frozen

from crypto_lakehouse.collection.comparing import FileState, StoreComparer, StoredArchive
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.dask.protocol import DaskJob
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.executors.task_pool import Answer, Task
from crypto_lakehouse.workflows.wiring.item_messages import ArchivesPlace

__all__ = ["VerifyJob", "open_agent_work"]


@frozen(kw_only=True)
class VerifyJob(DaskJob):
    """The parameters of the agents of a verification."""

    archives: ArchivesPlace


@frozen
class _Settler:
    comparer: StoreComparer

    async def collect(self, task: Task) -> Answer:
        """Compare an archive."""
        key, size, row = task.content
        try:
            found = await self.comparer.compare(key, size, row)
        except Exception as error:  # noqa: BLE001 - one archive must not end the verification
            found = StoredArchive(key, FileState.UNREADABLE, unforeseen(error, key), None, size)
        return Answer(task.number, found)


@frozen
class _Work:
    settler: _Settler

    def change(self, share: Share) -> None:
        """Do nothing: nothing is limited."""


@asynccontextmanager
async def open_agent_work(
    job: VerifyJob, _share: Share, _meter: ByteMeter, _emit: Emit
) -> AsyncIterator[_Work]:
    """Prove that this machine sees the archives.

    Raises:
        ConfigurationError: The directory is another one here, or credentials are missing.
        ExtraMissing: The extra `stores` is needed, and not installed.
        StoreError: The object store cannot be reached with the credentials of this machine.
    """
    output = await to_thread.run_sync(job.archives.open)
    yield _Work(_Settler(StoreComparer(output.store)))
