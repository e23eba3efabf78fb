"""A configuration file with pipelines, in which the source is a server of the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crypto_lakehouse.testing import ArchiveServer

__all__ = ["change", "pipeline_file"]


def pipeline_file(folder: Path, source: ArchiveServer, **pipelines: Any) -> Path:
    """Write a file that selects one archive, with these pipelines; return its path."""
    values = {
        "output_directory": "out", "source_url": source.url, "discovery": "calendar",
        "markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"],
        "intervals": ["1h"], "default_date": "2025-07-15", "max_retries": 0,
    }  # fmt: skip
    file = folder / "world.json"
    file.write_text(json.dumps(values))
    change(file, **pipelines)
    return file


def change(file: Path, **pipelines: Any) -> None:
    """Give a file other pipelines."""
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pipelines": pipelines}))
