"""An option that has no effect without another, or beside it, is refused and not ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import KEY, Shell

OF_REPAIR = {
    "--config": ["x.yaml"], "--source-url": ["http://127.0.0.1:1"], "--wait": [],
    "--second-source-url": ["http://127.0.0.1:1"], "--proxy": ["none"], "--ca-bundle": ["x.pem"],
    "-j": ["2"], "--max-retries": ["0"], "--timeout-seconds": ["3"], "--integrity": ["both"],
    "--accept-upstream-mismatch": [],
}  # fmt: skip


@pytest.mark.parametrize("option", OF_REPAIR)
def test_verify_refuses_what_only_a_repair_uses(shell: Shell, tmp_path: Path, option: str) -> None:
    (tmp_path / "out").mkdir()
    code, out, err = shell("verify", "-o", "out", option, *OF_REPAIR[option])
    assert (code, out) == (2, "")
    name = "--max-parallel-downloads" if option == "-j" else option
    assert f"{name} has no effect without --repair; add that, or leave it out" in err
    assert shell("verify", "-o", "out")[0] == 0


def test_these_are_all_options_that_verify_has_for_a_repair() -> None:
    from crypto_lakehouse.cli.verify import command

    told = {
        name
        for option in command.params
        if getattr(option, "help", "").startswith("With --repair")
        for name in option.opts
        if name in OF_REPAIR
    }
    assert told == set(OF_REPAIR)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("verify -o out --proxy none --wait=1s", "--proxy, --wait have no effect without"),
        ("verify -o out --seed x", "--seed has no effect without --sample N"),
        (f"history -o out {KEY} --wait", "--wait has no effect without --prune DAYS"),
        ("history -o out --since 2024 --force", "--force has no effect without --write FILE"),
        (f"history -o out {KEY} --as-of 2024-01-01 --write x --json", "--json has no effect with"),
        ("query -o out .shell --to x.csv", "--to has no effect with .shell; leave it out"),
        ("query -o out .shell --explain -f csv", "--format, --explain have no effect with .shell"),
        ("plan -o out -s BTCUSDT --date 2024-01-01 --json --by type", "--by has no effect with"),
        ("plan -o out -s BTCUSDT --date 2024-01-01 --format urls --by type", "with --format urls"),
        ("collect -o out --retry-failed --only quarantined", "--only has no effect with --retry-"),
        (
            "collect -o out --dry-run --events e.json --wait --strict --ingest",
            "--events, --strict, --ingest, --wait have no effect with --dry-run; leave them out",
        ),
        ("collect --log-format none --log-level info", "--log-level has no effect with --log-form"),
        ("plan -o out --json --format urls", "--format has no effect with --json"),
        ("status -o out --json --format keys", "--format has no effect with --json"),
        ("status -o out --format keys --holes", "--holes has no effect with --format keys"),
    ],
)
def test_other_commands_refuse_them(
    shell: Shell, tmp_path: Path, command: str, reason: str
) -> None:
    (tmp_path / "out").mkdir()
    code, out, err = shell(*command.split())
    assert (code, "exit_code" in out) == (2, "--json" in command)
    assert "--json" in command or not out
    assert reason in " ".join(err.split())
    assert not list((tmp_path / "out").iterdir())


PLANNING = [
    "collect -s BTCUSDT --date 2024-01-01",
    "collect -s BTCUSDT --date 2024-01-01 --dry-run",
    "plan -s BTCUSDT --date 2024-01-01",
]
READING = ["status", "verify", "history --since 2024-01-01", "ingest", "validate"]
USELESS = {
    "--storage {} --state-directory s": (
        [*PLANNING, *READING],
        "--storage, --state-directory have no effect without the URL of an object store as --out",
    ),
    "--ledger-schema x": (
        [*PLANNING, *READING],
        "--ledger-schema has no effect without --ledger URL; add that, or leave it out",
    ),
    "--dask-scheduler tcp://127.0.0.1:1 --shared-directory": (
        PLANNING,
        "--dask-scheduler, --shared-directory have no effect without --executor dask",
    ),
}


@pytest.mark.parametrize(
    ("command", "options"),
    [(command, options) for options, (commands, _) in USELESS.items() for command in commands],
)
def test_an_option_that_the_configuration_makes_useless_is_refused(
    shell: Shell, tmp_path: Path, command: str, options: str
) -> None:
    (tmp_path / "out").mkdir()
    name, *others = command.split()
    code, out, err = shell(name, "-o", "out", *options.split(), *others)
    assert (code, out) == (2, "")
    assert USELESS[options][1] in " ".join(err.split())
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("option", ["-j=0", "--max-retries=x", "--source-url=", "--config=n.toml"])
def test_a_wrong_option_of_a_repair_is_refused_if_nothing_is_to_be_repaired(
    shell: Shell, tmp_path: Path, option: str
) -> None:
    (tmp_path / "out").mkdir()
    code, out, err = shell("verify", "-o", "out", "--repair", *option.split("="))
    assert (code, out) == (2, ""), err


@pytest.mark.parametrize("command", [["plan"], ["collect", "--dry-run"]])
def test_a_plan_reads_the_file_of_holes_that_its_collection_needs(
    shell: Shell, command: list[str]
) -> None:
    given = ["-o", "out", "-s", "BTCUSDT", "--date", "2024-01-01", "--discovery", "calendar"]
    code, out, err = shell(*command, *given, "--holes-path", "nosuch")
    assert (code, out) == (2, "")
    assert "--holes-path: `nosuch` cannot be read" in err
    Path("nosuch").write_text("")
    assert shell(*command, *given, "--holes-path", "nosuch")[0] == 0


def test_pruning_answers_in_json(shell: Shell, tmp_path: Path) -> None:
    from crypto_lakehouse.ledger.sqlite import SqliteLedger

    (tmp_path / "out" / ".lakehouse").mkdir(parents=True)
    SqliteLedger.open(tmp_path / "out" / ".lakehouse" / "ledger.sqlite")[0].close()
    code, out, _ = shell("history", "-o", "out", "--prune", "0", "--json")
    assert (code, out) == (0, '{"files": 0, "bytes": 0}\n')
