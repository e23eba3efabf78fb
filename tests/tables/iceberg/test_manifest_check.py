"""A manifest that was cut never makes a table smaller: opening the table names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyiceberg.manifest import clear_manifest_cache
from pyiceberg.table import Table
from tests.tables.sample_data import bars, ingest, month_of, put

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.avro_file import AvroFile
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.iceberg.manifest_check import check_manifests
from crypto_lakehouse.tables.iceberg.orphans import sweep_table
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.relocation import relocate

KLINES = "spot.klines"
MONTHS = (date(2023, 7, 1), date(2023, 8, 1))
REMEDY = "move the lake away, and run `crypto-lakehouse ingest`"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two snapshots, of which the newer one has two manifests."""
    root = tmp_path_factory.mktemp("made")
    catalog = LakeCatalog(root / "lake", create=True)
    for month in MONTHS:
        ingest(catalog, [put(root, bars(month, symbol)) for symbol in ("BTCUSDT", "ETHUSDT")])
    catalog.close()
    return root / "lake"


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "lake"))


def manifest_list(root: Path, place: int = -1) -> Path:
    """The manifest list of a snapshot."""
    return here(root, table_of(root).metadata.snapshots[place].manifest_list)


def manifest(root: Path) -> Path:
    """The newest manifest."""
    table = table_of(root)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return here(root, snapshot.manifests(table.io)[0].manifest_path)


def table_of(root: Path) -> Table:
    catalog = LakeCatalog(root)
    try:
        return catalog.catalog.load_table(KLINES)
    finally:
        catalog.close()


def here(root: Path, location: str) -> Path:
    return root / f"warehouse{location.rpartition('/warehouse')[2]}"


def refusal(root: Path, act: Callable[[LakeCatalog], object]) -> str:
    """The reason with which an act on a lake's tables is refused."""
    catalog = LakeCatalog(root)
    try:
        with pytest.raises(LakeError) as caught:
            act(catalog)
    finally:
        catalog.close()
    return caught.value.reason


def open_table(catalog: LakeCatalog) -> object:
    return catalog.find(KLINES)


def block_ends(data: bytes) -> list[int]:
    """Where an Avro file may end without a broken block: its records stop early there."""
    found = []
    for end in range(len(data)):
        try:
            AvroFile.read(data[:end])
        except ValueError:
            continue
        found.append(end)
    return found


def test_every_cut_of_a_manifest_is_refused(lake: Path) -> None:
    path = manifest(lake)
    whole = path.read_bytes()
    ends = block_ends(whole)
    assert len(ends) == 2, "the header, and the first of two data files"
    for end in {*ends, *range(0, len(whole), 499), len(whole) - 1}:
        path.write_bytes(whole[:end])
        reason = refusal(lake, open_table)
        assert str(path) in reason
        assert f"it has {end:,} byte" in reason
        assert f"instead of {len(whole):,}" in reason
        assert REMEDY in reason


def test_every_cut_of_a_manifest_list_is_refused(lake: Path) -> None:
    path = manifest_list(lake)
    whole = path.read_bytes()
    (header,) = block_ends(whole)
    for end in {header, *range(0, len(whole), 97), len(whole) - 1}:
        path.write_bytes(whole[:end])
        reason = refusal(lake, open_table)
        assert str(path) in reason
        assert REMEDY in reason
    path.write_bytes(whole[:header])
    assert "its manifests have 0 data files instead of 4" in refusal(lake, open_table)
    path.write_bytes(whole[:5] + b"\xff" + whole[6:])
    assert str(path) in refusal(lake, open_table)


@pytest.mark.parametrize("find", [manifest, manifest_list])
def test_a_file_that_is_gone_is_named(lake: Path, find: Callable[[Path], Path]) -> None:
    path = find(lake)
    path.unlink()
    reason = refusal(lake, open_table)
    assert f"`{path}` is damaged: it is gone" in reason


def test_all_that_trusts_the_list_of_files_refuses(lake: Path, tmp_path: Path) -> None:
    path = manifest(lake)
    whole = path.read_bytes()
    table = table_of(lake)
    path.write_bytes(whole[: block_ends(whole)[1]])
    data = set((lake / "warehouse").rglob("*.parquet"))
    for act in (
        lambda catalog: ingest(catalog, [put(tmp_path, month_of(bars(MONTHS[0])))]),
        lambda _: [*live_files(table)],
        lambda _: sweep_table(table),
    ):
        assert str(path) in refusal(lake, act)
    with Lake(LakeCatalog(lake)) as opened:
        with pytest.raises(LakeError, match="is damaged"):
            opened.scan(KLINES).arrow()
        with pytest.raises(LakeError, match="is damaged"):
            opened.sql("SELECT count(*) FROM spot.klines").fetchall()
    assert set((lake / "warehouse").rglob("*.parquet")) == data


def test_an_older_snapshot_is_checked_if_it_is_read_or_swept(lake: Path) -> None:
    path = manifest_list(lake, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[: block_ends(whole)[0]])
    table = table_of(lake)
    assert len([*live_files(table)]) == 4
    oldest = table.metadata.snapshots[0]
    with pytest.raises(LakeError, match="its manifests have 0 data files instead of 2"):
        next(live_files(table, snapshot_id=oldest.snapshot_id))
    with pytest.raises(LakeError, match="is damaged"):
        sweep_table(table)


def test_a_cut_manifest_is_not_relocated(lake: Path) -> None:
    path = manifest(lake)
    whole = path.read_bytes()
    path.write_bytes(whole[: block_ends(whole)[1]])
    reason = refusal(lake, lambda catalog: relocate(catalog, [KLINES]))
    assert f"`{path}` is damaged: it has" in reason


def test_what_records_no_numbers_is_judged_by_sizes_alone(lake: Path) -> None:
    """A summary is optional, and format 1 may leave out how many files a manifest has."""
    table = table_of(lake)
    path = manifest_list(lake)
    whole = path.read_bytes()
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    path.write_bytes(whole[: block_ends(whole)[0]])
    check_manifests(table, snapshot.model_copy(update={"summary": None}))
    path.write_bytes(with_counts(whole, None))
    check_manifests(table, snapshot)
    clear_manifest_cache()
    path.write_bytes(with_counts(whole, 1))
    with pytest.raises(LakeError, match="its manifests have 2 data files instead of 4"):
        check_manifests(table, snapshot)
    check_manifests(table, None)


def with_counts(data: bytes, added: int | None) -> bytes:
    """A manifest list, all of whose manifests say that they added so many files."""
    file = AvroFile.read(data)
    for field in file._schema["fields"]:
        if field["name"] == "added_files_count":
            field["type"] = ["null", "int"]
    for each in (record for block in file.records for record in block):
        each["added_files_count"] = (0, b"") if added is None else (1, added)
    head = json.dumps(file._schema).encode()
    file.properties = [
        (name, head if name == "avro.schema" else value) for name, value in file.properties
    ]
    return file.encoded()
