"""A disk that takes no more: full, out of names, over a quota, or with a limit on files."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.faults.machine import NOBODY, Machine, key, small_disk

FREE_SOME = "No space left on device; free some space and run again"


@pytest.fixture
def full_disk(machine: Machine) -> Iterator[Machine]:
    """A machine whose output directory is on a disk of 400 kB."""
    with small_disk(machine.folder / "disk", "size=400k") as disk:
        machine.root = disk / "out"
        yield machine


def grow(disk: Path) -> None:
    """Make room on a small disk, for bytes and for names."""
    options = "remount,size=64m,nr_inodes=10000"
    subprocess.run(["mount", "-o", options, str(disk)], check=True)


@contextmanager
def ballast(disk: Path, size: int | None = None) -> Iterator[None]:
    """Fill a disk, or a part of it."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        left = size or 1 << 30
        while left > 0:
            left -= file.write(bytes(min(left, 4096)))
    yield
    path.unlink()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_full_disk_ends_the_run_with_one_sentence_and_the_next_one_completes(
    full_disk: Machine, processes: str
) -> None:
    full_disk.publish(count=12, size=60_000)
    ended = full_disk.run("--processes", processes)
    assert ended.code == 1
    assert FREE_SOME in ended.report["error"]
    assert ended.err.count("error:") == 1
    before = full_disk.good()
    grow(full_disk.root.parent)
    report = full_disk.completes()
    # What stood already is proven by its sidecar, whether the ledger knew of it or not.
    assert report.totals["unchanged"] == len(before) > 0


def test_a_disk_that_is_full_before_the_run_begins_is_told_before_a_request(
    full_disk: Machine,
) -> None:
    full_disk.publish()
    with ballast(full_disk.root.parent):
        ended = full_disk.run()
    assert ended.code == 1
    assert "free some space and run again" in ended.report["error"]
    assert full_disk.server.requests == []
    full_disk.completes()


def test_a_disk_that_fills_while_a_large_body_streams(full_disk: Machine) -> None:
    full_disk.publish(count=1, size=2_500_000)
    ended = full_disk.run()
    assert ended.code == 1
    assert f"{key(1)}.part`: {FREE_SOME}" in ended.report["error"]
    assert full_disk.good() == set()
    grow(full_disk.root.parent)
    full_disk.completes()


def test_a_disk_that_is_full_for_the_ledger_alone(machine: Machine) -> None:
    machine.publish(300, size=10)
    # The ledger takes the beginning of the run, and not the archives, which are written at its end.
    # These are stored in memory, too: while a slow disk keeps a run waiting, the ledger is written.
    with (
        small_disk(machine.root, "size=64m"),
        small_disk(machine.root / ".lakehouse", "size=176k") as disk,
    ):
        ended = machine.run()
        assert ended.code == 1
        assert "ledger.sqlite`: the ledger cannot be written" in ended.report["error"]
        assert "free some space and run again" in ended.report["error"]
        assert machine.good() == set(machine.archives)
        grow(disk)
        assert machine.completes().totals["unchanged"] == 300


def test_a_disk_without_room_for_names(machine: Machine) -> None:
    machine.publish(12)
    with small_disk(machine.folder / "disk", "size=64m,nr_inodes=24") as disk:
        machine.root = disk / "out"
        ended = machine.run()
        assert ended.code == 1
        assert f"{FREE_SOME} (`df -i` shows" in ended.report["error"]
        grow(disk)
        machine.completes()


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="limits are set by `prlimit`")
class TestLimitOnTheSizeOfAFile:
    """RLIMIT_FSIZE, as `ulimit -f` sets it; file systems have such a limit, too."""

    def test_what_is_too_large_fails_alone(self, machine: Machine) -> None:
        machine.publish(6)
        machine.publish(1, size=80_000)
        machine.publish(1, size=2_000_000)
        ended = machine.run(before=["prlimit", "--fsize=70000"])
        assert ended.code == 3
        assert ended.totals == {"verified": 6, "failed": 2}
        for problem in ended.report["problems"]:
            assert "File too large; the file system, or the limit" in problem["reason"]
        machine.completes()

    def test_a_ledger_that_is_too_large_is_told(self, machine: Machine) -> None:
        machine.publish()
        ended = machine.run(before=["prlimit", "--fsize=6000"])
        assert ended.code == 1
        assert "check whether the disk is full, over a quota, or failing" in ended.report["error"]
        assert machine.server.requests == []
        machine.completes()


def test_a_quota_that_is_used_up_ends_the_run(machine: Machine) -> None:
    # tmpfs has quotas since Linux 6.6, where the kernel was built with CONFIG_TMPFS_QUOTA.
    machine.publish(count=12, size=60_000)
    options = "size=10m,mode=777,usrquota,usrquota_block_hardlimit=400k"
    with small_disk(machine.folder / "disk", options) as disk:
        machine.root = disk / "out"
        ended = machine.run(before=NOBODY)
        assert ended.code == 1
        assert "or raise the quota, and run again" in ended.report["error"]
        machine.completes()  # root has no quota
