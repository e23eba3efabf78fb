"""The commands that change nothing, as functions: plan, verify, status and history.

Each is an async function in the manner of `run_collection`: a configuration in, a report out,
errors raised. Blocking work is done in a thread. If a report may be large, a callback receives its
items one by one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from functools import partial

from anyio import to_thread
from attrs import evolve

from crypto_lakehouse.collection.sampling import Sample
from crypto_lakehouse.collection.verifier import StoredArchive, VerificationReport
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.origins import OVERRIDE, name_origins, naming_origins
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.input_files import read_in_thread
from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.core.plan import PlannedSeries
from crypto_lakehouse.core.protocols import Store, ignore_async
from crypto_lakehouse.coverage.coverage import SeriesCoverage
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.ledger.empty import ledger_if_any
from crypto_lakehouse.ledger.history import Change, Version
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows.freshness import Allowed, StaleGroup, stale_groups
from crypto_lakehouse.workflows.history import changes_since, history_of
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.reports import HistoryReport, PlanReport, StatusReport
from crypto_lakehouse.workflows.segments_alone import filled_days
from crypto_lakehouse.workflows.series_origins import (
    SeriesOrigins,
    Window,
    origins_by_series,
    recorded_days,
    recordings_of,
)
from crypto_lakehouse.workflows.status import CoverageStatus, StatusTotals, status_of
from crypto_lakehouse.workflows.verification import verified_and_counted, verify_tree
from crypto_lakehouse.workflows.wiring.collector_stack import make_inventory
from crypto_lakehouse.workflows.wiring.holes_file import load_acknowledged
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.load_config import (
    AnyConfig,
    load_config,
    load_config_of_output,
)
from crypto_lakehouse.workflows.wiring.lost_ledger import read_copy_if_lost
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone
from crypto_lakehouse.workflows.wiring.plan_sizes import SeriesSize, sizes_of

__all__ = [
    "asked_status",
    "origins_of",
    "run_history",
    "run_plan",
    "run_status",
    "run_verification",
]

#: How many folders that cannot be read are named in the notes of a plan.
_NAMED = 20


async def run_plan(
    config: AnyConfig,
    *,
    retry: RetryPolicy | None = None,
    store: Store | None = None,
    on_archive: Callable[[Archive], None] | None = None,
    all_archives: bool = False,
) -> PlanReport:
    """Plan a collection without running it; no archive is fetched, and nothing is written.

    The output directory and its ledger are read, as by a collection: what is verified there is
    not fetched again. The directory need not exist.

    Args:
        config: What a collection would collect.
        retry: When to try again; by the configuration's `max_retries` by default.
        store: Where the archives are; the output directory by default.
        on_archive: Called in a worker thread with each archive whose zip would be fetched.
        all_archives: Whether it is called with every archive that the source should have.

    Raises:
        ConfigurationError: The configuration cannot be run.
        LedgerError: The ledger exists and cannot be read.
        ListingError: The source cannot be listed, and the plan depends on that.
    """
    ready = await load_config(config)
    output = output_of(ready, store)
    with naming_origins(ready):
        await to_thread.run_sync(load_acknowledged, ready)  # it must be readable for a collection
        if output.state.root.exists():
            output.check()
    refused: dict[str, str] = {}

    def on_refused(event: ArchiveFinished) -> None:
        refused.setdefault(event.archive.folder, event.reason)

    async with plan_alone(ready, retry, output) as (plan, notes):
        series = plan.each_series()
        if on_archive is not None and all_archives:
            series = _announced(series, on_archive)

        def measure() -> tuple[tuple[SeriesSize, ...], list[str]]:
            remarks = [*read_copy_if_lost(output)]
            with ledger_if_any(ledger_at(output)) as ledger:
                inventory = make_inventory(ready, output.store, ledger, reads_only=True)
                on_fetch = None if all_archives else on_archive
                return tuple(sizes_of(series, inventory, ready, on_fetch, on_refused)), remarks

        each, remarks = await to_thread.run_sync(measure)
        remarks += [f"`{folder}`: {reason}" for folder, reason in list(refused.items())[:_NAMED]]
        report = PlanReport(today=plan.today, series=each, unlisted=tuple(plan.failures))
        return evolve(report, notes=(*notes, *remarks, *_doubt(report.totals.to_check)))


def _doubt(files: int) -> list[str]:
    """A remark on files of which a plan cannot know whether they must be fetched."""
    if not files:
        return []
    subject = agreeing(files, f"{files} file[s] here [is|are]")
    reason = "not proven by the ledger; `collect` hashes such files first, and fetches those again"
    return [f"{subject} {reason} that are not what was published"]


def _announced(
    series: Iterator[PlannedSeries], on_archive: Callable[[Archive], None]
) -> Iterator[PlannedSeries]:
    for planned in series:
        for item in planned.archives():
            if not item.not_published and not item.unlisted:
                on_archive(item.archive)
        yield planned


async def run_verification(
    config: AnyConfig,
    *,
    sample: str | None = None,
    seed: str = "0",
    since: date | None = None,
    store: Store | None = None,
    on_archive: Callable[[StoredArchive], Awaitable[None]] = ignore_async,
    monitoring: Monitoring | None = None,
) -> VerificationReport:
    """Hash everything in the output directory again; nothing is changed.

    Args:
        config: Names the output directory.
        sample: Only a part, as `5%` or `1000`.
        seed: Chooses the part.
        since: Only files that were written on this UTC day or later.
        store: Where the archives are; the output directory by default.
        on_archive: Called with each archive when it is done, in the order of folders and names.
        monitoring: What watches it; by default what the configuration says.

    Raises:
        ConfigurationError: There is no such directory, no archive and no ledger at the URL,
            `sample` cannot be read, or the store does not say when files were written.
        LedgerError: The ledger exists and cannot be read.
        StoreError: The object store fails while it lists its folders.
    """
    ready = await load_config_of_output(config)
    try:
        part = None if sample is None else Sample.parse(sample, seed)
    except ValueError as error:
        raise ConfigurationError([Problem("sample", str(error))]) from None
    with naming_origins(ready):
        return await verified_and_counted(
            partial(verify_tree, ready, sample=part, since=since, store=store),
            monitoring or Monitoring.of(ready),
            on_archive,
        )


async def run_status(
    config: AnyConfig,
    *,
    start: date | str | None = None,
    end: date | str | None = None,
    of: str | None = None,
    on_series: Callable[[SeriesCoverage], None] | None = None,
    on_hole: Callable[[Archive], None] | None = None,
    origins: bool = False,
    max_lag_s: float | None = None,
    now: datetime | None = None,
) -> StatusReport:
    """Report from the ledger how complete the selected series are; no file is read.

    Args:
        config: Names the output directory, and selects series and days.
        start: The first UTC day; by default the configuration's, else each series' own.
        end: The last UTC day, inclusive; the default is chosen in the same way.
        of: What counts as complete: `asked`, what runs were asked for, or `published`, what the
            publisher has; `status_of` says what the default is.
        on_series: Called in a worker thread with the coverage of each series, which the report
            then does not hold: memory does not grow with the ledger.
        on_hole: Called in a worker thread with each archive that the source lacks or serves
            damaged, and that is not acknowledged, in the order of keys.
        origins: Whether the report says where archive, fill and live begin and end. Then the
            segments of recordings are listed, and the lake of the output is read; both are
            requests if they are in an object store. Series that neither has are no error. The
            report always says so of an output that has recordings or filled days, and no ledger.
        max_lag_s: How long ago the newest verified day of each market and data type may have ended,
            in seconds; None for any time. The key `freshness` says it for each, and the stricter
            of both counts; a group that is named there without a wildcard must have such a day.
        now: The time, aware; a parameter for tests.

    Raises:
        ConfigurationError: There is neither a ledger nor a segment, or a value cannot be read;
            every fault at once.
        LakeError: The lake cannot be read, and `origins` is asked for.
        LedgerError: The ledger cannot be read.
        StoreError: The object store fails to give the copy of a ledger that is lost, or `origins`.
        SelectionError: The ledger has no series of a symbol, or none that is selected.
        MatrixError: The matrix cannot be used.
    """
    ready = await load_config(config, {"only": "quarantined"}, validate=False)
    status = await read_in_thread(
        partial(asked_status, ready, start, end, of, may_be_unknown=origins)
    )
    origins = origins or not status.has_ledger
    series: list[SeriesCoverage] = []
    with_holes: list[SeriesCoverage] = []
    covered: list[SeriesCoverage] = []
    totals = StatusTotals()

    def read() -> None:
        for coverage in status:
            totals.add(coverage)
            if origins:
                covered.append(coverage)
            (on_series or series.append)(coverage)
            if on_hole is not None and coverage.holes:
                with_holes.append(coverage)
        if on_hole is not None:
            for archive in status.hole_archives(with_holes):
                on_hole(archive)

    await to_thread.run_sync(read)
    return StatusReport(
        today=status.today,
        of=status.of,
        notes=status.notes,
        totals=totals,
        stale=_stale(
            totals,
            Allowed(
                objectives=ready.freshness or {}, max_lag_s=max_lag_s, selects=status.selects_type
            ),
            now,
        ),
        series=tuple(series),
        origins=await to_thread.run_sync(origins_of, ready, status, covered) if origins else None,
        recordings=await to_thread.run_sync(recordings_of, ready, status.selects_type)
        if origins
        else None,
    )


def _stale(
    totals: StatusTotals, allowed: Allowed, now: datetime | None
) -> tuple[StaleGroup, ...] | None:
    if allowed.max_lag_s is None and not allowed.objectives:
        return None
    return tuple(stale_groups(totals.newest, allowed, now or datetime.now(UTC)))


def origins_of(
    config: WorkflowConfig, status: CoverageStatus, covered: Iterable[SeriesCoverage]
) -> tuple[SeriesOrigins, ...]:
    """Where the rows of the selected series come from."""
    live = recorded_days(config, status.selects)
    start, end = status.window
    window = Window(start=start, end=end)
    filled = {} if status.has_ledger else filled_days(config, status.selects)
    return tuple(origins_by_series(covered, live, window, filled))


def asked_status(
    config: WorkflowConfig,
    start: date | str | None,
    end: date | str | None,
    of: str | None,
    *,
    may_be_unknown: bool,
) -> CoverageStatus:
    """Prepare the status; errors of the configuration and of the window are raised together."""
    if not config.output_directory:  # its value is among the problems
        raise ConfigurationError(config.problems)
    plain = config.to_mapping()
    names = ("markets", "data_types", "symbols", "intervals")
    selection: dict[str, object] = {name: plain.get(name) for name in names}
    days = config.date_range
    selection["start"] = start or (days.start if days else config.default_date)
    selection["end"] = end or (days.end if days else config.default_date)
    try:
        known = load_acknowledged(config)
        status = status_of(
            config,
            selection,
            matrix_path=config.matrix_path,
            of=of,
            acknowledged=known,
            may_be_unknown=may_be_unknown,
        )
    except ConfigurationError as error:
        days_given = {"start": start, "end": end}
        arguments = {name: OVERRIDE for name, day in days_given.items() if day is not None}
        named = name_origins(error.problems, {**config.origins, **arguments})
        raise type(error)(dict.fromkeys([*named, *config.problems])) from None
    if config.problems:
        raise ConfigurationError(config.problems)
    return status


async def run_history(
    config: AnyConfig,
    key: str | None = None,
    *,
    since: date = date.min,
    on_change: Callable[[Change], None] | None = None,
) -> HistoryReport:
    """Report from the ledger what the publisher replaced.

    Args:
        config: Names the output directory.
        key: An archive, by its object key or its path; the report then has all its versions, and
            only its changes.
        since: The first UTC day of the changes.
        on_change: Called in a worker thread with each change, which the report then does not hold.

    Raises:
        ArchiveKeyError: `key` is not a key of the archive.
        ConfigurationError: There is no ledger, or it does not know the archive.
        LedgerError: The ledger cannot be read.
        StoreError: The object store fails to give the copy of a ledger that is lost.
    """
    ready = await load_config_of_output(config)
    output = output_of(ready)
    versions: list[Version] = []
    changes: list[Change] = []

    def read() -> None:
        for change in changes_since(output, since):
            if not versions or change.key == versions[0].key:
                (on_change or changes.append)(change)

    with naming_origins(ready):
        if key is not None:
            versions = await to_thread.run_sync(history_of, output, key)
        await to_thread.run_sync(read)
    return HistoryReport(
        changes=tuple(changes), versions=tuple(versions), notes=output.ledger_remarks
    )
