"""A lake whose rows are exported."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from attrs import evolve
from tests.tables.sample_data import archive_of, bars, days, ingest, put

from crypto_lakehouse.core.archive import Archive, DataType, Market
from crypto_lakehouse.tables import Lake, load_schemas
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog

FIRST = date(2023, 12, 30)

#: A year ends within the four days of each.
FUTURES = ("klines", "markPriceKlines", "fundingRate", "trades")


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


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exported")
    spot = [bars(day, symbol) for symbol in ("BTCUSDT", "ETHUSDT") for day in days(FIRST, 3)]
    catalog = LakeCatalog(root / "lake", create=True)
    ingest(catalog, [put(root, archive) for archive in spot])
    ingest(catalog, [put(root, future(name, day)) for name in FUTURES for day in days(FIRST, 2)])
    ingest(catalog, [put(root, future("klines", symbol="BTCUSDT_240329"))])
    catalog.close()
    return root


@pytest.fixture
def root(_made: Path, tmp_path: Path) -> Path:
    """A copy of an output with a lake, to be changed."""
    return Path(shutil.copytree(_made, tmp_path / "root"))


@pytest.fixture
def lake(_made: Path) -> Iterator[Lake]:
    """The lake, to be read."""
    with Lake.open(_made / "lake") as opened:
        yield opened
