"""Tables for the eye, JSON for machines, and a plot."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.suite.workloads import Outcome

__all__ = ["machine", "print_outcome", "write_results"]

_TOOLS = {"aria2c": "--version", "curl": "--version", "wget2": "--version", "nginx": "-v"}


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if "model name" in line
        ),
        platform.processor(),
    )
    facts = {
        "cores": str(os.cpu_count()),
        "processor": cpu,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    for tool, option in _TOOLS.items():
        try:
            run = subprocess.run([tool, option], capture_output=True, text=True, check=False)
        except OSError:
            continue
        facts[tool] = (run.stdout + run.stderr).splitlines()[0]
    return facts


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def print_outcome(outcome: Outcome) -> None:
    """One workload's table, and what of it is reached."""
    print(f"\n{outcome.name}: {outcome.title}")
    head = f"{'':28}{'median s':>9}{'min':>7}{'max':>7}{'CPU s':>7}{'peak MB':>9}"
    print(f"{head}{outcome.unit + '/s':>13}{'ours is':>9}")
    own = outcome.series.get("ours") or outcome.series.get("auto")
    for name, series in sorted(outcome.series.items(), key=lambda item: item[1].median_s):
        times = [run.seconds for run in series.runs]
        ratio = series.median_s / own.median_s if own else float("nan")
        print(
            f"{name:28}{series.median_s:9.2f}{min(times):7.2f}{max(times):7.2f}"
            f"{series.cpu_s:7.2f}{series.peak_bytes / 1e6:9.0f}"
            f"{outcome.work / series.median_s:13.0f}{ratio:8.2f}x"
        )
    for wanted in outcome.wanted:
        sign = "at most" if wanted.is_at_most else "at least"
        verdict = "reached" if wanted.is_reached else "NOT reached"
        value = f"{wanted.value:.2f}" + (f" ({wanted.note})" if wanted.note else "")
        print(f"  {wanted.text}: {value}, wanted {sign} {wanted.least:g}: {verdict}")


def write_results(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Write all figures as JSON, and a plot; return what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    figures = {
        "machine": machine(),
        "workloads": {
            outcome.name: {
                "title": outcome.title,
                "unit": outcome.unit,
                "work": outcome.work,
                "seconds": {
                    name: [run.seconds for run in series.runs]
                    for name, series in outcome.series.items()
                },
                "cpu_seconds": {
                    name: [run.cpu_s for run in series.runs]
                    for name, series in outcome.series.items()
                },
                "wanted": [
                    {"what": one.text, "wanted": one.least, "value": one.value,
                     "reached": one.is_reached, "note": one.note}
                    for one in outcome.wanted
                ],
            }
            for outcome in outcomes
        },
    }  # fmt: skip
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return [path, _plot(outcomes, folder / f"{stem}.png")]


def _plot(outcomes: Sequence[Outcome], path: Path) -> Path:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    height = 0.9 + sum(0.8 + 0.32 * len(outcome.series) for outcome in outcomes)
    figure, rows = plt.subplots(
        len(outcomes),
        figsize=(9, height),
        squeeze=False,
        gridspec_kw={"height_ratios": [1.5 + len(outcome.series) for outcome in outcomes]},
    )
    for axes, outcome in zip(rows[:, 0], outcomes, strict=True):
        series = sorted(outcome.series.values(), key=lambda one: -one.median_s)
        names = [one.name for one in series]
        rates = [outcome.work / one.median_s for one in series]
        colours = ["C1" if name.startswith(("ours", "auto")) else "C0" for name in names]
        axes.barh(names, rates, color=colours)
        axes.set_title(f"{outcome.name}: {outcome.title}", fontsize=9, loc="left")
        axes.set_xlabel(f"{outcome.unit} a second, median", fontsize=8)
        axes.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
