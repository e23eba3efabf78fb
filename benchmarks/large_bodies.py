"""Four large bodies at once into an object store: the peak memory of the collecting process.

The source and the stores (`make servers`) run on loopback; each run is a whole process, and is
checked to have stored every archive. A directory is shown beside the stores.

    python -m benchmarks.large_bodies                # 4 x 64 MiB
    python -m benchmarks.large_bodies --mib 256 --bodies 8
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tests.services.bucket import Bucket
from tests.services.ministack import ministack
from tests.services.rclone import rclone

from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.made_up.zips import good_zip

FIRST_DAY = date(2025, 3, 1)
#: A small process in between: what a process inherits counts as its own peak.
MEASURE = """
import os, subprocess, sys
run = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(run.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""

SERVERS = {"ministack": ministack, "rclone": rclone}
OUTPUTS = ("directory", *SERVERS)


@contextmanager
def source_of(bodies: int, mib: int) -> Iterator[ArchiveServer]:
    """Run a source with large archives of bytes that cannot be compressed."""
    with ArchiveServer(generate=False) as server:
        for number in range(bodies):
            name = f"BTCUSDT-trades-{FIRST_DAY + timedelta(number)}.zip"
            key = f"data/spot/daily/trades/BTCUSDT/{name}"
            server.publish(key, good_zip(key, os.urandom(mib << 20)))
        yield server


def collect(
    config: Mapping[str, Any], environment: Mapping[str, str], folder: Path
) -> tuple[float, float]:
    """Collect in a process; return its peak memory in MB and its duration in seconds."""
    path = folder / "run.json"
    path.write_text(json.dumps(dict(config)))
    command = [sys.executable, "-m", "crypto_lakehouse", "collect", "--config", str(path)]
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return int(done.stdout) * 1024 / 1e6, seconds


def main() -> None:
    """Print a line for each output."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bodies", type=int, default=4)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--only", choices=OUTPUTS, action="append", default=[])
    options = parser.parse_args()
    last = FIRST_DAY + timedelta(options.bodies - 1)
    with source_of(options.bodies, options.mib) as source:
        config = {
            "source_url": source.url,
            "markets": ["spot"],
            "symbols": ["BTCUSDT"],
            "data_types": ["trades"],
            "partitions": "daily",
            "discovery": "calendar",
            "date_range": {"start": str(FIRST_DAY), "end": str(last)},
            "max_parallel_downloads": options.bodies,
        }
        for name in options.only or OUTPUTS:
            with tempfile.TemporaryDirectory() as text:
                folder = Path(text)
                peak_mb, seconds = measure(name, config, folder)
            rate = options.bodies * options.mib * (1 << 20) / 1e6 / seconds
            print(f"{name:10} {peak_mb:6.0f} MB at most, {seconds:5.1f} s, {rate:5.0f} MB/s")


def measure(name: str, config: Mapping[str, Any], folder: Path) -> tuple[float, float]:
    """Collect into a directory, or into a server of this name."""
    if name == "directory":
        return collect({**config, "output_directory": str(folder / "out")}, {}, folder)
    with SERVERS[name](folder) as bucket:
        return collect({**config, **output_of(bucket, folder)}, bucket.environment, folder)


def output_of(bucket: Bucket, folder: Path) -> dict[str, Any]:
    """Return what a configuration needs to write into a bucket."""
    return {
        "output_directory": bucket.fresh_prefix(),
        "storage": dict(bucket.storage),
        "state_directory": str(folder / "state"),
    }


if __name__ == "__main__":
    main()
