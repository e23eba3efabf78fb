"""What the examples find: a source, and a directory in which a user has worked before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.documentation.collector import ROOT

from crypto_lakehouse import run_collection
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig

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
)  # fmt: skip

COLLECTION = """symbols: [BTCUSDT]
markets: [spot]
data_types: [klines]
intervals: [1h]
default_date: 2025-07-15
output_directory: output
environments:
  production: {processes: 1}
"""

COLLECTION_TOML = """symbols = ["BTCUSDT"]
markets = ["spot"]
data_types = ["trades"]
default_date = 2025-07-15
output_directory = "output"
"""


@pytest.fixture(scope="session")
def source() -> Iterator[ArchiveServer]:
    """The publisher."""
    with ArchiveServer() as server:
        yield server


@pytest.fixture(scope="session")
def before(source: ArchiveServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory, made once for each process that runs tests."""
    folder = tmp_path_factory.mktemp("before")
    data = folder / "data"
    import asyncio

    for selected in COLLECTED:
        config = {**selected, "output_directory": str(data), "source_url": source.url}
        report = asyncio.run(run_collection({**config, "discovery": "calendar"}))
        assert report.success_rate == 100, report
    IngestWorkflow(LakeConfig(output_directory=str(data))).execute()
    (folder / "collection.yaml").write_text(COLLECTION)
    (folder / "collection.toml").write_text(COLLECTION_TOML)
    (folder / "bars.sql").write_text("SELECT * FROM spot.klines WHERE interval = '1h'")
    matrices = ("my-matrix", "yesterday", "today", "old", "new", "binance-2026-11-01",
                "binance-2026-12-01")  # fmt: skip
    for name in matrices:
        shutil.copy(ROOT / "matrix" / "binance.json", folder / f"{name}.json")
    return folder


@pytest.fixture
def world(
    before: Path, source: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the directory, in which the example runs; collections use the made-up source."""
    folder = tmp_path / "world"
    shutil.copytree(before, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_SOURCE_URL", source.url)
    monkeypatch.setenv("NO_COLOR", "1")
    binaries = tmp_path / "bin"
    binaries.mkdir()
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")
    return folder
