"""Signals, outputs that are closed or full, and a clock that goes backwards."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from attrs import define
from tests.faults.machine import Ended, Machine, key
from tests.workflows.conftest import make_zip, member_of

from crypto_lakehouse.testing import faults

# Signals ------------------------------------------------------------------------------------------


def workers(pid: int) -> list[int]:
    """The processes that a process has started, by descriptors that tell of their ends."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [os.pidfd_open(int(child)) for child in children]


def assert_gone(descriptors: list[int]) -> None:
    """All of these processes end, or have ended."""
    for descriptor in descriptors:
        ended, _, _ = select.select([descriptor], [], [], 20)
        os.close(descriptor)
        assert ended, "a worker process is left"


needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="workers are found by /proc, their ends by pidfd"
)


def stalled(machine: Machine, moment: str) -> faults.Stall:
    """Let the source fall silent at some moment of a run."""
    at = {"while a large body streams": 1_500_000, "within a body": 100}.get(moment)
    what = {"while it lists": "list:*", "before a sidecar": "*.CHECKSUM"}.get(moment, key(3))
    stall = faults.Stall(at=at)
    machine.server.inject(what, stall)
    return stall


@needs_linux
@pytest.mark.parametrize(
    ("moment", "number", "processes"),
    [
        ("while it lists", signal.SIGINT, "2"),
        ("before a sidecar", signal.SIGTERM, "1"),
        ("within a body", signal.SIGTERM, "2"),
        ("while a large body streams", signal.SIGTERM, "1"),
        ("while a large body streams", signal.SIGINT, "2"),
    ],
)
def test_a_signal_ends_a_run_in_order_at_any_moment(
    machine: Machine, moment: str, number: signal.Signals, processes: str
) -> None:
    machine.publish(4, 2_500_000 if "large" in moment else 2_000)
    stall = stalled(machine, moment)
    listing = ["--discovery=listing", f"--listing-url={machine.server.url}"]
    more = listing if "lists" in moment else []
    process = machine.start("--json", "--processes", processes, *more)
    assert stall.reached.wait(200)
    left = workers(process.pid)
    process.send_signal(number)
    ended = machine.end(process)
    assert_gone(left)
    assert (ended.code, ended.report["status"]) == (128 + number, "interrupted")
    assert ended.err == "stopping; what is verified is kept (again to stop at once)\n"
    stall.release.open()
    machine.completes()


@needs_linux
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_second_signal_ends_a_run_at_once(machine: Machine, processes: str) -> None:
    machine.publish(4, 2_500_000)
    stall = stalled(machine, "while a large body streams")
    process = machine.start("--json", "--processes", processes)
    assert stall.reached.wait(200)
    left = workers(process.pid)
    # The second one is another signal: of two that are the same the system may make one.
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    ended = machine.end(process)
    assert_gone(left)
    assert ended.code in {130, 143}
    stall.release.open()
    machine.completes()


# Outputs ------------------------------------------------------------------------------------------


def run_in_shell(machine: Machine, redirection: str, *more: str) -> Ended:
    """Run with other outputs; the code is the command's own, whatever follows in a pipe."""
    script = f'"$@" {redirection}; exit "${{PIPESTATUS[0]}}"'
    return machine.end(machine.start(*more, before=["bash", "-c", script, "bash"]))


needs_bash = pytest.mark.skipif(
    shutil.which("bash") is None or not Path("/dev/full").exists(),
    reason="needs bash and /dev/full",
)


@needs_bash
@pytest.mark.parametrize(
    "redirection",
    ["| true", ">&-", "2>&-", "2>/dev/full", "2>&1 >/dev/null | true"],
)
def test_outputs_that_nobody_reads_change_nothing(machine: Machine, redirection: str) -> None:
    machine.publish(3)
    machine.server.remove(key(2))
    ended = run_in_shell(machine, redirection, "--json")
    assert ended.code == 3
    assert machine.good() == {key(1), key(3)}


@needs_bash
def test_no_file_takes_the_number_of_a_standard_stream_that_is_closed(machine: Machine) -> None:
    machine.publish(3)
    machine.server.remove(key(2))
    # Everything that is written to standard error would go into the file of that number.
    ended = run_in_shell(machine, "<&- >&- 2>&-", "--log-format=json")
    assert ended.code == 3
    with closing(sqlite3.connect(machine.root / ".lakehouse" / "ledger.sqlite")) as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@needs_bash
@pytest.mark.parametrize(("missing", "code"), [(False, 1), (True, 3)])
def test_a_report_that_cannot_be_written_is_told(
    machine: Machine, missing: bool, code: int
) -> None:
    machine.publish(3)
    if missing:
        machine.server.remove(key(2))
    ended = run_in_shell(machine, ">/dev/full", "--json")
    assert ended.code == code
    told = "error: the report cannot be written to standard output: No space left on device"
    assert told in ended.err
    assert machine.good() >= {key(1), key(3)}


