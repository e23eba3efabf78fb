"""Lakes whose rows are exported."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from attrs import evolve
from tests.tables.sample_data import archive_of, bars, days, ingest, put

from crypto_lakehouse.core.archive import Archive, DataType, Market
from crypto_lakehouse.tables import load_schemas
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog

__all__ = ["FIRST", "FUTURES", "add", "future", "make_lake"]

FIRST = date(2023, 12, 30)

#: A year ends within the days of each.
FUTURES = ("klines", "markPriceKlines", "trades")


def future(data_type: str, day: date = FIRST, symbol: str = "BTCUSDT") -> Archive:
    """A day of USD-margined futures, or a month of funding rates."""
    archive = archive_of(load_schemas()[Market.FUTURES_UM, DataType(data_type)], day)
    return evolve(archive, series=evolve(archive.series, symbol=symbol))


def add(root: Path, *archives: Archive) -> None:
    """Ingest archives, one after another, so that each has a data file of its own."""
    catalog = LakeCatalog(root / "lake", create=True)
    for archive in archives:
        ingest(catalog, [put(root, archive)])
    catalog.close()


def make_lake(root: Path) -> None:
    """Make a lake of bars, trades and funding rates."""
    spot = [bars(day, symbol) for symbol in ("BTCUSDT", "ETHUSDT") for day in days(FIRST, 3)]
    catalog = LakeCatalog(root / "lake", create=True)
    ingest(catalog, [put(root, archive) for archive in spot])
    ingest(catalog, [put(root, future(name, day)) for name in FUTURES for day in days(FIRST, 2)])
    ingest(catalog, [put(root, future("fundingRate"))])
    ingest(catalog, [put(root, future("klines", symbol="BTCUSDT_240329"))])
    catalog.close()
