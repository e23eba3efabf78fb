"""What may not be written, and what is not what it should be."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.faults.machine import NOBODY, Machine, key
from tests.unwritable import SOMEBODY, give, mounted_read_only

from crypto_lakehouse.core.errors import ConfigurationError, LedgerError

TO_DO = "let this user read and write there, or choose another output directory"


@pytest.fixture
def nobody() -> Sequence[str]:
    """Starts a command as somebody who is not root."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("processes of another user are started by root only, and with `setpriv`")
    return NOBODY


@pytest.fixture
def grown(machine: Machine) -> Machine:
    """Four archives were collected, and four more are published since."""
    machine.publish(4)
    machine.completes()
    machine.publish(4)
    machine.server.clear()
    return machine


# What may not be written --------------------------------------------------------------------------


def test_a_directory_of_somebody_else_is_refused_before_a_request(
    machine: Machine, nobody: Sequence[str]
) -> None:
    machine.publish()
    machine.root.mkdir()
    ended = machine.run(before=nobody)
    assert ended.code == 2
    assert f"{machine.root}` cannot be written: Permission denied; {TO_DO}" in ended.err
    assert machine.server.requests == []
    machine.completes()


def test_archives_of_somebody_else_are_recognised_and_the_rest_is_told(
    grown: Machine, nobody: Sequence[str]
) -> None:
    give(grown.root / ".lakehouse", SOMEBODY)
    ended = grown.run(before=nobody)
    assert (ended.code, ended.totals) == (3, {"unchanged": 4, "failed": 4})
    assert all(TO_DO in problem["reason"] for problem in ended.report["problems"])
    grown.completes()


@pytest.mark.parametrize("what", [".lakehouse", ".lakehouse/ledger.sqlite", ".lakehouse/lock"])
def test_what_is_ours_and_cannot_be_written_is_told_before_a_request(
    grown: Machine, nobody: Sequence[str], what: str
) -> None:
    give(grown.root, SOMEBODY)
    os.chown(grown.root / what, 0, 0)
    ended = grown.run(before=nobody)
    assert ended.code == 2
    assert str(grown.root / what) in ended.report["error"]
    assert "let this user" in ended.report["error"]
    assert grown.server.requests == []
    grown.completes()


@pytest.mark.parametrize("what", ["", "data"])
def test_a_file_system_that_is_read_only_ends_the_run(grown: Machine, what: str) -> None:
    with mounted_read_only(grown.root / what):
        ended = grown.run()
    assert ended.code == 2
    assert "Read-only file system" in ended.report["error"]
    assert "make it writable, or choose another output directory" in ended.report["error"]
    grown.completes()


# What is not what it should be --------------------------------------------------------------------


