"""Run a pipeline that a configuration file declares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import anyio

from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.core.workflow import Outcome
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.workflows.composition import (
    CompositeWorkflow,
    CompositionReport,
    Step,
    StepReport,
)
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.pipelines.attempts import Attempts
from crypto_lakehouse.workflows.pipelines.declared import (
    AnyFile,
    ReadyPipeline,
    load_pipelines,
)
from crypto_lakehouse.workflows.pipelines.step_workflows import StepRun

__all__ = ["PipelineWorkflow", "run_pipeline"]


class PipelineWorkflow(CompositeWorkflow):
    """Runs the steps of a pipeline, in the order of what they need.

    Steps that do not need each other run at the same time, unless they have the same lock: that of
    the output for `collect` and `fill`, that of the lake for `ingest`, `compact` and `expire`.

    Args:
        pipeline: The pipeline, checked.
        sinks: Makes further sinks of the steps `collect` and `fill`, by the name of the step.
        tell: Called when a step begins, and when it has ended.
        say: Called with the name of a step and a sentence before it is run again.
        on_held: Called if another run holds a lock; returns whether to try again. By default the
            step fails.
        turns: The locks of steps, which pipelines of one process share; a new one is made for each
            name. By default the steps of this one alone run in turn.
        monitoring: What watches it, opened by the caller; by default what its steps say, while it
            runs.
        sleep: Pauses before a step is run again; a parameter for tests.
    """

    name = "pipeline"

    def __init__(
        self,
        pipeline: ReadyPipeline,
        *,
        sinks: Callable[[str], Sequence[AnySink]] = lambda _step: (),
        tell: Callable[[str, StepReport | None], None] = lambda _name, _report: None,
        say: Callable[[str, str], None] = lambda _name, _text: None,
        on_held: OnHeld = do_not_wait,
        turns: dict[str, anyio.Lock] | None = None,
        monitoring: Monitoring | None = None,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        if monitoring is None:
            monitoring = Monitoring.of_steps(pipeline.configs)
        self.monitoring = monitoring.of_several(self.name)
        run = StepRun(sinks, on_held, self.monitoring)
        shared = defaultdict(anyio.Lock) if turns is None else turns

        def attempts(name: str, position: int) -> Attempts:
            ready = pipeline.steps[name]
            lock = shared[ready.lock] if ready.lock else anyio.Lock()
            return Attempts(
                ready.config,
                lambda: ready.make(run, name),
                pipeline.declared.steps[position].retry,
                lambda: lock,
                lambda text: say(name, text),
                sleep,
            )

        steps = {
            each.name: Step(attempts(each.name, position), after=each.needs)
            for position, each in enumerate(pipeline.declared.steps)
        }
        first = next(iter(pipeline.steps.values()))
        super().__init__(first.config, steps, tell=tell)

    async def setup(self) -> None:
        """Listen, check the file of metrics, and begin to send telemetry.

        Raises:
            ConfigurationError: The port is in use, the file cannot be written, or it is not clear
                where to send; all faults.
        """
        await self.monitoring.open()

    async def cleanup(self) -> None:
        """Stop listening."""
        await self.monitoring.close()


async def run_pipeline(
    source: AnyFile,
    name: str | None = None,
    *,
    tenant: str | None = None,
    sinks: Callable[[str], Sequence[AnySink]] = lambda _step: (),
    on_held: OnHeld = do_not_wait,
) -> CompositionReport:
    """Run a pipeline that a configuration declares.

    Args:
        source: A mapping of its keys, or the path of a JSON, TOML or YAML file.
        name: The pipeline; the only one by default.
        tenant: The tenant of its steps; by default that of the file, if it names one.
        sinks: Makes further sinks of the steps `collect` and `fill`, by the name of the step.
        on_held: Called if another run holds a lock; returns whether to try again. By default the
            step fails.

    Returns:
        How each step ended.

    Raises:
        ConfigurationError: The configuration of a pipeline or a step has faults; nothing began.
    """
    file = await load_pipelines(source, tenant)
    ready = await file.ready(file.named(name))
    outcome: Outcome = await PipelineWorkflow(ready, sinks=sinks, on_held=on_held).run()
    report: CompositionReport = outcome.report
    return report
