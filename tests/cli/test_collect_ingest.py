"""`collect --ingest`: each option of `collect` means the same as without `--ingest`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, Shell, collect
from tests.cli.test_closed_pipe import into_closed_pipe

from crypto_lakehouse.cli.main import main
from crypto_lakehouse.testing import ArchiveServer

OTHER = KEY.replace("1h", "5m")

FEW = ["-i", "1h,5m"]

#: Enough for the first archives of 13.
BUDGET = ["--max-bytes", "1", "--max-parallel-downloads", "1"]


@pytest.fixture
def source(archive_server: ArchiveServer) -> ArchiveServer:
    """A source that serves one archive without a sidecar, and lacks another."""
    archive_server.remove(f"{KEY}.CHECKSUM")
    archive_server.remove(OTHER)
    archive_server.remove(f"{OTHER}.CHECKSUM")
    return archive_server


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], 3),
        (["--acknowledge", OTHER], 0),
        (["--acknowledge", OTHER, "--strict"], 3),
    ],
)
def test_an_option_has_the_same_result(
    source: ArchiveServer, shell: Shell, options: list[str], expected: int
) -> None:
    code, alone, _ = shell(*collect(source, *FEW, *options, "-o", "alone", "--json"))
    assert code == expected
    code, both, _ = shell(*collect(source, *FEW, *options, "--ingest", "--json"))
    assert code == expected
    varying = {"duration_seconds": 0, "ingest": 0}
    assert {**json.loads(both), **varying} == {**json.loads(alone), **varying}


def test_a_budget_ends_both(source: ArchiveServer, shell: Shell) -> None:
    assert shell(*collect(source, *BUDGET, "-o", "alone"))[0] == 6
    code, out, err = shell(*collect(source, "--ingest", "--json", "--strict", *BUDGET))
    assert code == 6
    assert json.loads(out)["status"] == "interrupted"
    assert "remaining" in json.loads(out)["error"]
    assert "remaining" in err


def test_only_failed_archives_are_collected_again(source: ArchiveServer, shell: Shell) -> None:
    assert shell(*collect(source, *FEW, "--ingest", "-q"))[0] == 3
    retried = ("collect", "-o", "out", "--retry-failed", "--source-url", source.url, "--json")
    code, alone, _ = shell(*retried)
    assert (code, json.loads(alone)["totals"]["planned"]) == (3, 1)
    code, both, _ = shell(*retried, "--ingest")
    assert (code, json.loads(both)["totals"]) == (3, json.loads(alone)["totals"])


def test_a_dry_run_ingests_nothing(source: ArchiveServer, shell: Shell) -> None:
    code, out, err = shell(*collect(source, "--dry-run", "--ingest"))
    assert (code, out) == (2, "")
    assert "--ingest has no effect with --dry-run; leave it out" in " ".join(err.split())
    assert not Path("out").exists()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_report_that_cannot_be_printed_has_the_same_exit_code(
    archive_server: ArchiveServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    arguments = collect(archive_server, "-q", "-o", str(tmp_path), *FEW, "--ingest", *options)
    assert into_closed_pipe(arguments, monkeypatch) == 0
    assert capsys.readouterr().err == ""
    with monkeypatch.context() as patched, Path("/dev/full").open("w") as full:
        patched.setattr("sys.stdout", full)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    assert ended.value.code == 1
    told = "error: the report cannot be written to standard output: No space left on device"
    assert told in capsys.readouterr().err


def test_a_file_may_say_how_to_ingest(
    archive_server: ArchiveServer, shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "both.yaml").write_text(
        "lake: tables\nformat: parquet\nmax_retries: 0\nsymbols: [ETHUSDT]\npartitions: [daily]\n"
    )
    both = ("--config", "both.yaml", "-q", *FEW)
    code, out, err = shell(*collect(archive_server, *both, "--ingest"))
    assert (code, err) == (0, "")
    assert "tables in tables" in out or f"tables in {tmp_path / 'tables'}" in out
    assert [*(tmp_path / "tables").rglob("BTCUSDT-*.parquet")], "what was collected is ingested"
    code, _, err = shell("ingest", "-o", "out", "--config", "both.yaml", "-s", "BTCUSDT", "-q")
    assert (code, err) == (0, "")
    assert not (tmp_path / "out" / ".lakehouse" / "lake").exists()
