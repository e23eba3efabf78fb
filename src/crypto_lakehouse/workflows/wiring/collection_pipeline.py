"""The pipeline of a run: in its own process, or shared among workers."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.collection.byte_budget import ByteBudget
from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.collection.pipeline import run_pipeline, worker_count
from crypto_lakehouse.collection.sharing import SharedClaims, shared_by
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.plan import Plan
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.executors.shards import run_sharded
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.shared_budget import BudgetShare
from crypto_lakehouse.http.transport import Client
from crypto_lakehouse.ledger.place import RunLedger
from crypto_lakehouse.matrix.known_holes import KnownHoles
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.wiring.collector_stack import (
    RunContext,
    make_collector,
    make_inventory,
)
from crypto_lakehouse.workflows.wiring.output_lease import holder_of
from crypto_lakehouse.workflows.wiring.shard_executors import SharedRun
from crypto_lakehouse.workflows.wiring.transport_stack import most_parallel, share_of

__all__ = ["CollectionPipeline"]


@frozen(kw_only=True)
class CollectionPipeline:
    """What collects the archives of a plan.

    Attributes:
        config: The configuration.
        run_id: The run.
        place: The output.
        ledger: The output's ledger.
        client: Sends requests.
        retry: When and how often a failed request is repeated.
        meter: Counts bytes as they arrive.
        holes: Archives that are known to be missing at the source.
        processes: How many processes of this machine work for the run.
        is_shared: Whether other processes collect the archives.
        budget: The part of the run in what several runs may send to its source; for those of its
            own process.
    """

    config: WorkflowConfig
    run_id: str
    place: Output
    ledger: RunLedger
    client: Client
    retry: RetryPolicy
    meter: ByteMeter
    holes: KnownHoles
    processes: int
    is_shared: bool
    budget: BudgetShare | None = None

    async def run(self, plan: Plan, emit: Emit, budget: ByteBudget) -> None:
        """Collect the archives of a plan.

        Args:
            plan: The archives.
            emit: Receives the run's events.
            budget: Limits the bytes of the run.
        """
        inventory = make_inventory(self.config, self.place.store, self.ledger)
        claims, emit = shared_by(self.ledger.claims, emit)
        if self.is_shared:
            await self._run_with_workers(plan, inventory, emit, budget, claims)
            return
        context = RunContext(
            client=self.client,
            store=self.place.store,
            retry=self.retry,
            share=share_of(self.config),
            meter=self.meter,
            emit=emit,
            today=plan.today,
            holes=self.holes,
            claims=self.ledger.claims,
            budget=self.budget,
        )
        collector = make_collector(self.config, context)
        workers = worker_count(most_parallel(self.config))
        await run_pipeline(
            plan, inventory, collector, emit, budget=budget, workers=workers, shared=claims
        )

    async def _run_with_workers(
        self,
        plan: Plan,
        inventory: Inventory,
        emit: Emit,
        budget: ByteBudget,
        claims: SharedClaims | None,
    ) -> None:
        shared = SharedRun(
            config=self.config,
            run_id=self.run_id,
            processes=self.processes,
            state=self.place.state,
            today=plan.today,
            retry=self.retry,
            holder=holder_of(self.place.store),
        )
        with one_error():
            async with shared.executor(emit, self.meter) as executor:
                await run_sharded(
                    plan,
                    inventory,
                    executor,
                    emit,
                    budget,
                    first_workers=shared.first_workers,
                    largest=shared.largest_shard,
                    shared=claims,
                )
