"""`crypto-lakehouse config`: what a configuration holds, and what it may hold."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tests.cli.conftest import Shell, collect

from crypto_lakehouse.core.config.schema import config_schema
from crypto_lakehouse.core.config.workflow_config import config_keys
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.lake_config import lake_keys


def test_the_schema_is_printed(shell: Shell) -> None:
    code, out, err = shell("config", "schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == config_schema(others=lake_keys())


def test_the_configuration_of_a_lake_is_shown_likewise(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lake.toml").write_text(
        'output_directory = "out"\n[environments.production]\nworkers = 2\n'
    )
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LAKE_EXACT", "true")
    given = ("config", "show", "--lake", "--config", "lake.toml", "--environment", "production")
    code, out, err = shell(*given, "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert list(shown) == list(lake_keys())
    assert shown["workers"] == {"value": 2, "from": "profile `production`"}
    assert shown["exact"] == {"value": True, "from": "variable CRYPTO_LAKEHOUSE_LAKE_EXACT"}
    code, out, err = shell(*given, "--max-retries", "3")
    assert code == 2
    assert "remove --max-retries" in err
    code, out, err = shell("config", "schema", "--lake")
    assert (code, err) == (0, "")
    assert json.loads(out) == config_schema(lake_keys(), config_keys())


FILE = """
symbols: [BTCUSDT]
date_range: {start: 2025-07-01, end: 2025-07-31}
source_url: https://me:hunter2@mirror.example
max_retries: 1
environments: {production: {max_retries: 9, timeout_seconds: 20}}
"""
SHOWN = ("config", "show", "--config", "c.yaml", "--environment", "production", "-o", "out",
         "--end", "2025-07-02")  # fmt: skip


def test_each_value_is_shown_with_its_origin(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.yaml").write_text(FILE)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_TIMEOUT_SECONDS", "30")
    code, out, err = shell(*SHOWN, "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert list(shown) == list(config_keys())
    expected = {
        "symbols": (["BTCUSDT"], "file"),
        "date_range": ({"start": "2025-07-01", "end": "2025-07-02"}, "file; option --end"),
        "source_url": ("https://***@mirror.example", "file"),
        "max_retries": (9, "profile `production`"),
        "timeout_seconds": (30.0, "variable CRYPTO_LAKEHOUSE_TIMEOUT_SECONDS"),
        "output_directory": ("out", "option --output"),
        "environment": ("production", "option --environment"),
        "processes": (1, "default"),
        "listing_url": (None, "default"),
    }
    for key, (value, origin) in expected.items():
        assert shown[key] == {"value": value, "from": origin}


def test_the_table_shows_the_same_without_secrets(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(FILE)
    code, out, _ = shell(*SHOWN)
    assert code == 0
    assert "hunter2" not in out
    for words in ("https://***@mirror.example", "profile `production`", '["BTCUSDT"]', "none"):
        assert words in out


def test_ignored_keys_are_named(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"{FILE}\nbatch_size: 5\n")
    code, _, err = shell(*SHOWN)
    assert code == 0
    assert err.startswith("warning: `batch_size`")


def test_a_faulty_configuration_is_shown_with_its_faults(shell: Shell) -> None:
    code, out, err = shell(
        "config", "show", "--max-retries", "21", "--date", "2025-07-15", "--json"
    )
    assert code == 2
    shown = json.loads(out)
    assert shown["default_date"] == {"value": "2025-07-15", "from": "option --date"}
    assert shown["max_retries"] == {"value": 5, "from": "default"}
    assert shown["exit_code"] == 2
    assert shown["error"].startswith("invalid options, 3 problems:\n  --output: required")
    faults = [f"error: {each['path']}: {each['message']}" for each in shown["problems"]]
    assert all(fault.removeprefix("error: ") in shown["error"] for fault in faults)
    assert list(shown)[3:] == list(config_keys())
    assert err.splitlines() == faults
    assert faults == [
        "error: --output: required, and missing",
        "error: --max-retries: must be at most 20, not 21",
        "error: --symbols: required, and missing; list the symbols, for example [BTCUSDT], or take "
        "all that are listed with `discovery: listing`",
    ]


def test_values_that_are_not_set_are_shown_with_what_applies(shell: Shell) -> None:
    _, out, _ = shell("config", "show", "-o", "out", "-s", "BTCUSDT", "--date", "2025-07-15")
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "none: all in the matrix" in rows["markets"]
    assert "none: all types of the market" in rows["data_types"]
    assert "none: no limit" in rows["max_bytes"]
    assert "required" not in rows["date_range"]
    _, out, _ = shell("config", "show", "--lake")
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "none: all" in rows["symbols"]
    assert "none: one for each core" in rows["workers"]


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command choose how it logs, and forget it afterwards."""
    monkeypatch.setattr(logging.getLogger("crypto_lakehouse"), "handlers", [])


