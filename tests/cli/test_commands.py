"""The command line, run as a person or a script would."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.cli.conftest import KEY, Shell, collect

from crypto_lakehouse.cli.main import cli
from crypto_lakehouse.testing import ArchiveServer


def test_help_lists_the_commands_and_the_exit_codes(shell: Shell) -> None:
    code, out, _ = shell("--help")
    assert code == 0
    for word in (
        "collect",
        "plan",
        "config",
        "verify",
        "matrix",
        "demo",
        "11 another run",
        "130 / 143",
    ):
        assert word in out
    assert "..." not in out.partition("Commands:")[2], "each summary fits into its line"


def _commands(group: click.Group, *names: str) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        yield " ".join((*names, name))
        if isinstance(each, click.Group):
            yield from _commands(each, *names, name)


@pytest.mark.parametrize("command", [*_commands(cli)])
def test_every_command_has_help(shell: Shell, command: str) -> None:
    code, out, _ = shell(*command.split(), "--help")
    assert code == 0
    assert "Usage: crypto-lakehouse" in out
    assert "\\" not in out.replace("\\\n", ""), "escapes are for click, not for readers"
    if "Examples:" in out:
        first = command.partition(" ")[0]
        assert f"\n    crypto-lakehouse {first} " in out, "examples are lines of their own"


def test_every_configuration_key_is_an_option(shell: Shell) -> None:
    from crypto_lakehouse.core.config.workflow_config import config_keys

    _, out, _ = shell("collect", "--help")
    for key in config_keys():
        expected = "--start" if key == "date_range" else f"--{key.replace('_', '-')}"
        assert expected in out


def test_a_collection_prints_its_result(shell: Shell, archive_server: ArchiveServer) -> None:
    code, out, err = shell(*collect(archive_server))
    assert code == 0
    assert "complete: 13 planned, 13 verified" in out
    assert "success rate 100.0 %" in out
    assert err == ""


def test_json_is_one_object_with_the_contracts_keys(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    archive_server.remove(KEY)
    code, out, err = shell(*collect(archive_server, "--json"))
    assert code == 3
    report = json.loads(out)
    assert set(report) == {
        "workflow", "status", "totals", "acknowledged", "success_rate", "bytes", "duration_seconds",
        "problems",
    }  # fmt: skip
    assert report["workflow"] == "archive_collection"
    assert report["status"] == "partial"
    assert report["totals"] == {
        "planned": 13, "verified": 12, "unchanged": 0, "not_published": 0, "missing": 1,
        "sidecar_missing": 0, "upstream_mismatch": 0, "corrupt": 0, "failed": 0,
    }  # fmt: skip
    assert [(item["key"], item["verdict"]) for item in report["problems"]] == [(KEY, "missing")]
    assert report["problems"][0]["reason"]
    assert f"missing {KEY}" in err


def test_events_are_one_line_for_each_archive(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    shell(*collect(archive_server, "--events", "events.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert len(lines) == 13
    assert {line["verdict"] for line in lines} == {"verified"}
    assert all(line["key"].startswith("data/spot/daily/klines/BTCUSDT/") for line in lines)


def test_a_corrupt_archive_ends_with_4(shell: Shell, archive_server: ArchiveServer) -> None:
    archive_server.put(KEY, b"junk")
    code, out, _ = shell(*collect(archive_server))
    assert code == 4
    assert f"corrupt {KEY}" in out


def test_strict_minds_what_is_merely_unverified(
    shell: Shell, archive_server: ArchiveServer
) -> None:
    archive_server.remove(KEY + ".CHECKSUM")
    code, _, _ = shell(*collect(archive_server))
    assert code == 0
    code, _, _ = shell(*collect(archive_server, "--strict"))
    assert code == 3


def test_options_win_over_the_environment_and_that_over_the_file(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.toml").write_text(
        f'output_directory = "from-file"\nsource_url = "{archive_server.url}"\n'
        'symbols = ["ETHUSDT"]\nmarkets = ["spot"]\ndata_types = ["trades"]\n'
        'default_date = "2025-07-14"\n'
    )
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_SYMBOLS", "BTCUSDT")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_DEFAULT_DATE", "2025-07-15")
    code, _, _ = shell("collect", "--config", "c.toml", "--date", "2025-07-16")
    assert code == 0
    found = [path.name for path in (tmp_path / "from-file" / "data").rglob("*.zip")]
    assert found == ["BTCUSDT-trades-2025-07-16.zip"]


def test_every_fault_of_the_configuration_is_told_at_once(shell: Shell) -> None:
    code, out, err = shell(
        "collect", "--markets", "spott", "-t", "kline", "-i", "1q", "--start", "2025-02-30",
        "--end", "2025-03-01", "-j", "0", "-s", "../BTC",
    )  # fmt: skip
    assert code == 2
    assert out == ""
    for text in (
        "did you mean `spot`?", "did you mean `klines`?", "unknown interval `1q`",
        "`2025-02-30` is not a day", "must be 1 to 256", "letters, digits and underscores",
        "--output: required",
    ):  # fmt: skip
        assert text in err


def test_what_the_matrix_does_not_have_is_told_with_what_it_has(shell: Shell) -> None:
    code, _, err = shell(
        "plan", "--markets", "spot", "-s", "BTCUSDT", "-t", "fundingRate", "--date", "2025-07-15"
    )
    assert code == 2
    assert "spot has no `fundingRate`" in err
    assert "allowed: klines, trades, aggTrades" in err


def test_an_option_that_cannot_be_read_is_named(shell: Shell) -> None:
    code, _, err = shell("collect", "-s", '{"spot": [', "-o", "x", "--date", "2025-07-15")
    assert code == 2
    assert "--symbols: not valid JSON" in err


def test_an_unknown_option_or_command_ends_with_2(shell: Shell) -> None:
    assert shell("collect", "--no-such-option")[0] == 2
    assert shell("no-such-command")[0] == 2


@pytest.mark.parametrize(
    ("text", "fault"),
    [("{", "line 1"), ("[]", ""), ("{}", "availability_matrix"), ("\xff", "")],
)
def test_a_matrix_that_cannot_be_used_is_named_with_the_fault(
    shell: Shell, tmp_path: Path, text: str, fault: str
) -> None:
    (tmp_path / "m.json").write_bytes(text.encode("latin-1"))
    code, out, err = shell("matrix", "m.json", "--check")
    assert code == 2
    assert out == ""
    assert "m.json" in err
    assert fault in err


def test_the_matrix_is_shown_as_a_table(shell: Shell) -> None:
    code, out, _ = shell("matrix")
    assert code == 0
    for word in ("spot", "futures_um", "futures_cm", "options", "BVOLIndex", "2017-08-17", "1mo"):
        assert word in out


def test_an_older_matrix_is_checked_and_its_corrections_told(shell: Shell) -> None:
    older = Path(__file__).parents[1] / "data" / "matrices" / "format-2.json"
    code, out, err = shell("matrix", str(older), "--check")
    assert code == 0
    assert "good" in out
    corrections = err.strip().splitlines()
    assert any("1M" in line for line in corrections)
    assert len(set(corrections)) == len(corrections)


CALENDAR = ["--discovery", "calendar"]
PLAN = [*CALENDAR, "-s", "BTCUSDT", "--markets", "spot,futures_um",
        "-t", "klines,fundingRate", "-i", "1h",
        "--start", "2025-05-30", "--end", "2025-07-01"]  # fmt: skip


def test_a_plan_is_a_table_with_totals(shell: Shell) -> None:
    code, out, err = shell("plan", *PLAN)
    assert code == 0
    fetched = "11 to fetch (22 requests, size unknown, about 1 s)"
    summary = f"11 archives planned (5 monthly, 6 daily), {fetched}"
    assert f"{summary}, 0 not published" in out
    assert out.startswith("plan, 2025-05-01 to 2025-07-31, as of "), "days, also for months"
    assert "spot" in out
    assert err == ""


def test_a_plan_is_json(shell: Shell) -> None:
    code, out, _ = shell("plan", *PLAN, "--json")
    assert code == 0
    plan = json.loads(out)
    assert plan["complete"] is True
    assert plan["totals"] == {
        "planned": 11, "daily": 6, "monthly": 5, "not_published": 0, "missing": 0,
        "verified": 0, "to_fetch": 11, "to_check": 0, "sidecars": 0, "quarantined": 0,
            "refused": 0,
        "bytes": None, "requests": 22, "planned_bytes": None, "planned_requests": 22,
        "estimate_seconds": 0.1,
        "first": "2025-05-01", "last": "2025-07-31",
    }  # fmt: skip
    assert plan["series"][0] == {
        "market": "spot", "data_type": "klines", "symbol": "BTCUSDT", "interval": "1h",
        "planned": 4, "daily": 3, "monthly": 1, "not_published": 0, "missing": 0,
        "verified": 0, "to_fetch": 4, "to_check": 0, "sidecars": 0, "quarantined": 0, "refused": 0,
        "bytes": None, "requests": 8, "planned_bytes": None, "planned_requests": 8,
        "estimate_seconds": 0.0,
        "first": "2025-05-30", "last": "2025-07-01",
    }  # fmt: skip


def test_a_plan_is_urls_for_other_tools(shell: Shell) -> None:
    code, out, _ = shell("plan", *CALENDAR, "-s", "币安人生USDT", "--markets", "spot",
                         "-t", "trades",
                         "--date", "2025-10-20", "--format", "urls")  # fmt: skip
    assert code == 0
    symbol = "%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT"
    folder = "https://data.binance.vision/data/spot/daily/trades"
    assert out == f"{folder}/{symbol}/{symbol}-trades-2025-10-20.zip\n"


def test_a_plan_is_keys_and_leaves_out_what_cannot_exist(shell: Shell) -> None:
    code, out, _ = shell("plan", *CALENDAR, "-s", "BTCUSDT", "--markets", "spot", "-t", "trades",
                         "--start", "2017-08-16", "--end", "2017-08-18", "--partitions", "daily",
                         "--format", "keys")  # fmt: skip
    assert code == 0
    assert [line[-14:-4] for line in out.splitlines()] == ["2017-08-17", "2017-08-18"]


def test_a_selection_that_nothing_fits_is_a_usage_error_with_a_hint(shell: Shell) -> None:
    code, _, err = shell("plan", *CALENDAR, "-s", "BTCUSDT", "--markets", "spot",
                         "-t", "klines", "-i", "1w",
                         "--partitions", "daily", "--date", "2025-07-15")  # fmt: skip
    assert code == 2
    assert "--partitions: none of the series is published in the wanted partitions" in err
    assert "monthly only" in err


def test_a_plan_reads_the_output_directory_of_its_file_and_warns_of_older_keys(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "c.json").write_text(
        json.dumps(
            {"output_directory": "x", "symbols": ["BTCUSDT"], "markets": ["spot"],
             "data_types": ["trades"], "default_date": "2025-07-15", "batch_size": 50}
        )
    )  # fmt: skip
    code, _, err = shell("plan", *CALENDAR, "--config", "c.json")
    assert code == 0
    assert "`batch_size`" in err
    code, _, _ = shell("plan", *CALENDAR, "--config", "c.json", "-o", "y")
    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"], "a plan writes nothing"


def test_verify_finds_damage_and_what_is_gone(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    shell(*collect(archive_server))
    code, out, err = shell("verify", "-o", "out")
    assert (code, out, err) == (0, "13 archives checked: 13 ok, 0 damaged, 0 missing, "
                                "0 unproven, 0 unreadable\n", "")  # fmt: skip
    archive = tmp_path / "out" / KEY
    archive.write_bytes(b"damaged")
    code, out, err = shell("verify", "-o", "out", "--json")
    assert code == 4
    assert json.loads(out)["totals"]["damaged"] == 1
    assert f"damaged {KEY}" in err
    archive.unlink()
    code, out, _ = shell("verify", "-o", "out")
    assert code == 3
    assert "1 missing" in out


def test_verify_wants_a_directory(shell: Shell) -> None:
    code, _, err = shell("verify", "-o", "absent")
    assert code == 2
    assert "is not a directory" in err


def test_the_demo_collects_13_archives_without_a_network(shell: Shell, tmp_path: Path) -> None:
    code, out, err = shell("demo")
    assert code == 0
    assert "prices here are made up" in out.splitlines()[0]
    assert "complete: 13 planned, 13 verified" in out
    assert "success rate 100.0 %" in out
    assert "13 archives and 13 sidecars" in out
    assert "crypto-lakehouse collect" in out
    assert err.count("verified data/") == 13
    assert len(list((tmp_path / "demo-output").rglob("*.CHECKSUM"))) == 13
    code, out, err = shell("demo", "--json")
    assert json.loads(out)["totals"]["verified"] == 13
    assert "prices here are made up" in err.splitlines()[0]


def test_a_fault_of_ours_is_said_to_be_one(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from crypto_lakehouse.matrix import load

    def broken(*_: object) -> None:
        raise LookupError("https://u:hunter2@x broke")

    monkeypatch.setattr(load, "load_matrix", broken)
    code, _, err = shell("matrix")
    assert code == 1
    assert "please report it" in err
    assert "hunter2" not in err


def test_a_failed_run_still_prints_json(shell: Shell, archive_server: ArchiveServer) -> None:
    (Path.cwd() / "out").write_text("a file in the place of the directory")
    code, out, err = shell(*collect(archive_server, "--json"))
    assert code == 2
    report = json.loads(out)
    assert report["status"] == "failed"
    assert "cannot be written" in report["error"]
    assert "cannot be written" in err


def test_ctrl_c_while_the_command_is_imported() -> None:
    """An import takes 0.2 s, in which somebody may have seen a typing error."""
    program = """
import runpy, sys

class CtrlC:
    def find_spec(self, name, *_):
        if name == "click":
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
runpy.run_module("crypto_lakehouse", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=200
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
