"""What is in the output directories that are kept, and what the publisher does next."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from tests.compatibility.conftest import Legacy

from crypto_lakehouse.testing import ArchiveServer

__all__ = ["BARS", "BTC", "ETH", "TICKS", "TRADES", "holds", "republished", "zips_asked_for"]

BTC = "data/spot/daily/klines/BTCUSDT/4h/BTCUSDT-4h-2023-07-{:02}.zip"
ETH = "data/spot/daily/klines/ETHUSDT/4h/ETHUSDT-4h-2023-07-{:02}.zip"
TRADES = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2023-07-01.zip"

#: What was collected, and a day more.
BARS = {"markets": ["spot"], "symbols": ["BTCUSDT", "ETHUSDT"], "data_types": ["klines"],
        "intervals": ["4h"], "partitions": "daily",
        "date_range": {"start": "2023-06-30", "end": "2023-07-07"}}  # fmt: skip
TICKS = {"markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["trades"],
         "default_date": "2023-07-01"}  # fmt: skip


def holds(found: Any, recorded: Any) -> bool:
    """Whether all is said that was said then; records may say more by now."""
    if isinstance(recorded, dict):
        return all(name in found and holds(found[name], recorded[name]) for name in recorded)
    if isinstance(recorded, list):
        return len(found) == len(recorded) and all(map(holds, found, recorded))
    return bool(found == recorded)


def zips_asked_for(server: ArchiveServer) -> list[str]:
    return [each.path for each in server.requests if each.path.endswith(".zip")]


def republished(legacy: Legacy, key: str) -> bytes:
    """Another version of an archive: its first line is gone."""
    with zipfile.ZipFile(io.BytesIO(legacy.published(key))) as archive:
        (member,) = archive.namelist()
        lines = archive.read(member).splitlines(keepends=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(member, (2023, 9, 2, 0, 0, 0)), b"".join(lines[1:]))
    return buffer.getvalue()
