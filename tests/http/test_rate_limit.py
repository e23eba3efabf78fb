"""Caps are exact over ten seconds, for any rate and many payers, in the order of arrival."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.http.simulated_source import SimulatedLoop, simulate

from crypto_lakehouse.http.rate_limit import ByteRate, RequestRate

SECONDS = 10.0


async def _stop_after(seconds: float, *payers: asyncio.Task[None]) -> None:
    await asyncio.sleep(seconds)
    for payer in payers:
        payer.cancel()
    await asyncio.gather(*payers, return_exceptions=True)


def requests_in_ten_seconds(rate: float, payers: int) -> int:
    async def main() -> int:
        cap = RequestRate(rate)
        paid = 0

        async def work() -> None:
            nonlocal paid
            while True:
                await cap.pay()
                paid += 1

        await _stop_after(SECONDS, *(asyncio.create_task(work()) for _ in range(payers)))
        return paid

    return simulate(main)


def bytes_in_ten_seconds(rate: float, sizes: list[int]) -> int:
    async def main() -> int:
        cap = ByteRate(rate)
        paid = 0

        async def work(size: int) -> None:
            nonlocal paid
            while True:
                await cap.pay(size)
                paid += size

        await _stop_after(SECONDS, *(asyncio.create_task(work(size)) for size in sizes))
        return paid

    return simulate(main)


@settings(max_examples=examples(20), deadline=None)
@given(st.floats(0.05, 300), st.integers(1, 100))
@example(0.3, 3)
@example(1, 2)
@example(10, 50)
@example(15, 50)
@example(1000, 64)
def test_requests_are_exact(rate: float, payers: int) -> None:
    paid = requests_in_ten_seconds(rate, payers)
    # One request more is the one that the ten seconds begin with.
    assert rate * SECONDS * 0.95 - 1 <= paid <= rate * SECONDS * 1.05 + 1


@settings(max_examples=examples(20), deadline=None)
@given(
    st.floats(3.0, 9.0).map(lambda power: 10**power),
    st.lists(st.floats(0.001, 0.05), min_size=1, max_size=64),
)
@example(1_000_000.0, [0.001] * 256)
def test_bytes_are_exact(rate: float, shares: list[float]) -> None:
    sizes = [math.ceil(rate * share) for share in shares]
    paid = bytes_in_ten_seconds(rate, sizes)
    # The payment that the end cut short is not in `paid`.
    assert rate * SECONDS * 0.95 - max(sizes) <= paid <= rate * SECONDS * 1.05


@pytest.mark.parametrize("rate", [0.5, 1, 3, 20])
def test_bytes_are_exact_at_a_tiny_rate(rate: float) -> None:
    assert bytes_in_ten_seconds(rate, [1, 1]) == pytest.approx(rate * SECONDS, rel=0.05, abs=1)


def test_a_large_payment_takes_its_time() -> None:
    async def main() -> float:
        await ByteRate(1000).pay(10_000)
        return asyncio.get_running_loop().time()

    assert simulate(main) == pytest.approx(10, rel=0.01)


def test_late_wake_ups_cost_nothing() -> None:
    """A loop that is busy for 20 ms at a time, as with decompression, still keeps the rate."""

    async def main() -> int:
        cap = ByteRate(1_000_000)
        paid = 0

        async def work() -> None:
            nonlocal paid
            while True:
                await cap.pay(10_000)
                paid += 10_000

        async def compute() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimulatedLoop)
            while True:
                loop.block(0.02)
                await asyncio.sleep(0.011)

        tasks = [asyncio.create_task(work()) for _ in range(4)]
        await _stop_after(SECONDS, asyncio.create_task(compute()), *tasks)
        return paid

    assert simulate(main) == pytest.approx(10_000_000, rel=0.05)


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=30))
def test_payers_are_served_in_order(sizes: list[int]) -> None:
    async def main() -> list[int]:
        cap = ByteRate(10_000)
        served: list[int] = []

        async def pay(number: int) -> None:
            await cap.pay(sizes[number])
            served.append(number)

        await asyncio.gather(*(pay(number) for number in range(len(sizes))))
        return served

    assert simulate(main) == list(range(len(sizes)))


def test_requests_are_served_in_order_and_a_cancelled_payer_holds_nobody_up() -> None:
    async def main() -> tuple[list[int], float]:
        cap = RequestRate(10)
        served: list[int] = []

        async def pay(number: int) -> None:
            await cap.pay()
            served.append(number)

        payers = [asyncio.create_task(pay(number)) for number in range(10)]
        await asyncio.sleep(0.25)
        payers[4].cancel()
        payers[6].cancel()
        await asyncio.gather(*payers, return_exceptions=True)
        return served, asyncio.get_running_loop().time()

    served, seconds = simulate(main)
    assert served == [0, 1, 2, 3, 5, 7, 8, 9]
    assert seconds == pytest.approx(0.65, abs=0.01)


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        RequestRate(rate)
    with pytest.raises(ValueError, match="above zero"):
        ByteRate(rate)


def test_a_rate_may_change_while_it_is_paid() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        byte_rate, request_rate = ByteRate(100.0), RequestRate(1.0)
        began = loop.time()
        paying = asyncio.create_task(byte_rate.pay(1_000))
        await asyncio.sleep(5.0)
        byte_rate.change(1_000.0)
        await paying
        bytes_took = loop.time() - began
        request_rate.change(10.0)
        began = loop.time()
        for _ in range(20):
            await request_rate.pay()
        return bytes_took, loop.time() - began

    bytes_took, requests_took = simulate(main)
    assert bytes_took == pytest.approx(5.5, abs=0.1)
    assert requests_took == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("rate", [ByteRate(1.0), RequestRate(1.0)])
def test_a_rate_changes_to_none_that_is_not_above_zero(rate: ByteRate | RequestRate) -> None:
    with pytest.raises(ValueError, match="above zero"):
        rate.change(0.0)
