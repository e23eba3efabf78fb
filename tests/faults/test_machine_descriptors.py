"""Few files may be open at once: connections are made to fit, and everything completes."""

from __future__ import annotations

import errno
import os
import shutil
from socket import socket
from typing import Any

import aiohappyeyeballs
import pytest
from tests.faults.machine import Machine

from crypto_lakehouse.workflows.wiring.open_files import make_room_for_connections

resource = pytest.importorskip("resource", reason="Windows has no such limit")

pytestmark = pytest.mark.skipif(shutil.which("prlimit") is None, reason="limits are `prlimit`'s")


def limit(soft: int, hard: int) -> list[str]:
    """Starts a command that may have so many files open, and may raise that to `hard`."""
    return ["prlimit", f"--nofile={soft}:{hard}"]


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("parallel", ["16", "256", "auto"])
def test_a_run_completes_with_64_open_files(
    machine: Machine, parallel: str, processes: str
) -> None:
    machine.publish(60)
    ended = machine.run("-j", parallel, "--processes", processes, before=limit(64, 64))
    assert (ended.code, ended.totals) == (0, {"verified": 60})
    assert f"`max_parallel_downloads` is 10 here, and not {parallel}" in ended.err
    assert "may have only 64 files open at once; raise that with `ulimit -n" in ended.err
    assert machine.server.peak_concurrency <= 10


def test_large_bodies_complete_with_64_open_files(machine: Machine) -> None:
    machine.publish(30, size=1_100_000)
    ended = machine.run("-j", "256", before=limit(64, 64))
    assert (ended.code, ended.totals) == (0, {"verified": 30})


def test_as_many_worker_processes_as_fit_complete_with_64_open_files(machine: Machine) -> None:
    machine.publish(12)
    ended = machine.run("-j", "64", "--processes", "64", before=limit(64, 64))
    assert (ended.code, ended.totals) == (0, {"verified": 12})


def test_the_command_raises_its_own_limit_where_it_may(machine: Machine) -> None:
    machine.publish(12)
    ended = machine.run("-j", "256", before=limit(64, 4096))
    assert (ended.code, ended.totals, ended.err) == (0, {"verified": 12}, "")


def test_one_connection_is_left_where_hardly_anything_may_be_open(machine: Machine) -> None:
    machine.publish(6)
    ended = machine.run(before=limit(20, 20))
    assert (ended.code, ended.totals) == (0, {"verified": 6})
    assert machine.server.peak_concurrency == 1


def test_a_connection_for_which_there_is_no_descriptor_is_tried_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = aiohappyeyeballs.start_connection
    refusals = [errno.EMFILE, errno.ENFILE]

    async def refused(*arguments: Any, **options: Any) -> socket:
        if refusals:
            number = refusals.pop()
            raise OSError(number, os.strerror(number))
        return await connect(*arguments, **options)

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", refused)
    machine.publish(4)
    assert machine.once_more(max_retries=2).totals["verified"] == 4
    assert refusals == []


def test_a_library_never_changes_the_limit(machine: Machine) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    machine.publish(2)
    machine.once_more(max_parallel_downloads=256)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_a_limit_that_is_high_enough_is_left_alone() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    make_room_for_connections(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
