"""SQL over the lake as of a time when some of its tables did not exist yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.tables.sample_data import bars, ingest, month_of, put, text_of

from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.lake.lake import Lake

FIRST = date(2023, 12, 1)
DIFFERENCES = "lakehouse.differences"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """A lake with a day, and later with its month, which has another value in its first row."""
    day = bars(FIRST)
    with Lake(LakeCatalog(tmp_path / "lake", create=True)) as lake:
        ingest(lake.catalog, [put(tmp_path, day)])
        first, *others = text_of(day).splitlines()
        cells = first.split(",")
        cells[5] = "77.25"
        text = "\n".join([",".join(cells), *others]) + "\n"
        ingest(lake.catalog, [put(tmp_path, month_of(day), text)])
        yield lake


def test_a_lake_had_no_differences_before_the_first(lake: Lake) -> None:
    first = lake.snapshots(DIFFERENCES)[0].at
    assert lake.sql("SELECT count(*) FROM lakehouse.differences").fetchall() == [(1,)]
    then = lake.sql("SELECT archive, other_value FROM lakehouse.differences", as_of=first)
    assert then.fetchall() == []
    joined = "SELECT count(*), (SELECT count(*) FROM lakehouse.differences) FROM spot.klines"
    assert lake.sql(joined, as_of=first).fetchall() == [(24, 0)]
    after = first + timedelta(milliseconds=2)
    assert lake.sql(f"FROM {DIFFERENCES}", as_of=after).fetchall() != []


@pytest.mark.parametrize("table", [DIFFERENCES, "lakehouse.archives", "spot.klines"])
def test_a_time_before_the_lake_is_refused(lake: Lake, table: str) -> None:
    with pytest.raises(QueryError, match=rf"{table}.*no snapshot before 2020-01-02"):
        lake.sql(f"FROM {table}", as_of="2020-01-01")


def test_a_table_that_the_query_does_not_name_need_not_have_been_there(lake: Lake) -> None:
    first = lake.snapshots("spot.klines")[0].at
    words = "SELECT count(*) AS klines, 'archives, differences' AS words FROM (VALUES (1))"
    assert lake.sql(words, as_of=first).fetchall() == [(1, "archives, differences")]
