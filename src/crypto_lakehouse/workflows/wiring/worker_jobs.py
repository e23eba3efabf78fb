"""The worker processes of a configuration: how many, and the job of each."""

from __future__ import annotations

import os
from datetime import date

from crypto_lakehouse.core.config.values import AUTO
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.executors.processes.protocol import CollectingJob
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.stores.state import StateFolder
from crypto_lakehouse.workflows.wiring.transport_stack import most_parallel, share_of

__all__ = ["make_jobs", "process_count"]

#: The module that a worker process runs.
_PROGRAM = "crypto_lakehouse.workflows.wiring.worker_program"


def make_jobs(
    config: WorkflowConfig,
    processes: int,
    state: StateFolder,
    today: date,
    retry: RetryPolicy,
    *,
    holder: str = "",
) -> list[CollectingJob]:
    """Divide what a configuration allows between worker processes.

    Args:
        config: The run's configuration.
        processes: How many worker processes there are.
        state: The folder of the output's locks.
        today: The run's UTC day.
        retry: When and how often a failed request is repeated.
        holder: The holder of the lease on an object store; empty if the run needs none.
    """
    return [
        CollectingJob(
            program=_PROGRAM,
            number=number,
            parent=os.getpid(),
            config=config,
            share=share_of(config, processes, number),
            root=str(state.root),
            locks=str(state.workers),
            today=today,
            retry=retry.sendable(),
            holder=holder,
        )
        for number in range(processes)
    ]


def process_count(config: WorkflowConfig) -> int:
    """How many processes a configuration uses; never more than its concurrent requests."""
    wanted = config.processes
    if wanted == AUTO:
        cores = getattr(os, "sched_getaffinity", None)
        wanted = len(cores(0)) if cores else os.cpu_count() or 1
    return min(int(wanted), most_parallel(config))
