"""One large body over several connections: when it pays, and whose places it takes."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from tests.collection.download.ranged_source import (
    A_SOURCE,
    BIG,
    CAP,
    FINE,
    LINE,
    MIB,
    Answer,
    Fault,
    MemoryPart,
    Run,
    Source,
    check_whole,
    fetched,
)
from tests.http.simulated_source import simulate

from crypto_lakehouse.collection.download.parallel_ranges import ParallelRanges
from crypto_lakehouse.collection.download.range_scaling import (
    ByteCounts,
    Prospects,
    RangeRules,
    RangeScaler,
)
from crypto_lakehouse.http.adaptive_limit import AdaptiveLimit
from crypto_lakehouse.http.concurrency_limit import FixedLimit

# When it pays -----------------------------------------------------------------------------------


def test_a_capped_connection_is_helped_by_others() -> None:
    run = fetched(Run(Source(BIG)))
    alone_s = len(BIG) / CAP
    assert run.seconds < alone_s / 4
    assert run.source.peak == 8
    assert run.requests == len(run.source.ranges) > 40
    assert run.meter.received_bytes < len(BIG) + 2 * MIB, "what comes twice is little"


def test_a_full_line_is_left_alone() -> None:
    run = fetched(Run(Source(BIG, connection=LINE, line=CAP)))
    assert run.source.peak == 2
    assert run.requests == 1
    assert run.seconds < 1.05 * len(BIG) / CAP


def test_fruitless_probes_become_rare_and_a_fruitful_one_is_no_reason_to_rest() -> None:
    run = Run(Source(BIG, connection=LINE, line=1.0 * MIB))
    simulate(lambda: run.fetch(MemoryPart()))
    assert run.requests == 2, "after the first probe a minute passes, then four"
    run = Run(Source(BIG))
    for _ in range(2):
        fetched(run)
        assert run.source.peak == 8
        run.source.peak = 0


def test_a_cap_on_all_connections_together_stops_the_growth() -> None:
    """Four connections fill the line: a fifth and a sixth bring nothing."""
    run = fetched(Run(Source(BIG, line=4 * CAP)))
    assert run.source.peak == 6
    assert run.seconds < 0.4 * len(BIG) / CAP


def test_a_fast_body_is_not_probed() -> None:
    run = fetched(Run(Source(BIG, connection=LINE)))
    assert run.source.peak == 1


@pytest.mark.parametrize(
    ("size", "rest", "may"), [(31, 31, False), (32, 32, True), (99, 15, False), (99, 16, True)]
)
def test_small_bodies_and_small_rests_are_left_alone(size: int, rest: int, may: bool) -> None:
    head = {"ETag": '"one"', "Accept-Ranges": "bytes"}
    answer = Answer(Source(b""), 200, head, rest << 20, b"", None)
    assert ParallelRanges().may_pay(A_SOURCE, answer, (size - rest) << 20) is may


@pytest.mark.parametrize(
    ("status", "headers", "may"),
    [
        (200, {"ETag": '"a"', "Accept-Ranges": "bytes"}, True),
        (206, {"ETag": '"a"'}, True),
        (200, {"ETag": '"a"', "Accept-Ranges": "none"}, False),
        (200, {"ETag": '"a"'}, False),
        (200, {"ETag": 'W/"a"', "Accept-Ranges": "bytes"}, False),
        (200, {"ETag": '"\udcff"', "Accept-Ranges": "bytes"}, False),
        (200, {"Accept-Ranges": "bytes"}, False),
    ],
)
def test_what_a_source_must_say(status: int, headers: dict[str, str], may: bool) -> None:
    run = Run(Source(b""))
    answer = Answer(run.source, status, headers, 40 * MIB, b"", None)
    assert run.parallel_ranges.may_pay(A_SOURCE, answer, 0) is may
    unknown = Answer(run.source, status, headers, None, b"", None)
    assert not run.parallel_ranges.may_pay(A_SOURCE, unknown, 40 * MIB)


def test_what_other_archives_lose_is_no_gain() -> None:
    """The second connection takes from others what it brings: the run as a whole gains nothing."""
    scaler = RangeScaler(RangeRules(settle_s=0, watch_s=1, trial_s=1))
    assert not scaler.observe(ByteCounts(0, 0, 0), 1)
    assert scaler.observe(ByteCounts(1, 100, 1000), 1)
    scaler.probe()
    scaler.observe(ByteCounts(1, 100, 1000), 2)
    assert scaler.observe(ByteCounts(2, 300, 2000), 2)
    assert (scaler.phase, scaler.level) == ("watching", 1)


def test_a_level_that_brings_too_little_gets_a_second_look() -> None:
    for second, level in ((300, 2), (500, 3)):
        rules = RangeRules(settle_s=0, watch_s=1, trial_s=1)
        scaler = RangeScaler(rules, level=2, phase="steady", rate=200.0, run_rate=200.0)
        assert scaler.next_level == 3
        scaler.grow(3)
        scaler.observe(ByteCounts(0, 0, 0), 3)
        assert scaler.observe(ByteCounts(1, 210, 210), 3)
        assert (scaler.phase, scaler.level) == ("trying", 3)
        assert scaler.observe(ByteCounts(2, second, second), 3)
        assert (scaler.phase, scaler.level) == ("steady", level)
        assert scaler.next_level == (4 if level == 3 else None)


def test_a_probe_that_the_first_connection_overtakes_is_judged_by_what_was_seen() -> None:
    for until, phase in ((1.4, "watching"), (1.6, "steady")):
        scaler = RangeScaler(RangeRules(settle_s=0, watch_s=1, trial_s=1))
        scaler.observe(ByteCounts(0, 0, 0), 1)
        scaler.observe(ByteCounts(1, 100, 100), 1)
        scaler.probe()
        scaler.observe(ByteCounts(1, 100, 100), 2)
        scaler.conclude(ByteCounts(until, 300, 300))
        assert scaler.phase == phase


def test_two_archives_do_not_probe_at_the_same_time() -> None:
    prospects = Prospects(60.0, is_probing=True)
    assert not prospects.may_probe(0.0)


# Places -----------------------------------------------------------------------------------------


def test_places_that_others_have_are_not_taken() -> None:
    run = Run(Source(BIG), concurrency=FixedLimit(4))

    async def main() -> None:
        acquired = [await run.concurrency.acquire() for _ in range(3)]
        await run.fetch(MemoryPart())
        for moment in acquired:
            run.concurrency.release(moment, 0, None)

    simulate(main)
    assert run.source.peak == 1
    run.check_idle()


def test_no_place_is_taken_that_another_archive_waits_for() -> None:
    """Others that come in the middle wait for a piece, and not for the body."""
    run = Run(Source(BIG), concurrency=FixedLimit(4))
    waits: list[float] = []

    async def other(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        loop = asyncio.get_running_loop()
        came = loop.time()
        acquired_at = await run.concurrency.acquire()
        waits.append(loop.time() - came)
        await asyncio.sleep(6)
        run.concurrency.release(acquired_at, 0, None)

    async def main() -> None:
        part = MemoryPart()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run.fetch(part))
            for number in range(9):
                tasks.create_task(other(8 + number * 0.5))
        check_whole(run, part)

    simulate(main)
    assert len(waits) == 9
    assert max(waits[:3]) < 1.5 * 4 * MIB / CAP
    assert run.source.peak == 4


def test_who_is_killed_while_waiting_for_a_place_has_none() -> None:
    run, part = Run(Source(BIG), concurrency=FixedLimit(2)), MemoryPart()

    async def others() -> None:
        await asyncio.sleep(10)
        acquired = [await run.concurrency.acquire() for _ in range(2)]
        await asyncio.sleep(30)
        for moment in acquired:
            run.concurrency.release(moment, 0, None)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(others())
            with anyio.move_on_after(20):
                await run.fetch(part)
            assert run.source.open == 0

    simulate(main)
    assert BIG.startswith(part.data)
    run.check_idle()


def test_the_limit_that_finds_itself_gives_places_too() -> None:
    concurrency = AdaptiveLimit(clock=lambda: asyncio.get_running_loop().time())
    run = Run(Source(BIG), concurrency=concurrency)
    part = MemoryPart()
    simulate(lambda: run.fetch(part))
    assert part.data == BIG
    assert run.source.peak == 8
    assert concurrency.free == concurrency.limit


def test_refusals_lower_the_number_and_are_told_to_the_limit() -> None:
    concurrency = AdaptiveLimit(clock=lambda: asyncio.get_running_loop().time())
    run = Run(Source(BIG, refuses_above=5), concurrency=concurrency)
    fetched(run)
    assert concurrency.limit < 16
    assert set(run.retries) == {"the source answered 503"}
    assert len(run.retries) < 4
    assert run.seconds < 0.5 * len(BIG) / CAP


def test_a_refused_probe_ends_it() -> None:
    run = fetched(Run(Source(BIG, refuses_above=1)))
    assert run.requests == 1
    assert run.retries == []


def test_a_source_that_refuses_all_but_one_is_left_with_one() -> None:
    run = Run(Source(BIG))

    def tighten(number: int) -> Fault:
        run.source.refuses_above = 2 if number < 3 else 1
        return FINE

    run.source.faults = tighten
    fetched(run)
    assert run.retries
    assert run.source.peak <= 3
