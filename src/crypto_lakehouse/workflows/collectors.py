"""Stack what settles an archive, innermost first: client, hosts and cap, limit, retry, verdict.

The same stack works in the run's own process and in its worker processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date

from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.collection.concurrency import AdaptiveGate, FixedGate, Gate
from crypto_lakehouse.collection.http import Client
from crypto_lakehouse.collection.retry import RetryPolicy
from crypto_lakehouse.collection.transfer import Fetcher
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config import WorkflowConfig
from crypto_lakehouse.core.config_values import AUTO
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.ports import Emit, Store
from crypto_lakehouse.workflows.plans import most_parallel
from crypto_lakehouse.workflows.transports import make_transport

__all__ = ["make_collector"]

_log = logging.getLogger("crypto_lakehouse")


def make_collector(
    config: WorkflowConfig,
    *,
    client: Client,
    store: Store,
    retry: RetryPolicy,
    meter: ByteMeter,
    emit: Emit,
    today: date,
    known_hole: Callable[[Archive], str],
) -> ArchiveCollector:
    """Make what settles archives by a configuration; arguments as in `ArchiveCollector`."""
    return ArchiveCollector(
        fetcher=_make_fetcher(config, client, store, retry, meter, emit),
        store=store,
        integrity=config.integrity,
        keep_sidecars=config.download_checksum,
        keep_replaced=config.replaced_retention_days != 0,
        accept_mismatch=config.accept_upstream_mismatch,
        known_hole=known_hole,
        today=today,
    )


def _make_fetcher(
    config: WorkflowConfig,
    client: Client,
    store: Store,
    retry: RetryPolicy,
    meter: ByteMeter,
    emit: Emit,
) -> Fetcher:
    transport = make_transport(config, client)
    return Fetcher(
        transport=transport,
        base=transport.origins.source,
        store=store,
        retry=retry,
        gate=_make_gate(config, meter),
        emit=emit,
        meter=meter,
        second=transport.origins.second,
    )


def _make_gate(config: WorkflowConfig, meter: ByteMeter) -> Gate:
    most = most_parallel(config)
    if config.max_parallel_downloads != AUTO:
        meter.parallel = most
        return FixedGate(most)

    def changed(limit: int, reason: str) -> None:
        meter.parallel = limit
        _log.debug("max_parallel_downloads: auto is %s now: %s", limit, reason)

    gate = AdaptiveGate(workers=most, on_change=changed)
    meter.parallel = gate.limit
    return gate
