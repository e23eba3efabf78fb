"""Stack what settles an archive, innermost first: client, hosts and cap, limit, retry, verdict.

The same stack works in the run's own process and in its worker processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter
from yarl import URL

from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.collection.concurrency import FixedGate
from crypto_lakehouse.collection.connection import CHUNK_BYTES
from crypto_lakehouse.collection.direct import direct_client
from crypto_lakehouse.collection.http import Client, HttpTransport, Origins
from crypto_lakehouse.collection.retry import RetryPolicy
from crypto_lakehouse.collection.transfer import Fetcher
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config import WorkflowConfig
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.ports import Emit, Store
from crypto_lakehouse.workflows.plans import parallel_downloads

if TYPE_CHECKING:
    import aiohttp

__all__ = ["make_collector", "open_client"]

#: A capped run takes bodies in pieces of a twentieth of a second, but none smaller than this.
_SMALLEST_CHUNK_BYTES = 1 << 12


@asynccontextmanager
async def open_client(
    config: WorkflowConfig, session: aiohttp.ClientSession | None = None
) -> AsyncIterator[Client]:
    """Open the engine's own client, or take an application's session, which is not closed."""
    if session is not None:
        from crypto_lakehouse.collection.aiohttp_client import AiohttpClient

        yield AiohttpClient(session)
        return
    rate = config.max_bytes_per_second
    chunk = CHUNK_BYTES if rate is None else max(_SMALLEST_CHUNK_BYTES, rate // 20)
    opening = direct_client(
        parallel_downloads(config), config.timeout_seconds, min(chunk, CHUNK_BYTES)
    )
    async with opening as client:
        yield client


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
    rate = config.max_bytes_per_second
    listing_host = URL(config.listing_url).host if config.listing_url else None
    origins = Origins.of(
        config.source_url,
        filter(None, (listing_host, *config.redirect_hosts)),
        config.second_source_url,
    )
    bandwidth = AsyncLimiter(rate, time_period=1) if rate else None
    return Fetcher(
        transport=HttpTransport(client, origins, bandwidth),
        base=origins.source,
        store=store,
        retry=retry,
        gate=FixedGate(parallel_downloads(config)),
        emit=emit,
        meter=meter,
        second=origins.second,
    )
