"""Tenants of a file, from the command line: one with `--tenant`, or all that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Shell

from crypto_lakehouse.testing import ArchiveServer, faults


@pytest.fixture
def file(archive_server: ArchiveServer, tmp_path: Path) -> Path:
    """A file with two tenants, each with a symbol of its own."""
    values = {
        "source_url": archive_server.url, "discovery": "calendar", "markets": ["spot"],
        "data_types": ["klines"], "intervals": ["1h"], "default_date": "2025-07-15",
        "max_retries": 0,
        "tenants": {
            "desk-a": {"output_directory": "a", "symbols": ["BTCUSDT"]},
            "desk-b": {"output_directory": "b", "symbols": ["ETHUSDT"], "compression": "zstd"},
        },
        "pipelines": {"nightly": {"steps": {"collect": None, "ingest": {"needs": "collect"}}}},
    }  # fmt: skip
    file = tmp_path / "world.json"
    file.write_text(json.dumps(values))
    return file


def changed(file: Path, **tenants: Any) -> None:
    """Change keys of tenants; `_` in their names is `-`."""
    values = json.loads(file.read_text())
    for name, keys in tenants.items():
        values["tenants"].setdefault(name.replace("_", "-"), {}).update(keys)
    file.write_text(json.dumps(values))


def test_every_command_takes_one_tenant(file: Path, shell: Shell, tmp_path: Path) -> None:
    chosen = ("--config", str(file), "--tenant", "desk-a")
    code, out, _ = shell("plan", *chosen, "--format", "keys")
    assert (code, "BTCUSDT" in out, "ETHUSDT" in out) == (0, True, False)
    assert shell("collect", *chosen, "-q")[0] == 0
    assert shell("run", str(file), "--tenant", "desk-a", "-q")[0] == 0
    assert shell("validate", *chosen)[0] == 0
    code, out, _ = shell("collect", "--config", str(file), "--ingest", "--json", "-q")
    assert code == 0
    for name, rows in (("desk-a", 0), ("desk-b", 24)):  # those of desk-a were ingested before
        found = json.loads(out)["tenants"][name]
        assert (found["exit_code"], found["ingest"]["totals"]["rows"]) == (0, rows)
    assert "ETHUSDT" not in str([*(tmp_path / "a").rglob("*")])
    assert shell("fill", *chosen, "--dry-run")[0] == 0
    assert shell("status", *chosen)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "world.json"}
    assert shell("verify", "-o", "a", "--repair", *chosen)[0] == 0
    code, out, _ = shell("config", "show", "--json", *chosen)
    assert json.loads(out)["tenant"] == {"value": "desk-a", "from": "option --tenant"}
    assert json.loads(out)["symbols"] == {"value": ["BTCUSDT"], "from": "tenant `desk-a`"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("desk-c", "--tenant: there is no tenant `desk-c`; allowed: desk-a, desk-b; did you mean"),
        ("../x", "--tenant: there is no tenant `../x`; allowed: desk-a, desk-b"),
    ],
)
def test_a_tenant_that_there_is_not_is_refused_by_every_command(
    file: Path, shell: Shell, tmp_path: Path, name: str, words: str
) -> None:
    chosen = ("--tenant", name)
    for command in ("collect", "plan", "fill", "record", "status", "ingest", "validate"):
        code, _, err = shell(command, "--config", str(file), *chosen)
        assert (command, code, words in err) == (command, 2, True)
    code, _, err = shell("run", str(file), *chosen)
    assert (code, words in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["world.json"]


def test_all_faults_of_all_tenants_are_named_at_once(
    file: Path, shell: Shell, tmp_path: Path
) -> None:
    changed(file, desk_b={"output_directory": "./a/b", "max_retry": 1}, **{"../x": {}})
    code, _, err = shell("collect", "--config", str(file), "--tenant", "desk-a")
    assert code == 2
    for words in (
        "$.tenants.desk-b.output_directory: `", "is inside the output of tenant `desk-a`",
        "$.tenants.desk-b.max_retry: unknown key", "$.tenants.../x: `../x` is not the name",
    ):  # fmt: skip
        assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ["world.json"]


def test_without_a_name_all_tenants_are_collected_with_a_report_of_each(
    file: Path, shell: Shell, tmp_path: Path, archive_server: ArchiveServer
) -> None:
    archive_server.inject("*ETHUSDT*", faults.Status(403), endless=True)
    code, out, err = shell("collect", "--config", str(file))
    assert code == 3
    first, second = (
        out.index("desk-a: complete: 1 planned, 1 verified"),
        out.index("desk-b: failed: 1 planned"),
    )
    assert first < out.index("archives are in a") < second < out.index("archives are in b")
    assert {line.partition(":")[0] for line in err.splitlines()} == {"desk-a", "desk-b"}
    assert not [line for line in err.splitlines() if "ETHUSDT" in line and "desk-a" in line]
    code, out, err = shell("collect", "--config", str(file), "--json", "-q")
    found = json.loads(out)
    assert (code, err) == (3, "")
    assert (found["workflow"], found["status"], found["exit_code"]) == ("tenants", "partial", 3)
    assert found["tenants"]["desk-a"]["totals"]["unchanged"] == 1
    assert found["tenants"]["desk-b"]["totals"]["failed"] == 1
    for name, other in (("a", "ETHUSDT"), ("b", "BTCUSDT")):
        assert not [path for path in (tmp_path / name).rglob("*") if other in path.name]


def test_faults_that_only_a_run_finds_have_a_line_each(
    file: Path, shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "b" / "data").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "data").symlink_to(tmp_path / "b" / "data")
    code, _, err = shell("collect", "--config", str(file), "-q")
    assert code == 2
    assert "error: desk-a: invalid configuration, 1 problem:\n  $.tenants.desk-a.output" in err
    code, out, _ = shell("run", str(file), "--tenant", "desk-a", "-q")
    assert (code, "1 problem:\n  $.tenants.desk-a.output_directory" in out) == (2, True)
    assert [*(tmp_path / "b").rglob("*BTCUSDT*")] == []


def test_a_step_of_a_pipeline_has_no_tenant_of_its_own(file: Path, shell: Shell) -> None:
    values = json.loads(file.read_text())
    values["pipelines"]["nightly"]["steps"]["collect"] = {"with": {"tenant": "desk-b"}}
    file.write_text(json.dumps(values))
    code, _, err = shell("run", str(file), "--tenant", "desk-a")
    assert code == 2
    assert "steps.collect.with.tenant: a step has no tenant of its own" in err
