"""`--wait`: two first runs at the same moment, when there is no lock yet to wait for."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, Shell, collect
from tests.tables.sample_data import bars, put
from tests.workflows.lakes import FIRST

from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.testing import ArchiveServer

#: Runs a command in each folder that it is given, in a process that has its modules already.
RUNNER = """
import os, sys
from crypto_lakehouse.cli import collect
from crypto_lakehouse.cli.main import main
from crypto_lakehouse.workflows import archive_collection
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.chdir(line.strip())
        output = os.open(f"{os.getpid()}.txt", os.O_CREAT | os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        main(sys.argv[1:])
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

pytestmark = [
    pytest.mark.usefixtures("uncovered_children"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
]


def together(command: list[str], folders: Iterable[Path]) -> Iterator[Path]:
    """Run a command in each folder in two processes at the same moment; both must end well."""
    with ExitStack() as ends:
        runners = [
            subprocess.Popen(
                [sys.executable, "-c", RUNNER, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "NO_COLOR": "1"},
            )
            for _ in range(2)
        ]
        for runner in runners:
            ends.enter_context(runner)
            ends.callback(runner.kill)
        assert [said(runner) for runner in runners] == ["ready", "ready"]
        for folder in folders:
            for runner in runners:
                assert runner.stdin is not None
                runner.stdin.write(f"{folder}\n")
                runner.stdin.flush()
            codes = [said(runner) for runner in runners]
            assert codes == ["0", "0"], [each.read_text() for each in folder.glob("*.txt")]
            yield folder


def said(runner: subprocess.Popen[str]) -> str:
    assert runner.stdout is not None
    return runner.stdout.readline().strip()


def new_folders(tmp_path: Path, number: int) -> Iterator[Path]:
    for each in range(number):
        folder = tmp_path / f"round-{each}"
        folder.mkdir()
        yield folder


def ledger_rows(output: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(output / ".lakehouse" / "ledger.sqlite")) as ledger:
        return ledger.execute("SELECT name, verdict FROM archives").fetchall()


def table_rows(output: Path) -> int:
    with Lake.open(output) as lake:
        times = lake.scan("spot.klines").polars().collect()["open_time"].to_list()
    assert len(times) == len(set(times)), "no row is there twice"
    return len(times)


def test_of_two_collections_one_fetches(archive_server: ArchiveServer, tmp_path: Path) -> None:
    command = [*collect(archive_server, "-i", "1h", "-q", "--wait")]
    for number, folder in enumerate(together(command, new_folders(tmp_path, 24)), 1):
        assert len(ledger_rows(folder / "out")) == 1
        assert archive_server.count(KEY) == archive_server.count(f"{KEY}.CHECKSUM") == number
        names = sorted(path.name for path in (folder / "out" / "data").rglob("*.*"))
        assert names == [Path(KEY).name, f"{Path(KEY).name}.CHECKSUM"]


def test_two_collections_with_ingestion(archive_server: ArchiveServer, tmp_path: Path) -> None:
    command = [*collect(archive_server, "-i", "1h", "-q", "--ingest", "--wait")]
    for folder in together(command, new_folders(tmp_path, 4)):
        assert len(ledger_rows(folder / "out")) == 1
        assert table_rows(folder / "out") == 24


def test_two_ingestions(tmp_path: Path) -> None:
    def trees() -> Iterator[Path]:
        for folder in new_folders(tmp_path, 4):
            put(folder / "tree", bars(FIRST))
            yield folder

    for folder in together(["ingest", "-o", "tree", "-q", "--wait"], trees()):
        assert table_rows(folder / "tree") == 24


@pytest.mark.parametrize("command", ["compact", "expire"])
def test_two_commands_of_a_lake_that_was_copied_without_its_lock(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    put(tmp_path / "tree", bars(FIRST))
    assert shell("ingest", "-o", "tree")[0] == 0

    def copies() -> Iterator[Path]:
        for folder in new_folders(tmp_path, 2):
            leave_out = shutil.ignore_patterns("lock")
            shutil.copytree(tmp_path / "tree", folder / "tree", ignore=leave_out)
            yield folder

    for folder in together(["lake", command, "-o", "tree", "--wait"], copies()):
        assert table_rows(folder / "tree") == 24


def test_two_repairs_of_a_tree_without_a_ledger(
    archive_server: ArchiveServer, shell: Shell, tmp_path: Path
) -> None:
    assert shell(*collect(archive_server, "-i", "1h"))[0] == 0

    def copies() -> Iterator[Path]:
        for folder in new_folders(tmp_path, 8):
            shutil.copytree(tmp_path / "out" / "data", folder / "out" / "data")
            (folder / "out" / KEY).write_bytes(b"damaged")
            yield folder

    repair = ["verify", "-o", "out", "--repair", "--source-url", archive_server.url, "-q", "--wait"]
    for folder in together(repair, copies()):
        assert (folder / "out" / KEY).read_bytes() == (tmp_path / "out" / KEY).read_bytes()
