"""A ledger with flipped bytes, read by every command, and rebuilt by the next collection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256

import pytest
from anyio import to_thread
from attrs import field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.faults.machine import Machine, key

from crypto_lakehouse.collection.verifier import FileState
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.workflows import run_history, run_status, run_verification
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
            digest = sha256(each.path.read_bytes()).hexdigest()
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
