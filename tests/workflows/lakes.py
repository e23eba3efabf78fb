"""Trees of archives, and what is made of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from tests.tables.sample_data import bars, days, put

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.lake_report import IngestReport

FIRST = date(2023, 7, 1)

#: Rows that new versions changed, and rows on which archives differ.
ROWS = {"rows_added": 0, "rows_changed": 0, "rows_removed": 0, "rows_differing": 0}


def tree(root: Path, count: int = 3, symbol: str = "BTCUSDT") -> list[Archive]:
    """Days of hourly bars with their sidecars, as in a mirror of the archive."""
    archives = [bars(day, symbol) for day in days(FIRST, count)]
    for archive in archives:
        put(root, archive)
    return archives


async def ingested(root: Path, **config: Any) -> IngestReport:
    """Ingest a tree; the report."""
    workflow = IngestWorkflow(LakeConfig(output_directory=str(root), **config))
    report = (await workflow.run()).report
    assert isinstance(report, IngestReport)
    return report


def row_count(root: Path, table: str = "spot.klines") -> int:
    """Rows of a table of the tree's lake."""
    with Lake.open(root) as lake:
        return lake.scan(table, columns=["symbol"]).polars().collect().height
