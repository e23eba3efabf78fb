"""What a run's process and its worker processes say to each other.

Pickles, over the pipes between a process and its own child: nobody else can write to them.
"""

from __future__ import annotations

import struct
from datetime import date

from attrs import frozen

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.http.retry import RetryPolicy

__all__ = ["FRAME", "Job", "WorkerMessage"]

#: Before each pickle on standard output: its length.
FRAME = struct.Struct("<I")


@frozen(kw_only=True)
class Job:
    """What a worker has to know; the first pickle on its standard input.

    Attributes:
        program: The module that its process runs, as `python -m` takes it.
        number: The worker's, from 0 on; one that takes its place has the same.
        parent: The process of the run; where that is gone, nothing is begun.
        config: The run's configuration.
        share: What this worker may ask of the source.
        root: The output directory.
        today: The run's UTC day.
        retry: When and how often the worker repeats a failed request, as `RetryPolicy.sendable`
            returns it.
    """

    program: str
    number: int
    parent: int
    config: WorkflowConfig
    share: Share
    root: str
    today: date
    retry: RetryPolicy


@frozen
class WorkerMessage:
    """What a worker tells; the pickles on its standard output.

    Attributes:
        events: Events, in order, each with its shard's number and its archive's place in that
            shard; the place is None where the event is no verdict.
        received_bytes: Body bytes so far.
        parallel: Requests that may be under way now.
        refusal: Path and reason where the store takes nothing more; the worker ends then.
    """

    events: list[tuple[int, int | None, Event]]
    received_bytes: int
    parallel: int
    refusal: tuple[str, str] | None = None
