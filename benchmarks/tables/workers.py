"""Do workers of a Dask cluster, and worker processes, make an ingestion faster: one against two.

Each worker uses one core. The cluster runs in processes of its own, as one on other machines does,
and has joined before the time counts; worker processes are started within it. The first round is
not counted: in it the workers of the cluster import Polars and Arrow.

    python -m benchmarks.tables.workers                   # trades, and bars of small archives
    python -m benchmarks.tables.workers --rounds 1 --quick
    python -m benchmarks.tables.workers --lake s3://bucket/lakes --endpoint http://127.0.0.1:9000

With `--lake` each run has a fresh lake below that URL; credentials come from the environment.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.dask_workers import address_of, cluster
from benchmarks.tables.sample_data import kline_archives, klines_text, trades_text, write_all
from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig


def make(root: Path, *, quick: bool) -> dict[str, Path]:
    """Write the archives of each workload into a tree of its own; return the trees."""
    part = 10 if quick else 1
    series = [Series(Market.SPOT, DataType.TRADES, f"S{number:04}USDT") for number in range(8)]
    days = [Period.day(date(2024, 1, 1) + timedelta(days=number)) for number in range(2)]
    trades = [Archive(each, day) for each in series for day in days]
    months = [Period.month(date(2024, number, 1)) for number in range(1, 13)]
    made: tuple[tuple[str, list[Archive], Any], ...] = (
        ("16 days of 1,000,000 trades", trades, partial(trades_text, count=1_000_000 // part)),
        ("240 months of 1m bars", kline_archives(20 // part, months, "1m"), klines_text),
    )
    trees = {}
    for number, (name, archives, text_of) in enumerate(made):
        trees[name] = root / str(number)
        for path in write_all(trees[name], archives, text_of):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            Path(f"{path}.CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return trees


async def measure(tree: Path, url: str | None, **options: Any) -> float:
    """Ingest once, into a lake of its own; return the seconds."""
    lake = tree / "lake" if url is None else f"{url}/{uuid4().hex}"
    config = LakeConfig({"output_directory": str(tree), "lake": str(lake), **options}, environ={})
    began = time.perf_counter()
    report = (await IngestWorkflow(config).run()).report
    seconds = time.perf_counter() - began
    if report.status != "complete" or not report.archives:
        raise RuntimeError(str(report.to_mapping()))
    if isinstance(lake, Path):
        await asyncio.to_thread(shutil.rmtree, lake)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="whether it works; no figures")
    parser.add_argument("--lake", metavar="URL", help="where lakes are made in an object store")
    parser.add_argument("--endpoint", metavar="URL", help="the address of that store")
    given = parser.parse_args()
    store: dict[str, Any] = {"storage": {"endpoint": given.endpoint}} if given.endpoint else {}
    os.environ |= {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory) as name, ExitStack() as clusters:
        home = Path(name)
        trees = make(home, quick=given.quick)
        contestants: dict[str, dict[str, Any]] = {"one thread, no worker": {"workers": 1}}
        for workers in (1, 2):
            folder = home / f"cluster{workers}"
            folder.mkdir()
            file = clusters.enter_context(cluster(folder, workers))
            address = asyncio.run(address_of(file, workers))
            contestants[f"dask, {workers}"] = {
                "executor": "dask", "dask_scheduler": address, "shared_directory": True,
            }  # fmt: skip
        contestants["processes, 2"] = {"processes": 2}
        for load, tree in trees.items():
            found: dict[str, list[float]] = {each: [] for each in contestants}
            for number in range(given.rounds + 1):
                for each, options in contestants.items():
                    seconds = asyncio.run(measure(tree, given.lake, **store, **options))
                    if number:
                        found[each].append(seconds)
            print(f"\n{load}")
            for each, runs in found.items():
                print(
                    f"  {each:22} {statistics.median(runs):7.2f} s "
                    f"({min(runs):.2f} to {max(runs):.2f})"
                )
            ratios = [
                one / two for one, two in zip(*(found[f"dask, {n}"] for n in (1, 2)), strict=True)
            ]
            print(f"  dask, 1 / dask, 2      {statistics.median(ratios):7.2f}")


if __name__ == "__main__":
    main()
