"""One output name for two processes at the same time, and for one that is ended in the middle.

The file at the end is the whole output of one of them, or the earlier file; no temporary file is
left for long, and its name cannot be predicted.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, KEYS, run, three_days
from tests.attack.raw_source import bars_of, kline_zip

_SELECT = (
    f"--markets spot -s BTCUSDT -t klines -i 1h --start {DAYS[0]} --end {DAYS[-1]} "
    "--discovery calendar --max-retries 0 -q"
).split()

#: Rows of a query that is written in many steps.
_ROWS = 20_000

#: Runs a command once for each line of standard input, always in the same process.
RUNNER = """
import contextlib, io, sys
from crypto_lakehouse.cli.main import main
say = sys.stdout
print("ready", flush=True)
for _ in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(sys.argv[1:])
        except SystemExit as end:
            print(end.code, file=say, flush=True)
"""


@dataclass(frozen=True)
class Output:
    """A command that writes a file, in two forms whose outputs differ."""

    name: str
    commands: tuple[list[str], list[str]]


def _query(word: str) -> list[str]:
    return ["query", "-o", "out", "--to", "x.csv", f"SELECT '{word}' w FROM range({_ROWS})"]  # noqa: S608


_HISTORY = ["history", "-o", "out", KEYS[0], "--as-of", "2100-01-01", "--force", "--write", "x"]

_SUMS = ["verify", "-q", "-o", "out", "--sums", "x"]

OUTPUTS = {
    "query": Output("x.csv", (_query("one"), _query("other"))),
    "sums": Output("x", (_SUMS, [*_SUMS, "-o", "more"])),
    "history": Output("x", (_HISTORY, [word.replace("out", "more") for word in _HISTORY])),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree `out`, and a tree `more` with another version of each archive."""
    place = tmp_path_factory.mktemp("shared")
    with contextlib.chdir(place), three_days() as source:
        source_options = ["--source-url", source.url]
        assert run("collect", "-o", "out", *source_options, *_SELECT, "--ingest").code == 0
        for key, day in zip(KEYS, DAYS, strict=True):
            source.publish(key, kline_zip(key, list(bars_of(date.fromisoformat(day)))[:-1]))
        assert run("collect", "-o", "more", *source_options, *_SELECT).code == 0
    return place


@pytest.fixture
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory with links to both trees."""
    here = tmp_path / "here"
    here.mkdir()
    for name in ("out", "more"):
        (here / name).symlink_to(place / name)
    monkeypatch.chdir(here)
    return here


def left(here: Path) -> set[str]:
    return {path.name for path in here.iterdir()} - {"out", "more"}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def whole_outputs(here: Path, output: Output) -> list[str]:
    """What each of the two commands writes when it is alone."""
    found = []
    for command in output.commands:
        assert run(*command).code == 0
        found.append(digest(here / output.name))
        (here / output.name).unlink()
    assert len(set(found)) == 2
    assert not left(here)
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", OUTPUTS)
def test_two_processes_leave_the_whole_output_of_one(here: Path, name: str) -> None:
    output = OUTPUTS[name]
    whole = whole_outputs(here, output)
    with contextlib.ExitStack() as ends:
        runners = [
            subprocess.Popen(
                [sys.executable, "-c", RUNNER, *command],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for command in output.commands
        ]  # fmt: skip
        for runner in runners:
            ends.enter_context(runner)
            ends.callback(runner.kill)
        assert [said(runner) for runner in runners] == ["ready", "ready"]
        for _ in range(64):
            for runner in runners:
                assert runner.stdin is not None
                runner.stdin.write("\n")
                runner.stdin.flush()
            assert [said(runner) for runner in runners] == ["0", "0"]
            assert left(here) == {output.name}
            assert digest(here / output.name) in whole


def said(runner: subprocess.Popen[str]) -> str:
    assert runner.stdout is not None
    return runner.stdout.readline().strip()


#: Runs a command that has written half of its output, and then waits for ever.
STUCK = """
import signal, sys
from crypto_lakehouse.cli.main import main
from crypto_lakehouse.stores import whole_file

class Stuck:
    is_first = True

    def __init__(self, file):
        self.file = file

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        if self.is_first:
            self.is_first = False
            self.file.write(bytes(data)[: len(data) // 2])
            self.file.flush()
            print("half", file=sys.stderr, flush=True)
            while True:
                signal.pause()
        return self.file.write(data)

part_file = whole_file.PartFile
whole_file.PartFile = lambda path, target, file: part_file(path, target, Stuck(file))
main(sys.argv[1:])
"""

pytestmark = [
    pytest.mark.usefixtures("uncovered_children"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]

PART = re.compile(r"\.crypto-lakehouse-[0-9a-f]{16}\.part")


def ended_in_the_middle(command: list[str], number: int) -> int:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            assert "half\n" in lines
            process.send_signal(number)
            process.communicate()
        finally:
            process.kill()
    return process.returncode


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        ("sums", signal.SIGTERM, 143),
        ("history", signal.SIGTERM, 143),
        ("history", signal.SIGINT, 130),
    ],
)
@pytest.mark.parametrize("earlier", [b"earlier", None])
def test_a_signal_leaves_the_earlier_file_and_nothing_else(
    here: Path, name: str, number: int, code: int, earlier: bytes | None
) -> None:
    output = OUTPUTS[name]
    if earlier is not None:
        (here / output.name).write_bytes(earlier)
    assert ended_in_the_middle(output.commands[0], number) == code
    assert left(here) == ({output.name} if earlier else set())
    if earlier is not None:
        assert (here / output.name).read_bytes() == earlier


@pytest.mark.parametrize("name", ["sums", "history"])
def test_what_a_killed_run_leaves_is_removed_by_the_next(here: Path, name: str) -> None:
    output = OUTPUTS[name]
    whole, _ = whole_outputs(here, output)
    (here / output.name).write_bytes(b"earlier")
    parts: set[str] = set()
    for _ in range(2):
        assert ended_in_the_middle(output.commands[0], signal.SIGKILL) == -signal.SIGKILL
        assert (here / output.name).read_bytes() == b"earlier"
        (part,) = left(here) - {output.name}
        assert PART.fullmatch(part)
        assert part not in parts, "its name cannot be predicted"
        parts.add(part)
        assert (here / part).stat().st_size > 0
    assert run(*output.commands[0]).code == 0
    assert left(here) == {output.name}
    assert digest(here / output.name) == whole
