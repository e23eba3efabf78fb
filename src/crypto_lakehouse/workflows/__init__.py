"""Workflows: the parts wired together, one screenful each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.workflows.archive_collection import (
        ArchiveCollectionWorkflow,
        run_collection,
    )

__all__ = ["ArchiveCollectionWorkflow", "run_collection"]


def __getattr__(name: str) -> object:
    """Import a public name on first use: a worker process needs neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("crypto_lakehouse.workflows.archive_collection"), name)
