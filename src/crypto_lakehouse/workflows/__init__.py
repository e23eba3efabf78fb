"""Workflows: the parts wired together, one screenful each."""

from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow, run_collection

__all__ = ["ArchiveCollectionWorkflow", "run_collection"]
