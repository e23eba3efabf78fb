"""Workflows: the parts wired together, one module for each thing that a caller can run.

- `archive_collection` collects, and `collecting` does so in one call; `ingestion` writes archives
  into tables; `collect_and_ingest` does both at once; `validation` checks rows; `table_upkeep`
  compacts and expires; `composition` runs several workflows with one report, `pipelines` those
  that a file declares.
- `tenants` runs the collections of several tenants of a file side by side.
- `rest_collection` fills what the archive lacks from the exchange, and `filling` does so in one
  call: `fill_plan` says which days, `fill_lane` and `day_filler` fill them, `fill_costs` says
  beforehand what that takes.
- `recording` records the exchange's streams: `record_selection` says which, `record_report` what
  came.
- `questions` (plan, verification, status, history) and `upkeep` (pruning, repair) have an async
  function for each further command, `bench` that of bench: a configuration in, a report out.
- `verification`, `repair`, `status` (with `series_origins`) and `history` work on collected
  directories, `matrix_refresh` makes a new matrix, `bench` measures a source.
- `monitoring` counts what a run does, and serves and writes it for Prometheus; `page_report` writes
  the page of an output, of what `page_figures` reads.
- `wiring` builds the parts from a configuration; `run_outcome` is how a collection ends,
  `ingest_outcome` how an ingestion does; `stored_archives`, `lake_config` (with `lake_rules`) and
  `lake_report` are shared values.

A workflow runs setup, body and cleanup (`core.workflow`); cleanup always runs, and an error of the
body is never hidden by one of cleanup. Nothing here prints: the command line calls these functions
as an application does, and renders their reports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.collection.verifier import VerificationReport
    from crypto_lakehouse.ledger.lock import OnHeld
    from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
    from crypto_lakehouse.workflows.bench.bench import run_bench
    from crypto_lakehouse.workflows.bench.bench_report import BenchReport
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest
    from crypto_lakehouse.workflows.collecting import run_collection
    from crypto_lakehouse.workflows.composition import CompositeWorkflow, Step
    from crypto_lakehouse.workflows.daemon.daemon import Daemon, ScheduledPipelines, load_schedules
    from crypto_lakehouse.workflows.fill_costs import FillEstimate
    from crypto_lakehouse.workflows.fill_report import FillReport
    from crypto_lakehouse.workflows.filling import run_fill, run_fill_estimate
    from crypto_lakehouse.workflows.history import PruneResult
    from crypto_lakehouse.workflows.ingestion import IngestWorkflow
    from crypto_lakehouse.workflows.lake_config import LakeConfig
    from crypto_lakehouse.workflows.matrix_refresh import RefreshedMatrix, refresh_matrix
    from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
    from crypto_lakehouse.workflows.page_report import PageReport, run_page_report
    from crypto_lakehouse.workflows.pipelines.running import PipelineWorkflow, run_pipeline
    from crypto_lakehouse.workflows.questions import (
        run_history,
        run_plan,
        run_status,
        run_verification,
    )
    from crypto_lakehouse.workflows.record_report import RecordReport, StreamChange
    from crypto_lakehouse.workflows.recording import RecordingWorkflow
    from crypto_lakehouse.workflows.recording_runs import run_recording
    from crypto_lakehouse.workflows.repair import RepairReport
    from crypto_lakehouse.workflows.reports import HistoryReport, PlanReport, StatusReport
    from crypto_lakehouse.workflows.rest_collection import RestCollectionWorkflow
    from crypto_lakehouse.workflows.tenants.running import run_tenants
    from crypto_lakehouse.workflows.tenants.tenant_runs import TenantRun, TenantsReport
    from crypto_lakehouse.workflows.upkeep import run_prune, run_repair
    from crypto_lakehouse.workflows.validation import ValidationWorkflow
    from crypto_lakehouse.workflows.wiring.delivery import Delivery

__all__ = [
    "ArchiveCollectionWorkflow",
    "BenchReport",
    "CollectAndIngest",
    "CompositeWorkflow",
    "Daemon",
    "Delivery",
    "FillEstimate",
    "FillReport",
    "HistoryReport",
    "IngestWorkflow",
    "LakeConfig",
    "Monitoring",
    "OnHeld",
    "PageReport",
    "PipelineWorkflow",
    "PlanReport",
    "PruneResult",
    "RecordReport",
    "RecordingWorkflow",
    "RefreshedMatrix",
    "RepairReport",
    "RestCollectionWorkflow",
    "ScheduledPipelines",
    "StatusReport",
    "Step",
    "StreamChange",
    "TenantRun",
    "TenantsReport",
    "ValidationWorkflow",
    "VerificationReport",
    "load_schedules",
    "refresh_matrix",
    "run_bench",
    "run_collection",
    "run_fill",
    "run_fill_estimate",
    "run_history",
    "run_page_report",
    "run_pipeline",
    "run_plan",
    "run_prune",
    "run_recording",
    "run_repair",
    "run_status",
    "run_tenants",
    "run_verification",
]

_MODULES = {
    "RepairReport": "repair",
    "BenchReport": "bench.bench_report",
    "HistoryReport": "reports",
    "PlanReport": "reports",
    "StatusReport": "reports",
    "run_plan": "questions",
    "run_verification": "questions",
    "run_status": "questions",
    "run_history": "questions",
    "run_repair": "upkeep",
    "run_bench": "bench.bench",
    "run_prune": "upkeep",
    "run_fill": "filling",
    "run_fill_estimate": "filling",
    "FillEstimate": "fill_costs",
    "FillReport": "fill_report",
    "RestCollectionWorkflow": "rest_collection",
    "RecordReport": "record_report",
    "StreamChange": "record_report",
    "RecordingWorkflow": "recording",
    "run_recording": "recording_runs",
    "Monitoring": "monitoring.monitoring",
    "PageReport": "page_report",
    "run_page_report": "page_report",
    "PipelineWorkflow": "pipelines.running",
    "run_pipeline": "pipelines.running",
    "Daemon": "daemon.daemon",
    "ScheduledPipelines": "daemon.daemon",
    "load_schedules": "daemon.daemon",
    "TenantRun": "tenants.tenant_runs",
    "TenantsReport": "tenants.tenant_runs",
    "run_tenants": "tenants.running",
    "PruneResult": "history",
    "RefreshedMatrix": "matrix_refresh",
    "refresh_matrix": "matrix_refresh",
    "ArchiveCollectionWorkflow": "archive_collection",
    "CollectAndIngest": "collect_and_ingest",
    "CompositeWorkflow": "composition",
    "Delivery": "wiring.delivery",
    "IngestWorkflow": "ingestion",
    "LakeConfig": "lake_config",
    "Step": "composition",
    "ValidationWorkflow": "validation",
    "run_collection": "collecting",
}

#: What other packages define, and functions of this one take or return.
_ELSEWHERE = {"OnHeld": "ledger.lock", "VerificationReport": "collection.verifier"}


def __getattr__(name: str) -> object:
    """Import a public name on first use: a worker process needs none of them."""
    if name in _ELSEWHERE:
        return getattr(import_module(f"crypto_lakehouse.{_ELSEWHERE[name]}"), name)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.workflows.{_MODULES[name]}"), name)
