"""Several workflows as one: each runs when those before it are done; one report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, ClassVar

import anyio
from anyio.abc import TaskGroup
from attrs import field, frozen

from crypto_lakehouse.core.errors import ConfigurationError, LakehouseError, Problem
from crypto_lakehouse.core.metrics import MetricsCollector, WorkflowMetrics
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.workflow import BaseWorkflow, Outcome, RunConfig

__all__ = ["CompositeWorkflow", "CompositionReport", "Step", "StepReport"]


@frozen
class Step:
    """One workflow of a composition.

    Attributes:
        workflow: The workflow. It must be resumable: it does not repeat what it did before.
        after: Names of the steps that must have ended before it begins.
        needs_success: Whether it is skipped if one of those failed. A step that ended with some
            archives missing has not failed.
    """

    workflow: BaseWorkflow[Outcome]
    after: Sequence[str] = ()
    needs_success: bool = True


@frozen(kw_only=True)
class StepReport:
    """How a step ended.

    Attributes:
        state: `done`, `failed`, `skipped` or `interrupted`.
        results: Its report in plain types.
        error: Why it failed, ended early, or was skipped.
        report: The report itself; None if there is none.
        failure: The error that ended it, if one did.
    """

    name: str
    state: str
    results: Mapping[str, Any] = field(factory=dict)
    error: str = ""
    exit_code: int = 0
    report: Any = None
    failure: LakehouseError | None = None


@frozen(kw_only=True)
class CompositionReport:
    """How a composition ended, step by step."""

    workflow: str
    steps: tuple[StepReport, ...]

    @property
    def status(self) -> str:
        """`complete`, or the worst that happened to a step."""
        states = {step.state for step in self.steps}
        for state in ("interrupted", "failed"):
            if state in states:
                return state
        partial = any(step.exit_code or step.state == "skipped" for step in self.steps)
        return "partial" if partial else "complete"

    @property
    def exit_code(self) -> int:
        """The first exit code other than 0 of a step (ARCHITECTURE.md#exit-codes)."""
        return next((step.exit_code for step in self.steps if step.exit_code), 0)

    def to_mapping(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "workflow": self.workflow,
            "status": self.status,
            "steps": {
                step.name: {
                    "state": step.state,
                    **({"error": step.error} if step.error else {}),
                    **step.results,
                }
                for step in self.steps
            },
        }


class CompositeWorkflow(BaseWorkflow[WorkflowMetrics]):
    """Runs workflows in the order of their dependencies, independent ones concurrently.

    Args:
        config: Names the output directory.
        steps: The workflows by name.
        metrics_collector: Receives every event; a new one by default.
        tell: Called when a step begins and when it has ended.

    Raises:
        ConfigurationError: A step names a step that does not exist, or depends on itself.

    Examples:
        >>> steps = {
        ...     "collect": Step(ArchiveCollectionWorkflow(config)),
        ...     "validate": Step(ValidationWorkflow(lake), after=["collect"]),
        ...     "ingest": Step(IngestWorkflow(lake), after=["validate"]),
        ... }  # doctest: +SKIP
        >>> CompositeWorkflow(config, steps).execute().results["status"]  # doctest: +SKIP
        'complete'
    """

    name: ClassVar[str] = "composition"

    def __init__(
        self,
        config: RunConfig,
        steps: Mapping[str, Step],
        *,
        metrics_collector: MetricsCollector | None = None,
        tell: Callable[[str, StepReport | None], None] = lambda _name, _report: None,
    ) -> None:
        super().__init__(config, metrics_collector=metrics_collector)
        self.steps = dict(steps)
        self._tell = tell
        self._order = _ordered(self.steps)
        self._reports: dict[str, StepReport] = {}
        self._running: set[str] = set()
        self._stop_code: int | None = None

    def stop(self, exit_code: int = 130) -> None:
        """Stop the running steps in order; waiting steps do not begin."""
        self._stop_code = exit_code
        for name in self._running:
            stop = getattr(self.steps[name].workflow, "stop", None)
            if stop is not None:
                stop(exit_code)

    async def setup(self) -> None:
        """Each step has its own."""

    async def body(self) -> None:
        """Run the steps."""
        sorter = TopologicalSorter({name: step.after for name, step in self.steps.items()})
        sorter.prepare()
        send, receive = anyio.create_memory_object_stream[str](len(self.steps))
        with one_error():
            async with anyio.create_task_group() as tasks, send, receive:
                await self._run_steps(sorter, tasks, send, receive)

    async def _run_steps(
        self, sorter: TopologicalSorter[str], tasks: TaskGroup, send: Any, receive: Any
    ) -> None:
        while sorter.is_active():
            for name in sorter.get_ready():
                tasks.start_soon(self._run_step, name, send)
            sorter.done(await receive.receive())

    async def _run_step(self, name: str, send: Any) -> None:
        self._reports[name] = await self._step(name)
        self._tell(name, self._reports[name])
        await send.send(name)

    async def _step(self, name: str) -> StepReport:
        step = self.steps[name]
        if self._stop_code is not None:
            return StepReport(name=name, state="interrupted", exit_code=self._stop_code)
        failed = [each for each in step.after if self._reports[each].state != "done"]
        if failed and step.needs_success:
            reason = f"not begun: {', '.join(failed)} did not end well"
            return StepReport(name=name, state="skipped", error=reason)
        self._tell(name, None)
        self._running.add(name)
        try:
            metrics = await step.workflow.run()
        except LakehouseError as error:
            return StepReport(
                name=name,
                state="failed",
                error=redact(str(error)),
                exit_code=error.exit_code,
                failure=error,
            )
        finally:
            self._running.discard(name)
        code = int(getattr(metrics.report, "exit_code", 0))
        state = "done" if self._stop_code is None else "interrupted"
        return StepReport(
            name=name,
            state=state,
            results=metrics.results,
            error=getattr(metrics.report, "error", ""),
            exit_code=code,
            report=metrics.report,
        )

    async def cleanup(self) -> None:
        """Each step has its own."""

    def report(self) -> CompositionReport:
        """How each step ended, in the order of the dependencies."""
        known = tuple(self._reports[name] for name in self._order if name in self._reports)
        return CompositionReport(workflow=self.name, steps=known)

    def metrics(self) -> WorkflowMetrics:
        """The one report."""
        report = self.report()
        return WorkflowMetrics(self.name, report.to_mapping(), report)


def _ordered(steps: Mapping[str, Step]) -> list[str]:
    problems = [
        Problem(f"$.steps.{name}.after", f"there is no step `{before}`")
        for name, step in steps.items()
        for before in step.after
        if before not in steps
    ]
    if problems:
        raise ConfigurationError(problems)
    try:
        return [
            *TopologicalSorter({name: step.after for name, step in steps.items()}).static_order()
        ]
    except CycleError as error:
        circle = " -> ".join(map(str, error.args[1]))
        raise ConfigurationError(
            [Problem("$.steps", f"they wait for each other: {circle}")]
        ) from None
