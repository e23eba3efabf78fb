"""`crypto-lakehouse lake verify`: what it prints, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Shell
from tests.tables.sample_data import bars, days, put
from tests.workflows.lakes import FIRST


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
