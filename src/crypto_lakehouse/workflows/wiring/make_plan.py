"""Make the plan of a run: from the source's listing, or from the calendar if it has none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import anyio
from anyio import to_thread
from attrs import evolve, frozen
from yarl import URL

from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.config.workflow_config import DEFAULT_LISTING_URL, WorkflowConfig
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    ListingError,
    NoListing,
    SelectionError,
)
from crypto_lakehouse.core.events import FolderListed
from crypto_lakehouse.core.input_files import read_in_thread
from crypto_lakehouse.core.protocols import Emit, ignore_async
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.core.workflow import refuse_faulty
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.s3_listing import Lister
from crypto_lakehouse.http.shared_budget import BudgetShare
from crypto_lakehouse.http.transport import Client, HttpTransport
from crypto_lakehouse.ledger.empty import EmptyLedger, ledger_if_any
from crypto_lakehouse.ledger.place import RunLedger
from crypto_lakehouse.matrix.known_holes import KnownHoles, load_holes
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix
from crypto_lakehouse.planning.calendar_plan import CalendarPlan, plan_collection
from crypto_lakehouse.planning.explicit_plan import ExplicitPlan, is_selected
from crypto_lakehouse.planning.listed_plan import Discovery, ListedPlan
from crypto_lakehouse.planning.selection import select_rows
from crypto_lakehouse.stores.output import Output, output_of
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.lost_ledger import read_copy_if_lost
from crypto_lakehouse.workflows.wiring.recorded_source import checked_source
from crypto_lakehouse.workflows.wiring.transport_stack import open_client, parallel_downloads

__all__ = [
    "Planner",
    "open_lister",
    "plan_alone",
    "plan_from_ledger",
]

#: The verdicts that `only` selects from the ledger.
_ONLY = {
    "failed": (Verdict.FAILED, Verdict.MISSING, Verdict.CORRUPT),
    "quarantined": (Verdict.CORRUPT, Verdict.UPSTREAM_MISMATCH),
}


async def plan_from_ledger(
    config: WorkflowConfig, matrix: Matrix, ledger: RunLedger | EmptyLedger, today: date
) -> ExplicitPlan:
    """Plan the archives that `only` selects from the ledger.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    kept = await ledger.archives_of(_ONLY[str(config.only)])
    wanted = (archive for archive in kept if is_selected(config, archive, matrix))
    return ExplicitPlan.of(wanted, today, matrix)


def open_lister(
    config: WorkflowConfig,
    client: Client,
    retry: RetryPolicy,
    emit: Emit,
    budget: BudgetShare | None = None,
    **more: Any,
) -> Lister:
    """Stack what lists a source; the source itself is listed if no `listing_url` is set.

    Args:
        config: Names the source.
        client: Sends requests.
        retry: The retry policy.
        emit: Receives an event for each retry.
        budget: The part of the run in what several runs may send to the listing.
        more: Further arguments of `Lister`.
    """
    address = config.listing_url or config.source_url
    hosts = AllowedHosts.of(address, config.redirect_hosts, allow_http=config.allow_http)
    limiter = anyio.Semaphore(parallel_downloads(config))
    return Lister(
        transport=HttpTransport(client, hosts),
        base=URL(address),
        retry=retry,
        limiter=limiter if budget is None else budget.listings(limiter),
        emit=emit,
        **more,
    )


@frozen(kw_only=True)
class Planner:
    """Makes plans for a configuration.

    Args:
        config: What to collect.
        matrix: What the publisher is known to offer.
        holes: What the publisher is known to lack.
        lister: Lists the source.
        emit: Receives an event for each folder that is listed.
        ledger: Knows which archives are stored.
    """

    config: WorkflowConfig
    matrix: Matrix
    holes: KnownHoles
    lister: Lister
    emit: Emit
    ledger: RunLedger | EmptyLedger

    async def plan(self, today: date | None = None) -> tuple[ListedPlan | CalendarPlan, str]:
        """Return the plan, and why it does not come from the listing; empty if it does.

        Raises:
            ConfigurationError: The matrix does not have what the configuration selects.
            ListingError: There is no listing, and the configuration cannot be run without.
        """
        day = today or datetime.now(UTC).date()
        try:
            await self._check()
        except ListingError as error:
            is_there = not isinstance(error, NoListing)
            if (is_there and self._is_asked_for()) or not self._has_calendar():
                raise
            try:
                plan = plan_collection(self.config, self.matrix, day)
            except SelectionError:
                raise
            except ConfigurationError:  # patterns, that only a listing could have resolved
                raise error from None
            return plan, f"{error}; symbols and dates come from the calendar instead"
        return await self._discover(day), ""

    async def _check(self) -> None:
        """Check whether there is a listing; do not wait for one that is not configured."""
        lister = self.lister
        if not self._is_asked_for():
            retries = min(lister.retry.max_retries, 1)
            lister = evolve(lister, retry=evolve(lister.retry, max_retries=retries))
        await lister.check()

    def _is_asked_for(self) -> bool:
        """Whether the listing is configured or indispensable, and not only the default."""
        named = self.config.listing_url not in {None, DEFAULT_LISTING_URL}
        return self.config.discovery == "listing" or named or self.config.symbols is None

    def _has_calendar(self) -> bool:
        dated = self.config.date_range is not None or self.config.default_date is not None
        return dated and self.config.symbols is not None

    async def _discover(self, today: date) -> ListedPlan:
        discovery = Discovery(
            config=self.config,
            matrix=self.matrix,
            listing=self.lister,
            holes=self.holes,
            today=today,
            workers=parallel_downloads(self.config),
            tell=self._tell,
            is_stored=self.ledger.has_verified,
        )
        return await discovery.plan()

    async def _tell(self, event: FolderListed) -> None:
        await self.emit((event,))


