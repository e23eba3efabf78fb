"""Workers of a Dask cluster against worker processes: small archives a second, in turn.

Both have as many workers on this machine, and write to the same directory in memory. The cluster
runs in processes of its own, as one on other machines does. Shown are archives per second from the
first verdict to the last one, the time before the first verdict, and archives per second of the
whole run: worker processes start, and plan meanwhile, before their first verdict. The first round
is not counted.

    python benchmarks/dask_workers.py                 # 10,000 archives, 2 workers, 5 rounds
    python benchmarks/dask_workers.py --archives 2000 --rounds 1
    python benchmarks/dask_workers.py --output s3://bucket/runs --endpoint http://127.0.0.1:9000

With `--output` each run writes below that URL instead; credentials come from the environment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import define

from benchmarks.suite.mirrors import small_mirror
from benchmarks.suite.servers import nginx_serving
from crypto_lakehouse import run_collection
from crypto_lakehouse.core.events import ArchiveFinished, Event


@define
class Watch:
    """A sink that notes when the first and the last verdict came."""

    name: str = "watch"
    required: bool = False
    count: int = 0
    first: float = 0.0
    last: float = 0.0

    async def handle(self, events: Sequence[Event]) -> None:
        """Note the time of verdicts."""
        found = sum(isinstance(event, ArchiveFinished) for event in events)
        if found:
            self.last = time.perf_counter()
            self.first = self.first or self.last
            self.count += found

    async def flush(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """Run a scheduler and workers; yield the file with the scheduler's address."""
    file = folder / "scheduler.json"
    settings = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    common = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--no-dashboard"]
    programs = [["dask_scheduler", "--port", "0", *common]]
    programs += [["dask_worker", "--nthreads", "1", *common]] * workers
    started = []
    with (folder / "log").open("wb") as log:
        for name, *options in programs:
            command = [sys.executable, "-m", f"distributed.cli.{name}", *options]
            started.append(subprocess.Popen(command, env=settings, stdout=log, stderr=log))
        try:
            yield str(file)
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait()


async def address_of(file: str, workers: int) -> str:
    """Wait until the cluster has all of its workers."""
    from distributed import Client

    while not Path(file).is_file():  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.1)
    async with Client(scheduler_file=file, asynchronous=True) as client:
        await client.wait_for_workers(workers)
        return str(client.scheduler.address)


async def measure(
    config: dict[str, Any], output: Path | str, archives: int
) -> tuple[float, float, float]:
    """Collect once.

    Returns:
        The archives per second from the first verdict on, the seconds before it, and the archives
        per second of the whole run.
    """
    watch, began = Watch(), time.perf_counter()
    report = await run_collection({**config, "output_directory": str(output)}, sinks=[watch])
    took = time.perf_counter() - began
    if report.totals["verified"] != archives or watch.count != archives:
        raise RuntimeError(f"{report.totals} {report.warnings}")
    if isinstance(output, Path):
        await asyncio.to_thread(shutil.rmtree, output)
    since_first = watch.count / (watch.last - watch.first)
    return since_first, watch.first - began, watch.count / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archives", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", metavar="URL", help="a prefix in an object store")
    parser.add_argument("--endpoint", metavar="URL", help="the address of that store")
    options = parser.parse_args()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory) as name:
        home = Path(name)
        home.chmod(0o755)
        mirror = small_mirror(home / "mirror", options.archives)
        with (
            nginx_serving(mirror.root, home / "nginx") as sites,
            cluster(home, options.workers) as file,
        ):
            address = asyncio.run(address_of(file, options.workers))
            config: dict[str, Any] = {
                **mirror.selection, "markets": ["spot"], "source_url": sites["plain"].url,
                "discovery": "calendar",
            }  # fmt: skip
            if options.endpoint:
                config["storage"] = {"endpoint": options.endpoint}
            contestants: dict[str, dict[str, Any]] = {
                "processes": {"processes": options.workers},
                "dask": {"executor": "dask", "dask_scheduler": address, "shared_directory": True},
            }
            found: dict[str, list[tuple[float, float, float]]] = {each: [] for each in contestants}
            for number in range(options.rounds + 1):
                for each, own in contestants.items():
                    output: Path | str = home / "output"
                    if options.output:
                        output = f"{options.output}/{uuid4().hex}"
                    run = measure({**config, **own}, output, options.archives)
                    figures = asyncio.run(run)
                    if number:  # in the first round the workers of the cluster import the engine
                        found[each].append(figures)
    for each, measured in found.items():
        rates, waits, whole = zip(*measured, strict=True)
        print(
            f"{each:10} {statistics.median(rates):8.0f} archives/s "
            f"({min(rates):.0f} to {max(rates):.0f}), "
            f"first verdict after {statistics.median(waits):.2f} s, "
            f"whole run {statistics.median(whole):.0f} archives/s"
        )
    rate, whole_rate = (
        statistics.median(figures[at] for figures in found["dask"])
        / statistics.median(figures[at] for figures in found["processes"])
        for at in (0, 2)
    )
    print(f"dask / processes: {rate:.2f}, whole run {whole_rate:.2f}")


if __name__ == "__main__":
    main()
