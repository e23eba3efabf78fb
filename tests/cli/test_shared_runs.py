"""Runs of several machines at once, into one object store with one ledger."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cli.conftest import Shell, Start
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer

from crypto_lakehouse.testing import ArchiveServer, faults

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

#: 13 intervals, 6 days.
COUNT = 13 * 6

Machine = Callable[..., list[str]]


@pytest.fixture
def on(
    postgres_server: PostgresServer,
    ministack_bucket: Bucket,
    archive_server: ArchiveServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Machine:
    """Returns the command that a machine runs: each has a state folder of its own."""
    ministack_bucket.give_credentials(monkeypatch)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_STORAGE", json.dumps(dict(ministack_bucket.storage)))
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LEDGER", postgres_server.url())
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LEDGER_SCHEMA", f"runs_{uuid4().hex}")
    url = ministack_bucket.fresh_prefix()

    def command(machine: str, requests_per_second: str = "200") -> list[str]:
        return [
            "collect", "-o", url, "--state-directory", str(tmp_path / machine),
            "--source-url", archive_server.url, "-s", "BTCUSDT", "--markets", "spot",
            "-t", "klines", "--partitions", "daily", "--start", "2025-07-10",
            "--end", "2025-07-15", "--max-requests-per-second", requests_per_second, "--json",
        ]  # fmt: skip

    return command


def totals(process: subprocess.Popen[str]) -> Counter[str]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    found = Counter(json.loads(out)["totals"])
    assert found.pop("planned") == COUNT
    return found


def fetched(server: ArchiveServer) -> Counter[str]:
    """How often each zip was requested."""
    return Counter(each.path for each in server.requests if each.path.endswith(".zip"))


def test_two_runs_at_once_collect_everything_once(
    on: Machine, start: Start, shell: Shell, archive_server: ArchiveServer
) -> None:
    stall = faults.Stall(at=0)
    archive_server.inject("*.zip", stall, endless=True)
    alone = ("--max-parallel-downloads", "1")
    started = [start([*on("one", "1000"), *alone]), start([*on("two", "1000"), *alone])]
    while len(fetched(archive_server)) < 2:  # each has one request
        assert [process.poll() for process in started] == [None, None]
    stall.release.open()
    each = [totals(process) for process in started]
    assert sum(found["verified"] for found in each) == COUNT
    assert all(found["verified"] for found in each), "they share the work"
    assert all(found.total() == COUNT for found in each), "each has a verdict on all"
    requests = fetched(archive_server)
    assert (len(requests), set(requests.values())) == (COUNT, {1})
    code, out, _ = shell("verify", *on("three")[1:5])
    assert (code, f"{COUNT} archives checked: {COUNT} ok" in out) == (0, True)
    code, out, _ = shell("status", *on("three")[1:5], "--json")
    assert (code, json.loads(out)["totals"]["verified_days"]) == (0, COUNT)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_what_a_killed_run_had_claimed_is_collected_by_the_other(
    on: Machine, start: Start, shell: Shell, archive_server: ArchiveServer
) -> None:
    killed = start([*on("one", "40"), "--processes", "2"])
    other = start([*on("two", "40"), "--processes", "2"])
    while len(fetched(archive_server)) < COUNT // 4:
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert totals(other).total() == COUNT
    requests = fetched(archive_server)
    assert len(requests) == COUNT
    assert max(requests.values()) <= 2
    code, out, _ = shell("verify", *on("three")[1:5])
    assert (code, f"{COUNT} archives checked: {COUNT} ok" in out) == (0, True)
    again = start(on("one"))
    assert totals(again)["unchanged"] == COUNT


def test_versions_are_not_pruned_while_a_run_is_in_progress(
    on: Machine, start: Start, shell: Shell, archive_server: ArchiveServer
) -> None:
    process = start(on("one", "5"))
    while not fetched(archive_server):
        assert process.poll() is None
    code, _, err = shell("history", *on("two")[1:5], "--prune", "0")
    assert (code, "another run holds the lock" in err) == (11, True), err
    process.kill()
