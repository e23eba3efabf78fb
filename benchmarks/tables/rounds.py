"""Run contestants in turn, each in a process of its own, on so many cores."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive

__all__ = ["Entry", "interleaved"]

#: No run takes longer; one that does has hung.
_LONGEST_S = 900


@frozen
class Entry:
    """One contestant on so many cores, and its runs.

    Attributes:
        name: The contestant.
        cores: Cores that its process may use; its threads are as many.
        runs: What each run printed.
    """

    name: str
    cores: int
    runs: list[dict[str, float]] = field(factory=list)

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(run["seconds"] for run in self.runs)

    @property
    def rows(self) -> float:
        """Rows of a run."""
        return self.runs[0]["rows"]

    @property
    def peak_mb(self) -> float:
        """The largest resident size of any run."""
        return max(run["peak_mb"] for run in self.runs)


def interleaved(
    entries: list[Entry], root: Path, archives: list[Archive], rounds: int
) -> list[Entry]:
    """Run all of them so many times, in an order that rotates; output is on the same disk."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        listed = Path(folder) / "keys"
        listed.write_text("\n".join(archive.key for archive in archives))
        for number in range(rounds):
            shift = number % len(entries)
            for entry in [*entries[shift:], *entries[:shift]]:
                output = Path(folder) / "output"
                output.mkdir()
                entry.runs.append(_run(entry, root, output, listed))
                shutil.rmtree(output)
    return entries


def _run(entry: Entry, root: Path, output: Path, listed: Path) -> dict[str, float]:
    command = [
        sys.executable, "-m", "benchmarks.tables.contestants", entry.name, str(root), str(output),
        str(entry.cores), str(listed),
    ]  # fmt: skip
    cores = set(sorted(os.sched_getaffinity(0))[: entry.cores])
    threads = str(entry.cores)
    done = subprocess.run(
        command,
        capture_output=True,
        check=False,
        text=True,
        timeout=_LONGEST_S,
        env={**os.environ, "POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    if done.returncode:
        raise SystemExit(f"{entry.name} failed:\n{done.stderr}")
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed
