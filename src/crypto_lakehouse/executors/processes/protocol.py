"""The messages between a run's process and its worker processes.

They are pickles, sent over the pipes between a process and its own child: no other process can
write to these.
"""

from __future__ import annotations

import struct
from datetime import date

from attrs import frozen

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.http.retry import RetryPolicy

__all__ = ["FRAME", "CollectingJob", "Job", "WorkerMessage"]

#: The length of a pickle, written before it on standard output.
FRAME = struct.Struct("<I")


@frozen(kw_only=True)
class Job:
    """The parameters of a worker; the first pickle on its standard input.

    Attributes:
        program: The module that the process runs, as `python -m` takes it.
        number: The worker's number, from 0; a replacement has the same number.
        parent: The process id of the run; if that process is gone, the worker starts nothing.
        share: How many requests this worker may send to the source, and how fast.
        locks: The folder of the workers' locks; None if two workers never write to one file.
    """

    program: str
    number: int
    parent: int
    share: Share
    locks: str | None = None


@frozen(kw_only=True)
class CollectingJob(Job):
    """The parameters of a worker of a collection.

    Attributes:
        config: The run's configuration.
        root: The output directory; has no use if the output is in an object store.
        today: The run's UTC day.
        retry: When and how often the worker repeats a failed request, as `RetryPolicy.sendable`
            returns it.
        holder: The holder of the lease on an object store; empty if the run needs none.
    """

    config: WorkflowConfig
    root: str
    today: date
    retry: RetryPolicy
    holder: str = ""


@frozen
class WorkerMessage:
    """A worker's report; the pickles on its standard output.

    Attributes:
        events: Events in order, each with the number of its shard and the archive's index in that
            shard; the index is None if the event is not a verdict.
        received_bytes: Body bytes received so far.
        parallel: How many requests may run at the same time now.
        refusal: The error if the store refuses all further writes; the worker then ends.
    """

    events: list[tuple[int, int | None, Event]]
    received_bytes: int
    parallel: int
    refusal: StoreError | None = None
