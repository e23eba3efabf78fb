"""Collect the public Binance market-data archive: complete, verified, current and resumable.

Examples:
    >>> from crypto_lakehouse import run_collection
    >>> report = await run_collection(  # doctest: +SKIP
    ...     {"output_directory": "output", "symbols": ["BTCUSDT"], "default_date": "2025-07-15"}
    ... )
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from crypto_lakehouse.version import __version__, check_platform

if TYPE_CHECKING:
    from crypto_lakehouse.core import (
        Archive,
        CollectionReport,
        LakehouseError,
        MetricsCollector,
        Sink,
        Store,
        Verdict,
        WorkflowConfig,
    )
    from crypto_lakehouse.http import RetryPolicy
    from crypto_lakehouse.workflows import ArchiveCollectionWorkflow, run_collection

__all__ = [
    "Archive",
    "ArchiveCollectionWorkflow",
    "CollectionReport",
    "LakehouseError",
    "MetricsCollector",
    "RetryPolicy",
    "Sink",
    "Store",
    "Verdict",
    "WorkflowConfig",
    "__version__",
    "run_collection",
]

_HOMES = {
    "RetryPolicy": "crypto_lakehouse.http",
    "ArchiveCollectionWorkflow": "crypto_lakehouse.workflows",
    "run_collection": "crypto_lakehouse.workflows",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use: `--help` and test plugins need none of them.

    Raises:
        AttributeError: There is no such name.
        ImportError: This is Windows.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_platform()
    return getattr(import_module(_HOMES.get(name, "crypto_lakehouse.core")), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
