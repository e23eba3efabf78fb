"""Several workflows as one: their order, their failures, one report."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from tests.workflows.conftest import KEY, Collection
from tests.workflows.lakes import row_count

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, LakeError
from crypto_lakehouse.core.metrics import WorkflowMetrics
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.workflows import (
    ArchiveCollectionWorkflow,
    CompositeWorkflow,
    IngestWorkflow,
    LakeConfig,
    Step,
    ValidationWorkflow,
)
from crypto_lakehouse.workflows.composition import StepReport

CONFIG = LakeConfig(output_directory="out")


@frozen
class Outcome:
    exit_code: int = 0


class Work(BaseWorkflow[WorkflowMetrics]):
    """A workflow that does what a test wants."""

    name = "work"

    def __init__(
        self, act: Callable[[], Awaitable[object]] | None = None, *, exit_code: int = 0
    ) -> None:
        super().__init__(CONFIG)
        self._act = act
        self._exit_code = exit_code
        self.stopped: int | None = None

    def stop(self, exit_code: int) -> None:
        self.stopped = exit_code

    async def setup(self) -> None:
        pass

    async def body(self) -> None:
        if self._act is not None:
            await self._act()

    async def cleanup(self) -> None:
        pass

    def metrics(self) -> WorkflowMetrics:
        return WorkflowMetrics(self.name, {"did": "work"}, Outcome(self._exit_code))


def fails(text: str = "it broke") -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        raise LakeError("there", text)

    return act


async def test_steps_run_in_the_order_of_their_dependencies() -> None:
    done: list[str] = []

    def noted(name: str) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            done.append(name)

        return act

    steps = {
        "last": Step(Work(noted("last")), after=["left", "right"]),
        "right": Step(Work(noted("right")), after=["first"]),
        "left": Step(Work(noted("left")), after=["first"]),
        "first": Step(Work(noted("first"))),
    }
    told: list[tuple[str, str]] = []

    def tell(name: str, report: StepReport | None) -> None:
        told.append((name, "begins" if report is None else report.state))

    report = (await CompositeWorkflow(CONFIG, steps, tell=tell).run()).report
    assert done[0] == "first"
    assert done[-1] == "last"
    assert sorted(done) == sorted(steps)
    assert (report.status, report.exit_code) == ("complete", 0)
    for name in steps:
        assert told.index((name, "begins")) < told.index((name, "done"))
    plain = report.to_mapping()
    assert next(iter(plain["steps"])) == "first"
    assert plain["steps"]["last"] == {"state": "done", "did": "work"}


async def test_steps_that_wait_for_nothing_run_at_once() -> None:
    here, there = asyncio.Event(), asyncio.Event()

    async def one() -> None:
        here.set()
        await there.wait()

    async def other() -> None:
        there.set()
        await here.wait()

    steps = {"one": Step(Work(one)), "other": Step(Work(other))}
    report = (await CompositeWorkflow(CONFIG, steps).run()).report
    assert report.status == "complete"


async def test_what_depends_on_a_failed_step_is_left_out() -> None:
    steps = {
        "bad": Step(Work(fails("token=secret123 was refused"))),
        "after": Step(Work(), after=["bad"]),
        "later": Step(Work(), after=["after"]),
        "anyway": Step(Work(), after=["bad"], needs_success=False),
        "beside": Step(Work(exit_code=4)),
    }
    report = (await CompositeWorkflow(CONFIG, steps).run()).report
    states = {each.name: each.state for each in report.steps}
    assert states == {
        "bad": "failed", "after": "skipped", "later": "skipped", "anyway": "done",
        "beside": "done",
    }  # fmt: skip
    assert report.status == "failed"
    assert report.exit_code in {1, 4}
    errors = {each.name: each.error for each in report.steps}
    assert "was refused" in errors["bad"]
    assert "secret123" not in errors["bad"]
    assert errors["after"] == "not begun: bad did not end well"


async def test_one_that_ended_in_part_is_no_failure() -> None:
    steps = {"part": Step(Work(exit_code=4)), "next": Step(Work(), after=["part"])}
    report = (await CompositeWorkflow(CONFIG, steps).run()).report
    assert (report.status, report.exit_code) == ("partial", 4)
    assert [each.state for each in report.steps] == ["done", "done"]


async def test_a_fault_in_the_program_is_no_outcome() -> None:
    async def act() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as raised:
        await CompositeWorkflow(CONFIG, {"a": Step(Work(act))}).run()
    assert raised.group_contains(ZeroDivisionError)


async def test_a_stop_ends_what_runs_and_what_waits() -> None:
    async def act() -> None:
        composition.stop(143)

    first = Work(act)
    steps = {"first": Step(first), "second": Step(Work(), after=["first"])}
    composition = CompositeWorkflow(CONFIG, steps)
    report = (await composition.run()).report
    assert first.stopped == 143
    assert [each.state for each in report.steps] == ["interrupted", "interrupted"]
    assert (report.status, report.exit_code) == ("interrupted", 143)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"a": ["b"], "b": ["a"]}, "wait for each other: "),
        ({"a": ["a"]}, "wait for each other: a -> a"),
        ({"a": ["c"], "b": ["d"]}, "$.steps.b.after: there is no step `d`"),
    ],
)
def test_dependencies_that_cannot_be_are_told(after: dict[str, list[str]], words: str) -> None:
    steps = {name: Step(Work(), after=before) for name, before in after.items()}
    with pytest.raises(ConfigurationError) as refused:
        CompositeWorkflow(CONFIG, steps)
    assert words in str(refused.value)


def composed(collection: Collection, **config: Any) -> CompositeWorkflow:
    of = {**collection.config, **config}
    lake = LakeConfig(output_directory=str(collection.root))
    configured = WorkflowConfig(of)
    return CompositeWorkflow(
        configured,
        {
            "collect": Step(ArchiveCollectionWorkflow(configured)),
            "validate": Step(ValidationWorkflow(lake), after=["collect"]),
            "ingest": Step(IngestWorkflow(lake), after=["validate"]),
        },
    )


async def test_collect_validate_ingest_is_one_workflow_and_can_be_gone_on_with(
    collection: Collection,
) -> None:
    every = {"intervals": None, "partitions": ["daily"]}
    report = (await composed(collection, **every).run()).report
    plain = report.to_mapping()
    assert plain["status"] == "complete"
    assert plain["steps"]["collect"]["totals"]["verified"] == 13
    assert plain["steps"]["validate"]["verdicts"] == {"good": 13}
    assert plain["steps"]["ingest"]["totals"]["archives"] == 13
    rows = row_count(collection.root)
    again = (await composed(collection, **every).run()).report.to_mapping()
    assert again["steps"]["collect"]["totals"]["unchanged"] == 13
    assert again["steps"]["ingest"]["totals"]["unchanged"] == 13
    assert row_count(collection.root) == rows


async def test_what_is_missing_keeps_the_rest_from_nothing(collection: Collection) -> None:
    collection.server.remove(KEY)
    every = {"intervals": None, "partitions": ["daily"]}
    report = (await composed(collection, **every).run()).report
    assert (report.status, report.exit_code) == ("partial", 3)
    assert report.to_mapping()["steps"]["ingest"]["totals"]["archives"] == 12


def test_a_composition_is_executed_without_a_loop(tmp_path: Path) -> None:
    steps = {"only": Step(Work())}
    config = LakeConfig(output_directory=str(tmp_path))
    assert CompositeWorkflow(config, steps).execute().results["status"] == "complete"
