"""A lake whose catalog or records are gone: no second one begins in its place."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from tests.tables.at_url.lakes import LakeAtUrl, expected
from tests.tables.sample_data import bars, ingest, put

from crypto_lakehouse.core.errors import LakeError, NoLakeError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.table_records import RECORDS, TableRecords

FIRST = date(2023, 12, 1)
LOST = r"has metadata of tables \(`warehouse/.*/metadata/0*[1-9]\d*-.*\.metadata\.json`\)"


@pytest.fixture
def lake(tmp_path: Path) -> LakeAtUrl:
    made = LakeAtUrl.in_memory(tmp_path)
    made.ingest([put(tmp_path, bars(FIRST))])
    return made


def keys(lake: LakeAtUrl) -> set[str]:
    return {info.key for info in lake.client.objects("")}


@pytest.mark.parametrize("machine", ["here", "other"])
def test_no_lake_begins_at_a_url_whose_records_are_gone(lake: LakeAtUrl, machine: str) -> None:
    lake.client.delete(*[info.key for info in lake.client.objects(RECORDS)])
    before = keys(lake)
    for create in (True, False):
        with pytest.raises(NoLakeError, match=rf"{LOST}.* in `\.lakehouse/tables/` are gone"):
            lake.catalog(machine, create=create)
    assert keys(lake) == before


def test_a_table_whose_record_alone_is_gone_is_not_created_again(
    lake: LakeAtUrl, tmp_path: Path
) -> None:
    lake.client.delete(f"{RECORDS}spot.klines.json")
    before = keys(lake)
    with pytest.raises(LakeError, match=r"spot\.klines\.json`.* is gone, and its metadata is the"):
        lake.ingest([put(tmp_path, bars(date(2023, 12, 2)))], "other")
    assert keys(lake) == before


def test_a_first_ingestion_that_was_killed_before_its_record_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_given: object) -> bool:
        raise KeyboardInterrupt

    lake, source = LakeAtUrl.in_memory(tmp_path), put(tmp_path, bars(FIRST))
    with monkeypatch.context() as patch:
        patch.setattr(TableRecords, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            lake.ingest([source])
    assert any(key.endswith(".metadata.json") for key in keys(lake))
    lake.ingest([source], "other")
    assert lake.rows() == expected([source.archive])


def test_no_lake_begins_in_a_directory_whose_catalog_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    catalog = LakeCatalog(root, create=True)
    ingest(catalog, [put(tmp_path, bars(FIRST))])
    catalog.close()
    (root / "catalog.db").unlink()
    for create in (True, False):
        with pytest.raises(NoLakeError, match=rf"{LOST}.*: `catalog\.db` is gone; restore"):
            LakeCatalog(root, create=create)
    assert not (root / "catalog.db").exists()
    shutil.rmtree(root / "warehouse")
    LakeCatalog(root, create=True).close()
