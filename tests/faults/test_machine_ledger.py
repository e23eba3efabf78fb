"""The ledger in the hands of others: held, damaged, removed; and folders that vanish."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.faults.machine import Machine, key

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.testing import faults

#: Another program: it takes the ledger for itself until its input ends.
_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=20)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def ledger(machine: Machine) -> Path:
    return machine.root / ".lakehouse" / "ledger.sqlite"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The ledger in another program's hands."""
    command = [sys.executable, "-c", _HOLDER, str(path)]
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield


@pytest.fixture
def collected(machine: Machine) -> Machine:
    """Forty archives were collected; enough for a ledger of several pages."""
    machine.publish(40)
    machine.completes()
    machine.server.clear()
    return machine


# Held by another program --------------------------------------------------------------------------


def test_a_ledger_that_is_held_for_a_moment_is_waited_for(collected: Machine) -> None:
    collected.publish(2)
    stall = faults.Stall(at=0)
    collected.server.inject(key(42), stall)
    process = collected.start("--json")
    assert stall.reached.wait(200)
    with held(ledger(collected)):
        stall.release.open()
    ended = collected.end(process)
    assert (ended.code, ended.totals) == (0, {"verified": 2, "unchanged": 40})


def test_a_run_can_be_ended_while_its_ledger_is_held(collected: Machine) -> None:
    collected.publish(2)
    stall = faults.Stall(at=0)
    collected.server.inject(key(42), stall)
    process = collected.start("--json")
    assert stall.reached.wait(200)
    with held(ledger(collected)):
        process.send_signal(signal.SIGTERM)
        ended = collected.end(process)
    assert ended.code == 143
    collected.completes()


def _impatient(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    """Connect as ever, but do not wait half a minute for who holds the ledger."""
    return lambda *args, **options: connect(*args, **{**options, "timeout": 0.05})


def test_a_ledger_that_is_held_for_ever_ends_the_run_before_it_begins(
    collected: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "connect", _impatient(sqlite3.connect))
    collected.publish(2)
    with held(ledger(collected)), pytest.raises(LedgerError, match="another program holds it"):
        collected.once_more()
    assert collected.server.requests == []
    collected.completes()


# Damaged ------------------------------------------------------------------------------------------


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut in half": _cut,
    "emptied": lambda path: path.write_bytes(b""),
    "replaced by text": lambda path: path.write_text("notes of somebody else\n" * 500),
    "removed": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_ledger_is_rebuilt_without_a_request(collected: Machine, damage: str) -> None:
    DAMAGES[damage](ledger(collected))
    ended = collected.run()
    assert (ended.code, ended.totals) == (0, {"unchanged": 40})
    assert collected.server.requests == []
    aside = list(ledger(collected).parent.glob("ledger.sqlite.damaged-*"))
    told = f"it was moved to `{aside[0].name}`" if aside else ""
    assert told in ended.err
    assert bool(aside) == (damage in {"cut in half", "replaced by text"})


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_journal_that_was_cut_costs_no_request(machine: Machine, share: float) -> None:
    machine.publish(4)
    machine.completes()
    path, journal = ledger(machine), Path(f"{ledger(machine)}-wal")
    with closing(sqlite3.connect(path)) as other:
        # While another program reads, the last run to end leaves its journal.
        other.execute("SELECT * FROM archives").fetchall()
        machine.publish(30)
        machine.completes()
        kept = path.read_bytes(), journal.read_bytes()
    assert kept[1]
    path.write_bytes(kept[0])
    journal.write_bytes(kept[1][: int(len(kept[1]) * share)])
    machine.server.clear()
    report = machine.completes()
    assert report.totals["unchanged"] == 34
    assert machine.server.requests == []


# Removed during a run -----------------------------------------------------------------------------


def _remove_ledger(root: Path) -> None:
    for path in root.glob(".lakehouse/ledger.sqlite*"):
        path.unlink()


def _replace(root: Path) -> None:
    root.rename(root.with_name("before"))
    root.mkdir()


REMOVALS: dict[str, Callable[[Path], object]] = {
    "the ledger": _remove_ledger,
    "our folder": lambda root: shutil.rmtree(root / ".lakehouse", ignore_errors=True),
    "the output directory": lambda root: shutil.rmtree(root, ignore_errors=True),
    "the output directory, for another": _replace,
}


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("what", REMOVALS)
def test_what_is_removed_during_a_run_is_told_and_the_next_run_completes(
    machine: Machine, what: str, processes: str
) -> None:
    machine.publish(4)
    stall = faults.Stall(at=100)
    machine.server.inject(key(4), stall)
    process = machine.start("--json", "--processes", processes)
    assert stall.reached.wait(200)
    REMOVALS[what](machine.root)
    stall.release.open()
    ended = machine.end(process)
    assert ended.code == 1
    assert "the ledger was removed or replaced during the run" in ended.report["error"]
    machine.completes()


def test_folders_of_archives_that_are_removed_during_a_run_come_back_with_the_next(
    machine: Machine,
) -> None:
    machine.publish(1, size=1_500_000)
    stall = faults.Stall()
    machine.server.inject(f"{key(1)}.CHECKSUM", stall)  # it is asked for once the zip is here
    process = machine.start("--json")
    assert stall.reached.wait(200)
    shutil.rmtree(machine.root / "data")
    stall.release.open()
    ended = machine.end(process)
    assert (ended.code, ended.totals) == (3, {"failed": 1})
    assert "a folder on its path is missing" in ended.report["problems"][0]["reason"]
    machine.completes()
