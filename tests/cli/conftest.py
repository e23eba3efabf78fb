"""The command, in this process and as one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from crypto_lakehouse.cli.main import main
from crypto_lakehouse.testing import ArchiveServer

KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"
SELECTION = ["-s", "BTCUSDT", "--markets", "spot", "-t", "klines", "--date", "2025-07-15"]

Result = tuple[int, str, str]


class Shell:
    """Runs the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        output = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, output.out, output.err


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """The command, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


Start = Callable[[Sequence[str]], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the command as a process of its own, in an empty directory."""
    with ExitStack() as processes:

        def begin(arguments: Sequence[str]) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", "crypto_lakehouse", *arguments],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "NO_COLOR": "1"},
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield begin


def collect(server: ArchiveServer, *more: str) -> list[str]:
    """A collection of the 13 daily intervals."""
    return ["collect", "-o", "out", "--source-url", server.url, "--partitions", "daily",
            *SELECTION, *more]  # fmt: skip
