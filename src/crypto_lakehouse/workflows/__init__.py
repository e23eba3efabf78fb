"""Workflows: the parts wired together, a file for each thing that a caller can ask for.

- `archive_collection` collects, `collecting` does it in one call; `ingestion` brings archives into
  tables; `collect_and_ingest` does both in one stream; `validation` judges rows; `composition`
  runs several with one report.
- `verification` and `repair` are for stored trees, `status` and `history` tell what is there and
  what was, `matrix_refresh` writes a new matrix, `bench` measures a source.
- `questions` is what the command line asks beside that (plan, verification, status, history,
  repair, bench), an async function each: a configuration in, a report out. `reports` has the
  answers.
- `wiring` makes the parts from a configuration; `stored_archives`, `lake_config` and `lake_report`
  are shared values.

A workflow runs setup, body and cleanup (`core.workflow`); cleanup always runs, and an error of the
body is never hidden by one of cleanup. There is no logic here that a part could hold, and no
terminal: the command line calls these, as an application does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.collection.verifier import VerificationReport
    from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest
    from crypto_lakehouse.workflows.collecting import run_collection
    from crypto_lakehouse.workflows.composition import CompositeWorkflow, Step
    from crypto_lakehouse.workflows.ingestion import IngestWorkflow
    from crypto_lakehouse.workflows.lake_config import LakeConfig
    from crypto_lakehouse.workflows.questions import (
        run_bench,
        run_history,
        run_plan,
        run_repair,
        run_status,
        run_verification,
    )
    from crypto_lakehouse.workflows.repair import RepairReport
    from crypto_lakehouse.workflows.reports import (
        BenchReport,
        HistoryReport,
        PlanReport,
        StatusReport,
    )
    from crypto_lakehouse.workflows.validation import ValidationWorkflow

__all__ = [
    "ArchiveCollectionWorkflow",
    "BenchReport",
    "CollectAndIngest",
    "CompositeWorkflow",
    "HistoryReport",
    "IngestWorkflow",
    "LakeConfig",
    "PlanReport",
    "RepairReport",
    "StatusReport",
    "Step",
    "ValidationWorkflow",
    "VerificationReport",
    "run_bench",
    "run_collection",
    "run_history",
    "run_plan",
    "run_repair",
    "run_status",
    "run_verification",
]

_MODULES = {
    "RepairReport": "repair",
    "BenchReport": "reports",
    "HistoryReport": "reports",
    "PlanReport": "reports",
    "StatusReport": "reports",
    "run_plan": "questions",
    "run_verification": "questions",
    "run_status": "questions",
    "run_history": "questions",
    "run_repair": "questions",
    "run_bench": "questions",
    "ArchiveCollectionWorkflow": "archive_collection",
    "CollectAndIngest": "collect_and_ingest",
    "CompositeWorkflow": "composition",
    "IngestWorkflow": "ingestion",
    "LakeConfig": "lake_config",
    "Step": "composition",
    "ValidationWorkflow": "validation",
    "run_collection": "collecting",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use: a worker process needs none of them."""
    if name == "VerificationReport":
        return import_module("crypto_lakehouse.collection.verifier").VerificationReport
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.workflows.{_MODULES[name]}"), name)
