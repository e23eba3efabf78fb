"""How many requests are under way at once: the limit that finds itself.

The simulated sources are compared with a sweep over fixed limits, as a careful person would tune
them by hand.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.http.simulated_source import LimitMaker, Run, Source, run, simulate

from crypto_lakehouse.core.errors import ConnectionFailed, ServerError, StoreError, TimedOut
from crypto_lakehouse.http.adaptive_limit import MOST, START, AdaptiveLimit, Controller
from crypto_lakehouse.http.concurrency_limit import ConcurrencyLimit, FixedLimit

#: The fixed limits that are compared with.
SWEEP = (1, 2, 4, 8, 16, 24, 32, 64, 128, 256)


def auto(clock: Callable[[], float], on_change: Callable[[int, str], None]) -> ConcurrencyLimit:
    return AdaptiveLimit(clock=clock, on_change=on_change)


def fixed(limit: int) -> LimitMaker:
    return lambda clock, _on_change: FixedLimit(limit, clock)


def uneven(number: int) -> float:
    """Latencies as they are: some are several times the usual one."""
    return random.Random(number).lognormvariate(0, 0.5)


def heavy_tailed(number: int) -> int:
    """Sizes as they are: mostly some kilobytes, now and then tens of megabytes."""
    return int(min(5e7, 2000 * random.Random(number).paretovariate(0.6)))


@frozen
class Kind:
    """A kind of source, and how much is fetched from it."""

    source: Callable[[], Source]
    requests: int
    size: int = 0
    refuses_above: float = float("inf")

    def best(self) -> float:
        """The rate of the best fixed limit that the source does not refuse."""
        limits = [limit for limit in SWEEP if limit <= self.refuses_above]
        return max(self.at(limit).rate for limit in limits)

    def at(self, limit: int) -> Run:
        requests = min(self.requests, 40 * limit)
        return run(self.source(), fixed(limit), requests, lambda _number: self.size)

    def auto(self) -> Run:
        return run(self.source(), auto, self.requests, lambda _number: self.size)


LATENCY = Kind(lambda: Source(latency_s=0.04, client=8000), 4000)
LATENCY_LONG = Kind(lambda: Source(latency_s=0.04, client=8000, jitter=uneven), 12_000)
PROCESSOR = Kind(lambda: Source(latency_s=0.0014, client=5000), 10_000)
BANDWIDTH = Kind(lambda: Source(latency_s=0.04, connection=4e6, line=1e9), 2000, 4_000_000)
REFUSING = Kind(lambda: Source(latency_s=0.04, refuses_above=lambda _: 24), 10_000, 0, 24)

KINDS = {
    "latency": LATENCY,
    "latency, long and uneven": LATENCY_LONG,
    "processor": PROCESSOR,
    "bandwidth per connection": BANDWIDTH,
    "refusing": REFUSING,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_the_limit_is_nearly_as_good_as_the_best_fixed_one(kind: Kind) -> None:
    floor = 1 / 1.15 if kind is LATENCY else 0.9
    assert kind.auto().rate >= floor * kind.best()


def test_it_climbs_within_milliseconds_where_only_latency_limits() -> None:
    assert LATENCY.auto().limit_at(0.2) == MOST


def test_it_climbs_while_the_first_slow_transfers_still_last() -> None:
    done = BANDWIDTH.auto()
    assert min(done.answers_at) > 1.0
    assert done.limit_at(0.5) == MOST


def test_it_does_not_climb_for_nothing() -> None:
    done = PROCESSOR.auto()
    assert max(limit for _, limit, _ in done.limits) < 64
    assert done.limit_at(done.seconds) <= 24
    assert done.rate_after(1.0) >= 0.95 * PROCESSOR.best()


def test_a_source_that_refuses_is_kept_just_below_its_limit() -> None:
    done = REFUSING.auto()
    assert done.refused_after(1.0) < 0.02
    assert done.rate_after(1.0) >= 0.9 * REFUSING.at(24).rate
    # What it takes to find the limit is not much either.
    assert len(done.refusals_at) < 100


def test_it_comes_back_when_the_source_bears_more_again() -> None:
    source = Source(latency_s=0.04, refuses_above=lambda now: 24 if now < 5 else 200)
    done = run(source, auto, 30_000)
    began = sum(at < 5 for at in done.answers_at)
    regained = next(at for at, limit, _ in done.limits if at > 5 and limit > 100)
    assert sum(at < regained for at in done.answers_at) - began < 10_000
    assert done.refused_after(regained + 2) < 0.02


def test_it_gives_way_when_the_source_bears_less() -> None:
    source = Source(latency_s=0.04, refuses_above=lambda now: 200 if now < 3 else 24)
    done = run(source, auto, 20_000)
    assert done.limit_at(4.5) <= 24
    assert done.refused_after(4.5) < 0.02
    assert done.rate_after(4.5) >= 0.85 * 24 / 0.04


@pytest.mark.parametrize("share", [0.001, 0.005])
def test_refusals_that_do_not_depend_on_the_limit_do_not_starve_it(share: float) -> None:
    def fails(number: int) -> ServerError | None:
        refused = random.Random(number).random() < share
        return ServerError("simulated", 503) if refused else None

    done = run(Source(latency_s=0.04, fails=fails), auto, 10_000)
    assert done.rate >= 0.7 * MOST / 0.04


def test_sizes_of_any_mixture_do_not_starve_it() -> None:
    def source() -> Source:
        return Source(latency_s=0.02, connection=20e6, line=4e8, client=4000, jitter=uneven)

    best = max(run(source(), fixed(limit), 3000, heavy_tailed).rate for limit in (64, 256))
    assert run(source(), auto, 3000, heavy_tailed).rate >= 0.9 * best


def test_an_outage_is_left_behind() -> None:
    def fails(number: int) -> ConnectionFailed | None:
        return ConnectionFailed("simulated", "reset") if 4000 < number < 6000 else None

    done = run(Source(latency_s=0.04, client=8000, fails=fails), auto, 30_000)
    reasons = {reason for _, _, reason in done.limits}
    assert "requests fail" in reasons
    assert done.limit_at(done.seconds) > 200


def test_failures_now_and_then_change_nothing() -> None:
    def fails(number: int) -> TimedOut | None:
        return TimedOut("simulated", "silent") if number % 50 == 0 else None

    done = run(Source(latency_s=0.04, fails=fails), auto, 10_000)
    assert "requests fail" not in {reason for _, _, reason in done.limits}


def test_a_source_that_refuses_everything_keeps_one_request_under_way() -> None:
    source = Source(latency_s=0.04, refuses_above=lambda now: 0 if now < 30 else 1000)
    done = run(source, auto, 100)
    before = [limit for at, limit, _ in done.limits if at < 30]
    assert before[-1] == 1
    # It is told of the way down, once each, and of nothing after that.
    assert before == sorted(set(before), reverse=True)
    assert len(done.refusals_at) < 30 / 0.04 + 3 * START


def test_few_workers_prove_nothing() -> None:
    """Windows with free places are no reason to go on (RFC 7661)."""
    done = run(Source(latency_s=0.04), auto, 2000, workers=4)
    assert [limit for _, limit, _ in done.limits] == [START]


def test_a_pause_is_not_counted_as_time_at_work() -> None:
    async def main() -> list[int]:
        concurrency = AdaptiveLimit(clock=asyncio.get_running_loop().time)

        async def request() -> None:
            acquired_at = await concurrency.acquire()
            await asyncio.sleep(0.04)
            concurrency.release(acquired_at, 0, None)

        limits = []
        for _ in range(3):
            await asyncio.gather(*(request() for _ in range(400)))
            limits.append(concurrency.limit)
            await asyncio.sleep(60)
        return limits

    # Sixty idle seconds in a window would look like a source that has broken down.
    assert simulate(main) == [MOST] * 3


def test_an_epoch_retreats_once() -> None:
    async def main() -> list[int]:
        now = itertools.count()
        concurrency = AdaptiveLimit(clock=lambda: float(next(now)))
        acquired = [await concurrency.acquire() for _ in range(START)]
        limits = []
        for at in acquired:
            concurrency.release(at, 0, ServerError("simulated", 429))
            limits.append(concurrency.limit)
        concurrency.release(await concurrency.acquire(), 0, ServerError("simulated", 503))
        return [*limits, concurrency.limit]

    assert asyncio.run(main()) == [11] * START + [1]


def test_what_says_nothing_of_the_source_changes_nothing() -> None:
    async def main() -> int:
        concurrency = AdaptiveLimit(clock=lambda: 1.0)
        errors = (StoreError("/out", "disk full"), asyncio.CancelledError(), KeyError())
        for error in itertools.islice(itertools.cycle(errors), 1000):
            concurrency.release(await concurrency.acquire(), 0, error)
        return concurrency.limit

    assert asyncio.run(main()) == START


def test_it_steps_back_where_less_is_as_good() -> None:
    controller = Controller()
    for _ in range(200):
        controller.observe(100.0)
    assert controller.limit < START


OUTCOMES = st.sampled_from(
    [
        None,
        None,
        ServerError("simulated", 429, 1.0),
        ServerError("simulated", 500),
        ServerError("simulated", 404),
        ConnectionFailed("simulated", "reset"),
        TimedOut("simulated", "silent"),
        StoreError("/out", "disk full"),
    ]
)


@given(
    st.integers(1, 300),
    st.lists(st.tuples(OUTCOMES, st.integers(1, 400), st.floats(0, 0.3), st.integers(0, 10**8))),
)
def test_the_limit_stays_within_its_bounds(
    workers: int, steps: list[tuple[BaseException | None, int, float, int]]
) -> None:
    async def main() -> None:
        now = 0.0
        told: list[int] = []
        concurrency = AdaptiveLimit(
            clock=lambda: now, workers=workers, on_change=lambda limit, _reason: told.append(limit)
        )
        for error, count, seconds, size in steps:
            acquired = [await concurrency.acquire() for _ in range(min(count, concurrency.limit))]
            concurrency.received(size)
            for at in acquired:
                now += seconds / count
                concurrency.release(at, size, error)
                assert 1 <= concurrency.limit <= workers == concurrency.workers
        assert all(1 <= limit <= workers for limit in told)

    asyncio.run(main())


WINDOWS = st.tuples(st.floats(0, 1e6), st.booleans(), st.floats(0, 1) | st.just(0.0))


@settings(max_examples=examples(300))
@given(st.integers(1, MOST), st.lists(WINDOWS | st.integers(1, 300), max_size=200))
def test_no_sequence_of_windows_and_refusals_leads_out_of_bounds(
    most: int, seen: list[tuple[float, bool, float] | int]
) -> None:
    controller = Controller(min(START, most), most)
    for what in seen:
        if isinstance(what, int):
            limit = controller.refused(what)
        else:
            limit = controller.observe(what[0], full=what[1], failed=what[2])
        assert 1 <= limit == controller.limit <= most
        assert controller.reason
