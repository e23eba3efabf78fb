"""The program of a worker process: `python -m crypto_lakehouse.workflows.wiring.worker_program`.

Started by `executors.processes.executor`. It builds the same stack as the run's own process.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.core.gc_tuning import rare_collections
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.processes.protocol import CollectingJob
from crypto_lakehouse.executors.processes.worker import serve
from crypto_lakehouse.matrix.known_holes import load_holes
from crypto_lakehouse.stores.output import open_store
from crypto_lakehouse.workflows.wiring.collector_stack import RunContext, make_collector
from crypto_lakehouse.workflows.wiring.output_lease import fenced
from crypto_lakehouse.workflows.wiring.transport_stack import open_client

__all__ = ["main", "open_collector"]


@asynccontextmanager
async def open_collector(
    job: CollectingJob, meter: ByteMeter, emit: Emit
) -> AsyncIterator[ArchiveCollector]:
    """Open a worker's client, and build the collector on it."""
    holes = load_holes()
    async with open_client(job.config, job.share.parallel) as client:
        context = RunContext(
            client=client,
            store=fenced(open_store(job.config, job.root), job.holder),
            retry=job.retry,
            share=job.share,
            meter=meter,
            emit=emit,
            today=job.today,
            holes=holes,
        )
        yield make_collector(job.config, context)


def main() -> int:
    """Run a worker process."""
    rare_collections()
    return serve(open_collector)


if __name__ == "__main__":
    sys.exit(main())
