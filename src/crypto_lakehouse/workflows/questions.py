"""What else can be asked of a source or of a collected tree, all in the manner of `run_collection`.

Each is an async function: a configuration in, a report out, errors raised. What blocks is done in
a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date
from functools import partial
from os import PathLike
from typing import Any

from anyio import to_thread

from crypto_lakehouse.collection.sampling import Sample
from crypto_lakehouse.collection.verifier import DAMAGE, StoredArchive, VerificationReport
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ArchiveKeyError, ConfigurationError, Problem
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.workflows.bench import bench
from crypto_lakehouse.workflows.bench.bench_report import recommend
from crypto_lakehouse.workflows.history import changes_since, history_of
from crypto_lakehouse.workflows.repair import RepairReport, list_quarantine, repair_tree
from crypto_lakehouse.workflows.reports import BenchReport, HistoryReport, PlanReport, StatusReport
from crypto_lakehouse.workflows.status import StatusTotals, status_of
from crypto_lakehouse.workflows.verification import verify_tree
from crypto_lakehouse.workflows.wiring.load_config import load_config
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone
from crypto_lakehouse.workflows.wiring.plan_sizes import sizes_of

__all__ = [
    "AnyConfig",
    "run_bench",
    "run_history",
    "run_plan",
    "run_repair",
    "run_status",
    "run_verification",
]

AnyConfig = WorkflowConfig | Mapping[str, Any] | str | PathLike[str]
"""A configuration, a mapping of its keys, or the path of a JSON, TOML or YAML file."""


async def run_plan(config: AnyConfig, *, retry: RetryPolicy | None = None) -> PlanReport:
    """Say what a collection would do; no archive is fetched, and nothing is written.

    Raises:
        ConfigurationError: The configuration cannot be run.
        ListingError: The source cannot be listed, and the plan depends on that.
    """
    ready = await load_config(config)
    async with plan_alone(ready, retry) as (plan, notes):
        each = await to_thread.run_sync(lambda: tuple(sizes_of(plan.each_series(), ready)))
        return PlanReport(
            today=plan.today, series=each, notes=tuple(notes), unlisted=tuple(plan.failures)
        )


async def _of_tree(config: AnyConfig) -> WorkflowConfig:
    """A configuration that need not select anything: the tree is there."""
    return await load_config(config, {"only": "quarantined"})


async def run_verification(
    config: AnyConfig, *, sample: str | None = None, seed: str = "0", since: date | None = None
) -> VerificationReport:
    """Hash everything in the output directory again; nothing is changed.

    Args:
        config: Names the output directory.
        sample: Only a part, as `5%` or `1000`.
        seed: Chooses which part.
        since: Only files that were written on this UTC day or later.

    Raises:
        ConfigurationError: There is no such directory, or `sample` is no part.
        LedgerError: The ledger is there and cannot be read.
    """
    ready = await _of_tree(config)
    try:
        part = None if sample is None else Sample.parse(sample, seed)
    except ValueError as error:
        raise ConfigurationError([Problem("sample", str(error))]) from None
    return await verify_tree(ready.output_directory, sample=part, since=since)


async def run_status(config: AnyConfig) -> StatusReport:
    """Say how complete the selected series are, by the ledger; no file is looked at.

    Raises:
        ConfigurationError: There is no ledger.
        LedgerError: The ledger cannot be read.
    """
    ready = await _of_tree(config)
    plain = ready.to_mapping()
    names = ("markets", "data_types", "symbols", "intervals")
    given: dict[str, Any] = {name: plain.get(name) for name in names}
    given["matrix_path"] = ready.matrix_path
    days = ready.date_range
    start, end = (days.start, days.end) if days else (ready.default_date, ready.default_date)
    status = status_of(ready.output_directory, start=start, end=end, **given)
    series = await to_thread.run_sync(tuple, status)
    totals = StatusTotals()
    for coverage in series:
        totals.add(coverage)
    return StatusReport(today=status.today, notes=status.notes, totals=totals, series=series)


async def run_history(
    config: AnyConfig, key: str | None = None, *, since: date = date.min
) -> HistoryReport:
    """Say what the publisher replaced, by the ledger.

    Args:
        config: Names the output directory.
        key: Of which archive every version is told.
        since: The first UTC day of the changes.

    Raises:
        ConfigurationError: There is no ledger, or it has never seen the archive.
        LedgerError: The ledger cannot be read.
    """
    root = (await _of_tree(config)).output_directory
    changes = await to_thread.run_sync(lambda: tuple(changes_since(root, since)))
    if key is None:
        return HistoryReport(changes=changes)
    versions = await to_thread.run_sync(history_of, root, key)
    key = versions[0].key
    of_key = tuple(change for change in changes if change.key == key)
    return HistoryReport(changes=of_key, versions=tuple(versions))


async def run_repair(
    config: AnyConfig,
    archives: Iterable[Archive] | None = None,
    *,
    retry: RetryPolicy | None = None,
) -> RepairReport:
    """Fetch again what is damaged or in quarantine.

    Args:
        config: Names the output directory and the source; what it selects does not count.
        archives: Exactly these; by default everything is verified to find them.
        retry: When to try again; by the configuration's `max_retries` by default.

    Raises:
        ConfigurationError: The configuration cannot be run.
        LockHeldError: A run works on the directory.
    """
    ready = await _of_tree(config)
    wanted = await _damaged(ready.output_directory) if archives is None else archives
    return await repair_tree(ready.output_directory, wanted, overrides=_values(ready), retry=retry)


async def _damaged(root: str) -> set[Archive]:
    found = {item.archive for item in await list_quarantine(root)}

    async def look(stored: StoredArchive) -> None:
        if stored.state in DAMAGE:
            with suppress(ArchiveKeyError):  # a file that is no archive cannot be fetched
                found.add(Archive.parse(stored.key))

    await verify_tree(root, look)
    return found


def _values(config: WorkflowConfig) -> dict[str, Any]:
    """The values of a configuration, secrets included."""
    plain = config.to_mapping()
    whole = {name: getattr(config, name) for name in plain}
    return {name: value if isinstance(value, str) else plain[name] for name, value in whole.items()}


def _say_nothing(_sentence: str) -> None:
    return None


async def run_bench(
    config: AnyConfig,
    *,
    settings: Iterable[int] | None = None,
    seconds: float | None = None,
    max_bytes: int | None = None,
    tell: Callable[[str], None] = _say_nothing,
) -> BenchReport:
    """Measure which `max_parallel_downloads` pays; nothing is written.

    Args:
        config: What to fetch, and from where.
        settings: How many requests at once to measure; all of them are measured.
        seconds: How long each setting is measured.
        max_bytes: How much may be read in all.
        tell: Told what happens, a sentence at a time.

    Raises:
        ConfigurationError: There is nothing to fetch.
        SourceUnusable: Nothing came with the first setting.
    """
    ready = await load_config(config)
    async with plan_alone(ready) as (plan, _):
        keys = bench.planned_keys(plan.each_series())
    usual = bench.SweepLimits()
    sweep = bench.Sweep(
        keys=keys,
        source_url=ready.source_url,
        opening=partial(bench.open_transport, ready),
        settings=bench.DEFAULT_SETTINGS if settings is None else sorted(settings),
        is_exhaustive=settings is not None,
        limits=bench.SweepLimits(
            seconds=usual.seconds if seconds is None else seconds,
            max_bytes=usual.max_bytes if max_bytes is None else max_bytes,
        ),
        tell=tell,
    )
    await sweep.run()
    stopped = "" if sweep.stopped is None else str(sweep.stopped)
    best = recommend(sweep.results)
    return BenchReport(results=tuple(sweep.results), stopped=stopped, recommendation=best)
