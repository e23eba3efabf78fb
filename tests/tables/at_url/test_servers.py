"""A lake at a URL, in each kind of object store."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.services.bucket import Bucket
from tests.tables.at_url.lakes import LakeAtUrl, expected
from tests.tables.sample_data import bars, changed_text, days, put

from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import compact, expire, sweep
from crypto_lakehouse.tables.lake.verification import verify_tables

FIRST = date(2023, 12, 1)
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(params=["ministack", "rclone", "azurite", "gcs"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    found: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    found.give_credentials(monkeypatch)
    return found


def test_a_lake_is_written_read_and_maintained(bucket: Bucket, tmp_path: Path) -> None:
    lake = LakeAtUrl.in_bucket(bucket, tmp_path)
    archives = [bars(day) for day in days(FIRST, 3)]
    for archive in archives:
        lake.ingest([put(tmp_path, archive)])
    assert lake.rows() == expected(archives)
    changed = put(tmp_path, archives[0], changed_text(archives[0]))
    (told,) = lake.ingest([changed, *(put(tmp_path, each) for each in archives[1:])])
    assert (told.archive, told.replaced, told.changes.changed) == (archives[0], 1, 24)
    catalog = lake.catalog()
    assert [each.is_whole for each in verify_tables(catalog, catalog.names())] == [True, True]
    done = compact(catalog, "spot.klines", tool_version="test")
    assert (done.files_before, done.files_after) == (3, 1)
    assert expire(catalog, "spot.klines", before=LATER) == 4
    deleted = [each for name in catalog.names() for each in sweep(catalog, name, before=LATER)]
    assert len([each for each in deleted if each.endswith(".parquet")]) == 4
    assert {each.startswith(f"{lake.client.url}/warehouse/") for each in deleted} == {True}
    assert lake.rows() == expected(archives)
    assert lake.orphans() == set()
    with Lake(catalog) as opened:
        found = opened.sql(
            "SELECT count(*), min(volume), max(volume) FROM spot.klines WHERE volume = 7"
        )
        assert found.fetchall() == [(24, 7.0, 7.0)]


def test_a_new_local_folder_goes_on_with_the_tables(bucket: Bucket, tmp_path: Path) -> None:
    lake = LakeAtUrl.in_bucket(bucket, tmp_path)
    archives = [bars(day) for day in days(FIRST, 3)]
    lake.ingest([put(tmp_path, each) for each in archives[:2]])
    assert lake.rows("other") == expected(archives[:2])
    told = lake.ingest([put(tmp_path, each) for each in archives], "third")
    assert [each.archive for each in told] == archives[2:]
    assert lake.rows("here") == lake.rows("fourth") == expected(archives)


@pytest.mark.timeout(120)
def test_many_files_are_read_by_threads_that_do_not_wait_for_each_other(tmp_path: Path) -> None:
    lake = LakeAtUrl.in_memory(tmp_path)
    archives = [bars(FIRST, f"S{number}USDT") for number in range(12)]
    lake.ingest([put(tmp_path, each) for each in archives])
    with Lake(lake.catalog()) as opened:
        scan = opened.scan("spot.klines", columns=["symbol", "close"])
        for _ in range(10):
            query = "SELECT count(DISTINCT (symbol, open_time)) FROM spot.klines"
            assert opened.sql(query).fetchall() == [(12 * 24,)]
            assert scan.arrow().read_all().num_rows == scan.polars().collect().height == 12 * 24
            assert scan.duckdb().aggregate("count(*)").fetchall() == [(12 * 24,)]
