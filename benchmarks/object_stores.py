"""Object stores against a directory: small archives, and a second run over what is stored.

`memory` is obstore's store in memory behind this package's own code, so that no server is the
bottleneck: what it takes beyond a directory is this package and its client. ministack and rclone
(`make servers`) are shown beside it; their own time is in the seconds, not in the processor time.

    python -m benchmarks.object_stores small                    # 10,000 archives, 5 rounds
    python -m benchmarks.object_stores second                   # 100,000 archives, in memory
    python -m benchmarks.object_stores second --only ministack --archives 20000

`small` collects archives of 17 kB and their sidecars from nginx; the outputs take turns, each run
is a whole process, and medians are compared. `second` fills a store, writes the ledger that a
collection of it would have written, and then collects, plans and asks for the status, each with its
seconds and the requests that it sends; `listing` is the store's listing alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import islice, product
from pathlib import Path
from typing import Any

import obstore
from obstore.store import MemoryStore
from tests.services.bucket import Bucket
from tests.services.ministack import ministack
from tests.services.rclone import rclone

from benchmarks.second_run import FIRST_DAY, each_archive
from benchmarks.suite.contestants import Contestant
from benchmarks.suite.mirrors import Mirror, small_mirror
from benchmarks.suite.rounds import Series, interleaved
from benchmarks.suite.servers import Site, nginx_serving
from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.questions import run_plan, run_status

SERVERS = {"ministack": ministack, "rclone": rclone}
OUTPUTS = ("directory", "memory", *SERVERS)

#: What one request of each kind is called at the client.
REQUESTS = ("put", "get", "head", "copy", "delete", "list_with_delimiter")


def command_of(job: str, config: Mapping[str, Any], inputs: Path, *more: str) -> list[str]:
    """Return the command of a process that does one job with a configuration."""
    path = inputs / "config.json"
    path.write_text(json.dumps(dict(config)))
    return [sys.executable, "-m", "benchmarks.object_stores", job, "--config", str(path), *more]


def store_of(*, in_memory: bool) -> ObjectStore | None:
    """Return the store of a run; None for the one that its configuration names."""
    return ObjectStore(ObjectClient(MemoryStore(), "memory:///")) if in_memory else None


@contextmanager
def output_in(name: str, folder: Path) -> Iterator[tuple[dict[str, Any], Mapping[str, str]]]:
    """Run the server of an output; yield the keys of the configuration and the environment."""
    if name not in SERVERS:
        yield {"output_directory": str(folder / "out")}, {}
        return
    with SERVERS[name](folder) as bucket:
        own = {
            "output_directory": bucket.fresh_prefix(),
            "storage": dict(bucket.storage),
            "state_directory": str(folder / "state"),
        }
        yield own, bucket.environment


# ---------------------------------------------------------------------------- small archives


def contestant(name: str, site: Site, mirror: Mirror, bucket: Bucket | None) -> Contestant:
    """Return what collects a mirror into one output."""
    config = {
        **mirror.selection, "markets": ["spot"], "discovery": "calendar", "source_url": site.url,
        "storage": dict(bucket.storage) if bucket else {},
    }  # fmt: skip

    def command(inputs: Path, output: Path) -> list[str]:
        own = {"output_directory": str(output)}
        if bucket is not None:
            own = {"output_directory": bucket.fresh_prefix(), "state_directory": str(output)}
        return command_of("collect", {**config, **own}, inputs, "--only", name)

    def check(printed: bytes) -> None:
        totals = json.loads(printed)
        if totals["verified"] != len(mirror.archives):
            raise RuntimeError(f"{name}: {totals}")

    return Contestant(name, command, check, bucket.environment if bucket else {})


def collect(config: WorkflowConfig, *, in_memory: bool) -> None:
    """Collect in this process, and print the totals."""
    workflow = ArchiveCollectionWorkflow(config, store=store_of(in_memory=in_memory))
    print(json.dumps(dict(workflow.execute().report.totals)))


def compare(home: Path, outputs: Sequence[str], archives: int, rounds: int) -> None:
    """Collect into each output in turn, and print a line for each."""
    mirror = small_mirror(home / "mirror", archives)
    with ExitStack() as servers:
        site = servers.enter_context(nginx_serving(mirror.root, home / "nginx"))["plain"]
        contestants = []
        for name in outputs:
            bucket = None
            if name in SERVERS:
                (folder := home / name).mkdir()
                bucket = servers.enter_context(SERVERS[name](folder))
            contestants.append(contestant(name, site, mirror, bucket))
        results = interleaved(contestants, rounds, home)
    for line in lines_of(results, archives):
        print(line)


def lines_of(results: Mapping[str, Series], archives: int) -> Iterator[str]:
    """Yield a line for each output, with its rates relative to those of the first one."""
    first = next(iter(results.values()))
    for each in results.values():
        yield (
            f"{each.name:10} {archives / each.median_s:6.0f} archives/s"
            f" {first.median_s / each.median_s:5.2f} x {first.name}"
            f"   {each.cpu_s / archives * 1e6:4.0f} us of processor time an archive"
            f" {first.cpu_s / each.cpu_s:5.2f} x   {each.peak_bytes / 1e6:4.0f} MB"
        )


# ------------------------------------------------------------------------------- second runs


def count_requests(counts: Counter[str]) -> None:
    """Let the client count its requests: each call, and each page of a listing."""
    for name in REQUESTS:
        setattr(obstore, name, _counted(getattr(obstore, name), name, counts))
    listing: Any = obstore.list

    def pages(*arguments: Any, **options: Any) -> Iterator[Any]:
        for page in listing(*arguments, **options):
            counts["list"] += 1
            yield page

    setattr(obstore, "list", pages)  # noqa: B010 - the type checker knows it as a function


def _counted(call: Callable[..., Any], name: str, counts: Counter[str]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        counts[name] += 1
        return call(*arguments, **options)

    return counted


def fill(client: ObjectClient, archives: int, days: int) -> None:
    """Store made-up archives and their sidecars, of a few bytes each."""

    def put(archive: Archive) -> None:
        client.put(archive.key + SIDECAR_SUFFIX, b"0")
        client.put(archive.key, archive.name.encode())

    each = each_archive(archives, days)
    with ThreadPoolExecutor(16) as threads:
        while batch := list(islice(each, 5000)):
            for _ in threads.map(put, batch):
                pass


def write_ledger(path: Path, client: ObjectClient, archives: int, days: int) -> None:
    """Write a ledger that says that every archive is verified, as the store lists it."""
    ledger, _ = SqliteLedger.open(path)
    marks = {info.key: (info.size_bytes, info.mark) for info in client.objects("data/")}
    each = each_archive(archives, days)
    while batch := list(islice(each, 5000)):
        ledger.write([_verified(archive, *marks[archive.key]) for archive in batch])
    ledger.close()


def _verified(archive: Archive, size_bytes: int, mark: int) -> ArchiveFinished:
    return ArchiveFinished(
        archive=archive,
        verdict=Verdict.VERIFIED,
        facts=ObjectFacts(
            size_bytes=size_bytes,
            mark=mark,
            sha256="a" * 64,
            published_sha256="a" * 64,
            etag=f'"{"b" * 32}"',
            last_modified="Tue, 15 Jul 2025 03:00:00 GMT",
        ),
    )


def again(config: WorkflowConfig, archives: int, days: int, *, in_memory: bool) -> None:
    """Fill the store, then ask it again, and print a line for each question."""
    output = output_of(config, store_of(in_memory=in_memory))
    store: Any = output.store
    fill(store.client, archives, days)
    output.state.make()
    write_ledger(output.state.ledger, store.client, archives, days)
    counts: Counter[str] = Counter()
    count_requests(counts)
    for name, question in questions_of(config, store).items():
        counts.clear()
        begun, cpu = time.perf_counter(), time.process_time()
        found = question()
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        sent = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"
        print(f"{name:8} {seconds:6.2f} s, processor {cpu:6.2f} s, {found} found; requests: {sent}")


def questions_of(config: WorkflowConfig, store: ObjectStore) -> dict[str, Callable[[], int]]:
    """Return what is asked; each answers how much it has found."""

    def collect_again() -> int:
        totals = ArchiveCollectionWorkflow(config, store=store).execute().report.totals
        return totals[Verdict.UNCHANGED]

    def plan() -> int:
        totals = asyncio.run(run_plan(config, store=store)).totals
        return totals.verified

    def status() -> int:
        return asyncio.run(run_status(config)).totals.verified_days

    def listing() -> int:
        return sum(len(page) for page in obstore.list(store.client.client, chunk_size=1000))

    return {"listing": listing, "collect": collect_again, "plan": plan, "status": status}


def ask_again(home: Path, outputs: Sequence[str], archives: int, days: int, rounds: int) -> None:
    """Ask each store again, each round in a process of its own."""
    symbols = sorted({each.symbol for each in each_archive(archives, days)})
    config = {
        "source_url": "http://127.0.0.1:9",  # nothing listens there, and nothing is asked
        "markets": ["spot"], "symbols": symbols, "data_types": ["klines"], "intervals": ["1d"],
        "partitions": ["daily"], "discovery": "calendar",
        "date_range": {
            "start": str(FIRST_DAY), "end": str(FIRST_DAY + timedelta(days=days - 1)),
        },
    }  # fmt: skip
    for number, name in product(range(rounds), outputs):
        (folder := home / f"{name}-{number}").mkdir()
        with output_in(name, folder) as (own, credentials):
            more = ("--only", name, "--archives", str(archives), "--days", str(days))
            command = command_of("again", {**config, **own}, folder, *more)
            print(name, flush=True)
            subprocess.run(command, check=True, env={**os.environ, **credentials})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("small", "second", "collect", "again"))
    parser.add_argument("--archives", type=int, help="10,000 for small, 100,000 for second")
    parser.add_argument("--days", type=int, default=1000, help="archives in one folder, in second")
    parser.add_argument("--rounds", type=int, help="5 for small, 1 for second")
    parser.add_argument("--only", choices=OUTPUTS, action="append", default=[])
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.config:
        config = WorkflowConfig(json.loads(given.config.read_text()), environ={})
        in_memory = given.only == ["memory"]
        if given.what == "collect":
            collect(config, in_memory=in_memory)
        else:
            again(config, given.archives, given.days, in_memory=in_memory)
        return
    parent = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=parent, prefix="object-stores-") as text:
        home = Path(text)
        home.chmod(0o755)
        if given.what == "small":
            outputs = tuple(given.only) or OUTPUTS
            compare(home, outputs, given.archives or 10_000, given.rounds or 5)
        else:
            outputs = tuple(given.only) or ("memory",)
            ask_again(home, outputs, given.archives or 100_000, given.days, given.rounds or 1)


if __name__ == "__main__":
    main()
