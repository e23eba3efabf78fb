"""Every command line of every help text and page runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from tests.documentation.collector import ROOT, Line, commands, lines

from crypto_lakehouse.cli.main import cli, main
from crypto_lakehouse.testing import ArchiveServer

#: Lines that are only parsed, and why.
NOT_RUN = {
    r"crypto-lakehouse bench\b": "it measures for seconds; tests/cli/test_bench.py runs it",
    r"crypto-lakehouse record\b": "it records until it is stopped: cli/test_record.py runs it",
    r"crypto-lakehouse daemon (?!.*--dry-run)": "it works until it is stopped: cli/test_daemon.py",
    r"crypto-lakehouse .*(-o|--lake|--from) s3://": "needs a bucket: cli/test_object_stores.py",
    r"python -m benchmarks\.": "it measures for minutes, against another version of the package",
}

#: An archive of the directory `data`.
KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"

LINES = lines()

RUN = [line for line in LINES if line.words[0] not in {"make", "python"}
       and not any(re.match(pattern, line.text) for pattern in NOT_RUN)]  # fmt: skip

PARSED = [
    line
    for line in LINES
    if re.match(r"crypto-lakehouse (bench\b|record\b|daemon (?!.*--dry-run)|.*s3://)", line.text)
]


def as_typed(line: Line, source: ArchiveServer) -> Line:
    """The line as a user types it: with a key, a mirror, and a day after the first run."""
    text = re.sub(r"\bKEY\b", KEY, line.text)
    text = text.replace("https://mirror.example", source.url)
    return Line(line.place, re.sub(r"(--as-of) [\d-]+", r"\1 9999-01-01", text))


def make_room(words: list[str]) -> None:
    """Remove the files that the line creates."""
    for option, name in pairwise(words):
        if option in {"--to", "--write"}:
            Path(name).unlink(missing_ok=True)


def test_examples_are_found() -> None:
    places = {line.place.partition(":")[0] for line in LINES}
    wanted = {"--help", "collect --help", "query --help", "demo", "README.md", "docs/tables.md"}
    assert wanted <= places
    assert len(LINES) > 80


@pytest.mark.parametrize("name", [name for name in commands() if name not in {"", "lake"}])
def test_the_help_of_every_command_can_be_shown(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*name.split(), "--help"])
    assert "Usage: crypto-lakehouse" in capsys.readouterr().out


@pytest.mark.parametrize("line", [each for each in RUN if not each.is_shell],
                         ids=lambda line: line.name)  # fmt: skip
def test_a_command_runs(
    line: Line,
    world: Path,
    source: ArchiveServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, *arguments = as_typed(line, source).words
    assert program == "crypto-lakehouse", f"{line.place}: no test runs `{program}`"
    make_room(arguments)
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    said = capsys.readouterr()
    assert ended.value.code == 0, said.out + said.err


@pytest.mark.parametrize("line", [each for each in RUN if each.is_shell],
                         ids=lambda line: line.name)  # fmt: skip
def test_a_line_of_shell_runs(
    line: Line, world: Path, source: ArchiveServer, tmp_path: Path
) -> None:
    typed = as_typed(line, source)
    for name in ("jq", "sha256sum"):
        if name in typed.words and shutil.which(name) is None:
            pytest.skip(f"`{name}` is not installed: NOT run: {line.text}")
    make_room(typed.words)
    program = tmp_path / "bin" / "crypto-lakehouse"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m crypto_lakehouse "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", typed.text],
        check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("line", PARSED, ids=lambda line: line.name)
def test_a_command_that_is_not_run_is_parsed(line: Line) -> None:
    _, name, *arguments = line.words
    command = commands()[name]
    with command.make_context(name, arguments, parent=cli.make_context("crypto-lakehouse", [name])):
        pass


@pytest.mark.parametrize("line", [each for each in LINES if each.words[0] == "make"],
                         ids=lambda line: line.name)  # fmt: skip
def test_a_target_is_in_the_makefile(line: Line) -> None:
    targets = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line.words[1] in " ".join(targets).split()


@pytest.mark.parametrize("line", [each for each in LINES if each.words[0] == "python"],
                         ids=lambda line: line.name)  # fmt: skip
def test_a_module_is_there(line: Line) -> None:
    assert line.words[1] == "-m"
    assert importlib.util.find_spec(line.words[2]) is not None


def test_every_reason_not_to_run_a_line_is_needed() -> None:
    for pattern in NOT_RUN:
        assert any(re.match(pattern, line.text) for line in LINES), pattern
