"""Run contestants in turn, so that a machine that slows down slows all of them alike."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import field, frozen

from benchmarks.suite.contestants import Contestant

__all__ = ["Run", "Series", "interleaved"]

#: No run takes longer; one that does has hung.
_LONGEST_S = 300

#: How often a process's size is looked at.
_LOOK_EVERY_S = 0.02


@frozen
class Run:
    """One whole process, its imports and its children included.

    Attributes:
        seconds: Wall time.
        cpu_s: User and system time together, in seconds.
        peak_bytes: The largest resident size of the first process; 0 where the system is not
            Linux.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int


@frozen
class Series:
    """A contestant's runs."""

    name: str
    runs: list[Run] = field(factory=list)

    @property
    def median_s(self) -> float:
        """Median wall time."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def cpu_s(self) -> float:
        """Median processor time."""
        return statistics.median(run.cpu_s for run in self.runs)

    @property
    def cpu_spread_s(self) -> tuple[float, float]:
        """Least and most processor time."""
        times = [run.cpu_s for run in self.runs]
        return min(times), max(times)

    @property
    def peak_bytes(self) -> int:
        """The largest of all."""
        return max(run.peak_bytes for run in self.runs)


def interleaved(
    contestants: Sequence[Contestant],
    rounds: int,
    scratch: Path,
    after: Callable[[str], None] = lambda _: None,
) -> dict[str, Series]:
    """Run every contestant once a round, each time into a new directory.

    The order rotates from round to round. Outputs are removed after the timing, as removing
    files right before a timed run makes the next files dear.

    Args:
        contestants: Who runs.
        rounds: How often.
        scratch: Where outputs go.
        after: Told of each run's name once it is over.
    """
    results = {contestant.name: Series(contestant.name) for contestant in contestants}
    for number in range(rounds):
        shift = number % len(contestants)
        for contestant in (*contestants[shift:], *contestants[:shift]):
            results[contestant.name].runs.append(_timed(contestant, scratch))
            after(contestant.name)
    return results


def _timed(contestant: Contestant, scratch: Path) -> Run:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    inputs, output = folder / "in", folder / "out"
    inputs.mkdir()
    output.mkdir()
    try:
        command = contestant.command(inputs, output)
        environment = {**os.environ, **contestant.environment}
        with (folder / "printed").open("w+b") as printed, (folder / "said").open("w+b") as said:
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=printed, stderr=said, env=environment)
            status, cpu_s, peak = _wait(process)
            seconds = time.perf_counter() - started
            printed.seek(0)
            said.seek(0)
            if status != 0:
                raise RuntimeError(
                    f"{contestant.name} ended with {status}: {said.read()[-2000:]!r}"
                )
            contestant.check(printed.read())
        return Run(seconds, cpu_s, peak)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, float, int]:
    """Wait for a process; return its status, its processor time and its peak size in bytes."""
    deadline = time.monotonic() + _LONGEST_S
    peak, looked = 0, 0.0
    while True:
        now = time.monotonic()
        if now - looked > _LOOK_EVERY_S:
            peak, looked = max(peak, _peak_bytes(process.pid)), now
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_utime + usage.ru_stime, peak
        if now > deadline:
            process.kill()
        time.sleep(0.002)


def _peak_bytes(pid: int) -> int:
    """The process's own peak; what `wait4` tells begins with the size of whoever forked it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak[0]) * 1024 if peak else 0
