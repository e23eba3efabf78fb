"""Run the suite: `python -m benchmarks.suite` in the checkout's root; `make bench` does."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.suite.before import require_another_version
from benchmarks.suite.results import machine, print_outcome, write_results
from benchmarks.suite.workloads import WORKLOADS, Outcome, Scale

_RESULTS = Path(__file__).parents[1] / "results"


def main() -> int:
    """Run the chosen workloads, show and write what they showed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.suite",
        description="This engine beside aria2c, curl, wget2 and a plain aiohttp downloader, "
        "interleaved, against nginx on loopback. About twelve minutes.",
        epilog="S small archives, S-tls the same over TLS, L large ones, T a slow source, "
        "A max_parallel_downloads: auto, U start-up. Read ratios within one run, not seconds.",
    )
    parser.add_argument("workloads", nargs="*", choices=[*WORKLOADS, []], metavar="WORKLOAD",
                        help="any of S S-tls L T A U; all by default")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds [5]")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one round")
    parser.add_argument("--disk", type=Path, default=Path.cwd(), metavar="DIR",
                        help="where S writes to a disk [the working directory]")  # fmt: skip
    parser.add_argument("--before", metavar="PYTHON",
                        help="an interpreter that imports another version of this package, which "
                        "then takes part in S, S-tls, L and T")  # fmt: skip
    parser.add_argument("--only-ours", action="store_true",
                        help="no rivals, and nothing that is measured beside them alone: "
                        "2 processes, S-disk, L-csv, integrity=listing")  # fmt: skip
    options = parser.parse_args()
    if options.before is not None:
        try:
            require_another_version(options.before)
        except ValueError as error:
            parser.error(str(error))
    print("  ".join(f"{name}: {value}" for name, value in machine().items()))
    memory = Path("/dev/shm")  # noqa: S108 - folders of our own are made in it
    if not memory.is_dir():
        print("there is no /dev/shm: outputs go to the temporary directory", file=sys.stderr)
        memory = Path(tempfile.gettempdir())
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(dir=memory) as in_memory,
        tempfile.TemporaryDirectory(dir=options.disk) as on_disk,
    ):
        Path(in_memory).chmod(0o755)
        scale = Scale(
            rounds=1 if options.quick else options.rounds,
            small=1000 if options.quick else 10_000,
            mebibytes=24 if options.quick else 256,
            memory=Path(in_memory),
            disk=Path(on_disk),
            before=options.before,
            only_ours=options.only_ours,
        )
        for name in options.workloads or WORKLOADS:
            started = time.perf_counter()
            for outcome in WORKLOADS[name](scale):
                outcomes.append(outcome)
                print_outcome(outcome)
            print(f"  ({name} took {time.perf_counter() - started:.0f} s)", flush=True)
    for path in write_results(outcomes, _RESULTS):
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
