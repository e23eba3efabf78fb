"""Back-off that is counted, not waited for."""

from __future__ import annotations

import pickle
import random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import SleepRecorder

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    RedirectRefused,
    ServerError,
    StoreError,
    TimedOut,
    TransferError,
    TruncatedBody,
)
from crypto_lakehouse.http.retry import RetryPolicy

URL = "https://source.example/data/x.zip"


class Source:
    """Fails with one error after another, then succeeds; remembers its calls."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def fetch(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "body"


class Told:
    """Remembers what is said of retries."""

    def __init__(self) -> None:
        self.retries: list[tuple[int, float, TransferError]] = []

    async def __call__(self, attempt: int, wait_s: float, error: TransferError) -> None:
        self.retries.append((attempt, wait_s, error))


class Jitter:
    """Remembers the bounds that it is to draw between, and draws the upper one."""

    def __init__(self) -> None:
        self.bounds: list[tuple[float, float]] = []

    def __call__(self, low: float, high: float) -> float:
        self.bounds.append((low, high))
        return high


def broken(count: int) -> list[ConnectionFailed]:
    return [ConnectionFailed(URL, f"break {number}") for number in range(1, count + 1)]


async def test_a_success_waits_for_nothing(retry: RetryPolicy, sleeps: SleepRecorder) -> None:
    source, told = Source(), Told()
    assert await retry.attempts(told)(source.fetch) == "body"
    assert (source.calls, sleeps.waits, told.retries) == (1, [], [])


async def test_a_transient_error_is_tried_again(sleeps: SleepRecorder) -> None:
    errors = broken(2)
    source, told, jitter = Source(*errors), Told(), Jitter()
    policy = RetryPolicy(max_retries=3, sleep=sleeps, jitter=jitter)
    assert await policy.attempts(told)(source.fetch) == "body"
    assert source.calls == 3
    assert told.retries == [(1, 0.5, errors[0]), (2, 1.0, errors[1])]
    assert sleeps.waits == [0.5, 1.0]


@pytest.mark.parametrize("max_retries", [0, 1, 7])
async def test_it_is_tried_as_often_as_allowed_and_the_last_error_is_raised(
    sleeps: SleepRecorder, max_retries: int
) -> None:
    errors = broken(max_retries + 5)
    source, told = Source(*errors), Told()
    policy = RetryPolicy(max_retries=max_retries, sleep=sleeps)
    with pytest.raises(ConnectionFailed) as raised:
        await policy.attempts(told)(source.fetch)
    assert raised.value is errors[max_retries]
    assert source.calls == max_retries + 1
    assert len(sleeps.waits) == len(told.retries) == max_retries


async def test_the_bounds_of_the_wait_double_up_to_the_cap(sleeps: SleepRecorder) -> None:
    jitter = Jitter()
    policy = RetryPolicy(
        max_retries=6, first_wait_s=1.0, longest_wait_s=10.0, sleep=sleeps, jitter=jitter
    )
    with pytest.raises(ConnectionFailed):
        await policy.attempts(Told())(Source(*broken(7)).fetch)
    assert jitter.bounds[:6] == [(0.5, 1), (1, 2), (2, 4), (4, 8), (5, 10), (5, 10)]
    assert sleeps.waits == [1, 2, 4, 8, 10, 10]


@given(
    first=st.floats(0.001, 10),
    longest=st.floats(0.001, 100),
    seed=st.integers(0, 2**32),
)
async def test_each_wait_is_in_the_upper_half_of_its_bound(
    first: float, longest: float, seed: int
) -> None:
    sleeps = SleepRecorder()
    policy = RetryPolicy(
        max_retries=8,
        first_wait_s=first,
        longest_wait_s=longest,
        sleep=sleeps,
        jitter=random.Random(seed).uniform,
    )
    with pytest.raises(ConnectionFailed):
        await policy.attempts(Told())(Source(*broken(9)).fetch)
    for number, wait in enumerate(sleeps.waits):
        ceiling = min(first * 2**number, longest)
        assert ceiling / 2 <= wait <= ceiling


async def test_a_policy_for_another_process_keeps_its_numbers_alone(sleeps: SleepRecorder) -> None:
    plain = RetryPolicy(
        max_retries=1, first_wait_s=2.0, longest_wait_s=3.0, longest_retry_after_s=4.0
    )
    data = pickle.dumps(evolve(plain, sleep=sleeps, jitter=Jitter()).sendable())
    received = pickle.loads(data)  # noqa: S301 - just pickled
    assert received == plain
    assert len(data) < 500, "the state of a random generator makes all workers wait equally long"


async def test_workers_that_failed_together_come_back_apart() -> None:
    waits = SleepRecorder()
    for _ in range(20):
        policy = RetryPolicy(max_retries=1, sleep=waits)
        await policy.attempts(Told())(Source(*broken(1)).fetch)
    assert len(set(waits.waits)) > 1


@pytest.mark.parametrize(
    ("retry_after_s", "wait_s"), [(0.0, 0.0), (7.0, 7.0), (120.0, 120.0), (9_999.0, 300.0)]
)
async def test_retry_after_is_obeyed_up_to_its_cap(
    sleeps: SleepRecorder, retry_after_s: float, wait_s: float
) -> None:
    told, jitter = Told(), Jitter()
    retry = RetryPolicy(max_retries=3, sleep=sleeps, jitter=jitter)
    source = Source(ServerError(URL, 429, retry_after_s))
    assert await retry.attempts(told)(source.fetch) == "body"
    more_s = max(wait_s / 10, 0.5)
    assert jitter.bounds == [(0.0, more_s)]
    assert sleeps.waits == [wait_s + more_s]
    assert [wait for _, wait, _ in told.retries] == sleeps.waits


async def test_a_server_error_without_retry_after_backs_off(sleeps: SleepRecorder) -> None:
    policy = RetryPolicy(max_retries=1, sleep=sleeps, jitter=Jitter())
    assert await policy.attempts(Told())(Source(ServerError(URL, 503)).fetch) == "body"
    assert sleeps.waits == [0.5]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionFailed(URL, "reset"),
        TimedOut(URL, "silent"),
        TruncatedBody(URL, expected=2, received=1),
        *(ServerError(URL, status) for status in (403, 408, 429, 500, 502, 503, 504, 599)),
    ],
    ids=str,
)
async def test_these_errors_are_tried_again(retry: RetryPolicy, error: TransferError) -> None:
    source = Source(error)
    assert await retry.attempts(Told())(source.fetch) == "body"
    assert source.calls == 2


@pytest.mark.parametrize(
    "error",
    [
        RedirectRefused(URL, "elsewhere"),
        *(ServerError(URL, status) for status in (206, 301, 400, 401, 410, 416, 451)),
        StoreError("/out/x.zip", "disk full", stops_run=True),
        OSError("not ours"),
        ValueError("a fault in the program"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
async def test_these_errors_end_the_attempts_at_once(
    retry: RetryPolicy, sleeps: SleepRecorder, error: BaseException
) -> None:
    source, told = Source(error), Told()
    with pytest.raises(type(error)) as raised:
        await retry.attempts(told)(source.fetch)
    assert raised.value is error
    assert (source.calls, sleeps.waits, told.retries) == (1, [], [])


async def test_an_error_that_is_final_ends_attempts_that_had_begun(retry: RetryPolicy) -> None:
    final = RedirectRefused(URL, "elsewhere")
    source = Source(*broken(1), final, *broken(5))
    with pytest.raises(RedirectRefused) as raised:
        await retry.attempts(Told())(source.fetch)
    assert raised.value is final
    assert source.calls == 2


async def test_arguments_are_handed_on_at_each_try(retry: RetryPolicy) -> None:
    seen: list[tuple[int, str]] = []

    async def fetch(number: int, *, name: str) -> str:
        seen.append((number, name))
        if len(seen) < 3:
            raise TimedOut(URL, "silent")
        return name

    assert await retry.attempts(Told())(fetch, 7, name="zip") == "zip"
    assert seen == [(7, "zip")] * 3


async def test_what_a_listener_raises_ends_the_attempts(retry: RetryPolicy) -> None:
    async def refuse(_attempt: int, _wait_s: float, _error: TransferError) -> None:
        raise LookupError("nobody listens")

    source = Source(*broken(1))
    with pytest.raises(LookupError):
        await retry.attempts(refuse)(source.fetch)
    assert source.calls == 1


async def test_one_policy_counts_each_request_on_its_own(retry: RetryPolicy) -> None:
    for _ in range(3):
        told = Told()
        assert await retry.attempts(told)(Source(*broken(3)).fetch) == "body"
        assert [attempt for attempt, _, _ in told.retries] == [1, 2, 3]
