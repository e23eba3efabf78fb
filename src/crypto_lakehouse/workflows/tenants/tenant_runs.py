"""Collections of several tenants at once, each with its own report, in one process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.run_context import TENANT_OF_RUN
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest
from crypto_lakehouse.workflows.composition import (
    CompositeWorkflow,
    CompositionReport,
    Step,
    StepReport,
)
from crypto_lakehouse.workflows.monitoring.of_tenants import TenantsMonitoring
from crypto_lakehouse.workflows.tenants.loading import TenantConfig

__all__ = ["TenantRun", "TenantsReport", "TenantsWorkflow", "worst_exit_code"]

_log = logging.getLogger(__name__)

#: Exit codes of several runs, what needs a person first: stopped, a fault in this program, the
#: configuration, damaged archives, a lock, a service, missing archives, a budget, old data.
_WORST_FIRST = (130, 143, 141, 1, 2, 4, 11, 5, 3, 6, 7)


def worst_exit_code(codes: Sequence[int]) -> int:
    """Return the exit code of several runs.

    Examples:
        >>> worst_exit_code([0, 3, 4]), worst_exit_code([5, 0, 3]), worst_exit_code([])
        (4, 5, 0)
    """
    found = [code for code in codes if code]
    known = (code for code in _WORST_FIRST if code in found)
    return next(known, found[0] if found else 0)


@frozen(kw_only=True)
class TenantsReport(CompositionReport):
    """How the run of each tenant ended; a step is a tenant."""

    @property
    def exit_code(self) -> int:
        """The worst exit code of a tenant."""
        return worst_exit_code([step.exit_code for step in self.steps])

    def to_mapping(self) -> dict[str, Any]:
        """As JSON has it."""
        mapping = super().to_mapping()
        return {"workflow": self.workflow, "status": self.status, "exit_code": self.exit_code,
                "tenants": mapping["steps"]}  # fmt: skip


@frozen(kw_only=True)
class TenantRun:
    """What a run of a tenant takes besides its configuration.

    Attributes:
        sinks: Further sinks of its collection.
        meter: Counts its bytes as they arrive.
        on_begin: Called with a sentence when an ingestion begins.
        on_held: Called if another run holds a lock; returns whether to try again.
    """

    sinks: Sequence[AnySink] = ()
    meter: ByteMeter | None = None
    on_begin: Callable[[str], None] = ignore
    on_held: OnHeld = do_not_wait


class TenantsWorkflow(CompositeWorkflow):
    """Collects for several tenants at once.

    No tenant waits for another one, and none is ended by the error of another.

    Args:
        tenants: The configurations of each, as `load_tenants` makes them; those with a lake ingest.
        run_of: Returns what the run of a tenant takes, by its name.
        fill: Whether what the archive lacks is filled before the last ingestion.
        say: Called with the addresses of metrics.
        tell: Called when the run of a tenant begins and when it has ended.
    """

    name: ClassVar[str] = "tenants"

    def __init__(
        self,
        tenants: Mapping[str, TenantConfig],
        *,
        run_of: Callable[[str], TenantRun] = lambda _name: TenantRun(),
        fill: bool = False,
        say: Callable[[str], None] = ignore,
        tell: Callable[[str, StepReport | None], None] = lambda _name, _report: None,
    ) -> None:
        configs = {name: each.config for name, each in tenants.items()}
        self.monitoring = TenantsMonitoring.of(configs, say)
        steps = {name: Step(self._workflow(name, each, run_of(name), fill=fill))
                 for name, each in tenants.items()}  # fmt: skip
        super().__init__(next(iter(configs.values())), steps, tell=tell)

    def _workflow(
        self, name: str, tenant: TenantConfig, run: TenantRun, *, fill: bool
    ) -> ArchiveCollectionWorkflow | CollectAndIngest:
        given: dict[str, Any] = {
            "sinks": run.sinks,
            "meter": run.meter,
            "on_held": run.on_held,
            "monitoring": self.monitoring.by_tenant[name].shared(),
            "shares": tenant.shares,
        }
        if tenant.lake is None:
            return ArchiveCollectionWorkflow(tenant.config, **given)
        return CollectAndIngest(
            tenant.config, tenant.lake, fill=fill, on_begin=run.on_begin, **given
        )

    async def setup(self) -> None:
        """Listen for the metrics of all tenants, and check their files.

        Raises:
            ConfigurationError: A port is in use, or a file cannot be written; all faults.
        """
        TENANT_OF_RUN.set("")  # a run of each tenant sets its own
        await self.monitoring.open()

    async def _step(self, name: str) -> StepReport:
        try:
            return await super()._step(name)
        except Exception as error:  # noqa: BLE001 - it must not end the runs of the others
            TENANT_OF_RUN.set(name)
            _log.exception("the run of tenant %s has ended by a fault in this program", name)
            text = redact(f"{type(error).__name__}: {error}")
            return StepReport(name=name, state="failed", error=text, exit_code=1)

    async def cleanup(self) -> None:
        """Stop listening; each run has its own cleanup."""
        await self.monitoring.close()

    def report(self) -> TenantsReport:
        """How the run of each tenant ended, in the order of the configuration."""
        known = tuple(self._reports[name] for name in self.steps if name in self._reports)
        return TenantsReport(workflow=self.name, steps=known)
