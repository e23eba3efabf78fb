"""Keep the tables of a lake small: compact files, expire snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
from anyio import from_thread, to_thread
from attrs import asdict, field, frozen

from crypto_lakehouse.core.metrics import MetricsCollector, WorkflowMetrics
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.ledger.lock import OnHeld, configured_lock, do_not_wait, take_when_free
from crypto_lakehouse.version import __version__
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.wiring.lake_at import lake_at
from crypto_lakehouse.workflows.wiring.needed_packages import need_tables

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.lake import Lake

__all__ = ["TableUpkeepReport", "TableUpkeepWorkflow", "TableWork", "compaction", "expiry"]

#: Does something to one table of a lake; returns what was done.
TableWork = Callable[["Lake", str], dict[str, Any]]


def compaction(lake: Lake, table: str) -> dict[str, Any]:
    """Merge the small files of each partition; return the numbers of files, and of their rows."""
    from crypto_lakehouse.tables.lake.maintenance import compact

    done = asdict(compact(lake.catalog, table, tool_version=__version__))
    return {name: number for name, number in done.items() if name != "table"}


def expiry(older_than_days: float) -> TableWork:
    """Return what expires the snapshots older than some days, and deletes what only they have."""

    def work(lake: Lake, table: str) -> dict[str, Any]:
        from crypto_lakehouse.tables.lake.maintenance import expire

        before = datetime.now(UTC) - timedelta(days=older_than_days)
        return {"snapshots": expire(lake.catalog, table, before=before)}

    return work


@frozen(kw_only=True)
class TableUpkeepReport:
    """What was done to each table.

    Attributes:
        workflow: The name of the workflow.
        lake: Where the tables are.
        tables: The numbers of each table, by its name.
        stop_code: The exit code if it was stopped; None if not.
    """

    workflow: str
    lake: str
    tables: dict[str, dict[str, Any]] = field(factory=dict)
    stop_code: int | None = None

    @property
    def status(self) -> str:
        """`complete` or `interrupted`."""
        return "complete" if self.stop_code is None else "interrupted"

    @property
    def exit_code(self) -> int:
        """The exit code of the command line (ARCHITECTURE.md#exit-codes)."""
        return self.stop_code or 0

    def to_mapping(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"status": self.status, "lake": self.lake, "tables": self.tables}


class TableUpkeepWorkflow(BaseWorkflow[WorkflowMetrics]):
    """Does the same upkeep to the tables of a lake, one after the other; it holds the lake's lock.

    Args:
        config: Where the lake is.
        work: What is done: `compaction`, or the result of `expiry`.
        tables: The names of the tables; all by default.
        metrics_collector: Receives every event; a new one by default.
        on_held: Called if another run holds the lake's lock; returns whether to try again. By
            default the run is refused.
    """

    name: ClassVar[str] = "table_upkeep"
    config: LakeConfig

    def __init__(
        self,
        config: LakeConfig,
        work: TableWork,
        *,
        tables: Sequence[str] = (),
        metrics_collector: MetricsCollector | None = None,
        on_held: OnHeld = do_not_wait,
    ) -> None:
        super().__init__(config, metrics_collector=metrics_collector)
        self._do = work
        self._tables = tuple(tables)
        self._on_held = on_held
        self._lake: Lake
        self._done: dict[str, dict[str, Any]] = {}
        self._resources = AsyncExitStack()
        self._scope = anyio.CancelScope()
        self._stop_code: int | None = None

    def stop(self, exit_code: int = 130) -> None:
        """Stop after the table that is at work; what was done to others stays."""
        self._stop_code = exit_code
        self._scope.cancel()

    async def setup(self) -> None:
        """Open the lake, and take its lock.

        Raises:
            ExtraMissing: The extra `tables` is not installed.
            LockHeldError: Another run writes to the lake.
            NoLakeError: There is no lake.
        """
        need_tables()
        setting = "$.output_directory" if self.config.lake is None else "$.lake"
        self._lake = await to_thread.run_sync(self._open)
        self._resources.enter_context(self._lake)

        async def lock() -> None:
            self._resources.enter_context(configured_lock(lake_at(self.config).lock, setting))

        await take_when_free(lock, self._on_held, lambda: self._stop_code is not None)

    def _open(self) -> Lake:
        from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
        from crypto_lakehouse.tables.lake.lake import Lake

        return Lake(LakeCatalog(lake_at(self.config).place(), self.config.catalog))

    async def body(self) -> None:
        """Work on the tables, in a thread.

        Raises:
            LakeError: A table cannot be read or written.
            QueryError: A table that is named does not exist.
        """
        with self._scope:
            if self._stop_code is None:
                await to_thread.run_sync(self._work_on_all)

    def _work_on_all(self) -> None:
        self._lake.catalog.check_writable()
        for name in self._names():
            from_thread.check_cancelled()
            self._done[name] = self._do(self._lake, name)

    def _names(self) -> list[str]:
        if not self._tables:
            return self._lake.tables
        return [".".join(table.name()) for table in self._lake.existing(self._tables)]

    async def cleanup(self) -> None:
        """Release the lock, and close the lake."""
        await self._resources.aclose()

    def report(self) -> TableUpkeepReport:
        """Return a report of what was done so far."""
        return TableUpkeepReport(
            workflow=self.name,
            lake=lake_at(self.config).name,
            tables=dict(self._done),
            stop_code=self._stop_code,
        )

    def metrics(self) -> WorkflowMetrics:
        """The report of the finished run."""
        report = self.report()
        return WorkflowMetrics(self.name, report.to_mapping(), report)
