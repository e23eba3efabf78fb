"""A lake that was copied from a directory to an object store, or back, is relocated there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from obstore.store import MemoryStore
from tests.tables.at_url.relocated import (
    KLINES,
    LATER,
    ROWS,
    contents,
    ingest_at,
    make_at,
    naming,
    versions_at,
)
from tests.tables.lake import conftest
from tests.tables.sample_data import bars, put

from crypto_lakehouse.core.errors import LakeError, NoLakeError, StoreError
from crypto_lakehouse.stores.disk import Disk
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.lake_formats import format_fault
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.table_records import TableRecords
from crypto_lakehouse.tables.lake import copied_lake
from crypto_lakehouse.tables.lake.copied_lake import check_lake, relocate_lake
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.lake_files import DirectoryFiles, ObjectFiles
from crypto_lakehouse.tables.lake.maintenance import compact, expire
from crypto_lakehouse.tables.lake.verification import verify_tables

REFUSED = "copy of a lake whose tables are not relocated; run `crypto-lakehouse lake relocate`"
NAMES = ["lakehouse.archives", "lakehouse.differences", KLINES]


def place_in(folder: Path, kind: str) -> LakePlace:
    """An empty place of a kind."""
    client = ObjectClient(MemoryStore(), "s3://new/lake") if kind == "url" else None
    return LakePlace(folder / kind, client)


def files(place: LakePlace) -> dict[str, bytes]:
    """All files of a lake, by their paths below it."""
    return conftest.contents(place.folder) if place.client is None else contents(place.client)


def copy_files(source: LakePlace, target: LakePlace) -> None:
    """Do what `rclone copy` does."""
    for key, data in files(source).items():
        if target.client is not None:
            target.client.put(key, data)
        else:
            path = target.folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


@frozen
class Copied:
    """A lake, the rows of its versions, and a copy in a place of the other kind."""

    original: LakePlace
    versions: dict[str, list[tuple[Any, ...]]]
    copy: LakePlace

    @property
    def left_behind(self) -> str:
        """What the copy brought along, and what is not used there."""
        return "catalog.db" if self.copy.is_url else ".lakehouse/tables/spot.klines.json"


@pytest.fixture(scope="module", params=["directory", "url"])
def original(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LakePlace, dict[str, list[tuple[Any, ...]]]]:
    folder = tmp_path_factory.mktemp("made")
    client = ObjectClient(MemoryStore(), "s3://made/lake") if request.param == "url" else None
    place = LakePlace(folder / "lake", client)
    make_at(place, folder)
    return place, versions_at(place)


@pytest.fixture
def copied(original: tuple[LakePlace, dict[str, Any]], tmp_path: Path) -> Copied:
    place, rows = original
    copy = place_in(tmp_path, "directory" if place.is_url else "url")
    copy_files(place, copy)
    return Copied(place, rows, copy)


def test_the_copy_is_a_lake_of_its_own(copied: Copied, tmp_path: Path) -> None:
    before, planned = files(copied.copy), relocate_lake(copied.copy, dry_run=True)
    assert files(copied.copy) == before
    done = relocate_lake(copied.copy)
    assert sorted(each.table for each in done) == NAMES
    assert {each.made_in for each in done} == {copied.original.root}
    assert sorted(done, key=lambda each: each.table) == sorted(planned, key=lambda each: each.table)
    after = files(copied.copy)
    tables = {key: data for key, data in after.items() if key.startswith("warehouse/")}
    assert naming(tables, copied.original.root) == []
    assert naming(tables, copied.copy.root) != []
    assert copied.left_behind not in after
    assert versions_at(copied.copy) == copied.versions
    assert relocate_lake(copied.copy) == []
    archives = [put(tmp_path, bars(LATER))]
    assert ingest_at(copied.copy, archives) == [bars(LATER).key]
    assert ingest_at(copied.copy, archives) == []
    with Lake(LakeCatalog(copied.copy)) as lake:
        assert all(each.is_whole for each in verify_tables(lake.catalog, NAMES))
        compact(lake.catalog, KLINES, tool_version="test")
        assert expire(lake.catalog, KLINES, before=datetime.now(UTC)) > 0
        assert lake.scan(KLINES).polars().collect().height == ROWS + 24
    assert relocate_lake(copied.copy) == []


def test_it_goes_back_where_it_came_from(copied: Copied, tmp_path: Path) -> None:
    relocate_lake(copied.copy)
    kind = "directory" if copied.copy.is_url else "url"
    back = place_in(tmp_path / "back", kind)
    copy_files(copied.copy, back)
    assert len(relocate_lake(back)) == 3
    assert versions_at(back) == copied.versions
    tables = {key: data for key, data in files(back).items() if key.startswith("warehouse/")}
    assert naming(tables, copied.copy.root) == []


def test_no_empty_lake_begins_where_a_copy_lies(copied: Copied, tmp_path: Path) -> None:
    before = files(copied.copy)
    check_lake(copied.copy)
    with pytest.raises(NoLakeError, match=REFUSED):
        LakeCatalog(copied.copy)
    with pytest.raises(LakeError, match=REFUSED):
        ingest_at(copied.copy, [put(tmp_path, bars(LATER))])
    if not copied.copy.is_url:
        assert REFUSED in format_fault(copied.copy.folder, "parquet")
    assert files(copied.copy) == before


def test_an_incomplete_copy_stays_as_it_is(copied: Copied) -> None:
    lost = next(key for key in files(copied.copy) if key.endswith(".parquet"))
    if copied.copy.client is not None:
        copied.copy.client.delete(lost)
    else:
        (copied.copy.folder / lost).unlink()
    before = files(copied.copy)
    with pytest.raises(LakeError, match=f"`{copied.copy.root}/{lost}` is absent"):
        relocate_lake(copied.copy)
    assert files(copied.copy) == before


def test_a_failure_before_tables_are_known_leaves_the_copy_as_it_was(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(copied.copy)

    def refused(*_given: Any, **_named: Any) -> bool:
        raise StoreError("the store", "403 AccessDenied")

    monkeypatch.setattr(TableRecords, "replace", refused)
    monkeypatch.setattr(Disk, "write", refused)
    with pytest.raises(StoreError, match="AccessDenied"):
        relocate_lake(copied.copy)
    after = files(copied.copy)
    if copied.copy.is_url:  # a record may arrive later, and name what was written
        assert len(after) > len(before)
        after = {key: data for key, data in after.items() if key in before}
    assert after == before


@pytest.mark.parametrize("step", ["add", "delete", "forget"])
def test_an_interrupted_relocation_is_completed(
    copied: Copied, monkeypatch: pytest.MonkeyPatch, step: str, tmp_path: Path
) -> None:
    def interrupted(*_given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "add" and copied.copy.is_url:
            patch.setattr(TableRecords, "replace", after(2, TableRecords.replace))
        elif step == "forget":
            patch.setattr(copied_lake, "forget_copied", interrupted)
        else:
            kind = ObjectFiles if copied.copy.is_url else DirectoryFiles
            patch.setattr(kind, "delete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            relocate_lake(copied.copy)
    if step == "add" and copied.copy.is_url:
        assert len([key for key in files(copied.copy) if ".lakehouse/tables/" in key]) == 2
        with pytest.raises(NoLakeError, match=REFUSED):
            ingest_at(copied.copy, [put(tmp_path, bars(LATER))])
    relocate_lake(copied.copy)
    assert copied.left_behind not in files(copied.copy)
    assert versions_at(copied.copy) == copied.versions


def after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Interrupt a call after so many have succeeded."""
    count = 0

    def call(*given: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count > calls:
            raise KeyboardInterrupt
        return function(*given, **named)

    return call


def test_a_later_copy_over_a_relocated_lake_is_refused(copied: Copied, tmp_path: Path) -> None:
    relocate_lake(copied.copy)
    copy_files(copied.original, copied.copy)  # the same again
    assert relocate_lake(copied.copy) == []
    assert copied.left_behind not in files(copied.copy)
    newer = place_in(tmp_path / "newer", "url" if copied.original.is_url else "directory")
    copy_files(copied.copy, newer)
    copy_files(copied.original, newer) if not newer.is_url else relocate_lake(newer)
    ingest_at(newer, [put(tmp_path, bars(LATER))])
    copy_files(newer, copied.copy)
    before = files(copied.copy)
    with pytest.raises(LakeError, match=r"has tables already, and `.*` was copied here from"):
        relocate_lake(copied.copy)
    assert files(copied.copy) == before


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\x00" + bytes(90)])
def test_a_damaged_catalog_is_named(tmp_path: Path, data: bytes) -> None:
    place = place_in(tmp_path, "url")
    assert place.client is not None
    place.client.put("catalog.db", data)
    with pytest.raises(LakeError, match=r"which was copied here, (is damaged|has no tables)"):
        relocate_lake(place)


def test_where_there_is_no_lake_nothing_is_relocated(tmp_path: Path) -> None:
    for kind in ("url", "directory"):
        with pytest.raises(NoLakeError):
            check_lake(place_in(tmp_path, kind))
        with pytest.raises(NoLakeError):
            relocate_lake(place_in(tmp_path, kind))
