"""What is remembered of leases in the state folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stores.objects.leases import Clock, leave, record

from crypto_lakehouse.core.errors import LockHeldError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.lease import Lease
from crypto_lakehouse.stores.objects.lease_memory import LeaseMemory


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "lock").touch()
    return tmp_path


def recalled(state: Path) -> LeaseMemory:
    return LeaseMemory(state / "note", state / "lock")


def test_the_lease_of_a_run_that_was_killed_here_is_taken_at_once(
    memory_client: ObjectClient, state: Path
) -> None:
    Lease(memory_client, "killed", recalled(state)).take()
    Lease(memory_client, "next", recalled(state)).take()
    assert record(memory_client)["run"] == "next"


def test_runs_that_were_killed_one_after_the_other_are_all_known(
    memory_client: ObjectClient, state: Path
) -> None:
    Lease(memory_client, "killed", recalled(state)).take()
    for _ in range(3):
        recalled(state).hold("killed before its request")
    Lease(memory_client, "next", recalled(state)).take()
    assert record(memory_client)["run"] == "next"


def test_a_copied_state_folder_says_nothing(
    memory_client: ObjectClient, state: Path, tmp_path: Path
) -> None:
    Lease(memory_client, "goes on", recalled(state)).take()
    (copy := tmp_path / "copy").mkdir()
    (copy / "lock").touch()
    (copy / "note").write_bytes((state / "note").read_bytes())
    with pytest.raises(LockHeldError, match="goes on"):
        Lease(memory_client, "other", recalled(copy)).take()


def test_a_wait_is_not_begun_anew_by_the_next_run(
    memory_client: ObjectClient, state: Path, clock: Clock
) -> None:
    leave(memory_client)
    with pytest.raises(LockHeldError, match="free in 20 s"):
        Lease(memory_client, "", recalled(state), clock=clock).take()
    clock.now += 15
    with pytest.raises(LockHeldError, match="free in 5 s"):
        Lease(memory_client, "", recalled(state), clock=clock).take()
    clock.now += 5
    Lease(memory_client, "", recalled(state), clock=clock).take()


@pytest.mark.parametrize("since", ["Infinity", "NaN", "1e999", "-5", "101", "true", "9" * 400])
def test_a_wait_that_cannot_be_is_begun_anew(
    memory_client: ObjectClient, state: Path, clock: Clock, since: str
) -> None:
    leave(memory_client)
    with pytest.raises(LockHeldError):
        Lease(memory_client, "", recalled(state), clock=clock).take()
    note = (state / "note").read_text()
    assert '"since": 100.0' in note
    (state / "note").write_text(note.replace('"since": 100.0', f'"since": {since}'))
    with pytest.raises(LockHeldError, match="free in 20 s"):
        Lease(memory_client, "", recalled(state), clock=clock).take()
    clock.now += 20
    Lease(memory_client, "", recalled(state), clock=clock).take()


def test_a_lease_that_has_changed_is_watched_anew(
    memory_client: ObjectClient, state: Path, clock: Clock
) -> None:
    leave(memory_client)
    with pytest.raises(LockHeldError):
        Lease(memory_client, "", recalled(state), clock=clock).take()
    leave(memory_client, count=2)
    clock.now += 1_000
    with pytest.raises(LockHeldError, match="free in 20 s"):
        Lease(memory_client, "", recalled(state), clock=clock).take()


def test_nothing_is_remembered_of_a_lease_that_was_released(
    memory_client: ObjectClient, state: Path
) -> None:
    lease = Lease(memory_client, "", recalled(state))
    lease.take()
    lease.release()
    assert not (state / "note").exists()


def test_without_a_lock_nothing_is_remembered(memory_client: ObjectClient, state: Path) -> None:
    (state / "lock").unlink()
    for memory in (recalled(state), LeaseMemory(state / "note")):
        lease = Lease(memory_client, "", memory)
        lease.take()
        assert not (state / "note").exists()
        lease.release()
