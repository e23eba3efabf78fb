"""What do ingestion and validation cost, against another version of this package.

    python -m benchmarks.tables.compare --before ../before/.venv/bin/python

Every operation runs in a process of its own, this version's and the other's in turn, on the same
archives. Ratios are those of the medians of this version to the other; below 1 is faster.
Processor time is the figure to trust if the machine does other work.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

from attrs import frozen

from benchmarks.suite.before import require_another_version
from benchmarks.tables.sample_data import agg_trades_text, klines_text, trades_text, write_all
from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series

__all__: list[str] = []

_DAY = Period.day(date(2024, 1, 1))
_MONTHS = [Period.month(date(2024, month, 1)) for month in range(1, 13)]


@frozen
class Times:
    """The times of one run, in seconds."""

    processor_s: float
    wall_s: float


def main() -> None:
    """Make archives, run everything in turn, and print medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables.compare",
                                     description=__doc__.splitlines()[0])  # fmt: skip
    parser.add_argument("--before", required=True, metavar="PYTHON",
                        help="the interpreter of the other version")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000, help="of trades and aggTrades")
    given = parser.parse_args()
    require_another_version(given.before)
    with tempfile.TemporaryDirectory() as folder:
        for name, tree in _trees(Path(folder), given.rows):
            _compare(name, tree, given.before, given.rounds)


def _trees(root: Path, rows: int) -> Iterator[tuple[str, Path]]:
    spot = partial(Series, Market.SPOT)
    made: dict[str, tuple[Series, list[Period], Callable[[Period], bytes]]] = {
        f"{rows:,} trades": (spot(DataType.TRADES, "S0000USDT"), [_DAY],
                             partial(trades_text, count=rows)),
        f"{rows:,} aggTrades": (spot(DataType.AGG_TRADES, "S0000USDT"), [_DAY],
                                partial(agg_trades_text, count=rows)),
        "12 months of 1m bars": (spot(DataType.KLINES, "S0000USDT", "1m"), _MONTHS, klines_text),
    }  # fmt: skip
    for number, (name, (series, periods, text_of)) in enumerate(made.items()):
        tree = root / str(number)
        archives = [Archive(series, each) for each in periods]
        for archive, path in zip(archives, write_all(tree, archives, text_of), strict=True):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            (tree / archive.sidecar_key).write_text(f"{digest}  {archive.name}\n")
        yield name, tree


def _compare(name: str, tree: Path, before: str, rounds: int) -> None:
    found: dict[tuple[str, str], list[Times]] = {}
    for number in range(rounds):
        pythons = [("ours", sys.executable), ("before", before)]
        for whose, python in pythons if number % 2 else reversed(pythons):
            for operation, times in _operations(python, tree):
                found.setdefault((operation, whose), []).append(times)
    print(f"\n{name}, medians of {rounds} rounds")
    for operation in dict.fromkeys(operation for operation, _ in found):
        ours, other = (_median(found[operation, whose]) for whose in ("ours", "before"))
        print(
            f"  {operation:<12} processor {ours.processor_s:6.2f} s"
            f" ({ours.processor_s / other.processor_s:.2f} x)"
            f"   wall {ours.wall_s:6.2f} s ({ours.wall_s / other.wall_s:.2f} x)",
            flush=True,
        )


def _operations(python: str, tree: Path) -> Iterator[tuple[str, Times]]:
    output, lake = ["-o", str(tree)], tree.with_name("lake")
    ingest = ["ingest", *output, "--lake", str(lake), "-q", "--workers", "1"]
    yield "validate", _run(python, ["validate", *output, "--workers", "1"])
    yield "first ingest", _run(python, ingest)
    yield "ingest again", _run(python, [*ingest, "--again"])
    shutil.rmtree(lake)


def _median(runs: list[Times]) -> Times:
    return Times(
        statistics.median(run.processor_s for run in runs),
        statistics.median(run.wall_s for run in runs),
    )


def _run(python: str, arguments: list[str]) -> Times:
    script = Path(__file__).with_name("operation.py")
    done = subprocess.run(
        [python, str(script), *arguments], capture_output=True, text=True, check=False
    )
    printed = done.stdout.splitlines()
    if not printed or not printed[-1].startswith("{"):
        raise SystemExit(f"{python} {' '.join(arguments)}:\n{done.stderr}")
    seen = json.loads(printed[-1])
    if seen["code"] != 0:
        raise SystemExit(f"{python} {' '.join(arguments)}: exit code {seen['code']}\n{done.stderr}")
    return Times(seen["processor_s"], seen["wall_s"])


if __name__ == "__main__":
    main()
