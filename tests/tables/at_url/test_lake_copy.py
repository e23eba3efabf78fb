"""`lake relocate --from` copies a lake from any place to any other: directory or object store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from obstore.store import MemoryStore
from tests.tables.at_url.relocated import LATER, contents, ingest_at, make_at, naming, versions_at
from tests.tables.lake import conftest
from tests.tables.sample_data import bars, put

from crypto_lakehouse.core.errors import LakeError, NoLakeError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.lake import copied_lake, lake_copy, lake_files
from crypto_lakehouse.tables.lake.copied_lake import relocate_lake
from crypto_lakehouse.tables.lake.lake_copy import LakeCopy, copy_lake

KINDS = ["directory", "url"]


def place_in(folder: Path, kind: str, name: str) -> LakePlace:
    client = ObjectClient(MemoryStore(), f"s3://{name}/lake") if kind == "url" else None
    return LakePlace(folder / name, client)


def files(place: LakePlace) -> dict[str, bytes]:
    return conftest.contents(place.folder) if place.client is None else contents(place.client)


def copy(source: LakePlace, target: LakePlace, *, dry_run: bool = False) -> LakeCopy | None:
    """Do what the command does; what it says before and after is the same."""
    told: list[LakeCopy] = []
    done = copy_lake(source, target, told.append, dry_run=dry_run)
    assert told == ([] if done is None else [done])
    return done


def interrupted(*_given: Any) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LakePlace:
    folder = tmp_path_factory.mktemp("made")
    place = place_in(folder, request.param, "made")
    make_at(place, folder)
    return place


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> LakePlace:
    return place_in(tmp_path, request.param, "new")


def test_a_copy_is_a_lake_of_its_own(
    source: LakePlace, target: LakePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_files, "PART_BYTES", 6000)  # some files are uploaded in parts
    before = files(source)
    tables = {key: len(data) for key, data in before.items() if key.startswith("warehouse/")}
    planned = copy(source, target, dry_run=True)
    assert planned == LakeCopy(source.root, 3, len(tables), sum(tables.values()))
    assert files(target) == {}
    assert copy(source, target) == planned
    there = {key: data for key, data in files(target).items() if key in tables}
    assert there == {key: before[key] for key in tables}
    with pytest.raises(NoLakeError, match="is the copy of a lake whose tables are not relocated"):
        ingest_at(target, [put(tmp_path, bars(LATER))])
    assert len(relocate_lake(target)) == 3
    assert files(source) == before
    assert versions_at(target) == versions_at(source)
    after = {key: data for key, data in files(target).items() if key.startswith("warehouse/")}
    assert naming(after, source.root) == []
    assert ingest_at(target, [put(tmp_path, bars(LATER))]) == [bars(LATER).key]
    with pytest.raises(LakeError, match="it has tables already, and nothing is copied over them"):
        copy(source, target)


def test_a_place_inside_the_lake_is_refused(source: LakePlace) -> None:
    before = files(source)
    inside = (
        LakePlace(source.folder / "x")
        if source.client is None
        else LakePlace(source.folder / "x", evolve(source.client, url=f"{source.client.url}/x"))
    )
    with pytest.raises(LakeError, match=r"it is inside `.*`, which would be copied to it"):
        copy(source, inside)
    assert files(source) == before


def test_a_copy_that_was_killed_goes_on(
    source: LakePlace, target: LakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = lake_files.ObjectFiles if target.is_url else lake_files.DirectoryFiles
    store, count = kind.store, 0

    def killed(self: Any, path: str, steps: Iterable[bytes], size: int) -> None:
        nonlocal count
        count += 1
        if count > 5:
            raise KeyboardInterrupt
        store(self, path, steps, size)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "store", killed)
        patch.setattr(lake_copy, "_WORKERS", 1)
        with pytest.raises(KeyboardInterrupt):
            copy(source, target)
    with pytest.raises(LakeError, match=r"is not there; copy the lake again|is absent"):
        relocate_lake(target)
    whole = len([key for key in files(source) if key.startswith("warehouse/")])
    done = copy(source, target)
    assert done is not None
    assert done.files == whole - 5
    with monkeypatch.context() as patch:
        patch.setattr(copied_lake, "forget_copied", interrupted)
        with pytest.raises(KeyboardInterrupt):
            relocate_lake(target)
    assert copy(source, target) is None
    relocate_lake(target)
    assert versions_at(target) == versions_at(source)
    assert not [key for key in files(target) if key.endswith(".part")]


def test_the_source_may_go_on_meanwhile(target: LakePlace, tmp_path: Path) -> None:
    source = place_in(tmp_path, "directory", "made")
    ingest_at(source, [put(tmp_path, bars(LATER))])
    before = versions_at(source)

    def commit(_copy: LakeCopy) -> None:
        ingest_at(source, [put(tmp_path, bars(LATER, "ETHUSDT"))])

    copy_lake(source, target, commit)
    relocate_lake(target)
    assert versions_at(target) == before


def test_a_copy_of_an_earlier_version_is_made_again(target: LakePlace, tmp_path: Path) -> None:
    source = place_in(tmp_path, "url", "made")
    ingest_at(source, [put(tmp_path, bars(LATER))])
    copy(source, target)
    ingest_at(source, [put(tmp_path, bars(LATER, "ETHUSDT"))])
    done = copy(source, target)
    assert done is not None
    assert 0 < done.files < len(files(source))
    relocate_lake(target)
    assert versions_at(target) == versions_at(source)


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_file_that_changes_meanwhile_is_an_error(
    target: LakePlace, tmp_path: Path, is_gone: bool
) -> None:
    source = place_in(tmp_path, "directory", "made")
    ingest_at(source, [put(tmp_path, bars(LATER))])

    def change(_copy: LakeCopy) -> None:
        path = next((source.folder / "warehouse").rglob("*.parquet"))
        path.unlink() if is_gone else path.write_bytes(b"PAR1")

    with pytest.raises(LakeError, match=r"\.parquet` changed while it was copied; run it again"):
        copy_lake(source, target, change)
    assert not [key for key in files(target) if key.endswith(".part")]


def test_what_cannot_be_copied_is_refused(target: LakePlace, tmp_path: Path) -> None:
    for kind in KINDS:
        with pytest.raises(NoLakeError, match=r"has no lake|is not a directory"):
            copy(place_in(tmp_path, kind, "absent"), target)
    assert files(target) == {}
    source = place_in(tmp_path, "url", "made")
    ingest_at(source, [put(tmp_path, bars(LATER))])
    with pytest.raises(LakeError, match="it would be copied to itself"):
        copy(source, source)
    copy(source, target)
    assert source.client is not None
    for each in [*source.client.objects(".lakehouse/tables/")]:
        source.client.delete(each.key)
    with pytest.raises(NoLakeError, match=r"tables of another catalog .* are not copied"):
        copy(source, place_in(tmp_path, "url", "third"))
    with pytest.raises(NoLakeError, match="is the copy of a lake whose tables are not relocated"):
        copy(target, place_in(tmp_path, "url", "other"))


def test_nothing_is_copied_beside_plain_files(tmp_path: Path) -> None:
    source, target = place_in(tmp_path, "url", "made"), place_in(tmp_path, "directory", "new")
    ingest_at(source, [put(tmp_path, bars(LATER))])
    plain = target.folder / "spot" / "klines" / "symbol=A" / "x.parquet"
    plain.parent.mkdir(parents=True)
    plain.touch()
    with pytest.raises(LakeError, match=r"nothing is copied: .* has plain Parquet files"):
        copy(source, target)
