"""Stack what collects an archive, innermost first: client, hosts and cap, limit, retry, verdict.

The same stack works in the run's own process and in its worker processes.
"""

from __future__ import annotations

from datetime import date

from attrs import frozen

from crypto_lakehouse.collection.byte_budget import ByteBudget
from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.collection.download.fetcher import Fetcher
from crypto_lakehouse.collection.download.parallel_ranges import ParallelRanges
from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.lost_claims import claim_check
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.values import AUTO
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.ledger_protocols import Claims, InventoryLedger
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit, Store
from crypto_lakehouse.executors.share import Share
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.shared_budget import BudgetShare
from crypto_lakehouse.http.transport import Client
from crypto_lakehouse.matrix.known_holes import KnownHoles
from crypto_lakehouse.workflows.wiring.caps import Caps
from crypto_lakehouse.workflows.wiring.transport_stack import make_transport

__all__ = ["RunContext", "make_budget", "make_collector", "make_inventory"]


@frozen(kw_only=True)
class RunContext:
    """What one run, or one of its worker processes, hands to its collector.

    Attributes:
        client: Sends requests.
        store: Keeps verified bytes.
        retry: When and how often a failed request is repeated.
        share: How many requests this process may send to the source, and how fast.
        meter: Counts the bytes of bodies as they arrive.
        emit: Receives events about retries and large bodies.
        today: The run's UTC day, which distinguishes late archives from missing ones.
        holes: Archives that are known to be missing at the source.
        caps: The limits of `share`, if they may change; made from it by default.
        claims: Claims that may be lost to another run; None if there are none.
        budget: The part of the run in what several runs may send to its source; None if it shares
            none.
    """

    client: Client
    store: Store
    retry: RetryPolicy
    share: Share
    meter: ByteMeter
    emit: Emit
    today: date
    holes: KnownHoles
    caps: Caps | None = None
    claims: Claims | None = None
    budget: BudgetShare | None = None

    def known_hole(self, archive: Archive) -> str:
        """Return why an archive is known to be missing, or an empty string."""
        return self.holes.reason_for_period(archive.series, archive.period)


def make_inventory(
    config: WorkflowConfig, store: Store, ledger: InventoryLedger, *, reads_only: bool = False
) -> Inventory:
    """Make the inventory that decides what is to be fetched, for a run and for `plan` alike."""
    return Inventory(
        store=store,
        ledger=ledger,
        keep_sidecars=config.download_checksum,
        force=config.force_redownload,
        by_listing=config.integrity == "listing",
        retry_mismatch=config.accept_upstream_mismatch,
        reads_only=reads_only,
    )


def make_budget(config: WorkflowConfig, meter: ByteMeter) -> ByteBudget:
    """Make the budget of a run; sidecars count from the beginning if each zip needs its own."""
    with_sidecars = config.download_checksum or config.integrity != "listing"
    return ByteBudget(config.max_bytes, meter, with_sidecars=with_sidecars)


def make_collector(config: WorkflowConfig, context: RunContext) -> ArchiveCollector:
    """Make the collector that a configuration describes."""
    caps = context.caps or Caps.of(context.share, context.meter)
    transport = make_transport(config, context.client, caps, context.budget)
    budget, requests = context.budget, caps.requests
    fetcher = Fetcher(
        transport=transport,
        base=transport.hosts.source,
        store=context.store,
        retry=context.retry,
        concurrency=requests if budget is None else budget.requests(requests),
        emit=context.emit,
        meter=context.meter,
        second=transport.hosts.second,
        parallel_ranges=ParallelRanges() if config.segmented_downloads == AUTO else None,
        check=claim_check(context.claims) if context.claims is not None else None,
    )
    return ArchiveCollector(
        fetcher=fetcher,
        store=context.store,
        integrity=config.integrity,
        keep_sidecars=config.download_checksum,
        keep_replaced=config.replaced_retention_days != 0,
        accept_mismatch=config.accept_upstream_mismatch,
        known_hole=context.known_hole,
        today=context.today,
    )
