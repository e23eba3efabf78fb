"""The messages between a run and its agents on Dask workers.

They are pickles inside of bytes, so that the scheduler does not read them. A program that can
connect to the scheduler can send pickles, which are code: TLS of the cluster decides which can.
"""

from __future__ import annotations

from datetime import date

from attrs import frozen

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.http.retry import RetryPolicy

__all__ = [
    "AgentEnded",
    "AgentReport",
    "CollectingJob",
    "DaskJob",
    "NotAMember",
    "ShardReleased",
    "topic_of",
]


@frozen(kw_only=True)
class DaskJob:
    """The parameters of all agents of a run.

    Attributes:
        run_id: The run.
        program: The module with `open_agent_work`, which the agents import.
        output: What runs have in common of which only one is at work at a time; an agent ends
            those of earlier runs with it.
        locks: The folder of the workers' locks; None if two workers never write to one file.
    """

    run_id: str
    program: str
    output: str
    locks: str | None = None


@frozen(kw_only=True)
class CollectingJob(DaskJob):
    """The parameters of the agents of a collection.

    Attributes:
        config: The run's configuration, without credentials.
        credentials: The keys of the configuration whose values had credentials in the run.
        root: The output directory; None if the output is in an object store.
        token: A file that this run made in the output directory, so that a worker can prove that
            it sees the same one; None if the output is in an object store.
        today: The run's UTC day.
        retry: When and how often a failed request is repeated, as `RetryPolicy.sendable` returns
            it.
        holder: The holder of the lease on an object store; empty if the run needs none.
    """

    config: WorkflowConfig
    credentials: tuple[str, ...]
    root: str | None
    token: str | None
    today: date
    retry: RetryPolicy
    holder: str = ""


@frozen
class AgentReport:
    """What happened in an agent since its last report.

    Attributes:
        worker: The address of its worker.
        agent: The agent; a worker may have several in a run, one after the other.
        events: Events in order, each with the key of its task and the archive's index in the shard;
            the index is None if the event is not a verdict.
        received_bytes: Body bytes received so far.
        parallel: How many requests may run at the same time now.
        is_last: Whether the agent has ended.
    """

    worker: str
    agent: str
    events: list[tuple[str, int | None, Event]]
    received_bytes: int
    parallel: int
    is_last: bool = False


class AgentEnded(Exception):
    """An agent ended before it had settled a shard; the text is the reason."""


class ShardReleased(Exception):
    """A worker has left a shard in order: it leaves the cluster, or the run is gone."""


class NotAMember(Exception):
    """A process got a shard of a run that it has not joined."""


def topic_of(run_id: str) -> str:
    """Return the topic of the scheduler that the agents of a run report to."""
    return f"crypto-lakehouse-{run_id}"
