"""An agent in this process: what it settles, what it reports, and how it ends."""

from __future__ import annotations

import gc
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from tests.executors.processes.support import key, work
from tests.workflows.conftest import Collection

from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, StoreError
from crypto_lakehouse.core.events import ArchiveFinished, ArchiveRetried, Event
from crypto_lakehouse.executors.dask.agent import Agent
from crypto_lakehouse.executors.dask.protocol import (
    AgentEnded,
    AgentReport,
    CollectingJob,
    ShardReleased,
)
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.ledger.lock import wait_for_workers
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.testing import faults

SHARE = Share(parallel=2, is_adaptive=False, bytes_per_second=None, requests_per_second=None)

#: A test that hangs waits this long, in seconds.
WITHIN_S = 100


def job_of(collection: Collection, **changes: Any) -> CollectingJob:
    """What an agent of a collection has to know."""
    config = WorkflowConfig({**collection.config, **changes}, environ={})
    state = output_of(config).state
    state.workers.mkdir(parents=True, exist_ok=True)
    token = state.workers / "test.run"
    token.touch()
    return CollectingJob(
        run_id="test",
        program="crypto_lakehouse.workflows.wiring.agent_work",
        config=config,
        credentials=(),
        output=str(state.root),
        root=str(state.root),
        locks=str(state.workers),
        token=str(token),
        today=date(2026, 1, 1),
        retry=RetryPolicy(max_retries=1, first_wait_s=0.0),
    )


@define
class Told:
    """The reports of an agent."""

    reports: list[AgentReport] = field(factory=list)

    def hear(self, data: bytes) -> None:
        self.reports.append(pickle.loads(data))  # noqa: S301 - our own

    def events(self, task: str) -> list[tuple[int | None, Event]]:
        """The events of a shard, with the index of each."""
        found = (event for report in self.reports for event in report.events)
        return [(index, event) for name, index, event in found if name == task]


Start = Callable[..., tuple[Agent, Told]]


@pytest.fixture
def start(collection: Collection) -> Iterator[Start]:
    """Start agents, and end them after the test."""
    agents = []

    def begin(job: CollectingJob | None = None, **options: Any) -> tuple[Agent, Told]:
        told = Told()
        agent = Agent(job or job_of(collection), 0, SHARE, "tcp://worker", told.hear, **options)
        agents.append(agent)
        agent.start()
        return agent, told

    yield begin
    for agent in agents:
        agent.stop()
        agent.join()


def test_shards_are_settled_and_told_of_before_their_tasks_end(
    collection: Collection, start: Start
) -> None:
    collection.server.inject(key(1), faults.Status(503))
    agent, told = start()
    agent.ready.result(WITHIN_S)
    tasks = [agent.take(f"shard-{n}", [(i, work(3 * n + i)) for i in range(3)]) for n in range(4)]
    for number, task in enumerate(tasks):
        assert task is not None
        task.begun.result(WITHIN_S)
        task.done.result(WITHIN_S)
        finished = [
            (index, event.archive.key)
            for index, event in told.events(f"shard-{number}")
            if isinstance(event, ArchiveFinished)
        ]
        assert Counter(finished) == Counter((i, key(3 * number + i)) for i in range(3))
    retried = [event for _, event in told.events("shard-0") if isinstance(event, ArchiveRetried)]
    assert len(retried) == 1
    agent.stop()
    agent.join()
    assert [report.is_last for report in told.reports] == [False] * (len(told.reports) - 1) + [True]
    names = [key(number) + end for number in range(12) for end in ("", ".CHECKSUM")]
    received = sum(len(collection.server.read(name)) for name in names)
    assert told.reports[-1].received_bytes == received


def test_an_abandoned_shard_is_aborted_and_the_others_go_on(
    collection: Collection, start: Start
) -> None:
    stall = faults.Stall()
    collection.server.inject(key(0), stall)
    agent, _ = start()
    agent.ready.result(WITHIN_S)
    hung = agent.take("hung", [(0, work(0))])
    assert hung is not None
    assert stall.reached.wait(WITHIN_S)
    agent.abandon(hung)
    with pytest.raises(ShardReleased):
        hung.done.result(WITHIN_S)
    other = agent.take("other", [(0, work(1))])
    assert other is not None
    other.done.result(WITHIN_S)
    assert not collection.path(key(0)).exists()
    stall.release.open()


def test_an_agent_that_is_stopped_releases_its_shards_and_its_lock(
    collection: Collection, start: Start, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(gc.set_threshold, *gc.get_threshold()))
    gc.set_threshold(700, 10, 10)  # a command that ran in this process may have raised it
    stall, threshold = faults.Stall(), gc.get_threshold()
    collection.server.inject(key(0), stall)
    agent, _ = start()
    agent.ready.result(WITHIN_S)
    assert gc.get_threshold() > threshold
    task = agent.take("hung", [(0, work(0))])
    assert task is not None
    assert stall.reached.wait(WITHIN_S)
    agent.stop()
    agent.join()
    with pytest.raises(ShardReleased):
        task.done.result(0)
    assert gc.get_threshold() == threshold
    assert agent.take("late", [(0, work(1))]) is None
    wait_for_workers(Path(agent.job.locks or ""), 0.0)
    stall.release.open()


def test_an_agent_without_shards_ends(start: Start) -> None:
    agent, _ = start(idle_s=0.0)
    agent.join()
    assert agent.take("late", [(0, work(0))]) is None


def test_a_store_that_takes_no_more_ends_every_shard(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_collector: ArchiveCollector, _work: object) -> None:
        raise StoreError("/full", "No space left on device", stops_run=True)

    monkeypatch.setattr(ArchiveCollector, "collect", refuse)
    agent, _ = start()
    agent.ready.result(WITHIN_S)
    task = agent.take("shard", [(0, work(0)), (1, work(1))])
    assert task is not None
    with pytest.raises(StoreError, match="No space left") as refused:
        task.done.result(WITHIN_S)
    assert refused.value.stops_run


def test_a_bug_ends_every_shard_with_its_reason(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_collector: ArchiveCollector, _work: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(ArchiveCollector, "collect", fail)
    agent, _ = start()
    agent.ready.result(WITHIN_S)
    task = agent.take("shard", [(0, work(0))])
    assert task is not None
    with pytest.raises(AgentEnded, match="ZeroDivisionError: a bug"):
        task.done.result(WITHIN_S)
    assert "the agent of a run has ended" in caplog.text


def test_an_agent_with_another_output_directory_is_not_ready(
    collection: Collection, start: Start
) -> None:
    """The path is there, as on every machine, but it is not the one of the run."""
    elsewhere = str(collection.root / ".lakehouse" / "workers" / "another.run")
    agent, _ = start(evolve(job_of(collection), token=elsewhere))
    with pytest.raises(ConfigurationError, match="is not the output directory of the run"):
        agent.ready.result(WITHIN_S)
    agent.join()


def test_more_requests_at_once_are_for_shards_that_run_as_well(
    collection: Collection, start: Start
) -> None:
    stalls = [faults.Stall() for _ in range(6)]
    for number, stall in enumerate(stalls):
        collection.server.inject(key(number), stall)
    agent, _ = start()
    agent.ready.result(WITHIN_S)
    agent.take("shard", [(number, work(number)) for number in range(6)])
    for stall in stalls[:2]:
        assert stall.reached.wait(WITHIN_S)
    assert not any(stall.reached.wait(0) for stall in stalls[2:])
    agent.change(evolve(SHARE, parallel=6))
    for stall in stalls:
        assert stall.reached.wait(WITHIN_S)
        stall.release.open()
    assert agent.meter.parallel == 6
