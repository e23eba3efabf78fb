"""Fuzz with coverage: `make fuzz`, or `python -m tests.fuzz [TARGET ...] [--seconds N]`.

Each target runs in a process of its own under atheris (libFuzzer). An input that breaks a promise
is kept in `fuzz-crashes/`; give it to the target's function to see it again.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

_CRASHES = Path("fuzz-crashes")

_LONGEST_BYTES = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the targets that are asked for, all by default; 1 where one broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="for each target")
    options = parser.parse_args(arguments)
    broken = [name for name in options.targets or TARGETS if not _fuzz(name, options.seconds)]
    return 1 if broken else 0


def _fuzz(name: str, seconds: int) -> bool:
    """Fuzz one target and print a line about it; whether all was well."""
    _CRASHES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()[name]):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        command = [
            sys.executable, "-m", "tests.fuzz.driver", name,
            f"-max_total_time={seconds}", f"-max_len={_LONGEST_BYTES}", "-timeout=10",
            "-rss_limit_mb=2048", "-print_final_stats=1",
            f"-artifact_prefix={_CRASHES}/{name}-", folder,
        ]  # fmt: skip
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    text = done.stdout.decode(errors="replace")
    executed = re.search(r"number_of_executed_units: (\d+)", text)
    covered = re.findall(r"cov: (\d+)", text)
    told = f"{executed[1] if executed else '?'} inputs, {covered[-1] if covered else '?'} edges"
    sys.stdout.write(f"{name}: {told}, {'no fault' if done.returncode == 0 else 'A FAULT'}\n")
    if done.returncode != 0:
        sys.stdout.write(text[-6000:])
    sys.stdout.flush()
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