@asynccontextmanager
async def plan_alone(
    config: WorkflowConfig, retry: RetryPolicy | None = None, output: Output | None = None
) -> AsyncIterator[tuple[ListedPlan | CalendarPlan | ExplicitPlan, list[str]]]:
    """Make a plan without running it; nothing is written.

    Args:
        config: What a collection would collect.
        retry: When to try again; by the configuration's `max_retries` by default.
        output: Has the ledger, or its copy if it is lost; that of `config` by default.

    Yields:
        The plan, and remarks for its reader, one sentence each.

    Raises:
        ConfigurationError: The configuration cannot be run.
        LedgerError: The ledger is needed for the plan, and cannot be read.
        ExtraMissing: A SOCKS proxy is used, and the extra `socks` is not installed.
        ListingError: The source cannot be listed, and the plan depends on that.
    """
    refuse_faulty(config)
    matrix = await read_in_thread(partial(load_matrix, config.matrix_path))
    notes = [*config.warnings, *matrix.corrections]
    output = output or output_of(config)
    async with AsyncExitStack() as resources:
        resources.enter_context(naming_origins(config))
        plan: ListedPlan | CalendarPlan | ExplicitPlan
        note = ""
        if config.only is not None:
            plan, note = await _recorded_alone(config, matrix, output, resources)
        elif config.wants_listing:
            policy = retry or RetryPolicy(max_retries=config.max_retries)
            plan, note = await _listed_alone(config, matrix, policy, output, resources)
        else:
            plan = plan_collection(config, matrix)
        notes += [note] if note else []
        notes += plan.notes
        notes += (await to_thread.run_sync(plan.totals)).notes
        if empty := plan.why_empty():
            notes.append(f"the plan is empty: {empty}")
        yield plan, notes


async def _recorded_alone(
    config: WorkflowConfig, matrix: Matrix, output: Output, resources: AsyncExitStack
) -> tuple[ExplicitPlan, str]:
    """Return the plan of what `only` selects, and a remark on the source, or an empty one."""
    output.check()
    await to_thread.run_sync(read_copy_if_lost, output)
    ledger = resources.enter_context(ledger_if_any(ledger_at(output)))
    note = None
    if not isinstance(ledger, EmptyLedger):  # a run on an empty one has nothing to ask for
        note = await to_thread.run_sync(checked_source, config, ledger_at(output))
    plan = await plan_from_ledger(config, matrix, ledger, datetime.now(UTC).date())
    return plan, note or ""


async def _listed_alone(
    config: WorkflowConfig,
    matrix: Matrix,
    retry: RetryPolicy,
    output: Output,
    resources: AsyncExitStack,
) -> tuple[ListedPlan | CalendarPlan, str]:
    """Return what `Planner.plan` does; the plan is closed with the resources."""
    select_rows(config, matrix)
    await to_thread.run_sync(read_copy_if_lost, output)
    opening = open_client(config, parallel_downloads(config))
    client = await resources.enter_async_context(opening)
    planner = Planner(
        config=config,
        matrix=matrix,
        holes=load_holes(),
        lister=open_lister(config, client, retry, ignore_async),
        emit=ignore_async,
        ledger=resources.enter_context(ledger_if_any(ledger_at(output))),
    )
    plan, reason = await planner.plan()
    if isinstance(plan, ListedPlan):
        resources.callback(plan.close)
    return plan, reason
