"""A second run over archives that are all verified: how many are decided in a second.

An output directory with a ledger is made up (zips and sidecars are files of their own), then a
fresh process collects it again from the calendar, and nothing is requested. Shown are archives
per second of the run, peak memory, and what of it Python took before.

    python benchmarks/second_run.py                  # 1,000,000 archives, in /dev/shm
    python benchmarks/second_run.py --archives 50000 --output /some/disk
    python benchmarks/second_run.py --days 30        # many short folders instead of few long ones
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow

FIRST_DAY = date(2017, 8, 17)
LONGEST_DAYS = 3370


def each_archive(count: int, days: int) -> Iterator[Archive]:
    """Daily 1d klines of as many made-up symbols as it takes."""
    periods = [Period.day(FIRST_DAY + timedelta(days=number)) for number in range(days)]
    for number in range(-(-count // days)):
        series = Series(Market.SPOT, DataType.KLINES, f"S{number:05}USDT", "1d")
        yield from (Archive(series, period) for period in periods)


def make_tree(root: Path, count: int, days: int) -> None:
    """Write files and a ledger that says that they are verified."""
    (root / ".lakehouse").mkdir(parents=True)
    ledger, _ = SqliteLedger.open(root / ".lakehouse" / "ledger.sqlite")
    archives = each_archive(count, days)
    while batch := list(islice(archives, 5000)):
        events = []
        for archive in batch:
            path = root / archive.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            (root / archive.sidecar_key).touch()
            stat = path.stat()
            events.append(
                ArchiveFinished(
                    archive=archive,
                    verdict=Verdict.VERIFIED,
                    facts=ObjectFacts(
                        size_bytes=stat.st_size,
                        mark=stat.st_mtime_ns,
                        sha256="a" * 64,
                        published_sha256="a" * 64,
                        etag=f'"{"b" * 32}"',
                        last_modified="Tue, 15 Jul 2025 03:00:00 GMT",
                    ),
                )
            )
        ledger.write(events)
    ledger.close()


def collect(root: Path, count: int, days: int) -> None:
    """Run again over the tree, in this process, and print what it took as JSON."""
    symbols = [f"S{number:05}USDT" for number in range(-(-count // days))]
    config = WorkflowConfig(
        {
            "output_directory": str(root),
            "source_url": "http://127.0.0.1:9",  # nothing listens there, and nothing is asked
            "markets": ["spot"],
            "symbols": symbols,
            "data_types": ["klines"],
            "intervals": ["1d"],
            "partitions": ["daily"],
            "date_range": {
                "start": str(FIRST_DAY),
                "end": str(FIRST_DAY + timedelta(days=days - 1)),
            },
        },
        environ={},
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    report = ArchiveCollectionWorkflow(config).execute().report
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "unchanged": report.totals[Verdict.UNCHANGED],
                "planned": report.totals["planned"],
                "seconds": round(seconds, 2),
                "archives_per_s": round(report.totals["planned"] / seconds),
                "user_s": round(after.ru_utime - before.ru_utime, 2),
                "system_s": round(after.ru_stime - before.ru_stime, 2),
                "rss_before_mb": before.ru_maxrss // 1024,
                "rss_peak_mb": after.ru_maxrss // 1024,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--archives", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=LONGEST_DAYS, help="archives in one folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("/dev/shm"))  # noqa: S108
    parser.add_argument("--collect", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.collect:
        collect(given.collect, given.archives, given.days)
        return
    parent = given.output if given.output.is_dir() else None
    with tempfile.TemporaryDirectory(dir=parent, prefix="second-run-") as folder:
        root = Path(folder)
        make_tree(root, given.archives, given.days)
        command = [sys.executable, __file__, "--archives", str(given.archives)]
        for _ in range(given.rounds):
            subprocess.run([*command, "--days", str(given.days), "--collect", root], check=True)


if __name__ == "__main__":
    main()
