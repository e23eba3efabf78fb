"""The directory in which a user has worked before, and examples run."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tests.documentation.collector import ROOT

from crypto_lakehouse import run_collection
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig

__all__ = ["CONFIG", "make_world"]

#: What the directory `data` of the examples has.
COLLECTED = (
    {"markets": "spot", "symbols": ["BTCUSDT", "ETHUSDT"], "data_types": "klines",
     "intervals": ["1m", "1h", "1d"], "default_date": "2025-07-15"},
    {"markets": "spot", "symbols": "BTCUSDT", "data_types": "klines", "intervals": "1m",
     "partitions": "monthly", "date_range": {"start": "2024-01-01", "end": "2024-01-31"}},
    {"markets": "spot", "symbols": "BTCUSDT", "data_types": ["trades", "aggTrades"],
     "default_date": "2025-07-15"},
    {"markets": "futures_um", "symbols": "BTCUSDT", "default_date": "2025-07-15",
     "data_types": ["trades", "metrics", "bookDepth"]},
    {"markets": "futures_um", "symbols": ["BTCUSDT", "ETHUSDT"], "default_date": "2025-07-15",
     "data_types": "klines", "intervals": "1h"},
    {"markets": "futures_um", "symbols": ["BTCUSDT", "ETHUSDT"], "data_types": "fundingRate",
     "partitions": "monthly", "date_range": {"start": "2025-07-01", "end": "2025-07-31"}},
)  # fmt: skip

COLLECTION = """symbols: [BTCUSDT]
markets: [spot]
data_types: [klines]
intervals: [1h]
default_date: 2025-07-15
output_directory: data
environments:
  production: {processes: 1}
"""

PIPELINES = """symbols: [BTCUSDT]
markets: [spot]
data_types: [klines]
intervals: [1h]
default_date: 2025-07-15
output_directory: output
discovery: calendar
source_url: {url}
pipelines:
  nightly: {{steps: {{collect: {{}}, ingest: {{needs: collect}}}}}}
"""

TENANTS = """markets: [spot]
data_types: [klines]
intervals: [1h]
default_date: 2025-07-15
discovery: calendar
source_url: {url}
tenants:
  desk-a: {{symbols: [BTCUSDT], output_directory: desk-a}}
  desk-b: {{symbols: [ETHUSDT], output_directory: desk-b}}
"""

SCHEDULES = """symbols: [BTCUSDT]
markets: [spot]
data_types: [klines]
intervals: [1h]
date_range: {start: 7d}
output_directory: output
pipelines:
  nightly: {schedule: 15 3 * * *, steps: {collect: {}}}
"""

COLLECTION_TOML = """symbols = ["BTCUSDT"]
markets = ["spot"]
data_types = ["trades"]
default_date = 2025-07-15
output_directory = "output"
"""


#: In the place of `{...}` in a block of Python.
CONFIG = {
    "output_directory": "data", "markets": ["spot"], "symbols": ["BTCUSDT"],
    "data_types": ["trades"], "default_date": "2025-07-15",
}  # fmt: skip

MATRICES = ("my-matrix", "yesterday", "today", "old", "new", "binance-2026-11-01",
            "binance-2026-12-01")  # fmt: skip


def make_world(folder: Path, source_url: str) -> None:
    """Collect and ingest some archives, and write the files that examples name."""
    data = folder / "data"
    for selected in COLLECTED:
        config = {**selected, "output_directory": str(data), "source_url": source_url}
        report = asyncio.run(run_collection({**config, "discovery": "calendar"}))
        assert report.success_rate == 100, report
    IngestWorkflow(LakeConfig(output_directory=str(data))).execute()
    (folder / "collection.yaml").write_text(COLLECTION)
    (folder / "collection.toml").write_text(COLLECTION_TOML)
    (folder / "pipelines.yaml").write_text(PIPELINES.format(url=source_url))
    (folder / "tenants.yaml").write_text(TENANTS.format(url=source_url))
    (folder / "schedules.yaml").write_text(SCHEDULES)
    (folder / "bars.sql").write_text("SELECT * FROM spot.klines WHERE interval = '1h'")
    for name in MATRICES:
        shutil.copy(ROOT / "matrix" / "binance.json", folder / f"{name}.json")
