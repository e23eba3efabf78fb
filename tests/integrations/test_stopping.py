"""A signal stops work in order, and then gets to the handler that was there before."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from crypto_lakehouse.integrations import stopping_in_order


class Stopped(BaseException):
    """What the handler of a scheduler raises."""


@pytest.fixture
def done() -> Iterator[list[str]]:
    """What has happened, while a scheduler handles SIGTERM."""

    def end(_number: int, _frame: FrameType | None) -> None:
        happened.append("handler")
        raise Stopped

    happened: list[str] = []
    before = signal.signal(signal.SIGTERM, end)
    yield happened
    signal.signal(signal.SIGTERM, before)


def test_work_has_ended_before_the_handler_gets_the_signal(done: list[str]) -> None:
    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            done.append("ended")

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped):
        asyncio.run(stopping_in_order(work()))
    assert done == ["ended", "handler"]
    assert signal.getsignal(signal.SIGTERM) is handler


def test_the_handlers_are_as_before_and_the_result_is_that_of_the_work(done: list[str]) -> None:
    async def work() -> int:
        return 5

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert asyncio.run(stopping_in_order(work())) == 5
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(stopping_in_order(work()))))
    thread.start()
    thread.join()
    assert (results, done) == ([5], [])
