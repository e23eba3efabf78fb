"""Run the jobs of an ingestion in threads, and end them together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from typing import TypeVar

__all__ = ["CHECKED_EVERY_S", "in_threads"]

#: Seconds between checks for cancellation while workers are busy.
CHECKED_EVERY_S = 0.2

_Result = TypeVar("_Result")


class _CancelledError(BaseException):
    """The run has ended; raised in its workers, whose results are discarded."""


def _cancel_if(ended: threading.Event) -> None:
    if ended.is_set():
        raise _CancelledError


def in_threads(
    jobs: Iterator[Callable[[Callable[[], None]], _Result]],
    workers: int,
    check: Callable[[], None],
) -> Generator[_Result, None, None]:
    """Run jobs and yield their results, as they end; the caller must close the iterator.

    A job is called with a function that it must call regularly, and that raises when the run ends.

    Args:
        jobs: The jobs; each is taken when a worker is free.
        workers: How many threads run them; with 1 they run in this one, in order.
        check: Called regularly in this thread; may raise to cancel.
    """
    if workers == 1:
        for job in jobs:
            yield job(check)
        return
    ended = threading.Event()
    called = (partial(job, partial(_cancel_if, ended)) for job in jobs)
    with ThreadPoolExecutor(workers, "ingest") as pool:
        under_way = {pool.submit(job) for job in islice(called, workers)}
        try:
            while under_way:
                check()
                done, under_way = wait(under_way, CHECKED_EVERY_S, FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                under_way |= {pool.submit(job) for job in islice(called, len(done))}
        except BaseException:
            ended.set()
            raise
