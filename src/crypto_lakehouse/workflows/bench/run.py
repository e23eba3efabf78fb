"""Measure which `max_parallel_downloads` pays: a configuration in, a report out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from os import PathLike
from typing import Any

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.workflows.bench import bench
from crypto_lakehouse.workflows.bench.bench_report import BenchReport
from crypto_lakehouse.workflows.wiring.load_config import load_config
from crypto_lakehouse.workflows.wiring.make_plan import plan_alone

__all__ = ["run_bench"]


async def run_bench(
    config: WorkflowConfig | Mapping[str, Any] | str | PathLike[str],
    *,
    settings: Iterable[int] | None = None,
    seconds: float = 5.0,
    max_bytes: int = 200_000_000,
    on_note: Callable[[str], None] = ignore,
    on_report: Callable[[BenchReport], None] = ignore,
) -> BenchReport:
    """Measure which `max_parallel_downloads` pays; nothing is written.

    Args:
        config: What to fetch, and from where.
        settings: How many requests at once to measure; all of them are measured. By default 1, 2,
            4 ... 128, as long as more brings more.
        seconds: How long each setting is measured.
        max_bytes: How many body bytes may be read in all.
        on_note: Called with a sentence about what happens.
        on_report: Called with the report so far, before the first setting and after each: what a
            caller has if it cancels the measuring.

    Raises:
        ConfigurationError: There is nothing to fetch.
        SourceUnusable: Nothing came with the first setting.
    """
    ready = await load_config(config)
    async with plan_alone(ready) as (plan, notes):
        keys = bench.planned_keys(plan.each_series())
        unlisted = tuple(plan.failures)

    def report() -> BenchReport:
        return BenchReport(
            results=tuple(sweep.results),
            stopped="" if sweep.stopped is None else str(sweep.stopped),
            selected_archives=len(keys),
            source_url=redact(ready.source_url),
            notes=tuple(notes),
            unlisted=unlisted,
        )

    sweep = bench.Sweep(
        keys=keys,
        source_url=ready.source_url,
        opening=partial(bench.open_transport, ready),
        settings=bench.DEFAULT_SETTINGS if settings is None else sorted(settings),
        is_exhaustive=settings is not None,
        limits=bench.SweepLimits(seconds=seconds, max_bytes=max_bytes),
        on_note=on_note,
        on_result=lambda _: on_report(report()),
    )
    on_report(report())
    await sweep.run()
    return report()
