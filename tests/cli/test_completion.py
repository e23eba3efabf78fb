"""A shell completes commands, options and their values: in bash, zsh and fish."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from crypto_lakehouse.cli.main import cli

#: The program as a shell finds it; what it runs in place of a command shows what was completed.
_PROGRAM = f"""#!/bin/sh
[ -n "$_CRYPTO_LAKEHOUSE_COMPLETE" ] && exec "{sys.executable}" -m crypto_lakehouse "$@"
echo "RAN:$*:"
"""

_SHELLS = {
    "bash": ("--norc", "--noprofile", "-i"),
    "zsh": ("-f", "-i"),
}

_SOURCE = {
    "bash": ". ./completion\n",
    "zsh": "autoload -Uz compinit; compinit -u -D; . ./completion\n",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that has the program, and is the home of a user."""
    program = tmp_path / "crypto-lakehouse"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def installed(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} IS NOT INSTALLED: its completion is NOT tested")
    return found


def write_completion(shell: str, home: Path) -> None:
    """Write what docs/how-to/completion.md says."""
    done = subprocess.run(
        ["crypto-lakehouse"], check=True, capture_output=True, text=True,
        env={**os.environ, "_CRYPTO_LAKEHOUSE_COMPLETE": f"{shell}_source"},
    )  # fmt: skip
    assert done.stderr == ""
    (home / "completion").write_text(done.stdout)


def offered(line: str) -> list[str]:
    """The values, or the kinds of files, that are offered for the last word of a line."""
    *words, begun = line.split(" ")
    completion = BashComplete(cli, {}, "crypto-lakehouse", "_CRYPTO_LAKEHOUSE_COMPLETE")
    found = completion.get_completions(words, begun)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in found]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("co", ["collect", "config"]),
        ("lake co", ["compact"]),
        ("collect --disc", ["--discovery"]),
        ("collect --discovery ", ["listing", "calendar"]),
        ("collect --markets spot,futures_", ["spot,futures_um", "spot,futures_cm"]),
        ("collect --data-types spot -t aggTrades,tr", ["aggTrades,trades"]),
        ("collect --partitions d", ["daily"]),
        ("collect --config ", ["<file>"]),
        ("collect -o da", ["<dir>"]),
        ("status -o da", ["<dir>"]),
        ("ingest --format p", ["parquet"]),
        ("query --format ", ["table", "vertical", "csv", "json", "parquet"]),
        ("collect --symbols B", []),
        ("nonsense co", ["collect", "config"]),
    ],
)
def test_commands_options_and_values_are_offered(line: str, values: list[str]) -> None:
    assert offered(line) == values


@pytest.mark.parametrize("shell", _SHELLS)
def test_a_tab_in_a_real_shell_completes_a_command_and_a_value(shell: str, home: Path) -> None:
    program = installed(shell)
    write_completion(shell, home)
    controller, terminal = pty.openpty()
    typed = f"{_SOURCE[shell]}crypto-lakehouse coll\t--discovery lis\t\nexit\n"
    with subprocess.Popen(
        [program, *_SHELLS[shell]], stdin=terminal, stdout=terminal, stderr=terminal,
        start_new_session=True,
    ) as running:  # fmt: skip
        os.close(terminal)
        os.write(controller, typed.encode())
        said = _all_of(controller)
        os.close(controller)
        running.wait()
    assert re.findall(r"RAN:(.*?) ?:", said) == ["collect --discovery listing"], said


def _all_of(controller: int) -> str:
    """What a terminal shows until its last process has ended."""
    said = b""
    while True:
        try:
            some = os.read(controller, 65536)
        except OSError:  # Linux says so in place of an end
            return said.decode()
        if not some:
            return said.decode()
        said += some


def test_fish_offers_values_with_the_help_of_commands(home: Path) -> None:
    program = installed("fish")
    write_completion("fish", home)
    asked = "source ./completion; complete -C 'crypto-lakehouse coll'; " \
        "complete -C 'crypto-lakehouse collect --discovery '; " \
        "complete -C 'crypto-lakehouse daem'; " \
        "complete -C 'crypto-lakehouse collect --markets spot,futures_'"  # fmt: skip
    done = subprocess.run(
        [program, "--no-config", "-c", asked], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "collect\tFetch archives and verify them.", "calendar", "listing",
        "daemon\tRun pipelines by their schedules, until it is stopped.",
        "spot,futures_cm", "spot,futures_um",
    ]  # fmt: skip