@needs_bash
def test_another_command_s_output_that_cannot_be_written_is_told(machine: Machine) -> None:
    command = [sys.executable, "-m", "crypto_lakehouse", "matrix"]
    script = '"$@" >/dev/full'
    told = subprocess.run(
        ["bash", "-c", script, "bash", *command, "show"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert told.stderr.startswith("error: No space left on device; free some space")
    assert "Traceback" not in told.stderr


@needs_bash
def test_an_events_file_on_a_full_disk_ends_the_run_and_loses_no_archive(machine: Machine) -> None:
    machine.publish()
    ended = machine.run("--events", "/dev/full")
    assert ended.code == 1
    told = "the events file sink failed: `/dev/full`: No space left on device; free some space"
    assert told in ended.report["error"]
    machine.completes()


# The clock ----------------------------------------------------------------------------------------


@define
class Clock:
    """A clock for the processes of runs; this process's own is never changed."""

    library: str
    file: Path

    def at(self, offset: str) -> dict[str, str]:
        """The environment of a process whose clock is wrong by so much, as `+40d`."""
        return self._environment(FAKETIME=offset)

    def put(self, offset: str) -> None:
        """Put the clock that `movable` processes see forward or back."""
        new = self.file.with_suffix(".new")  # as a whole: it may be read at any time
        new.write_text(f"{offset}\n")
        new.rename(self.file)

    def movable(self) -> dict[str, str]:
        """The environment of a process whose clock changes while it runs."""
        return self._environment(FAKETIME_TIMESTAMP_FILE=str(self.file), FAKETIME_NO_CACHE="1")

    def _environment(self, **more: str) -> dict[str, str]:
        # As with a real clock that is put back, monotonic time goes on.
        own = {"LD_PRELOAD": self.library, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_COLOR": "1"}
        return {**os.environ, **own, **more}


@pytest.fixture
def clock(machine: Machine) -> Clock:
    """A clock that may be wrong."""
    if shutil.which("faketime") is None:
        pytest.skip("the clock is `faketime`'s; in Debian the package of that name has it")
    shown = subprocess.run(
        ["faketime", "-f", "+0", "sh", "-c", 'echo "$LD_PRELOAD"'],
        capture_output=True,
        text=True,
        check=True,
    )
    return Clock(shown.stdout.strip(), machine.folder / "clock")


def test_nothing_is_fetched_again_when_the_clock_went_back(machine: Machine, clock: Clock) -> None:
    machine.publish(6)
    assert machine.run(env=clock.at("+40d")).totals == {"verified": 6}
    machine.publish(2)
    machine.server.clear()
    assert machine.run(env=clock.at("-40d")).totals == {"verified": 2, "unchanged": 6}
    asked = {request.path.removesuffix(".CHECKSUM") for request in machine.server.requests}
    assert asked == {key(7), key(8)}
    machine.completes()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_clock_that_goes_back_during_a_run_changes_no_verdict(
    machine: Machine, clock: Clock, processes: str
) -> None:
    machine.publish(6)
    stall = faults.Stall(at=100)
    machine.server.inject(key(6), stall)
    clock.put("+0d")
    process = machine.start("--json", "--processes", processes, env=clock.movable())
    assert stall.reached.wait(200)
    clock.put("-40d")
    stall.release.open()
    ended = machine.end(process)
    assert (ended.code, ended.totals) == (0, {"verified": 6})
    assert machine.completes().totals["unchanged"] == 6


def test_history_has_the_order_of_what_happened_whatever_the_clock_says(
    machine: Machine, clock: Clock
) -> None:
    machine.publish(1)
    versions = []
    for offset in ("+0d", "+40d", "-40d"):
        body = machine.archives[key(1)] = make_zip(member_of(key(1)), offset.encode())
        machine.server.publish(key(1), body)
        versions.append(body)
        listing = ("--discovery=listing", f"--listing-url={machine.server.url}")
        assert machine.run(*listing, env=clock.at(offset)).totals == {"verified": 1}
    with closing(sqlite3.connect(machine.root / ".lakehouse" / "ledger.sqlite")) as ledger:
        kept = ledger.execute(
            "SELECT first_seen_at, changed_at, kept_as FROM versions ORDER BY changed_at, rowid"
        ).fetchall()
        (current,) = ledger.execute("SELECT first_seen_at FROM archives").fetchone()
    assert [(machine.root / path).read_bytes() for _, _, path in kept] == versions[:-1]
    times = [time for first, until, _ in kept for time in (first, until)]
    assert [*times, current] == sorted([*times, current])


def test_files_and_a_ledger_of_the_future_are_what_they_are(machine: Machine) -> None:
    machine.publish(4)
    machine.completes()
    for name in machine.archives:
        os.utime(machine.root / name, (4_000_000_000, 4_000_000_000))
    with closing(sqlite3.connect(machine.root / ".lakehouse" / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE archives SET first_seen_at = '2096-10-02T07:06:40+00:00'")
        ledger.execute("UPDATE archives SET last_seen_at = first_seen_at")
        ledger.execute("UPDATE runs SET started_at = '2096-10-02T07:06:40+00:00'")
    machine.server.clear()
    assert machine.completes().totals["unchanged"] == 4
    assert machine.completes().totals["unchanged"] == 4
    assert machine.server.requests == []
