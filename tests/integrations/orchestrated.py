"""Runs a program with the Python that has Dagster and Prefect, and reads what it found."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from tests.services.installed import program

from crypto_lakehouse.testing import ArchiveServer, faults

__all__ = ["CORRUPT", "REFUSED", "STALLED", "SYMBOLS", "environment", "orchestrated", "shared"]

ROOT = Path(__file__).parents[2]

#: The archives of a plan that shows that nothing is added for an archive.
SYMBOLS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "ADAUSDT", "XRPUSDT", "LTCUSDT", "TRXUSDT", "SOLUSDT"]

#: Is corrupt at the source.
CORRUPT = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-16.zip"

#: Is proven by its sidecar, and has no rows that a table can take.
REFUSED = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-18.zip"

#: Stops before it is whole; then the program is told to end.
STALLED = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-20.zip"


def environment(folder: Path) -> dict[str, str]:
    """The variables of a program, whose own files are in a folder. Its bytecode is kept."""
    hidden = {"PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"}
    kept = {name: text for name, text in os.environ.items() if name not in hidden}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "HOME": str(folder)}


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]) -> Any:
    """Return what a function made of a new folder, as JSON; processes that run tests share it."""
    base = factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / f"orchestrated-{name}"
    with FileLock(f"{folder}.lock"):
        kept = folder / "found.json"
        if not kept.exists():
            folder.mkdir()
            kept.write_text(json.dumps(make(folder)))
        return json.loads(kept.read_text())


def orchestrated(name: str, folder: Path, server: ArchiveServer, *arguments: str) -> dict[str, Any]:
    """Run a program of this folder until it asks for `STALLED`, and let SIGTERM end that.

    Returns:
        What the program has written to its output.
    """
    server.inject(CORRUPT, faults.Flip(), endless=True)
    stall = faults.Stall(at=0)
    server.inject(STALLED, stall)
    config = {
        "output_directory": str(folder / "out"), "source_url": server.url,
        "discovery": "calendar", "markets": ["spot"], "symbols": ["BTCUSDT"],
        "data_types": ["klines", "trades"], "intervals": ["1h"], "partitions": "daily",
        "date_range": {"start": "2025-07-10"}, "max_retries": 0, "freshness": {"*/klines": "36h"},
    }  # fmt: skip
    path = folder / "lakehouse.json"
    path.write_text(json.dumps(config))
    with subprocess.Popen(
        [program("orchestrators"), Path(__file__).with_name(name), path, *arguments],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while process.poll() is None and not stall.reached.wait(0.2):
                pass
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=100)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # Prefect's server is a process of its own
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found
