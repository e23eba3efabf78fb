"""How the program starts: with little imported, and on Windows with one sentence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import crypto_lakehouse
from crypto_lakehouse.__main__ import main
from crypto_lakehouse.cli.main import _COMMANDS, cli

#: Runs the command, and prints what it has imported to standard error.
_IMPORTED = """
import json, sys
before = {*sys.modules}
import crypto_lakehouse
face = {*sys.modules} - before
from crypto_lakehouse.__main__ import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(json.dumps([sorted(face), sorted({*sys.modules} - before)]), file=sys.stderr)
"""


def imported(*arguments: str, **variables: str) -> tuple[list[str], list[str], str]:
    """What importing the package brings, what a command brings, and what that prints."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, *arguments],
        env=variables, check=True, capture_output=True, text=True,
    )  # fmt: skip
    face, command = json.loads(done.stderr)
    return face, command, done.stdout


def of_the_package(names: list[str]) -> set[str]:
    return {name for name in names if name.startswith("crypto_lakehouse")}


def test_help_imports_click_and_what_screens_need_and_nothing_else() -> None:
    """An import costs about a millisecond; all of the command's are 0.4 s."""
    face, command, out = imported("--help")
    assert "Usage: crypto-lakehouse" in out
    assert of_the_package(face) == {"crypto_lakehouse", "crypto_lakehouse.version"}
    assert len(face) < 60
    assert {name.partition(".")[0] for name in command} <= {*sys.stdlib_module_names, "click",
                                                            "crypto_lakehouse"}  # fmt: skip
    assert "asyncio" not in command
    assert len(of_the_package(command)) < 20
    assert len(command) < 200


def test_the_short_help_of_each_command_is_its_own() -> None:
    found = {name: cli.get_command(None, name) for name in _COMMANDS}  # type: ignore[arg-type]
    assert {name: command and command.get_short_help_str(100) for name, command in found.items()} \
        == _COMMANDS  # fmt: skip


def test_on_windows_one_sentence_says_where_the_program_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: crypto-lakehouse runs on Linux and macOS; on Windows")
    for name in ("run_collection", "WorkflowConfig"):
        with pytest.raises(ImportError, match="WSL 2"):
            getattr(crypto_lakehouse, name)
    assert crypto_lakehouse.__version__
