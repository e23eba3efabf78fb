"""The examples of docs/orchestrators.md, with Dagster and Prefect."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.documentation.collector import blocks
from tests.integrations.orchestrated import environment
from tests.services.installed import program

_DRIVER = """
import json, sys
import dagster
for block in json.load(sys.stdin):
    names = {"__name__": "example"}
    exec(block, names)
    if "defs" in names:
        dagster.Definitions.validate_loadable(names["defs"])
        steps = names["defs"].resolve_job_def("daily").graph.nodes
        print("definitions", *(step.name for step in steps))
    else:
        print(names["nightly"].name)
"""


def test_the_examples_are_loaded(tmp_path: Path) -> None:
    config = {"output_directory": "out", "markets": ["spot"], "symbols": ["BTCUSDT"],
              "data_types": ["klines"], "date_range": {"start": "2025-07-01"}}  # fmt: skip
    (tmp_path / "lakehouse.yaml").write_text(json.dumps(config))
    texts = [
        block.text
        for block in blocks()
        if block.place.startswith("docs/orchestrators.md") and block.runs_elsewhere
    ]
    assert len(texts) == 4
    ran = subprocess.run(
        [program("orchestrators"), "-c", _DRIVER],
        input=json.dumps([text for text in texts if "airflow" not in text]),
        cwd=tmp_path, env=environment(tmp_path), check=False, text=True, capture_output=True,
    )  # fmt: skip
    daily = "definitions crypto_lakehouse"
    assert ran.stdout.splitlines() == [daily, daily, "nightly"], ran.stderr
