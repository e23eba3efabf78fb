"""What a lake has: its rows, its files and its differences."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.lake.lake import Lake

TABLE = "spot.klines"


def rows(catalog: LakeCatalog, as_of: datetime | None = None) -> list[tuple[Any, ...]]:
    scan = Lake(catalog).scan(TABLE, columns=["archive", "open_time", "volume"], as_of=as_of)
    return sorted(scan.polars().collect().iter_rows())


def files(catalog: LakeCatalog) -> list[Any]:
    return list(Lake(catalog).data_files(TABLE)[1])


def differences(lake: Lake) -> set[tuple[str, str, datetime]]:
    if "lakehouse.differences" not in lake.tables:
        return set()
    found = lake.sql(
        "SELECT archive, other_archive, key FROM lakehouse.differences WHERE \"column\" = 'volume'"
    ).fetchall()
    assert len(found) == len(set(found))
    return {
        (archive, other, datetime.fromisoformat(json.loads(key)["open_time"]))
        for archive, other, key in found
    }
