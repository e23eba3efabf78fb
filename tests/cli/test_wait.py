"""`--wait`: commands that wait for the run that holds their lock."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Shell, Start, collect
from tests.ledger.test_lock import TRIER, another_process_holds, environment, is_free
from tests.tables.sample_data import bars, put
from tests.workflows.lakes import FIRST

from crypto_lakehouse.ledger.lock import holder_of, keep_lock, output_lock
from crypto_lakehouse.testing import ArchiveServer


@pytest.fixture
def tree(shell: Shell, tmp_path: Path) -> Path:
    put(tmp_path / "tree", bars(FIRST))
    assert shell("ingest", "-o", "tree")[0] == 0
    return tmp_path / "tree"


def lock_of(tree: Path) -> Path:
    return tree / ".lakehouse" / "lake" / "lock"


def test_a_command_runs_once_the_holder_has_ended(tree: Path, start: Start) -> None:
    with another_process_holds(lock_of(tree)) as holder:
        commands = [
            start(["lake", "sweep", "-o", "tree", "--wait"]),
            start(["ingest", "-o", "tree", "-q", "--wait=1h"]),
        ]
        for command in commands:
            assert command.stderr is not None
            said = command.stderr.readline()
            who = rf"note: waiting for process {holder.pid} \(since [\dT:Z-]+\), which holds "
            assert re.match(who, said)
        holder.communicate("\n")
        ended = [command.communicate() for command in commands]
        assert [command.returncode for command in commands] == [0, 0], ended
        assert [err for _, err in ended] == ["", ""], "it is said once"


def test_a_collection_waits_for_both_locks(
    tree: Path, shell: Shell, start: Start, archive_server: ArchiveServer, tmp_path: Path
) -> None:
    assert shell(*collect(archive_server, "--ingest"))[0] == 0
    state = tmp_path / "out" / ".lakehouse"
    with another_process_holds(state / "lock") as first:
        with another_process_holds(state / "lake" / "lock") as second:
            command = start(collect(archive_server, "--ingest", "-q", "--wait"))
            assert command.stderr is not None
            assert f"process {first.pid} " in command.stderr.readline()
            first.communicate("\n")
            assert f"process {second.pid} " in command.stderr.readline()
            second.communicate("\n")
        assert command.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", ["ingest", "lake sweep"])
def test_a_signal_ends_the_wait(
    tree: Path, start: Start, command: str, number: int, code: int
) -> None:
    with another_process_holds(lock_of(tree)):
        process = start([*command.split(), "-o", "tree", "--wait"])
        assert process.stderr is not None
        assert "waiting for" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait() == code
        assert process.stderr.read().strip() == ""


@pytest.mark.parametrize(
    "command",
    [
        ["ingest", "-o", "tree"],
        ["lake", "compact", "-o", "tree"],
        ["lake", "expire", "-o", "tree"],
        ["lake", "sweep", "-o", "tree"],
    ],
)
def test_a_wait_may_end_before_the_lock_is_free(
    tree: Path, shell: Shell, command: list[str]
) -> None:
    with another_process_holds(lock_of(tree)):
        code, _, err = shell(*command, "--wait=1ms")
        assert code == 11
        assert "waiting for process" in err
        assert "another run holds the lock" in err
        code, _, err = shell(*command)
        assert code == 11
        another = ", or choose another directory for the tables with `--lake DIR`"
        said = f"wait for it to end, as `--wait` does{another if command[0] == 'ingest' else ''}\n"
        assert err.endswith(said), err
        assert "waiting" not in err
    assert shell(*command, "--wait=1ms")[0] == 0


@pytest.mark.parametrize("more", [["history", "--prune", "0"], ["collect"]])
def test_the_lock_of_an_output_directory_can_be_waited_for(
    shell: Shell, archive_server: ArchiveServer, tmp_path: Path, more: list[str]
) -> None:
    assert shell(*collect(archive_server))[0] == 0
    command = collect(archive_server) if more == ["collect"] else [*more, "-o", "out"]
    with another_process_holds(tmp_path / "out" / ".lakehouse" / "lock"):
        code, _, err = shell(*command, "--wait=0")
        assert (code, "waiting for process" in err) == (11, True)
    assert shell(*command, "--wait=0")[0] == 0


@pytest.mark.parametrize("text", ["soon", "5 apples", "inf", "nan", ""])
def test_what_is_no_duration_is_refused(shell: Shell, tree: Path, text: str) -> None:
    code, _, err = shell("ingest", "-o", "tree", f"--wait={text}")
    assert code == 2
    assert "is not a duration" in err


@pytest.mark.parametrize("command", ["compact", "expire", "sweep"])
@pytest.mark.parametrize(
    "words",
    ["--wait {}", "{} --wait", "--wait=1h {}", "--wait 1.5h {}", "--wait -- {}", "--wait {0} {0}"],
)
def test_a_table_may_follow_the_option(tree: Path, shell: Shell, command: str, words: str) -> None:
    arguments = words.format("spot.klines").split()
    code, out, err = shell("lake", command, "-o", "tree", *arguments)
    assert (code, err) == (0, "")
    assert [line.partition(":")[0] for line in out.splitlines()] == ["spot.klines"]
    code, _, err = shell("lake", command, "-o", "tree", "--wait", "spot.klimes")
    assert (code, "spot.klimes" in err, "duration" in err) == (2, True, False)


def test_other_text_behind_the_option_is_refused(tree: Path, shell: Shell) -> None:
    code, _, err = shell("lake", "compact", "-o", "tree", "--wait", "klines")
    assert code == 2
    assert "`klines` is not a duration; write it as --wait=30s" in err
    assert "write --wait alone behind all arguments" in err
    code, _, err = shell("ingest", "-o", "tree", "--wait", "spot.klines")
    assert (code, "`spot.klines` is not a duration" in err) == (2, True)


def test_a_kept_lock_passes_to_the_next_that_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with output_lock(path):
        assert holder_of(path) is not None
        assert not keep_lock(path)
    assert keep_lock(path)
    assert not keep_lock(path), "it is held"
    with output_lock(path):
        assert re.match(rf"process {os.getpid()} \(since ", holder_of(path) or "")
    assert is_free(path)


@pytest.mark.parametrize("text", [b"", b"\xff", b"me since yesterday\n", b"1 " + b"9" * 100])
def test_a_lock_need_not_say_who_holds_it(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "lock"
    path.write_bytes(text)
    assert holder_of(path) is None
    assert holder_of(tmp_path / "none") is None


def test_a_lock_is_created_in_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "file").touch()
    for parent in ("none", "link", "file"):
        assert keep_lock(tmp_path / parent / "lock"), "the run says what is wrong"
    assert not list((tmp_path / "folder").iterdir())
    path = tmp_path / "folder" / "lock"
    assert keep_lock(path)
    assert not is_free_for_another_process(path)
    with output_lock(path):
        pass
    (tmp_path / "folder" / "directory").mkdir()
    assert keep_lock(tmp_path / "folder" / "directory")


def is_free_for_another_process(path: Path) -> bool:
    tried = subprocess.run(
        [sys.executable, "-c", TRIER, str(path)], capture_output=True, text=True,
        env=environment(), check=True,
    )  # fmt: skip
    return tried.stdout == "held\n"


@pytest.mark.parametrize("command", [["ingest", "-o", "tree", "-q"], ["collect"]])
def test_a_lock_may_be_taken_by_another_run_after_the_wait(
    tree: Path, shell: Shell, archive_server: ArchiveServer, monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:  # fmt: skip
    """As if no lock had been there when the command began."""
    monkeypatch.setattr("crypto_lakehouse.ledger.lock.keep_lock", lambda _path: True)
    if command == ["collect"]:
        command = collect(archive_server, "-q")
        (tree.parent / "out" / ".lakehouse").mkdir(parents=True)
        path = tree.parent / "out" / ".lakehouse" / "lock"
    else:
        path = lock_of(tree)
    with another_process_holds(path) as holder:
        code, _, err = shell(*command, "--wait=1ms")
        assert (code, f"waiting for process {holder.pid} " in err) == (11, True)
        assert err.count("waiting") == 1
    assert shell(*command, "--wait=1ms")[0] == 0


def test_a_lock_that_is_a_link_is_left_to_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "lock").symlink_to("file")
    assert keep_lock(tmp_path / "lock")
    assert is_free(tmp_path / "file")