def put(path: Path, kind: str) -> None:
    """Put something else in the place of a file or folder of ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "folder":
            path.mkdir()
            (path / "kept").write_text("kept")
        case "pipe":
            os.mkfifo(path)
        case "dangling link":
            path.symlink_to(path.with_name("nowhere"))
        case "file":
            path.write_text("kept")


@pytest.mark.parametrize("size", [2_000, 1_500_000])
@pytest.mark.parametrize("end", ["", ".part", ".CHECKSUM", ".CHECKSUM.part"])
def test_a_folder_in_the_place_of_a_file_fails_that_archive_alone(
    machine: Machine, end: str, size: int
) -> None:
    machine.publish(3, size)
    path = machine.root / f"{key(2)}{end}"
    put(path, "folder")
    report = machine.once_more()
    assert (report.exit_code, report.totals["verified"]) == (3, 2)
    assert (
        "a folder is in its place; move the folder away and run again" in report.problems[0].reason
    )
    assert (path / "kept").read_text() == "kept"
    assert machine.good() == {key(1), key(3)}
    shutil.rmtree(path)
    machine.completes()


@pytest.mark.parametrize("size", [2_000, 1_500_000])
@pytest.mark.parametrize("end", ["", ".part", ".CHECKSUM", ".CHECKSUM.part"])
@pytest.mark.parametrize("kind", ["pipe", "dangling link"])
def test_a_pipe_or_a_link_in_the_place_of_a_file_gives_way(
    machine: Machine, kind: str, end: str, size: int
) -> None:
    machine.publish(3, size)
    put(machine.root / f"{key(2)}{end}", kind)
    machine.completes()
    machine.check_files()
    assert not (machine.root / f"{key(2)}{end}").with_name("nowhere").exists()


@pytest.mark.parametrize("what", ["data/spot", "data/spot/daily/klines/BTCUSDT/1h"])
@pytest.mark.parametrize("kind", ["file", "pipe", "dangling link"])
def test_something_else_in_the_place_of_a_folder_is_told_of_each_archive(
    machine: Machine, kind: str, what: str
) -> None:
    machine.publish(3)
    put(machine.root / what, kind)
    report = machine.once_more()
    assert (report.exit_code, report.totals["failed"]) == (3, 3)
    for problem in report.problems:
        assert "away and run again" in problem.reason or "is broken" in problem.reason
    (machine.root / what).unlink()
    machine.completes()


@pytest.mark.parametrize("kind", ["file", "pipe", "dangling link"])
def test_something_else_in_the_place_of_our_folder_is_told(machine: Machine, kind: str) -> None:
    machine.publish(3)
    put(machine.root / ".lakehouse", kind)
    told = "is a symbolic link.*remove it" if "link" in kind else "in its place; move that away"
    with pytest.raises(ConfigurationError, match=told):
        machine.once_more()
    assert machine.server.requests == []
    (machine.root / ".lakehouse").unlink()
    machine.completes()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_something_else_in_the_place_of_the_ledger_is_told(machine: Machine, kind: str) -> None:
    machine.publish(3)
    path = machine.root / ".lakehouse" / "ledger.sqlite"
    put(path, kind)
    with pytest.raises(LedgerError, match=r"is not a (regular )?file; move it away"):
        machine.once_more()
    assert machine.server.requests == []
    path.rename(path.with_name("moved"))
    machine.completes()


def test_a_path_that_is_too_long_is_told(machine: Machine) -> None:
    machine.publish(3)
    wanted = machine.root
    machine.root /= "/".join("d" * 200 for _ in range(3))
    with pytest.raises(LedgerError, match="too long for SQLite; choose an output directory with a"):
        machine.once_more()
    machine.root = wanted / ("d" * 300)
    with pytest.raises(ConfigurationError, match="File name too long; choose an output directory"):
        machine.once_more()
    assert machine.server.requests == []


# What stands there, and was changed between two runs ----------------------------------------------


@pytest.mark.parametrize("size", [2_000, 1_500_000])
@pytest.mark.parametrize("how", ["removed", "truncated", "emptied", "touched"])
def test_what_was_done_to_one_file_costs_that_archive_alone(
    machine: Machine, how: str, size: int
) -> None:
    machine.publish(3, size)
    machine.completes()
    machine.server.clear()
    path = machine.root / key(2)
    match how:
        case "removed":
            path.unlink()
        case "truncated":
            os.truncate(path, size // 2)
        case "emptied":
            os.truncate(path, 0)
        case "touched":
            os.utime(path, (2_000_000_000, 2_000_000_000))
    machine.completes()
    fetched = {request.path for request in machine.server.requests}
    assert fetched <= {key(2), f"{key(2)}.CHECKSUM"}
    assert (key(2) in fetched) == (how != "touched")


@pytest.mark.timeout(200)
def test_a_pipe_beside_an_archive_that_is_to_be_proven_again_holds_nothing_up(
    machine: Machine,
) -> None:
    machine.publish(3)
    machine.completes()
    shutil.rmtree(machine.root / ".lakehouse")
    sidecar = machine.root / f"{key(2)}.CHECKSUM"
    sidecar.unlink()
    put(sidecar, "pipe")
    machine.completes()
