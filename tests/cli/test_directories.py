"""A directory that is not there is refused by what reads one; a relative one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Shell, collect

from crypto_lakehouse.core.config.sources import parse_config
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.stores.state import relative_note
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.lake_config import LakeConfig

READERS = [
    ["status"],
    ["report", "--html", "page.html"],
    ["verify"],
    ["verify", "--repair"],
    ["validate"],
    ["ingest"],
    ["ingest", "--format", "parquet", "--lake", "files"],
    ["query", "SELECT 1"],
    ["lake", "tables"],
    ["lake", "compact"],
    ["lake", "sweep"],
    ["lake", "relocate"],
    ["history", "--since", "2026-01-01"],
    ["history", "--prune", "30"],
    ["collect", "--retry-failed"],
    ["collect", "--only", "quarantined"],
]


@pytest.mark.parametrize("command", READERS, ids=" ".join)
@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_directory_that_is_not_there_is_refused(
    shell: Shell, tmp_path: Path, command: list[str], kind: str
) -> None:
    if kind == "file":
        (tmp_path / "typo").write_text("a file")
    code, out, err = shell(*command, "-o", "typo")
    assert code == 2
    assert (
        f": `{tmp_path / 'typo'}` is not a directory; name the one that `collect` wrote to" in err
    )
    assert out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["typo"] * (kind == "file")


@pytest.mark.parametrize("command", [each for each in READERS if each[0] in {"query", "lake"}])
def test_a_lake_that_is_not_there_is_refused(
    shell: Shell, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "out").mkdir()
    code, out, err = shell(*command, "-o", "out", "--lake", "typo")
    place, reason = tmp_path / "typo", "is not a directory; name the one that `ingest` wrote to"
    assert (code, out, f"--lake: `{place}` {reason}" in err) == (2, "", True)
    place, reason = tmp_path / "out", "has no lake; `crypto-lakehouse ingest` creates one"
    for option, given in ("--lake", ["-o", "typo", "--lake", "out"]), ("--output", ["-o", "out"]):
        code, out, err = shell(*command, *given)
        assert (code, out, f"{option}: `{place}` {reason}" in err) == (2, "", True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


@pytest.mark.parametrize(
    "option", [["--lake", "elsewhere"], ["--catalog", "none"]], ids=["lake", "catalog"]
)
def test_a_lake_elsewhere_needs_no_output_directory(shell: Shell, option: list[str]) -> None:
    _, _, err = shell("query", "SELECT 1", "-o", "typo", *option)
    assert "/typo` is not a directory" not in err


def test_a_relative_directory_of_a_file_is_told(
    shell: Shell, tmp_path: Path, archive_server: ArchiveServer
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "c.yaml").write_text("output_directory: out\n")
    arguments = collect(archive_server)
    without = [each for each in arguments if each not in {"-o", "--output", "out"}]
    code, _, err = shell(*without, "--config", "conf/c.yaml")
    assert code == 0
    note = f"note: the output directory is {tmp_path / 'out'}, relative to the working directory"
    assert note in err
    assert (tmp_path / "out" / "data").is_dir()
    assert not (tmp_path / "conf" / "out").exists()
    _, _, err = shell("validate", "--config", "conf/c.yaml")
    assert note in err
    assert "note: " not in shell("ingest", "--config", "conf/c.yaml", "--quiet")[2]


def test_a_directory_of_an_option_is_not_told(
    shell: Shell, tmp_path: Path, archive_server: ArchiveServer
) -> None:
    assert "note: " not in shell(*collect(archive_server))[2]
    (tmp_path / "c.yaml").write_text(f"output_directory: {tmp_path / 'out'}\n")
    assert "note: " not in shell("validate", "--config", "c.yaml")[2]


@pytest.mark.parametrize("make", [WorkflowConfig, lambda given: WorkflowConfig(**given)])
def test_a_directory_of_a_program_is_not_told(make: Any) -> None:
    made = make({"output_directory": "out", "symbols": ["BTC"], "default_date": "2025-07-15"})
    assert relative_note(made.output_directory, made.origins) == ""
    of_file = WorkflowConfig(parse_config(json.dumps(made.to_mapping()), "c.json"))
    assert of_file.origins["output_directory"] == "file"
    note = relative_note(of_file.output_directory, of_file.origins)
    assert note.endswith("/out, relative to the working directory")
    again = LakeConfig(parse_config("output_directory: out", "c.yaml"))
    assert again.origins["output_directory"] == "file"


def test_a_home_directory_is_one_for_every_command(
    shell: Shell, tmp_path: Path, archive_server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = [each if each != "out" else "~/out" for each in collect(archive_server)]
    assert shell(*arguments)[0] == 0
    assert shell("ingest", "-o", "~/out")[0] == 0
    assert shell("validate", "-o", "~/out")[0] == 0
    assert shell("status", "-o", "~/out")[0] == 0
    assert shell("history", "-o", "~/out", "--since", "2026-01-01")[0] == 0
    assert not (tmp_path / "~").exists()
    answers = [
        shell("query", "-o", path, "-f", "csv", "SELECT count(*) > 0 AS good FROM spot.klines")
        for path in ("~/out", str(tmp_path / "out"))
    ]
    assert answers == [(0, '"good"\ntrue\n', "")] * 2


@pytest.mark.parametrize("form", ["iceberg", "parquet"])
@pytest.mark.parametrize("typed", ["./~", "a/../out", "linked/../out", "out/", ".//out"])
def test_a_directory_is_ingested_as_it_is_typed(
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive_server: ArchiveServer,
    typed: str,
    form: str,
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "a").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    place = tmp_path / ("~" if typed == "./~" else "out")
    made = collect(archive_server, "-i", "1h")
    made[made.index("out")] = str(place)
    assert shell(*made)[0] == 0
    lake = ["--lake", f"{typed}/plain"] if form == "parquet" else []
    for again in (), ("--again",):
        code, out, err = shell("ingest", "-o", typed, "--format", form, *lake, *again)
        assert (code, err) == (0, ""), out
    assert list(place.rglob("*.parquet"))
    assert not home.exists()


@pytest.mark.parametrize(
    "command", [each for each in READERS if each[0] in {"status", "verify", "history"}]
)
def test_a_url_that_names_no_bucket_is_refused_by_the_option(
    shell: Shell, command: list[str]
) -> None:
    code, out, err = shell(*command, "-o", "s3://b/p")
    assert (code, out) == (2, "")
    assert "--output: `b` is not the name of a bucket" in err
