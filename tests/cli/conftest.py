"""The command, in this process and as one of its own."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest
from tests.services.bucket import Bucket

from crypto_lakehouse.cli.main import main
from crypto_lakehouse.sinks import lines, steps
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


@pytest.fixture(params=["ministack", "rclone"])
def bucket(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bucket:
    """A bucket, and the variables that a user would set for it."""
    bucket: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    bucket.give_credentials(monkeypatch)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_STORAGE", json.dumps(dict(bucket.storage)))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return bucket


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no command in this process write a line because it takes longer than 5 s."""
    for module in (lines, steps):
        monkeypatch.setattr(module, "LINE_EVERY_S", math.inf)


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """The command, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


_FIRST = date(2023, 7, 1)


@pytest.fixture(scope="session")
def _made_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output directory of a lake with two commits, as `lake` restores it."""
    from tests.tables.sample_data import bars, days, put

    from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig

    root = tmp_path_factory.mktemp("lake") / "kept"
    config = LakeConfig(output_directory=str(root.with_name("made")))
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for day in days(_FIRST, 2):
            put(root.with_name("made"), bars(day, symbol))
    IngestWorkflow(config).execute()
    put(root.with_name("made"), bars(days(_FIRST, 3)[2]))
    IngestWorkflow(config).execute()
    root.with_name("made").rename(root)
    return root


@pytest.fixture
def lake(_made_lake: Path) -> Iterator[str]:
    """The output directory of a lake with two commits, made once for all tests.

    It is always at the path that it was made at: the files of a lake name each other.
    """
    root = _made_lake.with_name("made")
    shutil.copytree(_made_lake, root)
    yield str(root)
    shutil.rmtree(root)


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
