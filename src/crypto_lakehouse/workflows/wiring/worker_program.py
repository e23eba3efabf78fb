"""The program of a worker process: `python -m crypto_lakehouse.workflows.wiring.worker_program`.

Started by `executors.processes.executor`. It stacks what settles an archive as the run's own
process does.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.core.gc_tuning import rare_collections
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.executors.processes.protocol import Job
from crypto_lakehouse.executors.processes.worker import serve
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.matrix.known_holes import load_holes
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.workflows.wiring.collector_stack import make_collector
from crypto_lakehouse.workflows.wiring.transport_stack import open_client

__all__ = ["main", "open_collector"]


@asynccontextmanager
async def open_collector(job: Job, meter: ByteMeter, emit: Emit) -> AsyncIterator[ArchiveCollector]:
    """Open a worker's client, and stack on it what settles an archive."""
    holes = load_holes()
    retry = RetryPolicy(
        max_retries=job.max_retries,
        first_wait_s=job.first_wait_s,
        longest_wait_s=job.longest_wait_s,
        longest_retry_after_s=job.longest_retry_after_s,
    )
    async with open_client(job.config, job.share.parallel) as client:
        yield make_collector(
            job.config,
            client=client,
            store=LocalStore(job.root),
            retry=retry,
            meter=meter,
            emit=emit,
            today=job.today,
            known_hole=lambda archive: holes.reason_for_period(archive.series, archive.period),
            share=job.share,
        )


def main() -> int:
    """Run a worker process."""
    rare_collections()
    return serve(open_collector)


if __name__ == "__main__":
    sys.exit(main())
