"""Every cell of the notebook runs, and shows what it should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.documentation.collector import ROOT
from tests.services.installed import program

NOTEBOOK = ROOT / "docs/how-to/first-look.ipynb"

#: Runs a notebook with the kernel of this Python, and writes it with its outputs.
_DRIVER = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, "ran.ipynb")
"""


def test_it_has_no_outputs_and_no_counts() -> None:
    """They would change with each version, and may show names of a machine."""
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def shown(cell: dict[str, Any]) -> str:
    """What the last output of a cell shows."""
    (*_, output) = cell["outputs"]
    text = output.get("data", {}).get("text/html", output.get("text", ""))
    return "".join(text)


def test_every_cell_runs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: NOT run: the notebook")
    packages = program("notebooks").parents[1]
    path = os.pathsep.join([str(ROOT / "src"), str(packages)])
    ran = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(NOTEBOOK)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path, "HOME": str(tmp_path)}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    cells = json.loads((tmp_path / "ran.ipynb").read_text())["cells"]
    outputs = [shown(cell) for cell in cells if cell.get("outputs")]
    wanted = ("All prices here are made up", "<table><caption>Lake ", "13 series, 13 of 13 days",
              "<img src=", "scan of spot.klines", "shape: (5, 3)", "shape: (13, 2)", "<img src=",
              "shape: (3, 4)")  # fmt: skip
    assert len(outputs) == len(wanted)
    for output, text in zip(outputs, wanted, strict=True):
        assert text in output
