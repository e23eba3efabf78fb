"""A budget that several runs share: never more than it allows, equal parts for those that wait."""

from __future__ import annotations

import asyncio
from collections import Counter

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.http.simulated_source import simulate

from crypto_lakehouse.http.concurrency_limit import FixedLimit
from crypto_lakehouse.http.fair_slots import FairSlots
from crypto_lakehouse.http.rate_limit import ByteRate, RequestRate
from crypto_lakehouse.http.shared_budget import SharedBudget


@given(
    limit=st.integers(1, 5),
    waiting=st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
    cancelled=st.sets(st.integers(0, 29)),
)
def test_slots_are_divided_equally_between_those_that_wait(
    limit: int, waiting: list[str], cancelled: set[int]
) -> None:
    async def main() -> None:
        slots = FairSlots(limit)
        held: Counter[str] = Counter()
        left = Counter(waiting)

        async def hold(party: str) -> None:
            await slots.acquire(party)
            held[party] += 1
            left[party] -= 1
            assert held.total() <= limit

        tasks = [asyncio.create_task(hold(party)) for party in waiting]
        await settled()
        for number in cancelled & {*range(limit, len(tasks))}:
            tasks[number].cancel()
            left[waiting[number]] -= 1
        await settled()
        while held:
            ended = max(held, key=held.__getitem__)
            held[ended] -= 1
            held = +held
            before = dict(held)
            wanted = [party for party in left if left[party]]
            slots.release(ended)
            await settled()
            if wanted:  # one that held the fewest has it
                [gained] = [party for party in held if held[party] > before.get(party, 0)]
                assert before.get(gained, 0) == min(before.get(party, 0) for party in wanted)
        assert slots.free == limit
        assert not +left

    asyncio.run(main())


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_request_that_is_cancelled_gives_back_what_it_has() -> None:
    budget = SharedBudget(FairSlots(1))
    own = FixedLimit(2)
    limit = budget.share("a").requests(own)
    listings = budget.share("b").listings(anyio.Semaphore(1))
    acquired_at = await limit.acquire()
    assert (limit.free, own.free, limit.limit, limit.workers) == (0, 1, 2, 2)
    second = asyncio.create_task(limit.acquire())

    async def list_once() -> None:
        async with listings:
            raise AssertionError("it has no slot")

    third = asyncio.create_task(list_once())
    await settled()
    assert own.free == 0
    second.cancel()
    third.cancel()
    await asyncio.gather(second, third, return_exceptions=True)
    assert (own.free, listings.own.value, listings.value) == (1, 1, 0)
    fourth = asyncio.create_task(limit.acquire())
    await settled()
    limit.release(acquired_at, 0, None)
    fourth.cancel()  # in the moment in which it gets its slot
    with pytest.raises(asyncio.CancelledError):
        await fourth
    assert (own.free, budget.slots.free) == (2, 1)
    async with listings:
        assert budget.slots.free == 0
    limit.received(1)
    limit.resize(3)
    assert (own.limit, limit.free) == (3, 1)


@pytest.mark.parametrize("own", [None, 1e9])
def test_a_run_with_one_payer_gets_as_much_as_one_with_thirty(own: float | None) -> None:
    seconds = 10.0

    async def main() -> tuple[Counter[str], Counter[str]]:
        budget = SharedBudget(FairSlots(1), ByteRate(10_000.0), RequestRate(20.0))
        sizes, requests = Counter[str](), Counter[str]()

        async def pay(party: str) -> None:
            share = budget.share(party)
            bytes_pace = share.byte_pace(None if own is None else ByteRate(own))
            request_pace = share.request_pace(None if own is None else RequestRate(own))
            assert bytes_pace is not None
            assert request_pace is not None
            while True:
                await request_pace.pay()
                requests[party] += 1
                await bytes_pace.pay(100)
                sizes[party] += 100

        tasks = [asyncio.create_task(pay("a")) for _ in range(30)]
        tasks.append(asyncio.create_task(pay("b")))
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return sizes, requests

    sizes, requests = simulate(main)
    assert sizes.total() <= 10_000 * seconds * 1.02
    assert requests.total() <= 20 * seconds * 1.02 + 1
    assert abs(requests["a"] - requests["b"]) <= 4  # what a begins with


def test_without_rates_a_run_keeps_its_own() -> None:
    share = SharedBudget(FairSlots(1)).share("a")
    own_bytes, own_requests = ByteRate(1.0), RequestRate(1.0)
    assert share.byte_pace(own_bytes) is own_bytes
    assert share.request_pace(own_requests) is own_requests
    assert share.byte_pace(None) is None
    assert share.request_pace(None) is None


async def test_without_rates_nothing_is_waited_for() -> None:
    budget = SharedBudget(FairSlots(1))
    await budget.pay_bytes(1 << 40, "a")
    await budget.pay_request("a")
