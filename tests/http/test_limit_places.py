"""The places of a limit: who gets one, in which order, and what a cancellation leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.http.simulated_source import simulate

from crypto_lakehouse.http.adaptive_limit import START, AdaptiveLimit
from crypto_lakehouse.http.concurrency_limit import ConcurrencyLimit, FixedLimit


@pytest.mark.parametrize("make", [lambda: FixedLimit(3), lambda: AdaptiveLimit(workers=3)])
def test_a_free_place_is_taken_without_a_pause(make: Callable[[], ConcurrencyLimit]) -> None:
    concurrency = make()
    assert concurrency.limit == concurrency.workers == 3
    with pytest.raises(StopIteration):
        concurrency.acquire().send(None)


def test_places_are_handed_over_in_order() -> None:
    async def main() -> list[int]:
        concurrency = FixedLimit(2)
        served: list[int] = []

        async def work(number: int) -> None:
            acquired_at = await concurrency.acquire()
            served.append(number)
            concurrency.received(5)
            await asyncio.sleep(0.01)
            concurrency.release(acquired_at, 0, None)

        await asyncio.gather(*(work(number) for number in range(20)))
        return served

    assert simulate(main) == list(range(20))


@pytest.mark.parametrize("released", ["before", "in the same turn", "later"])
def test_a_waiter_cancelled_around_its_turn_loses_no_place(released: str) -> None:
    async def main() -> None:
        concurrency = FixedLimit(1)
        at = await concurrency.acquire()
        first, second = (asyncio.create_task(concurrency.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        if released == "before":
            concurrency.release(at, 0, None)
            first.cancel()
        else:
            first.cancel()
            if released == "later":
                await asyncio.sleep(0)
            concurrency.release(at, 0, None)
        await asyncio.wait_for(second, 1)
        assert first.cancelled()

    simulate(main)


ACTIONS = st.lists(st.tuples(st.sampled_from(["enter", "leave", "cancel", "run"]), st.integers(0)))


@settings(max_examples=examples(300))
@given(st.integers(1, 4), ACTIONS)
def test_no_interleaving_loses_or_leaks_a_place(limit: int, actions: list[tuple[str, int]]) -> None:
    async def main() -> None:
        concurrency = FixedLimit(limit)
        inside: list[float] = []
        tasks: list[asyncio.Task[None]] = []

        async def come_in() -> None:
            inside.append(await concurrency.acquire())

        for action, number in actions:
            if action == "enter":
                tasks.append(asyncio.create_task(come_in()))
            elif action == "leave" and inside:
                concurrency.release(inside.pop(), 0, None)
            elif action == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            else:
                await asyncio.sleep(0)
            assert len(inside) <= limit
        for _ in range(3):
            await asyncio.sleep(0)
        waiting = sum(not task.done() for task in tasks)
        assert len(inside) == limit or not waiting
        while inside:
            concurrency.release(inside.pop(), 0, None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert all(task.done() for task in tasks)
        # Every place is there again.
        for _ in range(limit):
            await asyncio.wait_for(concurrency.acquire(), 1)

    simulate(main)


@pytest.mark.parametrize("make", [lambda: FixedLimit(1), lambda: AdaptiveLimit(workers=1)])
def test_another_limit_holds_for_those_that_wait_already(
    make: Callable[[], ConcurrencyLimit],
) -> None:
    async def main() -> list[int]:
        limit, seen = make(), []
        await limit.acquire()
        waiting = [asyncio.create_task(limit.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        limit.resize(3)
        if isinstance(limit, AdaptiveLimit):  # it has not measured that more is better
            assert (limit.limit, limit.workers) == (1, 3)
            limit.resize(1)
            for task in waiting:
                task.cancel()
            return [3, -1]
        await asyncio.sleep(0)
        seen.append(sum(task.done() for task in waiting) + 1)
        limit.resize(2)
        seen.append(limit.free)
        for task in waiting:
            task.cancel()
        return seen

    assert asyncio.run(main()) == [3, -1]


def test_an_adaptive_limit_is_lowered_to_what_is_allowed() -> None:
    changes: list[tuple[int, str]] = []
    limit = AdaptiveLimit(on_change=lambda *change: changes.append(change))
    limit.resize(START + 1)
    assert (limit.limit, changes) == (START, [])
    limit.resize(3)
    assert (limit.limit, limit.workers) == (3, 3)
    assert changes == [(3, "fewer requests are allowed")]
