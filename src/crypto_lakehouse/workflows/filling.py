"""Fill in one call: make the workflow, run it, and return its report; or say what it would cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from anyio import to_thread

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.metrics import MetricsCollector
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.core.task_groups import in_own_task
from crypto_lakehouse.ledger.empty import ledger_if_any
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.rest import is_too_old
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows.fill_costs import FillEstimate, estimate
from crypto_lakehouse.workflows.fill_lane import KnownFills
from crypto_lakehouse.workflows.fill_plan import FillPlan
from crypto_lakehouse.workflows.fill_report import FillReport
from crypto_lakehouse.workflows.fill_request import FillRequest
from crypto_lakehouse.workflows.fill_symbols import FillSymbols
from crypto_lakehouse.workflows.rest_collection import RestCollectionWorkflow
from crypto_lakehouse.workflows.wiring.delivery import Delivery
from crypto_lakehouse.workflows.wiring.holes_file import load_acknowledged
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.load_config import AnyConfig, load_config_of_output
from crypto_lakehouse.workflows.wiring.rest_stack import SYSTEM_TIME, TimeSource

if TYPE_CHECKING:
    import aiohttp

__all__ = ["run_fill", "run_fill_estimate"]


async def run_fill(
    config: AnyConfig,
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
) -> FillReport:
    """Fill the holes of a collected archive, and the days since its newest, from the exchange.

    Args:
        config: A configuration, a mapping of its keys, or the path of a JSON, TOML or YAML file.
            Symbols and days are optional: by default all that runs were asked for is filled.
        until: `now` or the last UTC day.
        only_holes: Whether the days after the archive's newest are left out.
        retry_failed: Whether what the exchange did not have is asked for once more.
        metrics_collector: Receives every event; a new one by default.
        sinks: Further sinks, or functions that take a list of events.
        session: An aiohttp session of the application's own; it is used and not closed.
        store: Where segments go; the output directory by default.
        delivery: When events reach sinks and ledger, and how long a stopped run waits for that.
        on_held: Called if another run holds a lock; returns whether to try again.
        times: Where the time comes from; a parameter for tests.

    Returns:
        What became of each day. Days that are not filled are in the report, not raised.

    Raises:
        ConfigurationError: The configuration cannot be run, a sink is not valid, or there is no
            ledger and no days are named.
        SelectionError: The ledger has nothing of a symbol that is selected.
        LedgerError: The ledger cannot be read or written.
        LockHeldError: Another run works on the same output.
        StoreError: The store cannot be written to, for example because the disk is full.
    """
    ready = await in_own_task(lambda: _ready(config))
    workflow = RestCollectionWorkflow(
        ready,
        until=until,
        only_holes=only_holes,
        retry_failed=retry_failed,
        metrics_collector=metrics_collector,
        sinks=sinks,
        session=session,
        store=store,
        delivery=delivery,
        on_held=on_held,
        times=times,
    )
    return await workflow.run()


async def _ready(config: AnyConfig) -> WorkflowConfig:
    if isinstance(config, WorkflowConfig):
        return config
    return await load_config_of_output(config)


async def run_fill_estimate(
    config: AnyConfig,
    *,
    until: str | date | None = None,
    only_holes: bool | None = None,
    retry_failed: bool = False,
    today: date | None = None,
) -> FillEstimate:
    """Say what a fill would ask for, and what that costs; nothing is requested or written.

    Args:
        config: As for `run_fill`.
        until: `now` or the last UTC day.
        only_holes: Whether the days after the archive's newest are left out.
        retry_failed: Whether what the exchange did not have is asked for once more.
        today: The UTC day; that of this machine by default.

    Raises:
        ConfigurationError: The configuration cannot be run.
        SelectionError: The ledger has nothing of a symbol that is selected.
        LedgerError: The ledger cannot be read.
        StoreError: The object store fails.
    """
    ready = await in_own_task(lambda: _ready(config))
    request = FillRequest.of(ready, until, only_holes=only_holes)
    day = today or datetime.now(UTC).date()
    place = output_of(ready)
    matrix, acknowledged = load_matrix(ready.matrix_path), load_acknowledged(ready)

    def plan() -> FillPlan:
        FillSymbols(ready, matrix, place).check(day)
        return request.plan(matrix, ledger_at(place), acknowledged, day)

    planned = await to_thread.run_sync(plan)
    counts: list[tuple[Series, int]] = []
    with ledger_if_any(ledger_at(place)) as ledger:
        known = KnownFills(
            ledger, place.store, acknowledged, retry=retry_failed, again=ready.force_redownload
        )
        now = datetime.now(UTC)
        for fill in planned.series:
            _, to_ask = await known.of(fill)
            days = (each.period.first_day for each in to_ask)
            counts.append((fill.series, sum(_may_be_had(fill.series, days, now))))
    return estimate(counts, place.ledger_remarks)


def _may_be_had(series: Series, days: Iterable[date], now: datetime) -> Iterator[bool]:
    return (not is_too_old(series, day, now) for day in days)
