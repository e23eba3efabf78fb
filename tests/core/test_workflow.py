"""A workflow lives from setup to metrics, and cleans up whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import anyio
import pytest
from tests.core.conftest import read, totals

from crypto_lakehouse.core.errors import LakehouseError, RunningLoopError, StoreError
from crypto_lakehouse.core.metrics import MetricsCollector, WorkflowMetrics
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.workflow import BaseWorkflow

Step = Callable[[], Awaitable[None]]


class Recorded(BaseWorkflow[WorkflowMetrics]):
    """Writes down its life; `steps` say what else happens in a stage."""

    name: ClassVar[str] = "recorded"

    def __init__(self, collector: MetricsCollector | None = None, /, **steps: Step) -> None:
        super().__init__(read(), metrics_collector=collector)
        self.life: list[str] = []
        self.steps = steps

    async def _stage(self, name: str) -> None:
        self.life.append(name)
        if name in self.steps:
            await self.steps[name]()
            self.life.append(f"{name} done")

    async def setup(self) -> None:
        await self._stage("setup")

    async def body(self) -> None:
        await self._stage("body")

    async def cleanup(self) -> None:
        await self._stage("cleanup")

    def metrics(self) -> WorkflowMetrics:
        self.life.append("metrics")
        report = CollectionReport(
            workflow=self.name,
            status="complete",
            totals=totals(),
            success_rate=100.0,
            bytes=0,
            duration_seconds=0.0,
        )
        return WorkflowMetrics(self.name, self.metrics_collector.get_metrics(), report)


def failing(error: BaseException) -> Step:
    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    return fail


async def test_stages_run_in_their_order() -> None:
    workflow = Recorded()
    metrics = await workflow.run()
    assert workflow.life == ["setup", "body", "cleanup", "metrics"]
    assert metrics.results["workflow"] == "recorded"


@pytest.mark.parametrize("stage", ["setup", "body"])
@pytest.mark.parametrize("kind", [StoreError, KeyError])
async def test_a_failed_stage_is_cleaned_up_after_and_raised(
    stage: str, kind: Callable[..., Exception]
) -> None:
    error = StoreError("out", "full") if kind is StoreError else KeyError("fault")
    workflow = Recorded(**{stage: failing(error)})
    with pytest.raises(type(error)) as raised:
        await workflow.run()
    assert raised.value is error
    assert not hasattr(error, "__notes__")
    assert workflow.life == (
        ["setup", "cleanup"] if stage == "setup" else ["setup", "body", "cleanup"]
    )


@pytest.mark.parametrize("stage", ["setup", "body"])
async def test_an_error_of_cleanup_is_a_note_on_the_first(stage: str) -> None:
    first, second = StoreError("out", "full"), RuntimeError("lock is gone")
    workflow = Recorded(**{stage: failing(first), "cleanup": failing(second)})
    with pytest.raises(StoreError) as raised:
        await workflow.run()
    assert raised.value is first
    assert first.__notes__ == [f"cleaning up failed as well: {second!r}"]


async def test_an_error_of_cleanup_alone_is_raised() -> None:
    error = StoreError("out", "full")
    workflow = Recorded(cleanup=failing(error))
    with pytest.raises(StoreError) as raised:
        await workflow.run()
    assert raised.value is error
    assert workflow.life == ["setup", "body", "cleanup"]


@pytest.mark.parametrize("stage", ["setup", "body"])
async def test_a_cancelled_scope_is_cleaned_up_after(stage: str) -> None:
    """Cleanup awaits inside the cancelled scope, and is not cancelled with it."""
    with anyio.CancelScope() as scope:

        async def cancel_and_wait() -> None:
            scope.cancel()
            await anyio.sleep_forever()

        workflow = Recorded(**{stage: cancel_and_wait, "cleanup": anyio.lowlevel.checkpoint})
        await workflow.run()
    assert scope.cancelled_caught
    assert workflow.life[-2:] == ["cleanup", "cleanup done"]


async def test_a_cancelled_task_is_cleaned_up_after_and_stays_cancelled() -> None:
    reached = anyio.Event()

    async def wait() -> None:
        reached.set()
        await anyio.sleep_forever()

    workflow = Recorded(body=wait, cleanup=anyio.lowlevel.checkpoint)
    task = asyncio.create_task(workflow.run())
    await reached.wait()
    task.cancel("by the caller")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert workflow.life == ["setup", "body", "cleanup", "cleanup done"]


async def test_a_cancellation_is_not_hidden_by_an_error_of_cleanup() -> None:
    reached = anyio.Event()

    async def wait() -> None:
        reached.set()
        await anyio.sleep_forever()

    workflow = Recorded(body=wait, cleanup=failing(RuntimeError("lock is gone")))
    task = asyncio.create_task(workflow.run())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "metrics" not in workflow.life


async def test_a_scope_that_is_cancelled_during_cleanup_waits_for_it() -> None:
    with anyio.CancelScope() as scope:

        async def cancel_and_go_on() -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        workflow = Recorded(cleanup=cancel_and_go_on)
        await workflow.run()
    assert workflow.life == ["setup", "body", "cleanup", "cleanup done", "metrics"]


async def test_execute_inside_a_running_loop_names_run() -> None:
    workflow = Recorded()
    with pytest.raises(RunningLoopError, match=r"use `await Recorded\.run\(\)`") as refused:
        workflow.execute()
    assert isinstance(refused.value, LakehouseError)
    assert refused.value.__context__ is None
    assert workflow.life == []


def test_execute_runs_to_the_end_without_a_loop() -> None:
    workflow = Recorded()
    assert workflow.execute().results["success_rate"] == 100.0
    assert workflow.life == ["setup", "body", "cleanup", "metrics"]


def test_execute_raises_what_the_body_raises() -> None:
    with pytest.raises(StoreError, match="full"):
        Recorded(body=failing(StoreError("out", "full"))).execute()


def test_the_collector_that_is_passed_in_is_used() -> None:
    collector = MetricsCollector()
    workflow = Recorded(collector)
    assert workflow.metrics_collector is collector
    workflow.execute()
    assert collector.workflow == "recorded"


def test_a_collector_that_looks_empty_is_used_all_the_same() -> None:
    class Sized(MetricsCollector):
        def __len__(self) -> int:
            return self.finished_archives

    collector = Sized()
    assert Recorded(collector).metrics_collector is collector


def test_every_workflow_has_a_collector_of_its_own() -> None:
    assert Recorded().metrics_collector is not Recorded().metrics_collector


def test_stages_must_be_written() -> None:
    base: Any = BaseWorkflow
    with pytest.raises(TypeError, match="abstract"):
        base(read())
