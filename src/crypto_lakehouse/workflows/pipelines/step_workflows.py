"""What each kind of step runs: as the command of its name does with the file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import anyio
from attrs import frozen

from crypto_lakehouse.core.config.origins import FileValues
from crypto_lakehouse.core.config.pipelines import StepKind
from crypto_lakehouse.core.metrics import WorkflowMetrics
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.ledger.lock import OnHeld
from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.ingestion import IngestWorkflow
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.pipelines.step_options import StepOptions
from crypto_lakehouse.workflows.questions import run_verification
from crypto_lakehouse.workflows.rest_collection import RestCollectionWorkflow
from crypto_lakehouse.workflows.table_upkeep import (
    TableUpkeepWorkflow,
    TableWork,
    compaction,
    expiry,
)
from crypto_lakehouse.workflows.validation import ValidationWorkflow
from crypto_lakehouse.workflows.wiring.load_config import load_config, load_lake_config
from crypto_lakehouse.workflows.wiring.needed_packages import need_live, need_tables

__all__ = ["ReadyStep", "StepRun", "ready_step"]


@frozen
class StepRun:
    """What all steps of a run have in common.

    Attributes:
        sinks: Makes further sinks of a step that emits events, by its name.
        on_held: Called if another run holds a lock; returns whether to try again.
        monitoring: What watches the run.
    """

    sinks: Callable[[str], Sequence[AnySink]]
    on_held: OnHeld
    monitoring: Monitoring


#: Makes the workflow of an attempt.
_Make = Callable[[StepRun, str], BaseWorkflow[Any]]


@frozen
class ReadyStep:
    """A step whose configuration is valid.

    Attributes:
        config: Its configuration.
        make: Makes its workflow; called once for each attempt, with the name of the step.
        lock: What it has for itself: steps with the same one run in turn. Empty for none.
    """

    config: Any
    make: _Make
    lock: str = ""


async def ready_step(kind: StepKind, values: FileValues, options: StepOptions) -> ReadyStep:
    """Read the configuration of a step, as its command does.

    Args:
        kind: What it runs.
        values: The configuration file, without its pipelines.
        options: Of the step.

    Raises:
        ConfigurationError: With every fault.
        ExtraMissing: Its packages are not installed.
    """
    return await _READY[kind](values, options)


async def _collect(values: FileValues, options: StepOptions) -> ReadyStep:
    config = await load_config(values, options.keys)
    return ReadyStep(
        config,
        lambda run, name: ArchiveCollectionWorkflow(
            config,
            sinks=run.sinks(name),
            on_held=run.on_held,
            monitoring=run.monitoring.shared(config),
        ),
        f"output {config.output_directory}",
    )


async def _fill(values: FileValues, options: StepOptions) -> ReadyStep:
    need_live()
    config = await load_config(values, {**options.keys, "only": "failed"})
    return ReadyStep(
        config,
        lambda run, name: RestCollectionWorkflow(
            config,
            retry_failed=options.own.get("retry_failed", False),
            sinks=run.sinks(name),
            on_held=run.on_held,
            monitoring=run.monitoring.shared(config),
        ),
        f"output {config.output_directory}",
    )


async def _verify(values: FileValues, options: StepOptions) -> ReadyStep:
    config = await load_config(values, {**options.keys, "only": "quarantined"})
    verify = partial(run_verification, config, sample=options.own.get("sample"))
    return ReadyStep(
        config,
        lambda run, _name: _Called(
            config, "verification", partial(verify, monitoring=run.monitoring.shared(config))
        ),
    )


async def _ingest(values: FileValues, options: StepOptions) -> ReadyStep:
    config = await _lake_config(values, options)
    archives = not options.own.get("only_recordings", False)
    return ReadyStep(
        config,
        lambda run, _name: IngestWorkflow(
            config,
            archives=archives,
            on_held=run.on_held,
            monitoring=run.monitoring.shared(config),
        ),
        _lake_lock(config),
    )


async def _validate(values: FileValues, options: StepOptions) -> ReadyStep:
    config = await _lake_config(values, options)
    return ReadyStep(config, lambda _run, _name: ValidationWorkflow(config))


async def _compact(values: FileValues, options: StepOptions) -> ReadyStep:
    return await _upkeep(values, options, compaction)


async def _expire(values: FileValues, options: StepOptions) -> ReadyStep:
    return await _upkeep(values, options, expiry(options.own.get("older_than", 7)))


async def _upkeep(values: FileValues, options: StepOptions, work: TableWork) -> ReadyStep:
    config = await _lake_config(values, options)
    return ReadyStep(
        config,
        lambda run, _name: TableUpkeepWorkflow(
            config, work, tables=options.own.get("tables", ()), on_held=run.on_held
        ),
        _lake_lock(config),
    )


async def _lake_config(values: FileValues, options: StepOptions) -> LakeConfig:
    need_tables()
    return await load_lake_config(values, options.keys)


def _lake_lock(config: LakeConfig) -> str:
    return f"lake {config.lake or config.output_directory}"


_READY: Mapping[StepKind, Callable[[FileValues, StepOptions], Awaitable[ReadyStep]]] = {
    StepKind.COLLECT: _collect,
    StepKind.FILL: _fill,
    StepKind.VERIFY: _verify,
    StepKind.INGEST: _ingest,
    StepKind.VALIDATE: _validate,
    StepKind.COMPACT: _compact,
    StepKind.EXPIRE: _expire,
}


class _Called(BaseWorkflow[WorkflowMetrics]):
    """A function that returns a report, as a workflow; a stop cancels it."""

    name: ClassVar[str] = "called"

    def __init__(self, config: Any, name: str, call: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(config)
        self._called, self._call = name, call
        self._scope = anyio.CancelScope()
        self._stop_code = 0
        self._report: Any = None

    def stop(self, exit_code: int = 130) -> None:
        self._stop_code = exit_code
        self._scope.cancel()

    async def setup(self) -> None:
        """Do nothing: the function does all."""

    async def body(self) -> None:
        with self._scope:
            self._report = await self._call()

    async def cleanup(self) -> None:
        """Do nothing: nothing was acquired."""

    def metrics(self) -> WorkflowMetrics:
        if self._report is None:
            return WorkflowMetrics(
                self._called, {"status": "interrupted"}, _Stopped(self._stop_code)
            )
        return WorkflowMetrics(self._called, self._report.to_mapping(), self._report)


@frozen
class _Stopped:
    """The report of a function that was stopped."""

    exit_code: int
