"""Stack what settles an archive, innermost first: client, hosts and cap, limit, retry, verdict.

The same stack works in the run's own process and in its worker processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date

from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.collection.download.fetcher import Fetcher
from crypto_lakehouse.collection.download.parallel_ranges import ParallelRanges
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.values import AUTO
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit, Store
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.http.adaptive_limit import AdaptiveLimit
from crypto_lakehouse.http.concurrency_limit import ConcurrencyLimit, FixedLimit
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.transport import Client
from crypto_lakehouse.workflows.wiring.transport_stack import make_transport, share_of

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
    share: Share | None = None,
) -> ArchiveCollector:
    """Make what settles archives by a configuration.

    Args:
        config: What is wanted of an archive.
        client: Sends requests.
        store: Where verified bytes go.
        retry: When to try again.
        meter: Counts the run's bytes as they arrive.
        emit: Told of retries and of large bodies that begin.
        today: The UTC day, which tells late archives from missing ones.
        known_hole: Says why an archive is known to be missing at the source.
        share: What may be asked of the source; all that the configuration allows by default.
    """
    share = share or share_of(config)
    transport = make_transport(config, client, share)
    fetcher = Fetcher(
        transport=transport,
        base=transport.hosts.source,
        store=store,
        retry=retry,
        concurrency=_make_limit(share, meter),
        emit=emit,
        meter=meter,
        second=transport.hosts.second,
        parallel_ranges=ParallelRanges() if config.segmented_downloads == AUTO else None,
    )
    return ArchiveCollector(
        fetcher=fetcher,
        store=store,
        integrity=config.integrity,
        keep_sidecars=config.download_checksum,
        keep_replaced=config.replaced_retention_days != 0,
        accept_mismatch=config.accept_upstream_mismatch,
        known_hole=known_hole,
        today=today,
    )


def _make_limit(share: Share, meter: ByteMeter) -> ConcurrencyLimit:
    if not share.is_adaptive:
        meter.parallel = share.parallel
        return FixedLimit(share.parallel)

    def changed(limit: int, reason: str) -> None:
        meter.parallel = limit
        _log.debug("max_parallel_downloads: auto is %s now: %s", limit, reason)

    concurrency = AdaptiveLimit(workers=share.parallel, on_change=changed)
    meter.parallel = concurrency.limit
    return concurrency
