"""A copied lake whose metadata names its own files: other Iceberg engines read the copy."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import StaticTable, Table
from tests.tables.lake.conftest import DAY, KLINES, change_json, contents
from tests.tables.lake.relocating import relocate_all
from tests.tables.sample_data import bars, ingest, put

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.avro_file import AvroFile
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.local_io import DISK
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.lake_files import DirectoryFiles
from crypto_lakehouse.tables.lake.maintenance import compact, expire, sweep
from crypto_lakehouse.tables.lake.relocation import made_in, relocate


def tables_of(lake: Path) -> dict[str, Table]:
    """The tables as pyiceberg alone opens them."""
    catalog = SqlCatalog("lakehouse", uri=f"sqlite:///{lake}/catalog.db")
    names = [
        ".".join(name) for space in catalog.list_namespaces() for name in catalog.list_tables(space)
    ]
    return {name: catalog.load_table(name) for name in names}


def versions_of(table: Table) -> list[tuple[int, int, float]]:
    """The rows of every snapshot: how many, and for bars the sum of their volumes."""
    found = []
    for snapshot in table.snapshots():
        rows = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()
        has_volumes = "volume" in rows.column_names
        volumes = pc.sum(rows["volume"]).as_py() if has_volumes else 0.0
        found.append((snapshot.snapshot_id, rows.num_rows, volumes))
    return found


def names_of_old_place(lake: Path, old: str) -> list[str]:
    """Files that name another place; Avro files are compressed."""
    found = []
    for path in lake.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".avro"}:
            data = path.read_bytes()
            text = str(AvroFile.read(data).records) if path.suffix == ".avro" else data.decode()
            found += [path.name] if f"{old}/" in text else []
    return found


def test_other_engines_read_every_version_of_the_copy(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "original")
    relocate_all(tmp_path / "original")
    expected = {
        name: versions_of(table) for name, table in tables_of(tmp_path / "original").items()
    }
    before = contents(tmp_path / "original")
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    done = relocate_all(tmp_path / "copy")
    assert [each.table for each in done] == [
        "lakehouse.archives", "lakehouse.differences", KLINES
    ]  # fmt: skip
    assert {each.made_in for each in done} == {str(tmp_path / "original")}
    assert contents(tmp_path / "original") == before
    (tmp_path / "original").rename(tmp_path / "elsewhere")
    found = tables_of(tmp_path / "copy")
    assert {name: versions_of(table) for name, table in found.items()} == expected
    assert len(expected[KLINES]) == 5
    for table in found.values():
        earlier = [each.metadata_file for each in table.metadata.metadata_log]
        assert [StaticTable.from_metadata(each).schema() for each in earlier]
    assert names_of_old_place(tmp_path / "copy", str(tmp_path / "original")) == []
    assert {path.name for path in (tmp_path / "copy").rglob("*.parquet")} == {
        path.name for path in (tmp_path / "elsewhere").rglob("*.parquet")
    }


def test_manifests_have_the_lengths_that_their_lists_say(copy: Path) -> None:
    relocate_all(copy)
    (table,) = (table for name, table in tables_of(copy).items() if name == KLINES)
    manifests = [each for snapshot in table.snapshots() for each in snapshot.manifests(table.io)]
    assert len(manifests) >= 4
    for each in manifests:
        path = Path(each.manifest_path.removeprefix("file://"))
        assert each.manifest_length == path.stat().st_size


def test_twice_changes_nothing(copy: Path) -> None:
    relocate_all(copy)
    before = contents(copy)
    assert relocate_all(copy) == []
    assert contents(copy) == before


def test_a_relocated_lake_goes_on(copy: Path) -> None:
    relocate_all(copy)
    catalog = LakeCatalog(copy)
    assert sweep(catalog, KLINES, before=None) == []
    ingest(catalog, [put(copy.parent, bars(date(2023, 8, 2)))])
    compact(catalog, KLINES, tool_version="test")
    assert expire(catalog, KLINES, before=datetime.now(UTC)) > 0
    assert [made_in(catalog, name) for name in catalog.names()] == [None] * 3
    assert Lake(catalog).scan(KLINES).polars().collect().height == 33 * 24
    catalog.close()
    assert tables_of(copy)[KLINES].scan().to_arrow().num_rows == 33 * 24
    shutil.move(copy, copy.parent / "again")
    assert len(relocate_all(copy.parent / "again")) == 3
    assert tables_of(copy.parent / "again")[KLINES].scan().to_arrow().num_rows == 33 * 24


def test_a_dry_run_says_the_same_and_writes_nothing(copy: Path) -> None:
    before = contents(copy)
    planned = relocate_all(copy, dry_run=True)
    assert contents(copy) == before
    assert relocate_all(copy) == planned
    assert all(each.files >= 4 for each in planned)


def test_an_original_whose_files_are_linked_stays_as_it_is(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "original")
    before = contents(tmp_path / "original")
    shutil.copytree(tmp_path / "original", tmp_path / "copy", copy_function=os.link)
    (tmp_path / "copy" / "catalog.db").unlink()  # as SQLite writes into the file
    shutil.copy(tmp_path / "original" / "catalog.db", tmp_path / "copy")
    assert len(relocate_all(tmp_path / "copy")) == 3
    assert contents(tmp_path / "original") == before


@pytest.mark.timeout(600)
def test_it_may_be_killed_at_every_step(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"

    def run(step: int) -> subprocess.CompletedProcess[str]:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(made, copy)
        return subprocess.run(
            [sys.executable, "-m", "tests.tables.lake.relocating", str(copy), str(step)],
            cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = run(0)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    expected = {name: versions_of(table) for name, table in tables_of(copy).items()}
    assert steps > 60
    apart = int(os.environ.get("KILLED_STEPS_APART", max(1, steps // 8)))
    for step in range(1, steps + 1, apart):
        assert run(step).returncode == -signal.SIGKILL
        with Lake.open(copy) as lake:
            assert lake.scan(KLINES).polars().collect().height == 32 * 24
        relocate_all(copy)
        assert {name: versions_of(table) for name, table in tables_of(copy).items()} == expected
        catalog = LakeCatalog(copy)
        for name in catalog.names():
            sweep(catalog, name, before=None)
        catalog.close()
        assert names_of_old_place(copy, str(made)) == []


def test_an_error_leaves_the_lake_as_it_was(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(copy)
    create = DirectoryFiles.create

    def full(self: Any, path: str, data: bytes) -> None:
        if path.endswith(".json"):
            raise OSError(28, "No space left on device")
        create(self, path, data)

    monkeypatch.setattr(DirectoryFiles, "create", full)
    with pytest.raises(LakeError, match="No space left"):
        relocate_all(copy)
    assert contents(copy) == before


def test_an_interrupt_after_the_change_leaves_the_lake_relocated(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = LakeCatalog.set_locations

    def interrupted(*arguments: Any) -> None:
        change(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(LakeCatalog, "set_locations", interrupted)
    catalog = LakeCatalog(copy)
    with pytest.raises(KeyboardInterrupt):
        relocate(catalog, [KLINES])
    monkeypatch.undo()
    assert relocate(catalog, [KLINES]) == []
    assert Lake(catalog).scan(KLINES).polars().collect().height == 32 * 24
    assert sweep(catalog, KLINES, before=None) != []
    catalog.close()


def test_another_program_that_changes_a_table_is_not_overwritten(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = LakeCatalog(copy)
    now, before = catalog.locations(KLINES)
    sync = DISK.sync

    def changed(root: str, paths: list[str]) -> None:
        sync(root, paths)
        catalog.set_locations(KLINES, (now, before), (now, now))

    monkeypatch.setattr(DISK, "sync", changed)
    with pytest.raises(LakeError, match="another program has changed"):
        relocate(catalog, [KLINES])
    monkeypatch.undo()
    assert len(relocate(catalog, [KLINES])) == 1
    with pytest.raises(LakeError, match="there is no table `spot"):
        relocate(catalog, ["spot.none"])
    assert made_in(catalog, "spot.none") is None
    catalog.close()


def test_a_link_is_not_followed(copy: Path, tmp_path: Path) -> None:
    metadata = copy / "warehouse" / "spot" / "klines" / "metadata"
    metadata.rename(tmp_path / "outside")
    metadata.symlink_to(tmp_path / "outside")
    before = contents(tmp_path / "outside")
    with pytest.raises(LakeError, match="symbolic link"):
        relocate_all(copy)
    assert contents(tmp_path / "outside") == before


def test_properties_statistics_and_earlier_versions_come_along(copy: Path) -> None:
    warehouse = copy / "warehouse" / "spot" / "klines"
    old = f"file://{copy.parent}/original/warehouse/spot/klines"

    def change(plain: dict[str, Any]) -> None:
        plain["properties"]["write.data.path"] = f"{old}/data"
        (number,) = {each["snapshot-id"] for each in plain["snapshots"][:1]} or {1}
        plain["partition-statistics"] = [
            {
                "snapshot-id": number,
                "statistics-path": f"{old}/metadata/statistics.parquet",
                "file-size-in-bytes": 1,
            }
        ]

    change_json(change)(warehouse / "metadata")
    # An earlier version has a snapshot that has expired, and its files are gone.
    first = min((warehouse / "metadata").glob("*.metadata.json"))
    plain = json.loads(first.read_text())
    plain["snapshots"] = [{"snapshot-id": 1, "manifest-list": f"{old}/metadata/gone.avro"}]
    first.write_text(json.dumps(plain))
    (entry,) = (warehouse / "metadata").glob("00001-*.metadata.json")
    entry.unlink()
    relocate_all(copy)
    table = tables_of(copy)[KLINES]
    new = f"file://{warehouse}"
    assert table.properties["write.data.path"] == f"{new}/data"
    (statistics,) = table.metadata.partition_statistics
    assert statistics.statistics_path == f"{new}/metadata/statistics.parquet"
    assert all(each.metadata_file.startswith(f"{new}/") for each in table.metadata.metadata_log)
    assert names_of_old_place(copy, f"{copy.parent}/original") == []
    assert len(versions_of(table)) == 5


def test_packed_metadata_stays_packed(copy: Path) -> None:
    catalog = LakeCatalog(copy)
    now, before = catalog.locations(KLINES)
    path = copy / now.partition("/original/")[2]
    packed = path.with_name(path.name.replace(".metadata.json", ".gz.metadata.json"))
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    there = now.replace(path.name, packed.name)
    catalog.set_locations(KLINES, (now, before), (there, before))
    catalog.close()
    assert len(relocate_all(copy)) == 3
    assert ".gz.metadata.json" in tables_of(copy)[KLINES].metadata_location
    assert len(versions_of(tables_of(copy)[KLINES])) == 5


def test_a_first_version_has_none_before(tmp_path: Path) -> None:
    from crypto_lakehouse.tables.schema.schemas import schema_of

    catalog = LakeCatalog(tmp_path / "original", create=True)
    catalog.table_for(schema_of(bars(DAY)), exact=False)
    catalog.close()
    (tmp_path / "original").rename(tmp_path / "copy")
    (done,) = relocate_all(tmp_path / "copy")
    assert done.files == 1
    assert tables_of(tmp_path / "copy")[KLINES].scan().to_arrow().num_rows == 0
