"""Workflows: the parts wired together, one screenful each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.workflows.archive_collection import (
        ArchiveCollectionWorkflow,
        run_collection,
    )
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest
    from crypto_lakehouse.workflows.composition import CompositeWorkflow, Step
    from crypto_lakehouse.workflows.ingestion import IngestWorkflow
    from crypto_lakehouse.workflows.lake_config import LakeConfig
    from crypto_lakehouse.workflows.validation import ValidationWorkflow

__all__ = [
    "ArchiveCollectionWorkflow",
    "CollectAndIngest",
    "CompositeWorkflow",
    "IngestWorkflow",
    "LakeConfig",
    "Step",
    "ValidationWorkflow",
    "run_collection",
]

_MODULES = {
    "ArchiveCollectionWorkflow": "archive_collection",
    "CollectAndIngest": "collect_and_ingest",
    "CompositeWorkflow": "composition",
    "IngestWorkflow": "ingestion",
    "LakeConfig": "lake_config",
    "Step": "composition",
    "ValidationWorkflow": "validation",
    "run_collection": "archive_collection",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use: a worker process needs none of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.workflows.{_MODULES[name]}"), name)
