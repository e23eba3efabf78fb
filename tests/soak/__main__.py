"""The long part of the tests: `make soak`. Hours are for `--archives`; minutes are the default.

Each part prints what it did and measured, and fails with a traceback where a promise is broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
from tests.faults.kills import KEYS, STAGES, KilledRuns
from tests.faults.mixed_run import MixedRun
from tests.soak.long_run import long_run

from crypto_lakehouse.testing import ArchiveServer, FaultMix


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for, all by default."""
    options = _parser().parse_args(arguments)
    for name in options.parts or PARTS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            told = PARTS[name](Path(folder), options)
            sys.stdout.write(f"{name}: {told} ({time.monotonic() - started:.0f} s)\n")
            sys.stdout.flush()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="default %(default)s")
    parser.add_argument("--mixed", type=int, default=20_000, metavar="N", help="archives in `mix`")
    parser.add_argument("--archives", type=int, default=200_000, metavar="N", help="in `long`")
    parser.add_argument("--share", type=float, default=0.02, metavar="X", help="faults in `long`")
    parser.add_argument("--seconds", type=float, default=1800, metavar="S", help="for each part")
    parser.add_argument("--folder", metavar="DIR", help="where to work; the temporary folder")
    return parser


def kill(folder: Path, options: argparse.Namespace) -> str:
    """Kill runs at random stages and requests; half of them have two processes."""
    rng, ends = random.Random(options.seed), time.monotonic() + options.seconds
    kills, runs = 0, 0
    for processes in (1, 2):
        with ArchiveServer(generate=False) as server:
            killed = KilledRuns(folder / f"out{processes}" / "out", server, processes, rng)
            while killed.kills < options.kills / 2 and time.monotonic() < ends:
                _kill_once(killed, rng)
                runs += 1
            killed.finish()
            killed.finish()
            kills += killed.kills
    return f"{kills} of {runs} runs killed; nothing untrue, nothing fetched twice, no litter"


def _kill_once(killed: KilledRuns, rng: random.Random) -> None:
    for key in rng.sample(KEYS, rng.randrange(1, 8)):
        killed.publish(key)
    if rng.random() < 0.5:
        killed.run_to_request(rng.randrange(1, 30))
    else:
        stage = rng.choice(list(STAGES))
        killed.run_to_stage(stage, rng.randrange(1, 6), is_after=rng.random() < 0.5)


def mix(folder: Path, options: argparse.Namespace) -> str:
    """Do everything that a source does to some of many archives, and compare all that is said."""
    mixture = FaultMix(seed=options.seed, share=0.05, max_retries=5)
    symbols = max(1, options.mixed // 1000)
    run = MixedRun(folder / "out", symbols=symbols, days=1000, mix=mixture)
    with run.server:
        anyio.run(run.collect)
        run.check()
        anyio.run(run.collect)
        run.check_second()
    return f"{len(run.keys)} archives, {len(run.mishaps)} mishaps, every verdict as it must be"


PARTS = {"kill": kill, "mix": mix, "long": long_run}

if __name__ == "__main__":
    sys.exit(main())
