"""The stages of a workflow: setup, body, cleanup, metrics."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import anyio

from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.errors import ConfigurationError, RunningLoopError
from crypto_lakehouse.core.metrics import MetricsCollector
from crypto_lakehouse.core.run_context import TENANT_OF_RUN
from crypto_lakehouse.core.task_groups import in_own_task

__all__ = ["BaseWorkflow", "Outcome", "RunConfig", "refuse_faulty"]


class Outcome(Protocol):
    """What every workflow returns: a `CollectionReport` or a `WorkflowMetrics`."""

    @property
    def workflow(self) -> str:
        """The workflow's name."""
        ...

    @property
    def results(self) -> Mapping[str, Any]:
        """The report in plain types."""
        ...

    @property
    def report(self) -> Any:
        """The report as an object."""
        ...


OutcomeT_co = TypeVar("OutcomeT_co", bound=Outcome, covariant=True)


class RunConfig(Protocol):
    """What the configuration of every workflow has."""

    @property
    def output_directory(self) -> str:
        """The directory that the workflow works on."""
        ...


def refuse_faulty(config: object) -> None:
    """Raise an error if a configuration was made without validation and has faults.

    Raises:
        ConfigurationError: With the configuration's `problems`.
    """
    if problems := getattr(config, "problems", ()):
        raise ConfigurationError(problems)


class BaseWorkflow(ABC, Generic[OutcomeT_co]):
    """A workflow that runs once, and returns a report.

    Subclasses define `setup`, `body`, `cleanup` and `metrics`. `cleanup` always runs, even if
    `setup` failed half-way or the run was cancelled, and an error in it never hides the error of
    the body: it is added to that as a note.

    It is generic over what `run()` returns, as in `BaseWorkflow[CollectionReport]`.

    Args:
        config: The configuration.
        metrics_collector: Counts every event; a new one by default.

    Raises:
        ConfigurationError: The configuration has faults; it was made with `validate=False`.
    """

    name: ClassVar[str]

    def __init__(
        self, config: RunConfig, *, metrics_collector: MetricsCollector | None = None
    ) -> None:
        refuse_faulty(config)
        self.config = config
        self.metrics_collector = (
            MetricsCollector() if metrics_collector is None else metrics_collector
        )

    def execute(self) -> OutcomeT_co:
        """Run to the end, for callers without an event loop.

        Raises:
            RunningLoopError: An event loop already runs in this thread; await `run()` there.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.run())
        raise RunningLoopError(type(self).__name__)

    async def run(self) -> OutcomeT_co:
        """Run setup, body and cleanup; return the metrics.

        Raises:
            LakehouseError: The workflow could not run to its end.
        """
        self.metrics_collector.start_workflow(self.name)
        return await in_own_task(self._run)

    async def _run(self) -> OutcomeT_co:
        if tenant := getattr(self.config, "tenant", None):
            TENANT_OF_RUN.set(tenant)  # this task has a context of its own
        try:
            with naming_origins(self.config):
                await self.setup()
                await self.body()
        except BaseException as error:
            await self._cleanup_after(error)
            raise
        with anyio.CancelScope(shield=True):
            await self.cleanup()
        return self.metrics()

    async def _cleanup_after(self, error: BaseException) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await self.cleanup()
        except Exception as second:  # noqa: BLE001 - it must not hide the first
            error.add_note(f"cleaning up failed as well: {second!r}")

    @abstractmethod
    async def setup(self) -> None:
        """Acquire what the body needs."""

    @abstractmethod
    async def body(self) -> None:
        """Do the work."""

    @abstractmethod
    async def cleanup(self) -> None:
        """Release what `setup` acquired; may be called if `setup` has failed half-way."""

    @abstractmethod
    def metrics(self) -> OutcomeT_co:
        """Return the report; called once, after `cleanup`."""
