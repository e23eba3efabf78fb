"""What metrics cost: how long an archive takes to be counted, and a scrape of 2,000 series.

    python benchmarks/metrics.py

Targets: 8 us for each archive (with its zip and its sidecar, two requests), in batches of 512 as a
run makes them, for Prometheus and for OpenTelemetry with its spans; 50 ms for a scrape. Processor
time of the sink alone, the median of 9 rounds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from statistics import median

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.events import ArchiveFinished, RunFinished, RunStarted
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks import OpenTelemetry, PrometheusSink

ROUNDS = 9
BATCH = 512
BATCHES = 100
SCRAPED_SERIES = 2_000

ANSWERS = ((200, 0.041), (200, 0.043))


def archives() -> list[ArchiveFinished]:
    """A batch of verdicts, of as many days of two series."""
    series = [Series(Market.SPOT, DataType.KLINES, f"S{number}USDT", "1m") for number in range(2)]
    days = [Period.day(date(2024, 1, 1) + timedelta(days=number)) for number in range(BATCH // 2)]
    return [
        ArchiveFinished(
            archive=Archive(each, day), verdict=Verdict.VERIFIED, fetched_bytes=17_000,
            requests=2, elapsed_s=0.09, answers=ANSWERS,
        )
        for each in series for day in days
    ]  # fmt: skip


def median_s(work: Callable[[], object]) -> float:
    """Return the median processor time of the rounds, in seconds."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return median(taken)


def count_all() -> None:
    """Pass all batches to a new sink."""

    async def run() -> None:
        sink = PrometheusSink()
        for _ in range(BATCHES):
            await sink.handle(batch)

    asyncio.run(run())


def trace_all() -> None:
    """Pass all batches to a sink for OpenTelemetry, as a run; each batch becomes a span."""

    async def run() -> None:
        sink = OpenTelemetry(MeterProvider(), TracerProvider()).sink()
        now = datetime.now(UTC)
        await sink.handle([RunStarted(run_id="r", workflow="w", planned=BATCH * BATCHES, at=now)])
        for _ in range(BATCHES):
            await sink.handle(batch)
        await sink.handle([RunFinished(run_id="r", status="complete", at=now)])

    asyncio.run(run())


batch = archives()

if __name__ == "__main__":
    each_us = median_s(count_all) / (BATCH * BATCHES) * 1e6
    print(f"an archive: {each_us:.1f} us (target 8)")
    each_us = median_s(trace_all) / (BATCH * BATCHES) * 1e6
    print(f"an archive for OpenTelemetry, with spans: {each_us:.1f} us (target 8)")
    wide = PrometheusSink(by_symbol=True)
    many = [Series(Market.SPOT, DataType.TRADES, f"S{number}") for number in range(SCRAPED_SERIES)]
    day = Period.day(date(2024, 1, 1))
    wide.figures.count(
        ArchiveFinished(archive=Archive(series, day), verdict=Verdict.VERIFIED) for series in many
    )
    scrape_ms = median_s(wide.text) * 1000
    lines = [line for line in wide.text().splitlines() if not line.startswith(b"#")]
    print(f"a scrape of {len(lines):,} series: {scrape_ms:.0f} ms (target 50)")