PRODUCTION = ("--quiet", "--environment", "production")


@pytest.mark.usefixtures("logs")
def test_production_logs_json(shell: Shell, archive_server: ArchiveServer) -> None:
    _, _, err = shell(*collect(archive_server, *PRODUCTION))
    assert err
    assert all(json.loads(line)["event"] for line in err.splitlines())


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("form", ["none", "text"])
def test_a_format_that_is_named_holds_in_production(
    shell: Shell, archive_server: ArchiveServer, form: str
) -> None:
    _, _, err = shell(*collect(archive_server, *PRODUCTION, "--log-format", form))
    assert bool(err) == (form == "text")
    assert not err.startswith("{")


def test_a_wrong_value_names_its_option_or_variable(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_TIMEOUT_SECONDS", "0")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_DATE_RANGE_END", "2025-07-32")
    code, _, err = shell(
        "collect", "-o", "out", "-s", "BTC-USDT", "--start", "tomorrow", "--max-retries", "99"
    )
    assert code == 2
    assert {line.strip().partition(": ")[0] for line in err.splitlines()[1:]} == {
        "--max-retries",
        "--start",
        "--symbols[0]",
        "CRYPTO_LAKEHOUSE_DATE_RANGE_END",
        "CRYPTO_LAKEHOUSE_TIMEOUT_SECONDS",
    }


def test_a_value_that_the_matrix_refuses_names_its_option(shell: Shell) -> None:
    code, _, err = shell(
        "collect",
        "-o",
        "out",
        "-s",
        "BTCUSDT",
        "--date",
        "2025-07-15",
        "-t",
        "metrics",
        "--markets",
        "spot",
        "--discovery",
        "calendar",
    )
    assert code == 2
    assert "--data-types: spot has no `metrics`" in err


def test_a_range_from_two_options_names_both(shell: Shell) -> None:
    code, _, err = shell("config", "show", "--start", "2025-07-02", "--end", "2025-07-01")
    assert code == 2
    assert "error: --start and --end: start 2025-07-02 is after end 2025-07-01" in err


def test_a_policy_that_is_unknown_names_its_option(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    code, _, err = shell("validate", "-o", "out", "--policy", "order=burn")
    assert code == 2
    assert "--policy.order: no policy `burn`" in err


def test_the_variables_of_a_service_of_this_name_break_no_command(
    shell: Shell, archive_server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_SERVICE_HOST", "10.0.0.11")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_PORT", "tcp://10.0.0.11:443")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LAKE_PORT", "tcp://10.0.0.12:443")
    assert shell(*collect(archive_server, "--quiet"))[::2] == (0, "")
    _, _, err = shell("config", "show", "--lake")
    assert err == "error: $.output_directory: required, and missing\n"


def test_a_variable_that_names_no_key_is_told(
    shell: Shell, archive_server: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_MAX_RETRY", "1")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LAKE_WORKER", "1")
    code, _, err = shell(*collect(archive_server, "--quiet"))
    assert (code, err.count("warning: ")) == (0, 1)
    assert "did you mean `CRYPTO_LAKEHOUSE_MAX_RETRIES`?" in err
    _, _, err = shell("validate", "-o", "out")
    assert "warning: the variable `CRYPTO_LAKEHOUSE_LAKE_WORKER` names no" in err


def test_an_empty_name_of_a_file_is_not_taken_for_none(shell: Shell) -> None:
    asked = ("-o", "out", "-s", "BTCUSDT", "--date", "2025-07-15", "--discovery", "calendar")
    code, out, err = shell("collect", *asked, "--config", "", "--dry-run")
    assert (code, out) == (2, ""), err
