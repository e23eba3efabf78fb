"""A lake at a URL that was copied from another URL: its metadata is made to name its own files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.tables.at_url.lakes import LakeAtUrl
from tests.tables.at_url.relocated import (
    KLINES,
    LATER,
    ROWS,
    at,
    contents,
    copy_objects,
    make,
    naming,
    versions,
)
from tests.tables.sample_data import bars, put

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.stored_catalog import StoredCatalog
from crypto_lakehouse.tables.iceberg.table_records import TableRecords
from crypto_lakehouse.tables.ingest.publish import Publication
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.lake_files import ObjectFiles
from crypto_lakehouse.tables.lake.maintenance import compact, expire, sweep
from crypto_lakehouse.tables.lake.relocation import Relocated, made_in, relocate
from crypto_lakehouse.tables.lake.verification import verify_tables

OLD, NEW = "s3://made/lake", "s3://new/lake"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LakeAtUrl:
    folder = tmp_path_factory.mktemp("made")
    lake = at(OLD, folder)
    make(lake, folder)
    return lake


@pytest.fixture
def copy(made: LakeAtUrl, tmp_path: Path) -> LakeAtUrl:
    lake = at(NEW, tmp_path)
    copy_objects(made.client, lake.client)
    return lake


def relocate_all(
    lake: LakeAtUrl, machine: str = "here", *, dry_run: bool = False
) -> list[Relocated]:
    catalog = lake.catalog(machine, create=False)
    try:
        return relocate(catalog, catalog.names(), dry_run=dry_run)
    finally:
        catalog.close()


def test_every_version_of_the_copy_names_its_own_objects(made: LakeAtUrl, copy: LakeAtUrl) -> None:
    before = contents(made.client)
    planned = relocate_all(copy, dry_run=True)
    assert contents(copy.client) == before
    done = relocate_all(copy)
    assert done == planned
    assert [(each.table, each.made_in) for each in done] == [
        ("lakehouse.archives", OLD), ("lakehouse.differences", OLD), (KLINES, OLD)
    ]  # fmt: skip
    assert contents(made.client) == before
    after = contents(copy.client)
    assert (naming(after, OLD), len(naming(before, OLD)) > 20) == ([], True)
    data = {key for key in before if key.endswith(".parquet")}
    assert data == {key for key in after if key.endswith(".parquet")}
    assert all(after[key] == before[key] for key in data)
    assert versions(copy, "another") == versions(made)
    assert relocate_all(copy) == []
    assert contents(copy.client) == after


def test_a_relocated_lake_goes_on(copy: LakeAtUrl, tmp_path: Path) -> None:
    relocate_all(copy)
    assert copy.orphans() == set()
    catalog = copy.catalog()
    assert [made_in(catalog, name) for name in catalog.names()] == [None] * 3
    copy.ingest([put(tmp_path, bars(LATER))], "another")
    assert all(each.is_whole for each in verify_tables(catalog, catalog.names()))
    compact(catalog, KLINES, tool_version="test")
    assert expire(catalog, KLINES, before=datetime.now(UTC)) > 0
    sweep(catalog, KLINES, before=datetime.now(UTC) + timedelta(days=1))
    assert Lake(catalog).scan(KLINES).polars().collect().height == ROWS + 24
    catalog.close()
    assert naming(contents(copy.client), OLD) == []


@pytest.mark.parametrize("is_cut", [False, True])
def test_nothing_is_relocated_if_data_files_were_not_copied(copy: LakeAtUrl, is_cut: bool) -> None:
    keys = [each.key for each in copy.client.objects("warehouse/") if each.key.endswith("parquet")]
    lost = next(key for key in keys if "/klines/" in key)
    if is_cut:
        copy.client.put(lost, b"PAR1")
    else:
        copy.client.delete(lost)
    before = contents(copy.client)
    fault = "has 4 bytes instead of " if is_cut else "is absent"
    for dry_run in (True, False):
        with pytest.raises(LakeError, match=f"`{NEW}/{lost}` {fault}.*1 data file"):
            relocate_all(copy, dry_run=dry_run)
    assert contents(copy.client) == before


def test_metadata_that_was_not_copied_is_named(copy: LakeAtUrl) -> None:
    (gone, *_) = (each.key for each in copy.client.objects("warehouse/") if "snap-" in each.key)
    copy.client.delete(gone)
    before = contents(copy.client)
    with pytest.raises(LakeError, match=f"`{NEW}/{gone}` is not there; copy the lake again"):
        relocate_all(copy)
    assert contents(copy.client) == before


def test_a_commit_of_another_machine_is_not_overwritten(
    copy: LakeAtUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = ObjectFiles.sync

    def late(self: ObjectFiles, paths: list[str]) -> None:
        monkeypatch.undo()
        sync(self, paths)
        copy.ingest([put(tmp_path, bars(LATER))], "another")

    monkeypatch.setattr(ObjectFiles, "sync", late)
    with pytest.raises(LakeError, match=r"has changed `lakehouse\.archives`; run it again"):
        relocate_all(copy)
    assert len(relocate_all(copy)) == 3
    assert (bars(LATER).key, 24) in copy.rows()
    assert naming(contents(copy.client), OLD) == []


@pytest.mark.parametrize(
    ("place", "method", "table", "is_refused"),
    [
        (Publication, "make", "", True),
        (StoredCatalog, "commit_table", KLINES, True),
        (TableRecords, "write", KLINES, True),
        (StoredCatalog, "commit_table", "lakehouse.archives", False),
        (TableRecords, "write", "lakehouse.archives", False),
    ],
)
def test_an_ingestion_that_a_relocation_overtakes_names_no_other_lake(
    copy: LakeAtUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: type, method: str,
    table: str, *, is_refused: bool
) -> None:  # fmt: skip
    original = getattr(place, method)

    def late(self: object, given: Any, *more: Any) -> Any:
        named = given if isinstance(given, str) else ".".join(given.name()) if table else ""
        if named == table:
            monkeypatch.undo()
            assert len(relocate_all(copy, "another")) == 3
        return original(self, given, *more)

    monkeypatch.setattr(place, method, late)
    sources = [put(tmp_path, bars(LATER))]
    if is_refused:
        with pytest.raises(LakeError, match=r"was relocated while .* run the command|no object"):
            copy.ingest(sources)
    else:
        assert [each.rows for each in copy.ingest(sources)] == [24]
    assert used_of_old(copy) == set()
    assert [each.rows for each in copy.ingest(sources)] == ([24] if is_refused else [])
    catalog = copy.catalog()
    assert all(each.is_whole for each in verify_tables(catalog, catalog.names()))
    catalog.close()
    assert (bars(LATER).key, 24) in copy.rows()
    assert used_of_old(copy) == set()


def used_of_old(lake: LakeAtUrl) -> set[str]:
    """The files of metadata that name the other lake, and that a table uses."""
    return {lake.client.place(key) for key in naming(contents(lake.client), OLD)} - lake.orphans()


def test_a_store_that_refuses_the_record_leaves_the_lake_as_it_was(
    copy: LakeAtUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, first = contents(copy.client), "lakehouse.archives"
    record = TableRecords(copy.client).read(first)
    assert record is not None

    def refused(*_given: object) -> bool:
        raise StoreError(NEW, "403 AccessDenied")

    monkeypatch.setattr(TableRecords, "replace", refused)
    with pytest.raises(StoreError, match="AccessDenied"):
        relocate_all(copy)
    after = contents(copy.client)
    now = TableRecords(copy.client).read(first)
    assert now == evolve(record, etag=now.etag if now else "")
    for files in (before, after):
        del files[f".lakehouse/tables/{first}.json"]  # no request that replaces it may be under way
    assert after == before


def test_a_catalog_in_postgresql_is_refused(copy: LakeAtUrl) -> None:
    catalog = copy.catalog()
    catalog.name = "postgresql://host/database"
    with pytest.raises(LakeError, match=r"its locations are in PostgreSQL, .* run `crypto"):
        relocate(catalog, [KLINES])
    assert made_in(catalog, KLINES) is None
    catalog.close()


def test_a_record_that_changed_is_not_replaced(copy: LakeAtUrl) -> None:
    catalog: LakeCatalog = copy.catalog()
    now = catalog.locations(KLINES)
    with pytest.raises(LakeError, match="another program has changed"):
        catalog.set_locations(KLINES, (now[0], "other"), now)
    assert catalog.locations(KLINES) == now
    catalog.close()
