"""How many parallel downloads pay: a sweep against a local server, interleaved.

Each round runs every setting once, in turn, so that a machine that slows down slows all of them
alike; the table gives medians over the rounds, and ratios to the best. Run it with `make bench`,
or `python benchmarks/concurrency.py --help`. nginx serves where it is installed (`make
system-packages`), else the package's own server does, which is then what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.planning.matrix import load_matrix
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.generator import archive_bytes, sidecar_bytes

FIRST_DAY = date(2018, 1, 1)
SETTINGS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def make_archives(root: Path, count: int) -> int:
    """Fill a mirror with daily 5m klines; return the bytes of zips and sidecars."""
    series = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "5m")
    row = load_matrix().row(series.market, series.data_type)
    if row is None:
        raise LookupError(series)
    total = 0
    for number in range(count):
        archive = Archive(series, Period.day(FIRST_DAY + timedelta(days=number)))
        body = archive_bytes(archive, row)
        sidecar = sidecar_bytes(archive.name, body, newline=row.sidecar_newline)
        path = root / archive.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        (root / archive.sidecar_key).write_bytes(sidecar)
        total += len(body) + len(sidecar)
    return total


@contextmanager
def serving(root: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Serve a mirror; yield the server's name and URL."""
    nginx = shutil.which("nginx")
    if nginx is None:
        with ArchiveServer(root) as server:
            yield "the package's own server", server.url
        return
    port = 18_931
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, root=root, port=port))
    process = subprocess.Popen([nginx, "-c", str(config), "-g", "daemon off;"])
    try:
        _wait_for(port)
        yield "nginx, one worker", f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    import socket

    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(port)


def collect(url: str, output: Path, count: int, parallel: int) -> float:
    """Collect everything into a new directory; return the seconds it took."""
    config = {
        "output_directory": str(output),
        "source_url": url,
        "markets": ["spot"],
        "symbols": ["BTCUSDT"],
        "data_types": ["klines"],
        "intervals": ["5m"],
        "partitions": ["daily"],
        "date_range": {
            "start": FIRST_DAY.isoformat(),
            "end": (FIRST_DAY + timedelta(days=count - 1)).isoformat(),
        },
        "max_parallel_downloads": parallel,
    }
    started = time.perf_counter()
    report = asyncio.run(run_collection(config))
    seconds = time.perf_counter() - started
    report.raise_for_failures()
    if report.totals["verified"] != count:
        raise RuntimeError(report)
    return seconds


def main() -> None:
    """Sweep, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archives", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settings", type=int, nargs="+", default=SETTINGS)
    options = parser.parse_args()
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker is another user
        size = make_archives(folder / "mirror", options.archives)
        with serving(folder / "mirror", folder) as (server, url):
            print(f"{options.archives} archives, {size / 1e6:.1f} MB, from {server}, "
                  f"{os.cpu_count()} cores, {options.rounds} interleaved rounds")  # fmt: skip
            times = sweep(url, folder, options)
    print_table(times, options.archives)


def sweep(url: str, folder: Path, options: argparse.Namespace) -> dict[int, list[float]]:
    """Run every setting once a round; the first, uncounted run warms caches and imports."""
    collect(url, folder / "warm-up", options.archives, 16)
    times: dict[int, list[float]] = {setting: [] for setting in options.settings}
    for number in range(options.rounds):
        for setting in options.settings:
            output = folder / f"{number}-{setting}"
            times[setting].append(collect(url, output, options.archives, setting))
    return times


def print_table(times: dict[int, list[float]], archives: int) -> None:
    """Medians, spread, and the ratio to the best setting."""
    medians = {setting: statistics.median(runs) for setting, runs in times.items()}
    best = min(medians.values())
    print(f"{'parallel':>8} {'archives/s':>11} {'min s':>7} {'max s':>7} {'of the best':>11}")
    for setting, seconds in medians.items():
        runs = times[setting]
        print(f"{setting:>8} {archives / seconds:>11.0f} {min(runs):>7.2f} {max(runs):>7.2f} "
              f"{best / seconds:>11.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
