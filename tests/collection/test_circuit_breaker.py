"""The circuit breaker counts archives in a row, whatever is mixed with them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st
from tests.executors.processes.support import key

from crypto_lakehouse.collection.circuit_breaker import ARCHIVES_IN_A_ROW, CircuitBreaker
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import ArchiveFinished, ArchiveRetried, Event, RunFinished
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.verdicts import Verdict

DOWN = ArchiveFinished(
    archive=Archive.parse(key(0)),
    verdict=Verdict.FAILED,
    reason="http://x/: the source answered 503",
    requests=4,
    unavailable=True,
)
ANSWERED = ArchiveFinished(archive=Archive.parse(key(1)), verdict=Verdict.MISSING, requests=1)
LOCAL = ArchiveFinished(archive=Archive.parse(key(2)), verdict=Verdict.UNCHANGED)
RETRIED = ArchiveRetried(archive=Archive.parse(key(3)), attempt=1, wait_s=1.0, reason="503")
FINISHED = RunFinished(run_id="r", status="failed", at=datetime(2026, 1, 1, tzinfo=UTC))

#: Bytes that arrive between two batches of events.
BYTES = "bytes"


async def opened(steps: Sequence[Sequence[Event] | str], row: int) -> tuple[list[str], list[Event]]:
    """Why the breaker opened, each time it did, and the events that were passed on."""
    meter, reasons, passed = ByteMeter(), list[str](), list[Event]()
    breaker = CircuitBreaker(reasons.append, meter, row)

    async def emit(events: Sequence[Event]) -> None:
        passed.extend(events)

    watched = breaker.watching(emit)
    for step in steps:
        if isinstance(step, str):
            meter.received_bytes += 1
        else:
            await watched(step)
    return reasons, passed


def is_down(steps: Sequence[Sequence[Event] | str], row: int) -> bool:
    """Whether so many archives in a row found the source unavailable."""
    flat = [event for step in steps for event in ([BYTES] if isinstance(step, str) else step)]
    counted = [event for event in flat if event in (DOWN, ANSWERED, BYTES)]
    runs = [len(list(run)) for event, run in groupby(counted) if event == DOWN]
    return max(runs, default=0) >= row


_EVENTS = st.lists(st.sampled_from([DOWN, DOWN, DOWN, ANSWERED, LOCAL, RETRIED, FINISHED]))


@given(st.lists(_EVENTS | st.just(BYTES)), st.integers(1, 5))
async def test_it_opens_once_if_and_only_if_enough_archives_in_a_row_fail(
    steps: list[Sequence[Event] | str], row: int
) -> None:
    reasons, passed = await opened(steps, row)
    assert bool(reasons) is is_down(steps, row)
    assert passed == [event for step in steps if not isinstance(step, str) for event in step]


async def test_it_opens_after_twenty_archives_and_says_why() -> None:
    assert await opened([[DOWN] * (ARCHIVES_IN_A_ROW - 1)], ARCHIVES_IN_A_ROW) == (
        [],
        [DOWN] * 19,
    )
    (reason,), _ = await opened([[DOWN] * ARCHIVES_IN_A_ROW], ARCHIVES_IN_A_ROW)
    assert "20 archives in a row" in reason
    assert DOWN.reason in reason
