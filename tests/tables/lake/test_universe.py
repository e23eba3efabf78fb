"""The symbols of a day are those that have rows on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from tests.tables.sample_data import archive_of, bars, ingest, put

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.schema.schemas import schema_for

FIRST = date(2023, 12, 30)
#: On which days after the first one each symbol has bars, over the end of a year.
LIVES = {"BTCUSDT": (0, 1, 2, 3), "LUNAUSDT": (0, 1), "NEWUSDT": (2, 3), "ONCEUSDT": (1, 3)}
METRICS = schema_for(Market.FUTURES_UM, DataType.METRICS)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    root = tmp_path_factory.mktemp("universes")
    archives = [
        bars(FIRST + timedelta(days=day), symbol, "1d" if symbol == "NEWUSDT" else "4h")
        for symbol, days in LIVES.items()
        for day in days
    ]
    archives.append(archive_of(METRICS, FIRST))
    catalog = LakeCatalog(root / "lake", create=True)
    ingest(catalog, [put(root, archive) for archive in archives])
    catalog.close()
    with Lake.open(root / "lake") as opened:
        yield opened


def test_each_day_has_the_symbols_that_have_rows_on_it(lake: Lake) -> None:
    wanted = [
        (FIRST + timedelta(days=day), "spot", "klines", symbol)
        for day in range(4)
        for symbol, days in LIVES.items()
        if day in days
    ]
    last = FIRST + timedelta(days=3)
    assert lake.universe(FIRST, last).rows() == wanted
    assert lake.universe(str(FIRST), "2025-01-01").rows() == wanted
    for day in range(4):
        when = FIRST + timedelta(days=day)
        assert lake.universe(when).rows() == [each for each in wanted if each[0] == when]
    of_days = lake.universe(FIRST, last, tables=["spot.klines"], interval="1d")
    assert set(of_days["symbol"]) == {"NEWUSDT"}
    twice = ["spot.klines", "SPOT.klines", "spot.klines"]
    assert lake.universe("2023-12-30", "9999-12-31", tables=twice).rows() == wanted
    of_both = lake.universe(FIRST, tables=("spot.klines", "futures_um.metrics"))
    assert of_both.rows() == [
        (FIRST, "futures_um", "metrics", "BTCUSDT"), *(row for row in wanted if row[0] == FIRST)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"start": "2023-02-29"}, "`2023-02-29` is not a day"),
        ({"start": datetime(2023, 12, 30)}, "is a time; give a day, as 2024-01-31"),  # noqa: DTZ001
        ({"start": "2023-12-30T12:00"}, "is a time; give a day"),
        ({"start": FIRST, "end": "2023-12-29"}, "the last day 2023-12-29 is before the first day"),
        ({"start": "2010-01-01"}, "no symbol has rows on 2010-01-01 in spot.klines; choose other"),
        ({"start": FIRST, "tables": []}, "no table is named; name some"),
        ({"start": FIRST, "tables": "spot.kline"}, r"no table `spot.kline` \(did you mean `spot"),
        ({"start": FIRST, "interval": "1w"}, "no rows of interval `1w`; it has 4h, 1d"),
    ],
)  # fmt: skip
def test_what_has_no_universe_is_named(lake: Lake, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError, match=words):
        lake.universe(**asked)
