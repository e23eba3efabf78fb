"""The records of a lake's tables in its store, and what happens if they are not as they were."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from tests.tables.at_url.lakes import LakeAtUrl, expected
from tests.tables.sample_data import bars, days, put

from crypto_lakehouse.core.errors import LakeError, NoLakeError
from crypto_lakehouse.tables.iceberg import object_io
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT
from crypto_lakehouse.tables.iceberg.object_files import LakeObjects
from crypto_lakehouse.tables.iceberg.table_records import TableRecords

FIRST = date(2023, 12, 1)
RECORD = ".lakehouse/tables/spot.klines.json"


@pytest.fixture
def lake(tmp_path: Path) -> LakeAtUrl:
    made = LakeAtUrl.in_memory(tmp_path)
    made.ingest([put(tmp_path, bars(FIRST))])
    return made


def record_of(lake: LakeAtUrl) -> dict[str, str | None]:
    found: dict[str, str | None] = json.loads(lake.client.read(RECORD) or b"")
    return found


def test_a_url_without_a_lake_is_refused_for_reading(tmp_path: Path) -> None:
    with pytest.raises(NoLakeError, match=r"`memory://bucket/lake` has no lake; .* creates one"):
        LakeAtUrl.in_memory(tmp_path).catalog(create=False)
    assert not list(tmp_path.iterdir())


def test_the_database_follows_the_record(lake: LakeAtUrl, tmp_path: Path) -> None:
    archives = [bars(day) for day in days(FIRST, 3)]
    lake.ingest([put(tmp_path, archives[1])], "other")
    assert lake.rows("here") == expected(archives[:2])
    lake.ingest([put(tmp_path, archives[2])], "here")
    assert lake.rows("other") == expected(archives)
    catalog = lake.catalog("here")
    now = catalog.locations("spot.klines")
    assert now == (record_of(lake)["metadata"], record_of(lake)["previous"])


def test_a_version_that_the_record_does_not_name_is_not_committed(
    lake: LakeAtUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_given: object) -> bool:
        raise KeyboardInterrupt

    source = put(tmp_path, bars(date(2023, 12, 2)))
    with monkeypatch.context() as patch:
        patch.setattr(TableRecords, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            lake.ingest([source])
    assert lake.rows() == expected([bars(FIRST)])
    lake.ingest([source])
    assert lake.rows() == expected([bars(FIRST), source.archive])


@pytest.mark.parametrize("text", ["", "[]", '{"metadata": 1, "previous": null}', "\x00"])
def test_a_damaged_record_is_an_error(lake: LakeAtUrl, text: str) -> None:
    lake.client.put(RECORD, text.encode())
    with pytest.raises(LakeError, match=r"spot\.klines\.json` does not say which metadata"):
        lake.rows("other")


def test_a_record_that_is_gone_is_an_error_where_the_table_is_known(
    lake: LakeAtUrl, tmp_path: Path
) -> None:
    lake.client.delete(RECORD)
    for _ in range(2):
        with pytest.raises(LakeError, match=r"which says .* is gone; restore that object") as found:
            lake.ingest([put(tmp_path, bars(date(2023, 12, 2)))])
    with pytest.raises(LakeError, match="is gone"):
        lake.catalog().names()
    assert f"remove `{tmp_path / 'here' / 'catalog.db'}`, too" in str(found.value)


@pytest.mark.parametrize(
    "place",
    [
        "memory://bucket/lake/.lakehouse/tables/spot.klines.json",
        "memory://bucket/lake/warehouse/../.lakehouse/x.metadata.json",
        "memory://bucket/lake/warehouse//x.metadata.json",
        "memory://bucket/lake/warehouse/./x.metadata.json",
        "file:///etc/passwd",
        "s3://other/key",
    ],
)
def test_a_record_that_leads_out_of_the_lake_is_refused(lake: LakeAtUrl, place: str) -> None:
    lake.client.put(RECORD, json.dumps({**record_of(lake), "metadata": place}).encode())
    with pytest.raises(LakeError, match=r"is not in the lake and is not read|is not an object of"):
        lake.rows("other")


@pytest.mark.parametrize("name", ["../spot.klines", "spot.klines/x", "spot.k lines", "klines"])
def test_a_name_that_no_table_has_is_not_looked_for(lake: LakeAtUrl, name: str) -> None:
    assert lake.catalog().find(name) is None


def test_a_copy_of_a_lake_reads_its_own_files(lake: LakeAtUrl, tmp_path: Path) -> None:
    copy = LakeAtUrl.in_memory(tmp_path / "copy")
    for info in lake.client.objects(""):
        copy.client.put(info.key, lake.client.read(info.key) or b"")
    lake.client.delete(*(info.key for info in lake.client.objects("warehouse/")))
    assert copy.rows() == expected([bars(FIRST)])


@pytest.mark.parametrize("url", ["memory://bucket/lake", "memory://bucket/lake/.lakehouse/x", "x"])
def test_only_objects_of_tables_are_used(lake: LakeAtUrl, url: str) -> None:
    with pytest.raises(LakeError, match="is not an object of its tables"):
        LakeObjects(lake.client).key(url)


def test_properties_that_decide_about_file_access_are_refused(lake: LakeAtUrl) -> None:
    catalog = lake.catalog()
    table = catalog.find("spot.klines")
    assert table is not None
    with table.transaction() as change:
        change.set_properties({"s3.endpoint": "http://elsewhere"})
    with pytest.raises(LakeError, match=r"not accepted.*s3\.endpoint"):
        catalog.find("spot.klines")


def test_no_secret_is_in_the_properties_of_a_table(lake: LakeAtUrl) -> None:
    table = lake.catalog().find("spot.klines")
    assert table is not None
    assert table.io.properties[LAKE_ROOT] == "memory://bucket/lake"
    assert "MemoryStore" not in repr(table.io.properties)


def test_a_large_file_is_uploaded_in_parts_and_an_unfinished_one_is_none(
    lake: LakeAtUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_io, "PART_BYTES", 1000)
    lake.ingest([put(tmp_path, bars(date(2023, 12, 2)))])
    assert lake.rows() == expected([bars(FIRST), bars(date(2023, 12, 2))])
    table = lake.catalog().find("spot.klines")
    assert table is not None
    place = f"{table.location()}/data/x.parquet"
    with suppress(KeyboardInterrupt), table.io.new_output(place).create() as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert not table.io.new_input(place).exists()
    assert lake.orphans() == set()


def test_a_version_on_which_another_one_was_made_is_recorded(tmp_path: Path) -> None:
    """Its writer may have lost the answer, and asks again."""
    records = TableRecords(LakeAtUrl.in_memory(tmp_path).client)
    assert records.write("spot.klines", "first", None)
    first = records.read("spot.klines")
    assert records.write("spot.klines", "second", first)
    assert records.write("spot.klines", "third", records.read("spot.klines"))
    assert records.write("spot.klines", "second", first)
    assert not records.write("spot.klines", "other", first)
