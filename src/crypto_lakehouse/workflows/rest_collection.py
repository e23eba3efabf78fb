"""Fill what the archive lacks from the exchange: planner, client, store, ledger and sinks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

import anyio
from anyio import to_thread

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import HostRefusedError, TransferError
from crypto_lakehouse.core.events import RunFinished, RunNoted, RunStarted, RunWarned
from crypto_lakehouse.core.input_files import ReadingStopped, read_in_thread
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.metrics import MetricsCollector
from crypto_lakehouse.core.protocols import Emit, Store
from crypto_lakehouse.core.sink import AnySink, Sink
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.ledger.runs import FILLING
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.rest import RestClient, fetch_day
from crypto_lakehouse.sinks.checked import checked_sinks
from crypto_lakehouse.sinks.ledger import LedgerSink
from crypto_lakehouse.sinks.log import LogSink
from crypto_lakehouse.sinks.metrics import MetricsSink
from crypto_lakehouse.stores.outer_output import refuse_inside_another
from crypto_lakehouse.stores.output import output_note, output_of
from crypto_lakehouse.workflows.day_filler import DayFiller
from crypto_lakehouse.workflows.fill_lane import FillBreaker, FillLane, KnownFills
from crypto_lakehouse.workflows.fill_plan import FillPlan
from crypto_lakehouse.workflows.fill_report import FillCounts, FillReport
from crypto_lakehouse.workflows.fill_request import FillRequest
from crypto_lakehouse.workflows.fill_symbols import FillSymbols
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.wiring.delivery import Delivery
from crypto_lakehouse.workflows.wiring.holes_file import load_acknowledged
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.needed_packages import need_live
from crypto_lakehouse.workflows.wiring.network import Network
from crypto_lakehouse.workflows.wiring.opened_output import OpenedOutput
from crypto_lakehouse.workflows.wiring.rest_stack import (
    SYSTEM_TIME,
    TimeSource,
    exchange_urls,
    open_rest_client,
)

if TYPE_CHECKING:
    import aiohttp

__all__ = ["RestCollectionWorkflow"]

#: The exit code of a run that ends because the exchange refuses it, or cannot be reached.
_REFUSED = 5


class RestCollectionWorkflow(BaseWorkflow[FillReport]):
    """Fills the holes of a collected archive, and the days since its newest, from the exchange.

    Each UTC day of a series becomes a segment below `rest/`, beside the archives; a later archive
    of the day takes precedence in the tables.

    Args:
        config: Names the output and selects series and days; of a configuration without days, all
            that runs were asked for.
        until: `now` or the last UTC day; that of the configuration's `fill` by default.
        only_holes: Whether the days after the archive's newest are left out; as configured by
            default.
        retry_failed: Whether what the exchange did not have is asked for once more.
        metrics_collector: Receives every event; a new one by default.
        sinks: Further sinks, or functions, sync or async, that take a list of events.
        session: An aiohttp session of the application's own; it is used and not closed.
        store: Where segments go; the output directory by default.
        delivery: When events reach sinks and ledger, and how long a stopped run waits for that.
        on_held: Called if another run holds the lock; returns whether to try again. By default the
            run is refused.
        times: Where the time comes from; a parameter for tests.
        monitoring: What watches the run; by default what the configuration says.

    Raises:
        ConfigurationError: `until` is no day, or a sink is not valid.

    Examples:
        >>> config = WorkflowConfig(output_directory="output", only="failed", environ={})
        >>> report = RestCollectionWorkflow(config, until="now").execute()  # doctest: +SKIP
        >>> report.totals["filled"]  # doctest: +SKIP
        12
    """

    name: ClassVar[str] = "rest_collection"
    config: WorkflowConfig

    def __init__(
        self,
        config: WorkflowConfig,
        *,
        until: str | date | None = None,
        only_holes: bool | None = None,
        retry_failed: bool = False,
        metrics_collector: MetricsCollector | None = None,
        sinks: Iterable[AnySink] = (),
        session: aiohttp.ClientSession | None = None,
        store: Store | None = None,
        delivery: Delivery | None = None,
        on_held: OnHeld = do_not_wait,
        times: TimeSource = SYSTEM_TIME,
        monitoring: Monitoring | None = None,
    ) -> None:
        super().__init__(config, metrics_collector=metrics_collector)
        self.run_id = uuid4().hex
        self.counts = FillCounts()
        self._request = FillRequest.of(config, until, only_holes=only_holes)
        self._retry_failed = retry_failed
        self._sinks = checked_sinks(sinks)
        self._session = session
        self._times = times
        self._place = output_of(config, store)
        #: Apart from the place, so that a copy of a lost ledger serves for the selection alone.
        self._before = output_of(config, store)
        self._delivery = delivery or Delivery()
        self.monitoring = monitoring or Monitoring.of(config)
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
        self._has_failed = False
        self._stop_code: int | None = None
        self._stop_reason = ""
        self._scope: anyio.CancelScope | None = None
        self._is_urgent = False

    def stop(self, exit_code: int = 130) -> None:
        """End the run early and in order; `run()` then returns with status `interrupted`.

        Must be called in the run's own event loop. Days that are filled stay.
        """
        self._is_urgent = True
        self._end_early(exit_code)

    def _is_stopped(self) -> bool:
        return self._stop_code is not None

    def _end_early(self, exit_code: int, reason: str = "") -> None:
        """Cancel what is in progress; the rest of the plan gets no verdict."""
        if self._stop_code is None:
            self._stop_code, self._stop_reason = exit_code, reason
        if self._scope is not None:
            self._scope.cancel()

    async def setup(self) -> None:
        """Check the configuration, take the lock and open the ledger; nothing is requested.

        Raises:
            ExtraMissing: The extra `live` is not installed.
            SelectionError: The ledger has nothing of a symbol that is selected.
        """
        need_live()
        await self._resources.enter_async_context(self.monitoring)
        self._scope = anyio.CancelScope()
        try:
            self._matrix, self._acknowledged = await read_in_thread(
                lambda: (load_matrix(self.config.matrix_path), load_acknowledged(self.config)),
                self._is_stopped,
            )
        except ReadingStopped:
            return
        self._notes = [*self.config.warnings, *self._matrix.corrections]
        self._symbols = FillSymbols(self.config, self._matrix, self._before)
        today = datetime.now(UTC).date()
        self._notes += await to_thread.run_sync(self._symbols.check, today)
        urls = exchange_urls(self.config)
        self._network = (
            Network.of(self.config, urls=urls.values()) if self._session is None else None
        )
        await self._output.open()
        self._notes += self._output.notes
        await self.monitoring.begin(self.config, self._place, self.name, self.run_id)

    async def body(self) -> None:
        """Fill the days, and hand the events to the sinks."""
        if not self._output.is_open:
            return  # it was stopped while it waited
        rules = self._delivery
        ledger = LedgerSink(
            self._output.ledger, self._place.store.make_durable, batch_rows=rules.batch_rows
        )
        own: list[Sink] = [self.counts, MetricsSink(self.metrics_collector), ledger]
        await rules.run(
            self._fill_until_stopped,
            [*own, LogSink(self.run_id), *self.monitoring.sinks, *self._sinks],
            self._last_event,
            is_urgent=lambda: self._is_urgent,
        )
        if problem := await self._output.copy_ledger(has_changed=self.counts.has_changed):
            self.counts.late_warnings.append(problem)
        if not self._is_urgent:
            await self.monitoring.cover(self.config, self._place)
        if problem := await self.monitoring.finish():
            self.counts.late_warnings.append(problem)

    async def _fill_until_stopped(self, emit: Emit) -> None:
        if self._stop_code is not None or self._scope is None:
            return
        with self._scope:
            async with self._output.held(lambda: 0):
                try:
                    with one_error():
                        await self._fill_all(emit)
                except HostRefusedError as error:
                    self._end_early(_REFUSED, str(error))
                except Exception:
                    self._has_failed = True
                    raise

    async def _fill_all(self, emit: Emit) -> None:
        network = "" if self._network is None else self._network.note
        place = output_note(self.config)
        await emit([RunNoted(message=note) for note in (place, network) if note])

        async def on_retry(_attempt: int, wait_s: float, error: TransferError) -> None:
            await emit([RunNoted(message=f"again in {wait_s:.1f} s: {error}")])

        opening = open_rest_client(
            self.config, on_retry, session=self._session, network=self._network, times=self._times
        )
        async with opening as client:
            plan = await self._make_plan(client)
            await self._announce(plan, emit)
            filler = DayFiller(
                partial(fetch_day, client), self._place.store, self._acknowledged,
                self._symbols.hint,
            )  # fmt: skip
            known = KnownFills(
                self._output.ledger, self._place.store, self._acknowledged,
                retry=self._retry_failed, again=self.config.force_redownload,
            )  # fmt: skip
            breaker = FillBreaker(partial(self._end_early, _REFUSED))
            lane = FillLane(known, filler, breaker, emit, self._output.ledger.claims)
            async with anyio.create_task_group() as tasks:
                for market in plan.markets:
                    tasks.start_soon(lane.run, plan.of_market(market))

    async def _make_plan(self, client: RestClient) -> FillPlan:
        """Plan by the day of the exchange: that of this machine may be another one."""
        today = datetime.now(UTC).date()
        plan = await to_thread.run_sync(self._plan_on, today)
        days = [await self._day_at(client, market) for market in plan.markets]
        there = max((day for day in days if day is not None), default=today)
        return plan if there == today else await to_thread.run_sync(self._plan_on, there)

    async def _day_at(self, client: RestClient, market: Market) -> date | None:
        try:
            return (await client.now(market)).date()
        except TransferError as error:
            self._end_early(_REFUSED, f"the exchange cannot be reached: {error}")
            await anyio.lowlevel.checkpoint()
            return None

    def _plan_on(self, today: date) -> FillPlan:
        ledger = ledger_at(self._place)
        return self._request.plan(self._matrix, ledger, self._acknowledged, today)

    async def _announce(self, plan: FillPlan, emit: Emit) -> None:
        self._output.has_begun = True
        started = RunStarted(
            run_id=self.run_id,
            workflow=self.name,
            planned=plan.count,
            at=datetime.now(UTC),
            selection=FILLING,
        )
        refused = [
            RunNoted(message=f"{plural(count, 'series', 'series')} cannot be filled: {reason}")
            for reason, count in plan.refused.items()
        ]
        await emit((started, *(RunWarned(message=note) for note in self._notes), *refused))

    def _status(self) -> str:
        if self._has_failed and not self._is_stopped():
            return "failed"  # whatever was filled before
        return self.counts.status(self._stop_code)

    def _last_event(self) -> RunFinished:
        return RunFinished(
            run_id=self.run_id,
            status=self._status(),
            at=datetime.now(UTC),
            reason=self._stop_reason,
        )

    async def cleanup(self) -> None:
        """Close the ledger, and release the lock."""
        await self._resources.aclose()

    def report(self, error: str = "") -> FillReport:
        """Return a report of what is known so far; `error` is why the run ended early."""
        return self.counts.report(
            self.name, self.run_id, self._stop_code, error or self._stop_reason,
            has_failed=bool(error),
        )  # fmt: skip

    def metrics(self) -> FillReport:
        """The report of the finished run."""
        return self.report()
