"""One large body over several connections: whatever happens, never a wrong byte."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collection.download.ranged_source import (
    A_SOURCE,
    BIG,
    FINE,
    MIB,
    Answer,
    Fault,
    MemoryPart,
    Run,
    Source,
    body_of,
    check_whole,
    failed,
    fetched,
)
from tests.examples import examples
from tests.http.simulated_source import simulate

from crypto_lakehouse.collection.download.byte_ranges import OpenResponse
from crypto_lakehouse.collection.download.range_scaling import Prospects, RangeRules
from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    ObjectChanged,
    ServerError,
    StoreError,
    TransferError,
)
from crypto_lakehouse.http.concurrency_limit import FixedLimit
from crypto_lakehouse.http.retry import RetryPolicy

# What may go wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=200, headers={"Content-Range": None}),
        Fault(headers={"Content-Range": "bytes 0-9/10"}),
        Fault(headers={"Content-Range": "nonsense"}),
        Fault(headers={"Content-Range": f"bytes {'9' * 5_000}-{'9' * 5_000}/{'9' * 5_000}"}),
        Fault(headers={"ETag": None}),
        Fault(extra=1),
    ],
)
@pytest.mark.parametrize("number", [0, 9])
def test_a_source_without_ranges_is_never_asked_again(fault: Fault, number: int) -> None:
    source = Source(BIG, faults=lambda item: fault if item == number else FINE)
    run, part = Run(source), MemoryPart()
    if number == 0:
        fetched(run, part)
    else:
        assert failed(run, part).transient
    held = Answer(source, 206, {"ETag": '"one"'}, len(BIG), b"", None)
    assert not run.parallel_ranges.may_pay(A_SOURCE, held, 0)


@pytest.mark.parametrize("status", [404, 412, 416])
@pytest.mark.parametrize("number", [0, 9])
def test_an_object_that_changed_is_found_out(status: int, number: int) -> None:
    source = Source(BIG, faults=lambda item: Fault(status=status) if item == number else FINE)
    assert isinstance(failed(Run(source)), ObjectChanged)


@pytest.mark.parametrize("status", [200, 206])
def test_another_etag_is_another_object(status: int) -> None:
    fault = Fault(status=status, headers={"ETag": '"two"'})
    source = Source(BIG, faults=lambda item: fault if item == 9 else FINE)
    assert isinstance(failed(Run(source)), ObjectChanged)


def test_short_answers_are_made_up_for() -> None:
    source = Source(BIG, faults=lambda number: Fault(short=MIB if number % 3 else 0))
    run = fetched(Run(source))
    assert run.retries == []


def test_a_piece_goes_on_where_it_broke_off() -> None:
    source = Source(BIG, faults=lambda number: Fault(cut_at=MIB + 5) if number == 9 else FINE)
    run = fetched(Run(source))
    assert len(run.retries) == 1
    start, end = map(int, source.ranges[9].removeprefix("bytes=").split("-"))
    assert f"bytes={start + MIB + 5}-{end}" in source.ranges


def test_a_piece_that_ends_early_without_an_error_is_made_up_for() -> None:
    source = Source(BIG, faults=lambda number: Fault(lost=5) if number == 9 else FINE)
    assert len(fetched(Run(source)).retries) == 1


def test_a_piece_that_fails_for_good_fails_the_body() -> None:
    source = Source(BIG, faults=lambda number: Fault(status=500) if number >= 9 else FINE)
    run, part = Run(source), MemoryPart()
    error = failed(run, part)
    assert isinstance(error, ServerError)
    assert not error.transient, "it was tried as often as a request may be"
    assert part.size_bytes
    source.faults = lambda _number: FINE
    had, before = part.size_bytes, source.sent
    fetched(run, part)
    assert source.sent - before < len(BIG) - had + 2 * MIB


def test_a_final_status_is_not_tried_again() -> None:
    source = Source(BIG, faults=lambda number: Fault(status=400) if number == 9 else FINE)
    run = Run(source)
    assert isinstance(failed(run), ServerError)
    assert run.retries == []


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(cut_at=7), Fault(delay_s=30.0)])
def test_a_probe_that_fails_or_hangs_costs_nothing(fault: Fault) -> None:
    run = fetched(Run(Source(BIG, faults=lambda _number: fault)))
    assert run.requests in {1, 2}
    assert run.retries == []


def test_a_probe_that_is_late_is_judged_by_what_it_brought() -> None:
    run = fetched(Run(Source(BIG, faults=lambda number: Fault(delay_s=0.6 * (number == 0)))))
    assert run.source.peak > 2


def test_a_first_connection_that_breaks_leaves_a_prefix() -> None:
    @define
    class Breaking(Source):
        async def bring(self, size: int) -> None:
            await super().bring(size)
            if self.sent > 13 * MIB:
                raise ConnectionFailed(str(A_SOURCE), "reset")

    part = MemoryPart()
    error = failed(Run(Breaking(BIG)), part)
    assert error.transient
    assert part.size_bytes > 8 * MIB


def test_a_first_connection_that_ends_early_leaves_a_prefix() -> None:
    """A client that lets a short body pass is not waited for."""

    @define
    class Short(Source):
        def _answer(self, headers: Mapping[str, str], fault: Fault) -> Answer:
            answer = super()._answer(headers, fault)
            if "If-Match" not in headers:
                answer.data = answer.data[: 12 * MIB]
            return answer

    run, part = Run(Short(BIG)), MemoryPart()
    simulate(lambda: run.fetch(part))
    assert part.data == BIG[: 12 * MIB]
    run.check_idle()


def test_a_full_disk_ends_it_all() -> None:
    class Full(MemoryPart):
        async def append(self, data: bytes | bytearray) -> None:
            await super().append(data)
            if self.size_bytes > 100 * MIB:
                raise StoreError("x.part", "no space left", stops_run=True)

    run = Run(Source(BIG))
    with pytest.raises(StoreError):
        simulate(lambda: run.fetch(Full()))
    run.check_idle()


def test_what_is_held_in_memory_is_bounded() -> None:
    """The disk is the slowest part: nine pieces of 4 MiB, and what is on its way to the disk."""
    source, most = Source(BIG), 0
    part = MemoryPart(rate=8.0 * MIB)

    def look() -> None:
        nonlocal most
        most = max(most, source.sent - part.size_bytes)

    part.appended = look
    fetched(Run(source), part)
    assert source.peak > 1
    assert most <= 9 * 4 * MIB + 4 * MIB


@pytest.mark.parametrize("seconds", [0.5, 2.2, 3.0, 4.5, 5.0, 8.0, 12.0])
def test_a_run_that_is_killed_is_gone_on_with(seconds: float) -> None:
    """Cancelled at any moment, the part is a prefix, and the next run fetches only the rest."""
    run, part = Run(Source(BIG)), MemoryPart()

    async def killed() -> None:
        with anyio.move_on_after(seconds) as scope:
            await run.fetch(part)
        assert scope.cancelled_caught

    simulate(killed)
    run.check_idle()
    assert part.size_bytes or seconds < 1
    assert BIG.startswith(part.data)
    rest = len(BIG) - part.size_bytes
    second = Run(Source(BIG))
    fetched(second, part)
    assert second.meter.received_bytes < rest + 2 * MIB


async def test_the_body_can_be_read_as_any_other() -> None:
    from crypto_lakehouse.collection.download.parallel_body import ParallelBody

    source = Source(b"0123456789")
    run = Run(source)
    opening = OpenResponse(source.get(A_SOURCE, {}))
    async with opening as opened, anyio.create_task_group() as tasks:
        body = ParallelBody(
            opened, 0, run.whole(opened, 10, []), run.rules, lambda: 0.0,
            Prospects(1.0), tasks,
        )  # fmt: skip
        assert await body.read(4) == b"0123"
        assert (body.status, body.size_bytes) == (200, 10)


# Whatever happens -------------------------------------------------------------------------------

FAULTS = st.one_of(
    st.just(FINE),
    st.builds(Fault, delay_s=st.floats(0, 3)),
    st.builds(Fault, status=st.sampled_from([200, 400, 403, 404, 412, 416, 429, 500, 503])),
    st.builds(Fault, cut_at=st.integers(0, 600), delay_s=st.floats(0, 1)),
    st.builds(Fault, short=st.integers(0, 600)),
    st.builds(Fault, extra=st.integers(1, 3)),
    st.builds(Fault, lost=st.integers(1, 300)),
    st.builds(
        Fault,
        headers=st.dictionaries(
            st.sampled_from(["ETag", "Content-Range"]),
            st.sampled_from([None, '"two"', "bytes 0-9/10", "bytes */10"]),
        ),
    ),
)


@given(data=st.data())
@settings(max_examples=examples(200))
def test_any_order_and_any_faults_give_the_very_bytes_or_an_error(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 20_000), "size")
    rules = RangeRules(
        least_bytes=0, least_rest_bytes=0, least_rest_s=0,
        range_bytes=data.draw(st.integers(50, 3000), "piece"),
        settle_s=data.draw(st.sampled_from([0.0, 0.3]), "settle"), watch_s=0.5,
        trial_s=data.draw(st.sampled_from([0.1, 1.0]), "trial"),
        gain=data.draw(st.sampled_from([0.1, 1.5]), "gain"),
        growth=data.draw(st.sampled_from([0.1, 1.2]), "growth"),
        rest_s=data.draw(st.sampled_from([0.0, 60.0]), "rest"),
    )  # fmt: skip
    faults = data.draw(st.lists(FAULTS, max_size=12), "faults")
    first = data.draw(st.integers(0, 4), "fine ones first")
    schedule = [FINE] * first + faults
    source = Source(
        body_of(size), connection=1000, line=data.draw(st.sampled_from([1500, 4000, 1e9]), "line"),
        chunk=data.draw(st.integers(20, 700), "chunk"),
        faults=lambda number: schedule[number] if number < len(schedule) else FINE,
        refuses_above=data.draw(st.sampled_from([1, 2, 4, 1000]), "borne"),
    )  # fmt: skip
    concurrency = FixedLimit(data.draw(st.integers(1, 10), "places"))
    run = Run(source, concurrency, rules, RetryPolicy(max_retries=2))
    part = MemoryPart(rate=data.draw(st.sampled_from([1200, 1e12]), "disk"))
    killed_after_s = data.draw(st.lists(st.floats(0.1, 20), max_size=3), "killed after")

    async def main() -> None:
        for seconds in [*killed_after_s, *([1e9] * 40)]:
            try:
                with anyio.move_on_after(seconds):
                    await run.fetch(part)
                    return
                assert source.data.startswith(part.data)
                run.check_idle()
            except TransferError:
                assert source.data.startswith(part.data)
                run.check_idle()
            if part.size_bytes == size:
                return

    simulate(main)
    check_whole(run, part)
