"""Collect archives in one call: make the workflow, run it, and return its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import anyio

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.core.task_groups import in_own_task
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.wiring.delivery import Delivery
from crypto_lakehouse.workflows.wiring.load_config import load_config

if TYPE_CHECKING:
    import aiohttp

__all__ = ["run_collection"]


async def run_collection(
    config: WorkflowConfig | Mapping[str, Any] | str | PathLike[str],
    *,
    metrics_collector: MetricsCollector | None = None,
    sinks: Iterable[AnySink] = (),
    session: aiohttp.ClientSession | None = None,
    store: Store | None = None,
    retry: RetryPolicy | None = None,
    meter: ByteMeter | None = None,
    archives: Iterable[Archive] | None = None,
    delivery: Delivery | None = None,
    on_held: OnHeld = do_not_wait,
) -> CollectionReport:
    """Collect archives, verified; the one call that an application needs.

    Args:
        config: A configuration, a mapping of its keys, or the path of a JSON, TOML or YAML file.
        metrics_collector: Receives every event; a new one by default.
        sinks: Further sinks, or functions that take a list of events.
        session: An aiohttp session of the application's own; it is used and not closed.
        store: Where archives go; the output directory by default.
        retry: When to try again; by the configuration's `max_retries` by default.
        meter: Counts bytes as they arrive, for displays.
        archives: Collect exactly these, whatever the configuration selects.
        delivery: When events reach sinks and ledger, and how long a stopped run waits for that.
        on_held: Called if another run holds a lock; returns whether to try again.

    `ArchiveCollectionWorkflow` says more about each.

    Returns:
        What became of the plan. Archives that failed are in the report, not raised; see
        `CollectionReport.raise_for_failures`.

    Raises:
        ConfigurationError: The configuration cannot be run, or a sink is not valid; nothing was
            requested or written.
        ListingError: The source cannot be listed, and the plan depends on that.
        MatrixError: The matrix cannot be used; nothing was requested.
        LockHeldError: Another run works on the same output directory.
        StoreError: The store cannot be written to, for example because the disk is full.
    """
    workflow = ArchiveCollectionWorkflow(
        await _ready(config),
        metrics_collector=metrics_collector,
        sinks=sinks,
        session=session,
        store=store,
        retry=retry,
        meter=meter,
        archives=archives,
        delivery=delivery,
        on_held=on_held,
    )
    return await workflow.run()


async def _ready(
    config: WorkflowConfig | Mapping[str, Any] | str | PathLike[str],
) -> WorkflowConfig:
    async def load() -> WorkflowConfig:
        # A file that a thread is just opening would have no owner.
        with anyio.CancelScope(shield=True):
            loaded = await load_config(config)
        return loaded  # noqa: RET504 - a scope may swallow, says its type

    return config if isinstance(config, WorkflowConfig) else await in_own_task(load)
