"""A ledger with flipped bytes, read by every command, and rebuilt by the next collection."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from anyio import to_thread
from attrs import field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.faults.machine import Machine, key
from tests.workflows.conftest import make_zip, member_of

from crypto_lakehouse.collection.verifier import FileState
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.workflows import run_history, run_status, run_verification
from crypto_lakehouse.workflows.history import restore
from crypto_lakehouse.workflows.stored_archives import stored_zips

GOOD = 6


@frozen
class Collected:
    """A tree, and the bytes of its ledger."""

    machine: Machine = field(repr=False)
    ledger: bytes = field(repr=False)


@pytest.fixture
def collected(machine: Machine) -> Collected:
    """Six archives are verified, and one is accepted by nothing: its sidecar names other bytes."""
    machine.publish(GOOD)
    machine.once_more()
    machine.publish(1)
    machine.server.put(f"{key(7)}.CHECKSUM", f"{'0' * 64}  {key(7)[-26:]}\n".encode())
    report = machine.once_more()
    assert report.totals["upstream_mismatch"] == 1
    return Collected(machine, (machine.root / ".lakehouse" / "ledger.sqlite").read_bytes())


async def read_everything(machine: Machine) -> None:
    """Every command that reads the ledger ends with a result or a named error."""
    config = {"output_directory": str(machine.root)}
    with suppress(LakehouseError):
        status = await run_status(config)
        assert status.totals.verified_days <= GOOD
    with suppress(LakehouseError):
        await run_history(config)
    with suppress(LakehouseError):
        await run_history(config, key(1))
    with suppress(LakehouseError):
        verified = await run_verification(config)
        assert verified.totals[FileState.OK] <= GOOD
    with suppress(LakehouseError):
        stored = await to_thread.run_sync(lambda: [*stored_zips(machine.root, lambda _: True)])
        for each in stored:
            digest = sha256(Path(each.place).read_bytes()).hexdigest()
            assert each.fault or digest == each.sha256, (each, digest)


def check_damaged(machine: Machine, data: bytes) -> None:
    """No command fails without a reason, and the next run is right about every archive."""
    folder = machine.root / ".lakehouse"
    for old in folder.glob("ledger.sqlite*"):
        old.unlink()
    (folder / "ledger.sqlite").write_bytes(data)
    asyncio.run(read_everything(machine))
    try:
        report = machine.once_more()
    except LakehouseError as error:
        assert "later version" in str(error), error  # it may be one, and is left as it is
        return
    good = report.totals[Verdict.VERIFIED] + report.totals[Verdict.UNCHANGED]
    assert (good, report.totals[Verdict.UPSTREAM_MISMATCH]) == (GOOD, 1), report
    days = machine.span
    # A flipped digit may name another day: only the days that were collected are right again.
    status = asyncio.run(
        run_status({"output_directory": str(machine.root)}, start=days["start"], end=days["end"])
    )
    assert status.totals.verified_days == GOOD


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(60))
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=3))
def test_flipped_bytes_never_make_an_archive_verified_nor_end_a_command_without_a_reason(
    collected: Collected, places: list[tuple[float, int]]
) -> None:
    machine, data = collected.machine, collected.ledger
    damaged = bytearray(data)
    for share, bits in places:
        damaged[min(int(share * len(data)), len(data) - 1)] ^= bits
    check_damaged(machine, bytes(damaged))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(20))
@given(share=st.floats(0, 1), length=st.integers(1, 5000), seed=st.integers(0, 255))
def test_so_it_is_with_a_range_of_other_bytes(
    collected: Collected, share: float, length: int, seed: int
) -> None:
    machine, data = collected.machine, collected.ledger
    begin = int(share * len(data))
    noise = bytes((seed + 7 * place * place) % 256 for place in range(length))
    damaged = data[:begin] + noise[: len(data) - begin] + data[begin + length :]
    check_damaged(machine, damaged)


#: The days of two rows, and what takes the place of their names.
RENAMED = {
    "a day without a file": [(6, 26)],
    "a day with another file": [(3, 26), (2, 3)],
    "two days, exchanged": [(3, 26), (2, 3), (26, 2)],
    "days of one size": [(1, 26), (2, 1), (26, 2)],
}


@pytest.mark.parametrize("what", RENAMED)
def test_a_name_that_became_that_of_another_day_proves_nothing(
    collected: Collected, what: str
) -> None:
    machine = collected.machine
    with closing(sqlite3.connect(machine.root / ".lakehouse" / "ledger.sqlite")) as ledger, ledger:
        for old, new in RENAMED[what]:
            names = [key(number).rpartition("/")[2] for number in (new, old)]
            ledger.execute("UPDATE archives SET name = ? WHERE name = ?", names)
    asyncio.run(read_everything(machine))
    requested = len(machine.server.requests)
    report = machine.once_more()
    good = report.totals[Verdict.VERIFIED] + report.totals[Verdict.UNCHANGED]
    assert (good, report.totals[Verdict.UPSTREAM_MISMATCH]) == (GOOD, 1), report
    asked = {request.path for request in machine.server.requests[requested:]}
    assert asked <= {key(7), f"{key(7)}.CHECKSUM"}, "the others are proven by their sidecars"
    assert machine.once_more().totals[Verdict.UNCHANGED] == GOOD


def test_bytes_that_were_kept_of_another_archive_are_not_written_out(
    machine: Machine, tmp_path: Path
) -> None:
    machine.publish(2)
    machine.once_more()
    machine.server.publish(key(1), make_zip(member_of(key(1)), b"another version"))
    machine.once_more(discovery="listing")
    names = [key(number).rpartition("/")[2] for number in (2, 1)]
    with closing(sqlite3.connect(machine.root / ".lakehouse" / "ledger.sqlite")) as ledger, ledger:
        # The version ends later, so that it was in force at a time that the test can name.
        statement = (
            "UPDATE versions SET changed_at = '2999-01-01T00:00:00+00:00', name = ? WHERE name = ?"
        )
        done = ledger.execute(statement, names)
        assert done.rowcount == 1
    then = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(LakehouseError, match="is kept as"):
        restore(machine.root, key(2), then, tmp_path / "old.zip")
    assert not (tmp_path / "old.zip").exists()
