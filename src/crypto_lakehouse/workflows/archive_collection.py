"""Collect verified archives: planner, pipeline, store, ledger and sinks wired together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import anyio
from anyio import to_thread

from crypto_lakehouse.collection.acknowledging import Acknowledging
from crypto_lakehouse.collection.circuit_breaker import CircuitBreaker
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.run_selection import selection_of, without_credentials
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import RunFinished, RunNoted, RunStarted, RunWarned
from crypto_lakehouse.core.input_files import ReadingStopped, read_in_thread
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector
from crypto_lakehouse.core.plan import Plan, plan_remarks
from crypto_lakehouse.core.protocols import Emit, Store
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.sink import AnySink, Sink
from crypto_lakehouse.core.verdicts import NOT_RECORDED
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.matrix.known_holes import load_holes
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.planning.calendar_plan import CalendarPlan, plan_collection
from crypto_lakehouse.planning.explicit_plan import ExplicitPlan, is_selected
from crypto_lakehouse.planning.selection import select_rows
from crypto_lakehouse.sinks.checked import checked_sinks
from crypto_lakehouse.sinks.ledger import LedgerSink
from crypto_lakehouse.sinks.log import LogSink
from crypto_lakehouse.sinks.metrics import MetricsSink
from crypto_lakehouse.stores.outer_output import refuse_inside_another
from crypto_lakehouse.stores.output import output_note, output_of
from crypto_lakehouse.workflows.history import prune_replaced
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.run_outcome import RunOutcome, unfinished_note
from crypto_lakehouse.workflows.wiring.collection_pipeline import CollectionPipeline
from crypto_lakehouse.workflows.wiring.collector_stack import make_budget
from crypto_lakehouse.workflows.wiring.delivery import Delivery
from crypto_lakehouse.workflows.wiring.holes_file import load_acknowledged
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.network import Network
from crypto_lakehouse.workflows.wiring.opened_output import OpenedOutput
from crypto_lakehouse.workflows.wiring.recorded_source import checked_source
from crypto_lakehouse.workflows.wiring.source_shares import SourceShares
from crypto_lakehouse.workflows.wiring.transport_stack import (
    most_parallel,
    open_client,
    parallel_note,
)
from crypto_lakehouse.workflows.wiring.worker_jobs import process_count

if TYPE_CHECKING:
    import aiohttp

__all__ = ["ArchiveCollectionWorkflow"]

#: The exit codes of a run that ends because its source is down, or its budget is used.
_SOURCE_UNAVAILABLE, _BUDGET_USED = 5, 6


class ArchiveCollectionWorkflow(BaseWorkflow[CollectionReport]):
    """Collects what a configuration selects, verified, into its output directory.

    Args:
        config: What to collect.
        metrics_collector: Receives every event; a new one by default.
        sinks: Further sinks, or functions, sync or async, that take a list of events.
        session: An aiohttp session of the application's own; it is used and not closed. Its
            headers, authorization, cookies, proxies, tracing and middlewares hold; decoding,
            redirects, statuses as exceptions and time limits are the engine's for its requests.
        store: Where archives go; the output directory by default. Ledger and lock stay in the
            output directory.
        retry: When to try again; by the configuration's `max_retries` by default.
        meter: Counts bytes as they arrive, for displays.
        archives: Collect exactly these, whatever the configuration selects.
        delivery: When events reach sinks and ledger, and how long a stopped run waits for that.
        on_held: Called if another run holds the lock; returns whether to try again. By default the
            run is refused.
        monitoring: What watches the run; by default what the configuration says.
        shares: Its parts in what several runs of this process may send to the same hosts.

    Raises:
        ConfigurationError: A sink is not valid; the message names it and what it lacks.

    Examples:
        >>> config = WorkflowConfig(
        ...     {
        ...         "output_directory": "output",
        ...         "symbols": ["BTCUSDT"],
        ...         "default_date": "2025-07-15",
        ...     },
        ...     environ={},
        ... )
        >>> report = ArchiveCollectionWorkflow(config).execute()  # doctest: +SKIP
        >>> report.success_rate  # doctest: +SKIP
        100.0
    """

    name: ClassVar[str] = "archive_collection"
    config: WorkflowConfig

    def __init__(
        self,
        config: WorkflowConfig,
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
        monitoring: Monitoring | None = None,
        shares: SourceShares | None = None,
    ) -> None:
        super().__init__(config, metrics_collector=metrics_collector)
        self.run_id = uuid4().hex
        #: The report is made from this one, whatever an injected collector does with its events.
        self.counts = MetricsCollector()
        self._outcome = RunOutcome(self.name, self.run_id, self.counts)
        self._sinks = checked_sinks(sinks)
        self._session = session
        self._place = output_of(config, store)
        can_share = session is None and store is None
        self._processes = process_count(config) if can_share else 1
        self._is_shared = self._processes > 1 or (can_share and config.executor == "dask")
        self._retry = retry or RetryPolicy(max_retries=config.max_retries)
        self._meter = meter or ByteMeter()
        self.monitoring = (monitoring or Monitoring.of(config)).of_meter(self._meter)
        self._archives, self._shares = archives, shares
        self._delivery = delivery or Delivery()
        self._plan: Plan | None = None
        self._notes: list[str] = []
        self._resources = AsyncExitStack()
        self._output = OpenedOutput(
            self._place.state,
            self._place.store,
            ledger_at(self._place),
            on_held,
            self._is_stopped,
            self._resources,
            self.run_id,
            partial(refuse_inside_another, self._place if store is None else None),
        )
        self._scope: anyio.CancelScope | None = None
        self._is_urgent = False

    def stop(self, exit_code: int = 130) -> None:
        """End the run early and in order; `run()` then returns with status `interrupted`.

        Must be called in the run's own event loop. Verified archives stay. Downloads in progress
        are abandoned; the next run resumes large ones.
        """
        self._is_urgent = True
        self._end_early(exit_code)

    def _is_stopped(self) -> bool:
        return self._outcome.stop_code is not None

    def _end_early(self, exit_code: int, reason: str = "") -> None:
        """Cancel what is in progress; the rest of the plan gets no verdict."""
        self._outcome.stop_code, self._outcome.stop_reason = exit_code, reason
        if self._scope is not None:
            self._scope.cancel()

    async def setup(self) -> None:
        """Check the configuration, take the lock, open the ledger and the client.

        What needs no request is planned here, so that faults show before anything is written.
        """
        self.counts.start_workflow(self.name)
        await self._resources.enter_async_context(self.monitoring)
        self._scope = anyio.CancelScope()
        try:
            self._matrix, known = await read_in_thread(
                lambda: (load_matrix(self.config.matrix_path), load_acknowledged(self.config)),
                self._is_stopped,
            )
        except ReadingStopped:
            return
        self._holes = load_holes()
        self._acknowledging = Acknowledging(known)
        self._today = datetime.now(UTC).date()
        self._plan_early()
        self._notes = [*self.config.warnings, *self._matrix.corrections]
        self._notes += filter(None, [parallel_note(self.config)])
        if self._processes < process_count(self.config) or (
            self.config.executor == "dask" and not self._is_shared
        ):
            self._notes.append(
                "`processes` is 1: a session or a store of the application's own cannot be shared"
            )
        self._network = Network.of(self.config) if self._session is None else None
        await self._output.open()
        if not self._output.is_open:
            return
        self._notes += self._output.notes
        await self.monitoring.begin(self.config, self._place, self.name, self.run_id)
        if self._place.is_url:
            self._notes += await to_thread.run_sync(unfinished_note, self._output.ledger_place)
        if self.config.only is not None:
            note = await to_thread.run_sync(checked_source, self.config, self._output.ledger_place)
            self._notes += [note] if note else []
        opening = open_client(self.config, most_parallel(self.config), self._session, self._network)
        self._client = await self._resources.enter_async_context(opening)

    def _plan_early(self) -> None:
        """Make the plan if it needs neither the ledger nor the source; else check what it needs."""
        if self.config.only is not None and self._archives is None:
            self._place.check()
        if self._archives is not None:
            self._plan = ExplicitPlan.of(self._archives, self._today, self._matrix)
        elif self.config.wants_listing:
            select_rows(self.config, self._matrix)
        elif self.config.only is None:
            self._plan = plan_collection(self.config, self._matrix, self._today)

    async def body(self) -> None:
        """Run the pipeline, and hand its events to the sinks."""
        if not self._output.is_open:
            return  # it was stopped while it waited
        own: list[Sink] = [MetricsSink(self.counts), MetricsSink(self.metrics_collector)]
        rules = self._delivery
        ledger = LedgerSink(
            self._output.ledger, self._place.store.make_durable, batch_rows=rules.batch_rows
        )
        await rules.run(
            self._collect_until_stopped,
            [*own, ledger, LogSink(self.run_id), *self.monitoring.sinks, *self._sinks],
            self._last_event,
            is_urgent=lambda: self._is_urgent,
        )
        await self._prune()
        await self._copy_ledger()
        if not self._is_urgent:
            await self.monitoring.cover(self.config, self._place)
        if problem := await self.monitoring.finish():
            self._outcome.late_warnings.append(problem)

    async def _copy_ledger(self) -> None:
        """Copy the ledger to the object store if the run has learned anything."""
        found = self.counts.verdicts.items()
        has_changed = any(count for verdict, count in found if verdict not in NOT_RECORDED)
        if problem := await self._output.copy_ledger(has_changed=has_changed):
            self._outcome.late_warnings.append(problem)

    async def _prune(self) -> None:
        """Remove replaced versions that are older than `replaced_retention_days`."""
        days = self.config.replaced_retention_days
        if days is not None and self._outcome.stop_code is None:
            self._output.check()
            prune = partial(prune_replaced, older_than_days=days, today=self._today)
            pruned = await to_thread.run_sync(prune, self._place)
            if pruned.problems:
                raise StoreError(self._place.place, pruned.problems[0])

    async def _collect_until_stopped(self, emit: Emit) -> None:
        if self._outcome.stop_code is not None or self._scope is None:
            return
        with self._scope, self._outcome.noting_errors():
            async with self._output.held(lambda: self._meter.received_bytes):
                await self._collect_all(emit)

    async def _collect_all(self, emit: Emit) -> None:
        network = "" if self._network is None else self._network.note
        place = output_note(self.config)
        await emit([RunNoted(message=note) for note in (place, network) if note])
        if self._plan is None:
            self._plan = await self._make_plan(emit)
        await self._announce(self._plan, emit)
        breaker = CircuitBreaker(partial(self._end_early, _SOURCE_UNAVAILABLE), self._meter)
        budget = make_budget(self.config, self._meter)
        watched = budget.watching(breaker.watching(self._acknowledging.marking(emit)))
        await self._pipeline().run(self._plan, watched, budget)
        if self._outcome.stop_code is None and budget.is_used:
            self._end_early(_BUDGET_USED, budget.reason(self._planned))
        elif self._outcome.stop_code is None:
            await emit(self._acknowledging.remarks(self._should_be_planned()))

    def _pipeline(self) -> CollectionPipeline:
        return CollectionPipeline(
            config=self.config,
            run_id=self.run_id,
            place=self._place,
            ledger=self._output.ledger,
            client=self._client,
            retry=self._retry,
            meter=self._meter,
            holes=self._holes,
            processes=self._processes,
            is_shared=self._is_shared,
            budget=None if self._shares is None else self._shares.archives,
        )

    def _should_be_planned(self) -> Callable[[Archive], bool] | None:
        """Whether an archive should be in the plan; None if the plan may lack some."""
        if self._archives is not None or self.config.only is not None or self._unlisted:
            return None
        return partial(is_selected, self.config, matrix=self._matrix)

    async def _make_plan(self, emit: Emit) -> Plan:
        """The plan that needs the ledger or the source."""
        from crypto_lakehouse.planning.listed_plan import ListedPlan
        from crypto_lakehouse.workflows.wiring.make_plan import (
            Planner,
            open_lister,
            plan_from_ledger,
        )

        if self.config.only is not None:
            return await plan_from_ledger(
                self.config, self._matrix, self._output.ledger, self._today
            )
        planner = Planner(
            config=self.config,
            matrix=self._matrix,
            holes=self._holes,
            lister=open_lister(
                self.config,
                self._client,
                self._retry,
                emit,
                None if self._shares is None else self._shares.listings,
                on_answer=self.monitoring.answered,
            ),
            emit=emit,
            ledger=self._output.ledger,
        )
        plan, reason = await planner.plan(self._today)
        self._notes += [reason] if reason else []
        if isinstance(plan, ListedPlan):
            self._resources.callback(plan.close)
        return plan

    async def _announce(self, plan: Plan, emit: Emit) -> None:
        self._output.has_begun = True
        totals = await to_thread.run_sync(plan.totals)
        self._planned = totals.archives
        self._notes += plan_remarks(plan, totals)
        started = RunStarted(
            run_id=self.run_id,
            workflow=self.name,
            planned=totals.archives,
            at=datetime.now(UTC),
            size_bytes=totals.size_bytes,
            selection=self._asked(plan),
            source_url=without_credentials(self.config.source_url),
            listing_url=without_credentials(self.config.listing_url or ""),
        )
        await emit((started, *(RunWarned(message=note) for note in self._notes)))

    def _asked(self, plan: Plan) -> dict[str, Any]:
        """What the run was asked for, to be stored with it."""
        if self._archives is not None:
            return {"only": "named"}
        return selection_of(self.config, by_calendar=isinstance(plan, CalendarPlan))

    def _last_event(self) -> RunFinished:
        return RunFinished(
            run_id=self.run_id,
            status=self._outcome.status(self._unlisted),
            at=datetime.now(UTC),
            reason=self._outcome.stop_reason,
        )

    async def cleanup(self) -> None:
        """Close the client and the ledger, and release the lock."""
        await self._resources.aclose()

    def report(self, error: str = "") -> CollectionReport:
        """Return a report of what is known so far; `error` is why the run ended early."""
        return self._outcome.report(self._unlisted, error)

    @property
    def _unlisted(self) -> tuple[str, ...]:
        return tuple(self._plan.failures) if self._plan is not None else ()

    def metrics(self) -> CollectionReport:
        """The report of the finished run."""
        return self.report()
