"""`lake relocate`, and what `lake tables` says of a lake that was made elsewhere."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from tests.cli.conftest import Shell
from tests.tables.sample_data import bars, put

from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog


@pytest.fixture
def copy(shell: Shell, tmp_path: Path) -> Path:
    """A copied tree with a lake."""
    put(tmp_path / "made", bars(date(2023, 7, 1)))
    assert shell("ingest", "-o", "made")[0] == 0
    shutil.copytree(tmp_path / "made", tmp_path / "copy")
    return tmp_path / "copy"


def test_where_a_lake_was_made_is_told(shell: Shell, copy: Path) -> None:
    old, new = (copy.parent / name / ".lakehouse" / "lake" for name in ("made", "copy"))
    assert "relocate" not in shell("lake", "tables", "-o", "made")[1]
    assert "made_in" not in shell("lake", "tables", "-o", "made", "--json")[1]
    *_, last = shell("lake", "tables", "-o", "copy")[1].splitlines()
    assert last == (
        f"The metadata names `{old}`, where the lake was made, and not `{new}`; before other "
        "Iceberg engines read it, run `crypto-lakehouse lake relocate`."
    )
    facts = json.loads(shell("lake", "tables", "-o", "copy", "--json")[1])
    assert {each["made_in"] for each in facts.values()} == {str(old)}


def test_a_copy_is_relocated_once(shell: Shell, copy: Path) -> None:
    old, new = (str(copy.parent / name / ".lakehouse" / "lake") for name in ("made", "copy"))
    code, out, err = shell("lake", "relocate", "-o", "copy", "--dry-run", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "lake": new,
        "dry_run": True,
        "tables": {
            name: {"made_in": old, "files": 4} for name in ("lakehouse.archives", "spot.klines")
        },
    }
    code, out, _ = shell("lake", "relocate", "-o", "copy", "--dry-run")
    assert f"spot.klines: 4 files would be written; it named `{old}`\n" in out
    assert out.endswith(f"2 tables would be relocated to `{new}`\n")
    code, out, _ = shell("lake", "relocate", "-o", "copy")
    assert f"spot.klines: 4 files written; it named `{old}`\n" in out
    assert out.endswith(f"2 tables relocated to `{new}`\n")
    assert shell("lake", "relocate", "-o", "copy")[1] == f"0 tables relocated to `{new}`\n"
    assert "relocate" not in shell("lake", "tables", "-o", "copy")[1]


def test_a_lake_that_another_run_holds_is_not_relocated(shell: Shell, copy: Path) -> None:
    lake = copy / ".lakehouse" / "lake"
    before = LakeCatalog(lake).locations("spot.klines")
    with output_lock(lake / "lock"):
        code, _, err = shell("lake", "relocate", "-o", "copy")
        assert shell("lake", "relocate", "-o", "copy", "--dry-run")[0] == 0
    assert code == 11
    assert "lock" in err
    assert LakeCatalog(lake).locations("spot.klines") == before
