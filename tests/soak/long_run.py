"""A long run with faults, in a process of its own; memory, descriptors and tasks must stay flat."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import anyio
from attrs import asdict, define, field, frozen
from tests.faults.mixed_run import at_once, keys_of

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.testing import ArchiveServer, FaultMix
from crypto_lakehouse.testing.made_up.zips import good_zip

__all__ = ["long_run"]

_DAYS = 1000

#: How often the server forgets its log of requests, in seconds.
_FORGET_S = 1.0


@frozen
class Sample:
    """What a process holds after so many archives."""

    archives: int
    rss_mib: float
    descriptors: int
    tasks: int


@define
class Sampler:
    """Looks at its own process a hundred times in a run; a sink."""

    every: int
    samples: list[Sample] = field(factory=list)
    name: str = "sampler"
    required: bool = True
    _seen: int = 0

    async def handle(self, events: Sequence[Event]) -> None:
        """Count archives, and look now and then."""
        for event in events:
            self._seen += isinstance(event, ArchiveFinished)
        if self._seen >= self.every * (len(self.samples) + 1):
            self.samples.append(_sample(self._seen))

    async def flush(self) -> None:
        """Nothing is held back."""

    async def close(self) -> None:
        """Nothing is held back."""


def _sample(archives: int) -> Sample:
    status = Path("/proc/self/status").read_text()
    rss = re.search(r"VmRSS:\s+(\d+) kB", status)
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return Sample(archives, int(rss[1]) / 1024 if rss else 0, descriptors, len(asyncio.all_tasks()))


def long_run(folder: Path, options: argparse.Namespace) -> str:
    """Serve many archives with faults to a run in another process, and judge what it held."""
    symbols = max(1, options.archives // _DAYS)
    with ArchiveServer(generate=False) as server:
        keys = keys_of(symbols, _DAYS)
        for key in keys:
            server.publish(key, good_zip(key, key.encode()))
        mix = FaultMix(seed=options.seed, share=options.share, max_retries=5, silence=False)
        mishaps = mix.afflict(server, keys)
        stop = threading.Event()
        forgetter = threading.Thread(target=_forget, args=(server, stop))
        forgetter.start()
        try:
            arguments = [str(folder / "out"), server.url, str(symbols)]
            command = [sys.executable, "-m", "tests.soak.long_run", *arguments]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, check=True, timeout=options.seconds
            )
        finally:
            stop.set()
            forgetter.join()
    totals, *samples = (json.loads(line) for line in done.stdout.splitlines())
    wanted = Counter(mishap.verdict for mishap in mishaps.values())
    wanted[Verdict.VERIFIED] += len(keys) - len(mishaps)
    for verdict in Verdict:
        assert totals[verdict] == wanted[verdict], (verdict, totals, wanted)
    return _judged([Sample(**sample) for sample in samples], len(mishaps))


def _forget(server: ArchiveServer, stop: threading.Event) -> None:
    while not stop.wait(_FORGET_S):
        server.clear()


def _judged(samples: list[Sample], mishaps: int) -> str:
    tenth, last = samples[len(samples) // 10], samples[-1]
    growth = last.rss_mib / tenth.rss_mib
    text = (
        f"{last.archives} archives, {mishaps} mishaps; "
        f"RSS {tenth.rss_mib:.1f} MiB after {tenth.archives}, {last.rss_mib:.1f} MiB at the end, "
        f"{growth:.3f} x; descriptors {tenth.descriptors} and {last.descriptors} "
        f"(median {median(one.descriptors for one in samples):.0f}), "
        f"tasks {tenth.tasks} and {last.tasks}"
    )
    assert growth <= 1.1, text
    assert last.descriptors <= 1.1 * max(one.descriptors for one in samples[: len(samples) // 10])
    assert last.tasks <= 1.1 * max(one.tasks for one in samples[: len(samples) // 10])
    return text


async def _run(root: str, url: str, symbols: int) -> None:
    sampler = Sampler(every=max(1, symbols * _DAYS // 100))
    config = {
        "output_directory": root,
        "source_url": url,
        "discovery": "calendar",
        "partitions": "daily",
        "markets": ["spot"],
        "data_types": ["klines"],
        "intervals": ["1d"],
        "symbols": [f"S{number}USDT" for number in range(symbols)],
        "date_range": {"start": "2021-01-01", "end": "2023-09-27"},
    }
    retry = RetryPolicy(max_retries=5, sleep=at_once)
    report = await run_collection(config, retry=retry, sinks=[sampler])
    lines = [report.totals, *map(asdict, sampler.samples)]
    sys.stdout.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    anyio.run(_run, sys.argv[1], sys.argv[2], int(sys.argv[3]))
