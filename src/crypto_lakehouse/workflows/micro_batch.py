"""A micro-batch: what a recording has stored comes into tables, which are kept in bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
from attrs import frozen

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, LakehouseError, LockHeldError, Problem
from crypto_lakehouse.ledger.lock import OnHeld
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.version import __version__
from crypto_lakehouse.workflows.ingestion import IngestWorkflow, refuse_other_format
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_places import check_place, check_writable_place
from crypto_lakehouse.workflows.lake_report import IngestReport
from crypto_lakehouse.workflows.wiring.lake_at import lake_at

if TYPE_CHECKING:
    from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
    from crypto_lakehouse.tables.lake.upkeep import Bounds

__all__ = [
    "BatchRequest",
    "BatchResult",
    "MicroBatchWorkflow",
    "check_lake",
    "of_recordings",
    "run_micro_batch",
]

#: How long the lock of the lake is waited for, and how often it is tried, in seconds.
_HELD_S, _TRY_EVERY_S = 60.0, 0.5

#: The keys that micro-batches use. Selections are not among them, as a segment of which only some
#: series were ingested would be read again by every micro-batch; and threads read recordings.
_OF_RECORDINGS = (
    "output_directory", "storage", "credentials", "state_directory", "ledger", "ledger_schema",
    "lake", "catalog", "exact", "policies", "workers", "compression",
)  # fmt: skip


@frozen(kw_only=True)
class BatchRequest:
    """What a process is asked for.

    Attributes:
        config: Where the tables are, as `of_recordings` returns it.
        output: Where the segments are.
        parent: The process id of the recording.
        segments: The keys of those that are looked at; None for all.
        only_checks: Whether it is only checked that the tables can be written.
    """

    config: LakeConfig
    output: WorkflowConfig
    parent: int
    segments: tuple[str, ...] | None = None
    only_checks: bool = False


@frozen(kw_only=True)
class BatchResult:
    """What a micro-batch came to.

    Attributes:
        rows: How many rows are new in the tables.
        files_merged: How many small data files were merged into others.
        snapshots_expired: How many snapshots expired.
        duration_seconds: How long it took.
        problems: What is not in the tables, each with a reason.
        notes: Remarks for the reader.
        upkeep_fault: Why the tables were not kept in bounds; empty if they were.
        error: Why nothing more was ingested; None if nothing went wrong.
    """

    rows: int = 0
    files_merged: int = 0
    snapshots_expired: int = 0
    duration_seconds: float = 0.0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    upkeep_fault: str = ""
    error: LakehouseError | None = None


def of_recordings(config: LakeConfig) -> LakeConfig:
    """Return the configuration of micro-batches: the tables are the same, and nothing is left out.

    Raises:
        ConfigurationError: They are plain Parquet files.
    """
    if config.format == "parquet":
        reason = "plain Parquet files have no recordings; use `iceberg`, or record without tables"
        raise ConfigurationError([Problem("$.format", reason)])
    kept = {name: getattr(config, name) for name in _OF_RECORDINGS}
    values = {name: value for name, value in kept.items() if value is not None}
    made = LakeConfig({"workers": 1, **values}, environ={})
    object.__setattr__(made, "origins", config.origins)  # it is frozen, and not in use yet
    return made


def check_lake(config: LakeConfig, output: Output) -> None:
    """Check that a recording can write its tables; blocking. A lake is begun if there is none.

    Args:
        config: As `of_recordings` returns it.
        output: Where the segments are.

    Raises:
        ConfigurationError: They cannot be where they are configured.
        LakeError: The catalog cannot be reached or written.
        LockHeldError: The lake's lock cannot be taken at all.
        NoLakeError: The lake's place cannot be used.
        StoreError: The object store cannot be used.
    """
    check_place(config, output)
    check_writable_place(config)
    refuse_other_format(config)
    from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog

    with closing(LakeCatalog(lake_at(config).place(), config.catalog, create=True)) as catalog:
        catalog.names()


def _wait_for_lock(within_s: float) -> OnHeld:
    """What waits for a lock that another run holds, for a bounded time."""
    until = time.monotonic() + within_s

    async def wait(_held: LockHeldError) -> bool:
        await anyio.sleep(_TRY_EVERY_S)
        return time.monotonic() < until

    return wait


class MicroBatchWorkflow(IngestWorkflow):
    """Ingests the recordings of an output, and keeps the tables in bounds, under one lock.

    Args:
        config: As `of_recordings` returns it.
        output: Where the segments are; by default where `config` says.
        segments: The keys of those that are looked at; None for all of the output.
        held_s: How long the lock of the lake is waited for, in seconds.
        bounds: The `Bounds` of the tables; those of `tables.lake.upkeep` by default.
        now: Returns the time by which snapshots expire; a parameter for tests.

    Attributes:
        files_merged: How many small data files were merged into others.
        snapshots_expired: How many snapshots expired.
        upkeep_fault: Why the tables were not kept in bounds; empty if they were.
    """

    def __init__(
        self,
        config: LakeConfig,
        *,
        output: Output | None = None,
        segments: Collection[str] | None = None,
        held_s: float = _HELD_S,
        bounds: Bounds | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(
            config, zips=tuple, recordings=True, archives=False, on_held=_wait_for_lock(held_s),
            output=output,
        )  # fmt: skip
        self._keys = segments
        self._bounds, self._now = bounds, now
        self.files_merged = 0
        self.snapshots_expired = 0
        self.upkeep_fault = ""

    @property
    def _purpose(self) -> str:
        from crypto_lakehouse.tables.lake.upkeep import RECORDING

        return RECORDING

    @property
    def _segments(self) -> Collection[str] | None:
        return self._keys

    def _end(self, catalog: LakeCatalog) -> None:
        """Keep the tables in bounds that have new rows."""
        changed = [each.table for each in self.report().tables]
        if not changed:
            return
        try:
            records = [each for each in catalog.names() if each.startswith("lakehouse.")]
            for table in (*changed, *records):
                if self._stop_code is None:
                    self._keep_one(catalog, table)
        except LakehouseError as error:
            # The rows are in the tables; the next micro-batch tries again.
            self.upkeep_fault = str(error)

    def _keep_one(self, catalog: LakeCatalog, table: str) -> None:
        from crypto_lakehouse.tables.lake.upkeep import Bounds, keep_in_bounds

        kept = keep_in_bounds(
            catalog, table, self._bounds or Bounds(), now=self._now(), tool_version=__version__
        )
        self.files_merged += kept.files_before - kept.files_after
        self.snapshots_expired += kept.snapshots_expired


async def run_micro_batch(workflow: MicroBatchWorkflow) -> BatchResult:
    """Run a micro-batch; what goes wrong is in the result."""
    error = None
    try:
        report: IngestReport = (await workflow.run()).report
    except LakehouseError as raised:
        report, error = workflow.report(str(raised)), raised
    problems = [f"{each['key']}: {each['reason']}" for each in report.problems]
    return BatchResult(
        rows=report.rows,
        files_merged=workflow.files_merged,
        snapshots_expired=workflow.snapshots_expired,
        duration_seconds=report.duration_seconds,
        problems=tuple(problems),
        notes=report.notes,
        upkeep_fault=workflow.upkeep_fault,
        error=error,
    )
