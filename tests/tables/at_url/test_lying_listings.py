"""A listing that names files of other tables deletes none of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tests.services.bucket import Bucket
from tests.services.fault_proxy import Answer, behind_faults
from tests.stores.objects.scene import naming
from tests.stores.objects.short_pages import ShortPages
from tests.tables.at_url.lakes import LakeAtUrl, expected
from tests.tables.sample_data import bars, days, put

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.stores.objects.errors import NotAStore
from crypto_lakehouse.tables.iceberg import orphans
from crypto_lakehouse.tables.iceberg.object_files import LakeObjects
from crypto_lakehouse.tables.lake.maintenance import sweep

ARCHIVES = [bars(day) for day in days(date(2023, 12, 1), 2)]
LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


def keys(lake: LakeAtUrl) -> list[str]:
    return sorted(info.key for info in lake.client.objects(""))


def swept(lake: LakeAtUrl, name: str) -> list[str]:
    catalog = lake.catalog(create=False)
    try:
        return sweep(catalog, name, before=None)
    finally:
        catalog.close()


def test_a_sweep_by_a_listing_that_ignores_its_prefix_deletes_nothing(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        lake = LakeAtUrl.in_bucket(bucket, tmp_path, ministack_bucket.fresh_prefix())
        lake.ingest([put(tmp_path, each) for each in ARCHIVES])
        before = keys(lake)
        others = [key for key in before if not key.startswith("warehouse/lakehouse/archives/")]
        proxy.fault = naming(lake.client, *others)
        with pytest.raises(NotAStore, match="which is not below this folder"):
            swept(lake, "lakehouse.archives")
        proxy.clear()
        assert keys(lake) == before
        assert lake.rows() == expected(ARCHIVES)
        lake.client.put("warehouse/lakehouse/archives/data/left.parquet", b"x")
        assert swept(lake, "lakehouse.archives") == [
            lake.client.place("warehouse/lakehouse/archives/data/left.parquet")
        ]


def test_a_lake_and_its_sweep_do_not_end_at_an_answer_that_is_no_listing(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (proxy, bucket):
        lake = LakeAtUrl.in_bucket(bucket, tmp_path, ministack_bucket.fresh_prefix())
        lake.ingest([put(tmp_path, each) for each in ARCHIVES])
        left = [f"warehouse/spot/klines/data/{name}.parquet" for name in "abcz"]
        for key in left:
            lake.client.put(key, b"x")
        proxy.fault = ShortPages(2, Answer(200, {"Content-Type": "text/html"}, b"<html></html>"))
        assert sorted(swept(lake, "spot.klines")) == [lake.client.place(key) for key in left]
        assert lake.rows("another") == expected(ARCHIVES)


def test_a_sweep_deletes_nothing_outside_the_folder_of_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = LakeAtUrl.in_memory(tmp_path)
    lake.ingest([put(tmp_path, each) for each in ARCHIVES])
    before = keys(lake)

    def everything(self: LakeObjects, _url: str) -> Iterator[tuple[str, datetime]]:
        for info in self.client.objects("warehouse/spot/"):
            yield self.client.place(info.key), LONG_AGO

    monkeypatch.setattr(LakeObjects, "below", everything)
    with pytest.raises(LakeError, match="nothing more is deleted: its listing names `memory://"):
        swept(lake, "lakehouse.archives")
    assert keys(lake) == before


def test_the_folder_of_a_table_whose_name_begins_so_is_another_one(tmp_path: Path) -> None:
    (beside := tmp_path / "klines2").mkdir()
    (tmp_path / "klines").mkdir()
    (beside / "live.parquet").touch()
    listed = [(str(beside / "live.parquet"), LONG_AGO)]
    with pytest.raises(LakeError, match="which is not in it"):
        list(orphans.only_below(str(tmp_path / "klines/"), listed))
    inside = [(str(tmp_path / "klines" / "x"), LONG_AGO)]
    for folder in ("klines", "klines/"):
        assert list(orphans.only_below(f"{tmp_path}/{folder}", inside)) == inside
