"""The examples of the documentation run unchanged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import crypto_lakehouse
from crypto_lakehouse import run_collection
from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows import ArchiveCollectionWorkflow

MATRIX = Path(__file__).parents[2] / "matrix" / "binance.json"

CONFIG_DATA: dict[str, Any] = {
    "workflow_type": "archive_collection",
    "matrix_path": "matrix.json",
    "output_directory": "production-data",
    "markets": ["spot", "futures_um"],
    "symbols": ["BTCUSDT", "ETHUSDT", "BNBUSDT"],
    "data_types": ["klines", "trades", "fundingRate"],
    "date_range": {"start": "2025-07-01", "end": "2025-07-15"},
    "max_parallel_downloads": 8,
    "download_checksum": True,
    "timeout_seconds": 300,
}


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's directory with a matrix file where the examples expect it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "path" / "to").mkdir(parents=True)
    shutil.copy(MATRIX, tmp_path / "path" / "to" / "matrix.json")
    shutil.copy(MATRIX, tmp_path / "matrix.json")


def test_the_synchronous_example(
    archive_server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_SOURCE_URL", archive_server.url)
    config = WorkflowConfig(
        {
            "workflow_type": "archive_collection",
            "matrix_path": "path/to/matrix.json",
            "output_directory": "output",
            "markets": ["spot"],
            "symbols": ["BTCUSDT"],
            "data_types": ["klines"],
            "default_date": "2025-07-15",
        }
    )
    metrics = ArchiveCollectionWorkflow(config).execute()
    assert metrics.results["success_rate"] == 100.0
    assert metrics.results["totals"]["verified"] == 16, "13 days, and 3 months: 3d, 1w, 1mo"


async def test_the_production_example(archive_server: ArchiveServer) -> None:
    small = {**CONFIG_DATA, "intervals": ["12h", "1d"]}
    report = await run_collection({**small, "source_url": archive_server.url})
    assert report.status == "complete"
    # 3 symbols x 15 days x (2 intervals + trades) in 2 markets, and 3 months of funding
    assert report.totals["verified"] == 3 * 15 * 3 * 2 + 3


def test_the_production_configuration_plans_unchanged(archive_server: ArchiveServer) -> None:
    config = WorkflowConfig(CONFIG_DATA)
    assert config.max_parallel_downloads == 8


@pytest.mark.parametrize("ending", ["json", "toml", "yaml"])
async def test_a_configuration_file_is_a_configuration(
    archive_server: ArchiveServer, ending: str
) -> None:
    texts = {
        "json": json.dumps(
            {"output_directory": "o", "symbols": ["BTCUSDT"], "data_types": ["trades"],
             "markets": ["spot"], "default_date": "2025-07-15", "source_url": archive_server.url}
        ),
        "toml": 'output_directory = "o"\nsymbols = ["BTCUSDT"]\ndata_types = ["trades"]\n'
        f'markets = ["spot"]\ndefault_date = 2025-07-15\nsource_url = "{archive_server.url}"\n',
        "yaml": "output_directory: o\nsymbols: [BTCUSDT]\ndata_types: trades\nmarkets: spot\n"
        f"default_date: 2025-07-15\nsource_url: {archive_server.url}\n",
    }  # fmt: skip
    path = Path(f"collection.{ending}")
    path.write_text(texts[ending], encoding="utf-8")
    report = await run_collection(path)
    assert report.totals["verified"] == 1


async def test_a_configuration_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml.*cannot be read"):
        await run_collection("absent.yaml")
    Path("latin.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigurationError, match=r"latin\.yaml.*cannot be read"):
        await run_collection("latin.yaml")
    with pytest.raises(ConfigurationError, match="the name of the file is empty"):
        await run_collection("")


def test_the_public_names_are_there() -> None:
    for name in crypto_lakehouse.__all__:
        assert getattr(crypto_lakehouse, name) is not None
    assert set(crypto_lakehouse.__all__) <= set(dir(crypto_lakehouse))
    with pytest.raises(AttributeError, match="no attribute"):
        crypto_lakehouse.absent  # noqa: B018
