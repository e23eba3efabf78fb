"""One run per output directory, also between processes, and also after a kill."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import crypto_lakehouse
from crypto_lakehouse.core.errors import LockHeldError, StoreError
from crypto_lakehouse.ledger.lock import (
    do_not_wait,
    output_lock,
    take_when_free,
    wait_for_workers,
    worker_lock,
)

HOLDER = """
import sys
from pathlib import Path
from crypto_lakehouse.ledger.lock import output_lock
with output_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""

TRIER = """
import sys
from pathlib import Path
from crypto_lakehouse.core.errors import LockHeldError
from crypto_lakehouse.ledger.lock import output_lock
try:
    with output_lock(Path(sys.argv[1])):
        print("held")
except LockHeldError as error:
    print(error.path)
"""


def environment() -> dict[str, str]:
    package = Path(crypto_lakehouse.__file__).parents[1]
    return {**os.environ, "PYTHONPATH": str(package)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@contextmanager
def another_process_holds(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def is_free(path: Path) -> bool:
    try:
        with output_lock(path):
            return True
    except LockHeldError:
        return False


def test_a_lock_is_held_and_given_back(path: Path) -> None:
    for _ in range(3):
        with output_lock(path):
            assert not is_free(path)
        assert is_free(path)


def test_a_second_holder_is_refused_at_once_and_told_where(path: Path) -> None:
    with output_lock(path):
        with (
            pytest.raises(LockHeldError, match="another run holds the lock") as refused,
            output_lock(path),
        ):
            pass  # pragma: no cover
        assert refused.value.path == str(path)
        assert refused.value.exit_code == 11
        assert not is_free(path), "a refusal takes nothing away from the holder"
    assert is_free(path)


def test_a_lock_is_given_back_after_an_error(path: Path) -> None:
    with pytest.raises(LookupError), output_lock(path):
        raise LookupError("the run failed")
    assert is_free(path)


def test_two_directories_have_two_locks(tmp_path: Path) -> None:
    with output_lock(tmp_path / "one"):
        assert is_free(tmp_path / "two")


def test_another_process_is_refused(path: Path) -> None:
    with output_lock(path):
        tried = subprocess.run(
            [sys.executable, "-c", TRIER, str(path)],
            capture_output=True,
            text=True,
            env=environment(),
            check=True,
        )
    assert tried.stdout == f"{path}\n"


def test_the_lock_of_another_process_is_seen_and_given_back(path: Path) -> None:
    with another_process_holds(path) as process:
        assert not is_free(path)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "released\n"
        assert is_free(path)


def test_the_lock_of_a_process_that_was_killed_is_free(path: Path) -> None:
    with another_process_holds(path) as process:
        assert not is_free(path)
        process.kill()
        process.wait()
        assert is_free(path)


#: What `flock` answers on file systems without locks, and what the error then says.
NO_LOCKS = {
    errno.ENOLCK: "has no locks, as some network file systems: choose another output dir",
    errno.EOPNOTSUPP: "has no locks, as some network file systems: choose another output dir",
    errno.ENOSYS: "has no locks, as some network file systems: choose another output dir",
    errno.EPERM: "let this user read and write there, or choose another output directory",
    errno.ENOSPC: "free some space and run again",
    errno.EIO: "see whether the directory can be written",
}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
@pytest.mark.parametrize("code", NO_LOCKS)
def test_a_file_system_without_locks_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    import fcntl

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(code, os.strerror(code))

    path.with_name("7.lock").touch()
    monkeypatch.setattr(fcntl, "flock", refuse)
    warnings.simplefilter("error")  # as for a lock that is a mere file
    for lock in (
        output_lock(path),
        worker_lock(path.parent, 1),
    ):
        with pytest.raises(StoreError, match=f"{os.strerror(code)}; .*{NO_LOCKS[code]}"), lock:
            pass  # pragma: no cover
    with pytest.raises(StoreError, match=NO_LOCKS[code]):
        wait_for_workers(path.parent)


def test_a_folder_that_a_failed_run_has_removed_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "out" / ".lakehouse" / "lock"
    with output_lock(path):
        assert not is_free(path)
    assert is_free(path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    lock = output_lock(tmp_path / "folder" / "lock")
    with pytest.raises(StoreError, match="the lock cannot be taken"), lock:
        pass  # pragma: no cover


class Held:
    """A lock that is free after so many attempts, and who waits for it."""

    def __init__(self, refusals: int, waits: int = 100, stops_at: int = 100) -> None:
        self.refusals, self.waits, self.stops_at = refusals, waits, stops_at
        self.attempts = self.waited = 0

    async def take(self) -> None:
        self.attempts += 1
        if self.attempts <= self.refusals:
            raise LockHeldError("lock")

    async def wait(self, error: LockHeldError) -> bool:
        assert error.path == "lock"
        self.waited += 1
        return self.waited <= self.waits

    def is_stopped(self) -> bool:
        return self.attempts >= self.stops_at


async def test_a_lock_is_tried_until_it_is_free() -> None:
    for refusals in (0, 1, 5):
        held = Held(refusals)
        assert await take_when_free(held.take, held.wait, held.is_stopped)
        assert (held.attempts, held.waited) == (refusals + 1, refusals)


async def test_the_wait_may_end_before() -> None:
    held = Held(5, waits=2)
    with pytest.raises(LockHeldError):
        await take_when_free(held.take, held.wait, held.is_stopped)
    assert held.attempts == 3
    with pytest.raises(LockHeldError):
        await take_when_free(Held(1).take, do_not_wait, held.is_stopped)


async def test_a_run_that_is_stopped_waits_no_longer() -> None:
    held = Held(5, stops_at=3)
    assert not await take_when_free(held.take, held.wait, held.is_stopped)
    assert (held.attempts, held.waited) == (3, 2)
