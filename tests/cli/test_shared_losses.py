"""A run that holds claims in a shared ledger is killed, suspended, or cut off, in the middle.

It has stored some archives of a series, and the source is silent in the next one, when it happens.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from tests.cli.conftest import Shell, Start
from tests.cli.test_shared_runs import COUNT, Machine, fetched, on, totals
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer

from crypto_lakehouse.testing import ArchiveServer, faults

psycopg = pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

__all__ = ["on"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

#: The fourth of the six archives of a series.
SILENT = "*-2025-07-13.zip"


@pytest.fixture
def stall(archive_server: ArchiveServer) -> faults.Stall:
    stall = faults.Stall(at=0)
    archive_server.inject(SILENT, stall)
    return stall


@pytest.fixture
def held(
    on: Machine, start: Start, stall: faults.Stall, archive_server: ArchiveServer
) -> subprocess.Popen[str]:
    """A run that has stored archives of a series, and waits for the next one of it."""
    process = start([*on("one", "1000"), "--max-parallel-downloads", "1"])
    while not stall.reached.is_open:
        assert process.poll() is None
    return process


def silent_series(server: ArchiveServer) -> str:
    """The series of the archive in which the source is silent: the first that was asked for."""
    (first, *_) = [each for each in fetched(server) if each.endswith("-13.zip")]
    return first.rpartition("/")[0]


def until_the_rest_is_fetched(server: ArchiveServer, process: subprocess.Popen[str]) -> None:
    """Wait until the other run has only the series left that is claimed."""
    claimed = silent_series(server)
    while sum(claimed not in path for path in fetched(server)) < COUNT - 6:
        assert process.poll() is None


def stored_by(held: subprocess.Popen[str], bucket: Bucket, command: list[str]) -> set[str]:
    """The names of the archives that the first run has stored; waits for one."""
    store = bucket.open(command[2])
    while True:
        names = {each.key.rpartition("/")[2] for each in store.client.objects("data/")}
        if found := {name for name in names if name.endswith(".zip")}:
            return found
        assert held.poll() is None


def check_requests(server: ArchiveServer, stored: set[str]) -> None:
    """Check that only what the first run was fetching, or had not stored yet, was fetched twice."""
    times = fetched(server)
    twice = {path.rpartition("/")[2] for path, number in times.items() if number > 1}
    assert (len(times), max(times.values())) == (COUNT, 2)
    assert {name[-13:] for name in twice} <= {"2025-07-12.zip"[1:], SILENT[-13:]}
    assert not twice & stored


def check(shell: Shell, on: Machine) -> None:
    code, out, _ = shell("verify", *on("three")[1:5])
    assert (code, f"{COUNT} archives checked: {COUNT} ok" in out) == (0, True), out


def test_what_a_killed_run_has_stored_is_not_fetched_again(
    on: Machine,
    held: subprocess.Popen[str],
    start: Start,
    shell: Shell,
    archive_server: ArchiveServer,
    ministack_bucket: Bucket,
) -> None:
    stored = stored_by(held, ministack_bucket, on("one"))
    other = start(on("two", "1000"))
    until_the_rest_is_fetched(archive_server, other)
    held.send_signal(signal.SIGKILL)
    held.communicate()
    found = totals(other)
    assert found.total() == found["verified"] + found["unchanged"] == COUNT
    check_requests(archive_server, stored)
    check(shell, on)


def test_a_suspended_run_keeps_its_claims_and_goes_on_with_them(
    on: Machine,
    held: subprocess.Popen[str],
    stall: faults.Stall,
    start: Start,
    shell: Shell,
    archive_server: ArchiveServer,
) -> None:
    other = start(on("two", "1000"))
    held.send_signal(signal.SIGSTOP)
    until_the_rest_is_fetched(archive_server, other)
    stall.release.open()
    assert (held.poll(), other.poll()) == (None, None), "it waits for what is claimed"
    held.send_signal(signal.SIGCONT)
    each = [totals(held), totals(other)]
    assert sum(found["verified"] for found in each) == COUNT
    assert set(fetched(archive_server).values()) == {1}
    check(shell, on)


def test_a_suspended_run_whose_claims_are_freed_is_made_up_for_and_ends_in_order(
    on: Machine,
    held: subprocess.Popen[str],
    stall: faults.Stall,
    start: Start,
    shell: Shell,
    archive_server: ArchiveServer,
    postgres_server: PostgresServer,
    ministack_bucket: Bucket,
) -> None:
    stored = stored_by(held, ministack_bucket, on("one"))
    other = start(on("two", "1000"))
    held.send_signal(signal.SIGSTOP)
    until_the_rest_is_fetched(archive_server, other)
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s",
            [f"crypto-lakehouse % {held.pid}"],
        ).fetchall()
    assert ended
    assert totals(other).total() == COUNT
    check(shell, on)
    stall.release.open()
    held.send_signal(signal.SIGCONT)
    assert totals(held).total() == COUNT
    check_requests(archive_server, stored)
    check(shell, on)
