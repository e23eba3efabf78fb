"""A copied lake whose original is gone, and its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.tables.lake.relocating import relocate_all
from tests.tables.sample_data import bars, changed_text, days, ingest, month_of, put

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.lake.maintenance import compact

DAY = date(2023, 7, 1)
KLINES = "spot.klines"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with several snapshots, manifests that were merged, and differences."""
    root = tmp_path_factory.mktemp("made")
    catalog = LakeCatalog(root / "lake", create=True)
    ingest(catalog, [put(root, bars(day)) for day in days(DAY, 3)])
    ingest(catalog, [put(root, month_of(bars(DAY)))])
    ingest(catalog, [put(root, bars(DAY), changed_text(bars(DAY)))])
    ingest(catalog, [put(root, bars(date(2023, 8, 1)))])
    compact(catalog, KLINES, tool_version="test")
    catalog.close()
    return root / "lake"


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """The copy of a lake whose original is gone."""
    shutil.copytree(made, tmp_path / "original")
    catalog = LakeCatalog(tmp_path / "original")
    assert len(relocate_all(tmp_path / "original")) == 3
    catalog.close()
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    shutil.rmtree(tmp_path / "original")
    return tmp_path / "copy"


def contents(root: Path) -> dict[str, bytes]:
    """All files below a folder, by their paths."""
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def change_json(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Change all versions of the metadata of a table, in their folder."""

    def changing(metadata: Path) -> None:
        for path in metadata.glob("*.metadata.json"):
            plain = json.loads(path.read_text())
            change(plain)
            path.write_text(json.dumps(plain))

    return changing
