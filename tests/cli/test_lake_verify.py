"""`crypto-lakehouse lake verify`: what it prints, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Shell
from tests.tables.sample_data import bars, days, put
from tests.workflows.lakes import FIRST

from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.schema.table_types import arrow_schema


@pytest.fixture
def data_file(shell: Shell, tmp_path: Path) -> Path:
    """The only data file of a tree's bars."""
    for day in days(FIRST, 2):
        put(tmp_path / "tree", bars(day))
    assert shell("ingest", "-o", "tree")[0] == 0
    (path,) = tmp_path.glob("tree/.lakehouse/lake/warehouse/spot/klines/data/**/*.parquet")
    return path


def test_a_whole_lake(shell: Shell, data_file: Path) -> None:
    assert data_file.is_file()
    assert shell("lake", "verify", "-o", "tree") == (
        0, "lakehouse.archives: 1 file, 2 rows: whole\nspot.klines: 1 file, 48 rows: whole\n", "",
    )  # fmt: skip


def test_damage_is_named_with_its_archives_and_the_remedy(shell: Shell, data_file: Path) -> None:
    data_file.unlink()
    code, out, err = shell("lake", "verify", "-o", "tree", "-t", "spot.klines")
    first, second = (bars(day).key for day in days(FIRST, 2))
    assert (code, out.splitlines()) == (
        4,
        [
            "spot.klines: 1 file, 48 rows: 1 file damaged, 2 archives affected",
            f"  {data_file}: it is gone",
            f"  {first}: 0 of 24 rows found in whole files",
            f"  {second}: 0 of 24 rows found in whole files",
        ],
    )
    assert "run `crypto-lakehouse ingest`" in err


def test_as_json(shell: Shell, data_file: Path) -> None:
    data_file.write_bytes(data_file.read_bytes()[:-1])
    code, out, _ = shell("lake", "verify", "-o", "tree", "--json", "--all")
    assert code == 4
    found = json.loads(out)
    assert found["is_whole"] is False
    (damaged,) = found["tables"]["spot.klines"]["damaged"]
    assert damaged["path"] == str(data_file)
    assert damaged["is_current"]
    assert found["tables"]["lakehouse.archives"]["damaged"] == []


def test_an_unknown_table_is_an_error(shell: Shell, data_file: Path) -> None:
    assert data_file.is_file()
    code, _, err = shell("lake", "verify", "-o", "tree", "-t", "spot.trades")
    assert (code, "no table `spot.trades`" in err) == (2, True)


def test_records_of_earlier_versions_are_counted_and_compacted(
    shell: Shell, data_file: Path, tmp_path: Path
) -> None:
    """They have no page checksums until they are written again."""
    with Lake.open(tmp_path / "tree") as lake:
        table = lake.table("lakehouse.archives")
        rows = table.scan().to_arrow().cast(arrow_schema(table.schema()))
        table.overwrite(rows.slice(1))
        table.append(rows.slice(0, 1))
    code, out, _ = shell("lake", "verify", "-o", "tree", "-t", "lakehouse.archives")
    assert code == 0
    assert "2 files have no page checksums" in out
    assert "`crypto-lakehouse lake compact` writes them with checksums when it merges them" in out
    assert shell("lake", "compact", "-o", "tree", "lakehouse.archives")[0] == 0
    assert shell("lake", "verify", "-o", "tree")[1] == (
        "lakehouse.archives: 1 file, 2 rows: whole\nspot.klines: 1 file, 48 rows: whole\n"
    )
