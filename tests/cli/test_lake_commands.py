"""`lake`, as a person or a script runs it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from tests.cli.conftest import Shell

FIRST = date(2023, 7, 1)
COUNT = "SELECT symbol, count(*) AS bars FROM spot.klines GROUP BY 1 ORDER BY 1"


@pytest.mark.parametrize("age", ["-1", "nan", "inf", "1e9", "5h", "1.5d", "", "soon"])
@pytest.mark.parametrize("command", ["expire", "sweep"])
def test_an_age_that_is_none_is_refused(shell: Shell, lake: str, command: str, age: str) -> None:
    code, out, err = shell("lake", command, "-o", lake, "--older-than", age)
    assert (code, out) == (2, "")
    assert "--older-than" in err
    assert "days" in err or "allowed: d, w" in err


@pytest.mark.parametrize("command", ["compact", "expire", "sweep"])
def test_unknown_tables_are_all_named_and_nothing_is_done(
    shell: Shell, lake: str, command: str
) -> None:
    code, out, err = shell("lake", command, "-o", lake, "spot.klines", "spot.kline", "", "nix")
    assert (code, out) == (2, "")
    assert "no table `spot.kline` (did you mean `spot.klines`?), ``, `nix`; it has lakeh" in err
    _, out, _ = shell("lake", command, "-o", lake, "spot.klines", "Spot.Klines", "spot.klines")
    assert out.count("spot.klines: ") == 1


def test_tables_are_listed_compacted_expired_and_swept(shell: Shell, lake: str) -> None:
    code, out, _ = shell("lake", "tables", "-o", lake)
    assert code == 0
    assert "spot.klines: 120 rows, 3 files" in out
    facts = json.loads(shell("lake", "tables", "-o", lake, "--json")[1])
    assert facts["spot.klines"]["rows"] == 120
    assert facts["spot.klines"]["snapshots"] == 2
    code, out, _ = shell("lake", "compact", "-o", lake, "spot.klines")
    assert (code, out) == (0, "spot.klines: 3 files before, 2 after\n")
    _, out, _ = shell("query", "-o", lake, COUNT)
    assert "BTCUSDT    72" in out
    code, out, _ = shell("lake", "expire", "-o", lake)
    assert code == 0
    assert "spot.klines: 0 snapshots expired" in out
    _, out, _ = shell("lake", "expire", "-o", lake, "--older-than", "0", "spot.klines")
    assert out == "spot.klines: 2 snapshots expired\n"
    assert len([*Path(lake).rglob("warehouse/spot/**/*.parquet")]) == 2
    stray = Path(lake) / ".lakehouse" / "lake" / "warehouse" / "spot" / "klines" / "stray.parquet"
    stray.write_bytes(b"stray")
    for age in ("1", "0.5", "1d", "2w"):
        _, out, _ = shell("lake", "sweep", "-o", lake, "--older-than", age, "spot.klines")
        assert out == "spot.klines: 0 files deleted\n"
    _, out, _ = shell("lake", "sweep", "-o", lake, "--json")
    swept = json.loads(out)["tables"]
    assert [*swept] == ["lakehouse.archives", "spot.klines"]
    assert swept["spot.klines"] == {"files": 1, "paths": [str(stray.resolve())]}
    _, out, _ = shell("lake", "sweep", "-o", lake)
    assert "spot.klines: 0 files deleted" in out
    _, out, _ = shell("lake", "compact", "-o", lake, "--json", "spot.klines")
    expected = {"files_before": 2, "files_after": 2, "rows_rewritten": 0}
    assert json.loads(out) == {"tables": {"spot.klines": expected}}
    _, out, _ = shell("lake", "expire", "-o", lake, "--json", "spot.klines")
    assert json.loads(out) == {"tables": {"spot.klines": {"snapshots": 0}}}
    _, text, _ = shell("lake", "snapshots", "-o", lake, "spot.klines")
    _, out, _ = shell("lake", "snapshots", "-o", lake, "Spot.Klines", "--json")
    found = json.loads(out)
    (version,) = found["snapshots"]
    assert found["table"] == "spot.klines"
    assert (version["rows"], version["files"], version["added"]) == (120, 2, 72)
    assert text.startswith(f"{version['at']}  {version['snapshot_id']}  ")
    _, out, _ = shell("query", "-o", lake, COUNT)
    assert "BTCUSDT    72" in out


def test_a_table_that_is_not_there_is_told(shell: Shell, lake: str) -> None:
    for command in (["lake", "compact"], ["lake", "snapshots"], ["lake", "sweep"]):
        code, _, err = shell(*command, "-o", lake, "spot.kline")
        assert code == 2
        assert "did you mean `spot.klines`" in err
