"""What an agent on a Dask worker works with: the same stack as in the run's own process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread
from attrs import frozen

from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.dask.protocol import CollectingJob
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.matrix.known_holes import load_holes
from crypto_lakehouse.stores.output import open_store
from crypto_lakehouse.workflows.wiring.caps import Caps
from crypto_lakehouse.workflows.wiring.collector_stack import RunContext, make_collector
from crypto_lakehouse.workflows.wiring.output_lease import fenced
from crypto_lakehouse.workflows.wiring.own_credentials import with_own_credentials
from crypto_lakehouse.workflows.wiring.transport_stack import most_parallel, open_client

__all__ = ["open_agent_work"]


@frozen
class _Work:
    """A collector, and its limits."""

    settler: ArchiveCollector
    caps: Caps

    def change(self, share: Share) -> None:
        """Change the limits."""
        self.caps.change(share)


@asynccontextmanager
async def open_agent_work(
    job: CollectingJob, share: Share, meter: ByteMeter, emit: Emit
) -> AsyncIterator[_Work]:
    """Prove that this machine reaches the output, open a client, and build the collector on it.

    Raises:
        ConfigurationError: The output directory is another one here, credentials are missing, or a
            file that the configuration names.
        StoreError: The object store cannot be reached with the credentials of this machine.
        ExtraMissing: The extra that the output or a proxy needs is not installed.
    """
    config = with_own_credentials(job.config, job.credentials, os.environ)
    store = fenced(open_store(config, job.root), job.holder)
    if job.token is None:
        await to_thread.run_sync(store.prepare)
    elif not await to_thread.run_sync(Path(job.token).is_file):
        reason = f"`{job.root}` is not the output directory of the run on this machine; mount it"
        raise ConfigurationError([Problem("$.output_directory", reason)])
    caps = Caps.of(share, meter)
    async with open_client(config, most_parallel(config)) as client:
        context = RunContext(
            client=client,
            store=store,
            retry=job.retry,
            share=share,
            meter=meter,
            emit=emit,
            today=job.today,
            holes=load_holes(),
            caps=caps,
        )
        yield _Work(make_collector(config, context), caps)
